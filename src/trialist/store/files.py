"""Where a store's file may lie: the user's data directory, and what kind of file system a path is on.

Knows paths and mounts; opens no database.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")

_NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "lustre", "gpfs")
) | {
    *("beegfs", "glusterfs", "pvfs2", "orangefs", "ocfs2", "gfs2", "coda", "panfs", "wekafs", "daos", "drvfs"),
    *("vboxsf", "vmhgfs", "prl_fs"),
}
"""File systems that other machines may write to, or that hand locks and shared memory on to another kernel."""


def data_dir() -> Path:
    """The user's directory for Trialist's data; it may not exist yet."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "trialist"
    base = os.environ.get("XDG_DATA_HOME", "")
    # The standard wants relative paths ignored.
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "trialist"


def network_filesystem(path: Path, mountinfo: str | None = None) -> str | None:
    """The type of the network file system that a path is on; ``None`` where it is on none, or nobody can tell.

    Args:
        path: It need not exist.
        mountinfo: Text in the format of ``/proc/self/mountinfo``; ``None``: this process's own (Linux only).
    """
    if mountinfo is None:
        try:
            mountinfo = _MOUNTS.read_text(errors="surrogateescape")
        except OSError:
            return None
    real = os.path.realpath(path)
    longest, found = "", ""
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        if not separator:
            continue
        mount = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), left.split()[4])
        inside = mount == "/" or real == mount or real.startswith(mount + "/")
        # Of two mounts in one place the later one is on top.
        if inside and len(mount) >= len(longest):
            longest, found = mount, right.split()[0]
    is_network = found in _NETWORK or (found.startswith("fuse.") and found != "fuse.portal")
    return found if is_network else None
