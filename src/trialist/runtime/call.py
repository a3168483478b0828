"""``python -m trialist.runtime.call module:function [METRIC]…``: a function as a trial's process.

The trial is found in the environment; what the function returned, or why it failed, goes over the channel, and the traceback
to standard error. Outside a trial the function runs with no params. Knows nothing of who started it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Any

from trialist.core import faults
from trialist.core.errors import ObjectiveError
from trialist.runtime import protocol
from trialist.runtime.context import TrialContext
from trialist.runtime.objective import Ended, Objective, failed
from trialist.runtime.process import channel_of, context_of

PICKLE = ".pkl"


def main(target: str, *metrics: str) -> int:
    """Run a function as this process's trial; the exit code of the process.

    Args:
        target: See ``load``.
        metrics: The study's, the first of which a bare number stands for.
    """
    path = os.environ.get(protocol.ENV_SYS_PATH)
    if path is not None:
        sys.path[:] = json.loads(path)
    channel = channel_of(os.environ)
    trial = context_of(os.environ, channel)
    ended = outcome(lambda: load(target), metrics, trial)
    flush()
    if ended.metrics:
        channel.say({"op": "result", "metrics": protocol.encode_metrics(ended.metrics)})
        faults.point("trial.result.sent")
    if ended.reason is not None and ended.order is None:
        complain(ended.detail or ended.message)
        channel.say({"op": "failed", "reason": ended.reason, "message": ended.message, "detail": ended.detail})
    return exit_code(ended)


def outcome(find: Callable[[], Callable[..., Any]], metrics: Sequence[str], trial: TrialContext) -> Ended:
    """Find the function and run it as a trial; whatever either raises is in what is returned."""
    try:
        return Objective(find(), metrics).run(trial)
    except ObjectiveError as error:
        return Ended(reason="not_started", message=str(error))
    except Exception as error:  # noqa: BLE001 - whatever the import of the user's module raises
        return failed(error)._replace(reason="not_started")


def flush() -> None:
    """Write out what was printed; a trial may have closed its streams, or put something else in their place."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


def complain(text: str) -> None:
    """Print to standard error, where there is still one."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def exit_code(ended: Ended) -> int:
    """What a process exits with whose function ended so."""
    if ended.order is not None:
        return protocol.EXIT_CODES[ended.order]
    if ended.interrupted:
        return 130
    return 0 if ended.reason is None else 1


def load(target: str) -> Callable[..., Any]:
    """The function that ``module:function``, ``file.py:function`` or the path of a pickle (``.pkl``) names.

    Raises:
        ObjectiveError: There is no such module, file or name.
    """
    if target.endswith(PICKLE):
        return _unpickled(Path(target))
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise ObjectiveError(f"'{target}' names no function: give 'module:function' or 'path/to/file.py:function'.")
    module = _from_file(Path(place)) if place.endswith(".py") else _from_name(place)
    try:
        function: Callable[..., Any] = reduce(getattr, name.split("."), module)
    except AttributeError:
        raise ObjectiveError(f"{place} has no '{name}' at its top level.") from None
    return function


def _unpickled(file: Path) -> Callable[..., Any]:
    """A function by value; what it brings of its ``__main__`` is this process's, so that its classes can be pickled again."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise ObjectiveError(f"there is no file {file}.") from None
    function: Callable[..., Any] = pickle.loads(data)  # noqa: S301 - our own engine wrote it
    if getattr(function, "__module__", None) == "__main__":
        main = sys.modules["__main__"].__dict__
        for name, value in getattr(function, "__globals__", {}).items():
            main.setdefault(name, value)
    return function


def _from_name(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise  # it is there, and something that it imports is not
        raise ObjectiveError(f"there is no module '{name}' on the path of this process.") from None


def _from_file(file: Path) -> Any:
    if not file.is_file():
        raise ObjectiveError(f"there is no file {file}.")
    sys.path.insert(0, str(file.parent.absolute()))
    known = sys.modules.get(file.stem)
    if known is not None and getattr(known, "__file__", None) == str(file.absolute()):
        return known
    spec = importlib.util.spec_from_file_location(file.stem, file.absolute())
    if spec is None or spec.loader is None:
        raise ObjectiveError(f"{file} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
