"""Processes that the user's function forked: they may work for it, and must never come back as us.

Knows no trial.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from types import TracebackType


class StaysInChild:
    """Context manager around a call of the user's function, in which it may fork.

    A child that returns from the function, or raises out of it, ends here like a Python program that reached its end:
    behind this call stand the parent's engine and the rest of the parent's script, which would run a second time.
    """

    def __enter__(self) -> None:
        self._pid = os.getpid()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.getpid() != self._pid:
            code = _exit_code(error)
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError, AttributeError):  # closed, or none at all
                    stream.flush()
            os._exit(code)


def _exit_code(error: BaseException | None) -> int:
    """What Python exits with after this, and what it prints."""
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        traceback.print_exception(error)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1
