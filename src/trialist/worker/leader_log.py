"""What a study's own code prints in the process that leads it: a file beside its trials' files, which stays small.

The descriptors lead straight to the file, so that the last words of a process that crashes are in it. Knows no study.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HEAD, TAIL = 1 << 20, 1 << 20
"""How much of the beginning and of the end is kept."""
_LOOK_EVERY_S = 1.0


@contextmanager
def printing_into(file: Path) -> Iterator[None]:
    """Standard output and error of this process go to a file from here on; one into which nothing came is removed.

    It grows by no more than what is printed in about a second above ``HEAD + TAIL``.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for target in (1, 2):
        os.dup2(descriptor, target)
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(descriptor, done), name="trialist-leader-log", daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        shorten(descriptor)
        if not os.fstat(descriptor).st_size:
            file.unlink(missing_ok=True)
        os.close(descriptor)


def _watch(descriptor: int, done: threading.Event) -> None:
    while not done.wait(_LOOK_EVERY_S):  # a file tells nobody that it grows
        if os.fstat(descriptor).st_size > 2 * (HEAD + TAIL):
            shorten(descriptor)


def shorten(descriptor: int) -> None:
    """Leave the beginning and the end of a file that is longer than both; open for reading and appending.

    What others append in this very moment may be lost.
    """
    size = os.fstat(descriptor).st_size
    surplus = size - HEAD - TAIL
    if surplus <= 0:
        return
    tail = os.pread(descriptor, TAIL, size - TAIL)
    os.ftruncate(descriptor, HEAD)
    rest = memoryview(b"\n\xe2\x80\xa6 truncated: %d bytes left out \xe2\x80\xa6\n" % surplus + tail)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
