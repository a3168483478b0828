"""How much memory a family of processes uses, at a price that the usual case does not pay.

Pages that processes share (a fork and what it was forked from) count in parts, one for each that has them mapped. Linux;
elsewhere nothing is seen and nothing is limited. Knows pids.
"""

from __future__ import annotations

from collections.abc import Iterable


def used_above(pids: Iterable[int], limit: int) -> int:
    """Bytes that these processes use, swapped ones included; 0 where that is at most ``limit``.

    What is resident, which is read in a few microseconds, is never less than the share that counts; so the share, for which
    the system walks through all pages, is only asked for where the former is above the limit.
    """
    pids = list(pids)
    if sum(_resident(pid) for pid in pids) <= limit:
        return 0
    used = sum(_share(pid) for pid in pids)
    return used if used > limit else 0


def _resident(pid: int) -> int:
    """Resident and swapped bytes, shared pages in full."""
    fields = _fields(f"/proc/{pid}/status", (b"VmRSS:", b"VmSwap:"))
    return sum(fields.values())


def _share(pid: int) -> int:
    """Resident and swapped bytes, shared pages in parts; in full where the system does not tell."""
    fields = _fields(f"/proc/{pid}/smaps_rollup", (b"Pss:", b"SwapPss:"))
    return sum(fields.values()) if fields else _resident(pid)


def _fields(path: str, names: tuple[bytes, ...]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a kernel's file, and the warden does without pathlib
            for line in file:
                name, _, rest = line.partition(b"\t" if b":\t" in line else b" ")
                if name in names:
                    found[name] = int(rest.split()[0]) * 1024
    except OSError:  # it ended meanwhile, or is not ours to read
        return {}
    return found


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started; 0 where it does not tell."""
    try:
        with open("/proc/vmstat", "rb") as file:  # noqa: PTH123
            data = file.read()
    except OSError:
        return 0
    _, found, rest = data.partition(b"\noom_kill ")
    return int(rest.split(None, 1)[0]) if found else 0
