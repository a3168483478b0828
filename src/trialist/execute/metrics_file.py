"""The metrics that a trial leaves in a file of its own.

Knows a file that anybody may have written, and no trial.
"""

from __future__ import annotations

import json
import os
import stat

from trialist.execute.printed import numbers_of

_MAX_METRICS_FILE = 1 << 20


def identity(path: str | None) -> tuple[int, ...] | None:
    """What tells a file from another one in its place, or from itself before it was written; ``None``: there is none."""
    if path is None:
        return None
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def read_metrics(path: str | None, before: tuple[int, ...] | None) -> tuple[dict[str, float], str]:
    """The numbers in a metrics file, and what is wrong with it.

    Args:
        path: The file; ``None``: none was asked for.
        before: Its ``identity`` when the attempt began: one that has not been written since says nothing.
    """
    if path is None or identity(path) in (None, before):
        return {}, ""
    name = os.path.basename(path)  # noqa: PTH119 - pathlib is not worth its import here
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return {}, f"{name} is no regular file"
            data = file.read(_MAX_METRICS_FILE + 1)
    except OSError as error:
        return {}, f"{name}: {error.strerror}"
    if len(data) > _MAX_METRICS_FILE:
        return {}, f"{name} is larger than {_MAX_METRICS_FILE:,} bytes"
    return _numbers(name, data)


def _numbers(name: str, data: bytes) -> tuple[dict[str, float], str]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        return {}, f"{name} is not JSON: {error}"
    if not isinstance(content, dict):
        return {}, f"{name} is no JSON object"
    found = numbers_of(content, len(content))  # all of them: the file's size is bounded, and the last may be the one
    if not found and content:
        key, value = next(iter(content.items()))
        return {}, f"{name} holds no number: '{key}' is {json.dumps(value)[:80]}"
    return found, ""
