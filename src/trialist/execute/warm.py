"""Which commands can start warm: Python programs for the interpreter that runs us, by script or by ``-m``.

Knows words of a command and files; starts nothing.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from trialist.execute.launch import Warm, WarmKind

_FLAGS = frozenset({"-u"})


def warm_command(argv: Sequence[str], cwd: Path | None = None) -> Warm | None:
    """How a command can start warm; ``None``: as a plain process alone.

    Warm can be ``python [-u] script.py …`` and ``python [-u] -m module …``, where ``python`` is the interpreter of this
    process, under any name.

    Args:
        argv: Program and arguments.
        cwd: Where it is to run; ``None``: here.
    """
    if not argv or any("\0" in word for word in argv) or not _is_this_python(argv[0], cwd):
        return None
    place = 1
    while place < len(argv) and argv[place] in _FLAGS:
        place += 1
    python, rest = list(argv[:place]), list(argv[place:])
    if len(rest) > 1 and rest[0] == "-m" and all(part.isidentifier() for part in rest[1].split(".")):
        return Warm(python=python, kind=WarmKind.MODULE, name=rest[1], args=rest[2:])
    if rest and rest[0].endswith(".py") and not rest[0].startswith("-"):
        return Warm(python=python, kind=WarmKind.SCRIPT, name=rest[0], args=rest[1:])
    return None


def _is_this_python(program: str, cwd: Path | None) -> bool:
    """Whether a program is this process's interpreter: the same file, reached through the same environment."""
    if program == sys.executable:
        return True
    found = str((cwd or Path.cwd()) / program) if os.sep in program else shutil.which(program)
    if found is None:
        return False
    try:
        # A virtual environment is known by the directory that its interpreter lies in, not by the file behind the link.
        return Path(found).parent.samefile(Path(sys.executable).parent) and Path(found).samefile(sys.executable)
    except OSError:
        return False
