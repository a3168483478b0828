"""Calling the user's function: which arguments it gets, what its result means, and what is said when it fails.

Shared by everything that runs a function as a trial: in the engine's thread, in a worker, in a process of its own. Knows no
transport and no process.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from trialist.core.errors import ObjectiveError, TrialistError
from trialist.runtime.context import Paused, Stopped, TrialContext, as_number
from trialist.runtime.current import Bound
from trialist.runtime.forks import StaysInChild
from trialist.runtime.process import ControllerGone
from trialist.runtime.protocol import Order

MAX_DETAIL = 16 * 1024
_OURS = str(Path(__file__).parent.parent)
_MAX_MESSAGE = 500
_OUT_OF_MEMORY = frozenset({"MemoryError", "OutOfMemoryError"})
"""Names of exceptions: torch's is recognised without importing torch."""


class Ended(NamedTuple):
    """How a call of the user's function ended."""

    order: Order | None = None
    """The order that the function saw (raised inside ``report``), whether or not it returned afterwards."""
    metrics: Mapping[str, float] = {}
    reason: str | None = None
    """The word of ``core.records.FailureReason``; ``None``: it did not fail."""
    message: str = ""
    detail: str = ""
    interrupted: bool = False
    """Ctrl-C."""


class Call(NamedTuple):
    """How a function takes a trial."""

    context: bool
    """The ``TrialContext`` comes first …"""
    context_name: str
    """… or under this name, where one is given."""
    params: bool
    """The params come as keywords."""


class Objective:
    """A function and how to call it as a trial.

    The function is one of:

    - ``f(trial)``: its only parameter is called ``trial``;
    - ``f(lr, depth)``, ``f(**params)``: the params fit as keywords; a parameter ``trial`` beside them gets the context;
    - ``f(anything)``: they do not fit, and one parameter that is no param's name must be filled: it gets the context;
    - any of these as a generator, which yields metrics: each is a report at the next step (or at its own ``"step"``).

    It gives back a number (the first of the study's metrics), a mapping of metrics, or nothing. Numbers are Python's,
    numpy's, torch's, and arrays of one element.

    Args:
        function: The user's callable.
        metric_names: The study's metrics; NaN and infinity as the final value of one of these are a failure.
    """

    def __init__(self, function: Callable[..., Any], metric_names: Sequence[str] = ()) -> None:
        self._function = function
        self._names = tuple(metric_names)
        self._calls: dict[tuple[str, ...], Call] = {}
        self._signature = _signature(function)

    def check(self, params: Sequence[str]) -> Call:
        """How the function is called with params of these names.

        Raises:
            ObjectiveError: It cannot be; says which names are missing and which it does not know.
        """
        key = tuple(params)
        call = self._calls.get(key)
        if call is None:
            call = _fit(self._function, self._signature, key)
            if len(self._calls) < 1024:  # conditional spaces may have many sets of names
                self._calls[key] = call
        return call

    def run(self, trial: TrialContext) -> Ended:
        """Call the function for a trial, with the trial bound to the calling thread.

        Whatever the user's code raises, ``SystemExit`` and Ctrl-C included, is in
        what is returned.

        Raises:
            ObjectiveError: It cannot be called with these params.
        """
        call = self.check(tuple(trial.params))
        with Bound(trial):
            try:
                with StaysInChild():
                    result = self._call(call, trial)
                    if inspect.isgenerator(result):
                        result = self._drive(result, trial)
            except (Stopped, Paused):
                return Ended(order=trial.told_to_leave)
            except ControllerGone:  # there is nobody left to tell
                raise
            except KeyboardInterrupt:
                return Ended(order=trial.told_to_leave, interrupted=True)
            except BaseException as error:  # noqa: BLE001 - SystemExit too: the user's code must not end its host
                return failed(error)._replace(order=trial.told_to_leave)
            return self._result(result)._replace(order=trial.told_to_leave)

    def _call(self, call: Call, trial: TrialContext) -> Any:
        if not call.context:
            return self._function(**trial.params)
        if call.context_name:
            return self._function(**{call.context_name: trial}, **(trial.params if call.params else {}))
        return self._function(trial)

    def _drive(self, generator: Generator[Any, Any, Any], trial: TrialContext) -> Any:
        try:
            while True:
                item = next(generator)
                try:
                    self._report(item, trial)
                except (Stopped, Paused, ObjectiveError) as told:
                    # Raised where the function waits, so that it can save, clean up, or show its line in the traceback.
                    generator.throw(told)
                    raise
        except StopIteration as end:
            return end.value
        finally:
            generator.close()

    def _report(self, item: Any, trial: TrialContext) -> None:
        if isinstance(item, Mapping):
            trial.report({name: value for name, value in item.items() if name != "step"}, step=item.get("step"))
        elif item is None:
            trial.report()
        else:
            trial.report({self._first: item})

    @property
    def _first(self) -> str:
        return self._names[0] if self._names else "value"

    def _result(self, result: Any) -> Ended:
        if result is None:
            return Ended()
        if not isinstance(result, Mapping):
            number = as_number(result)
            if number is None:
                return self._bad(f"it returned {_kind(result)}")
            if len(self._names) > 1:
                return self._bad(f"it returned one number, and the study has {len(self._names)} metrics")
            return self._checked({self._first: number})
        metrics: dict[str, float] = {}
        for name, value in result.items():
            number = as_number(value)
            if not isinstance(name, str) or number is None:
                return self._bad(f"it returned {_kind(value)} for {name!r}")
            metrics[name] = number
        return self._checked(metrics)

    def _checked(self, metrics: dict[str, float]) -> Ended:
        for name in self._names:
            value = metrics.get(name, 0.0)
            if value - value != 0:  # NaN or infinite
                return Ended(metrics=metrics, reason="not_finite", message=f"the final value of '{name}' is {value}")
        return Ended(metrics=metrics)

    def _bad(self, what: str) -> Ended:
        wanted = ", ".join(f'"{name}": …' for name in self._names or ("value",))
        return Ended(
            reason="bad_result",
            message=f"{what}; return a number, a mapping such as {{{wanted}}}, or nothing (then the last report counts)",
        )


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    if not callable(function):
        raise ObjectiveError(f"the objective is {_kind(function)}; give a function.")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ObjectiveError(f"{_name(function)} is async; give a plain function that calls asyncio.run(…).")
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):  # some functions written in C do not tell
        return None


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_CONTEXT_FIRST = Call(context=True, context_name="", params=False)


def _fit(function: Callable[..., Any], signature: inspect.Signature | None, names: tuple[str, ...]) -> Call:
    if signature is None:
        return _CONTEXT_FIRST
    given = list(signature.parameters.values())
    if len(given) == 1 and given[0].name == "trial" and given[0].kind is not inspect.Parameter.VAR_KEYWORD:
        return _CONTEXT_FIRST
    by_name = {p.name for p in given if p.kind in _BY_NAME}
    needed = [p for p in given if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    takes_all = any(p.kind is p.VAR_KEYWORD for p in given)
    with_trial = "trial" in by_name and "trial" not in names
    wanted = {*names, "trial"} if with_trial else set(names)
    missing = [p.name for p in needed if p.name not in wanted or p.kind is p.POSITIONAL_ONLY]
    unknown = [] if takes_all else [name for name in names if name not in by_name]
    if not missing and not unknown:
        return Call(context=with_trial, context_name="trial" if with_trial else "", params=True)
    if with_trial and missing == [] and not any(name in by_name for name in names):
        return Call(context=True, context_name="trial", params=False)  # f(trial, verbose=False)
    if len(needed) == 1 and needed[0].name not in names and needed[0].kind is not inspect.Parameter.KEYWORD_ONLY:
        return _CONTEXT_FIRST
    said = [f"it lacks {_quoted(missing)}"] if missing else []
    said += [f"it has no parameter {_quoted(unknown)}"] if unknown else []
    raise ObjectiveError(
        f"{_name(function)}{signature} cannot be called with the params {_quoted(names) or '(none)'}: "
        f"{' and '.join(said)}. Take the params by their names, all of them as **params, or the trial alone as 'trial'."
    )


def failed(error: BaseException) -> Ended:
    """What is said of an exception that the user's code raised."""
    message = " ".join(traceback.format_exception_only(error)[-1].split())
    reason = "bad_result" if isinstance(error, ObjectiveError) else "exception"
    if isinstance(error, TrialistError):
        message = str(error)  # our own sentence needs no class before it
    if isinstance(error, SystemExit):
        message = f"it called sys.exit({'' if error.code is None else repr(error.code)})"
    elif "CUDA out of memory" in message or any(cls.__name__ in _OUT_OF_MEMORY for cls in type(error).__mro__):
        reason = "out_of_memory"
    return Ended(reason=reason, message=message[:_MAX_MESSAGE], detail=_detail(error))


def _detail(error: BaseException) -> str:
    """The traceback without our frames, its middle left out where it is too long."""
    text = "".join(traceback.format_exception(type(error), error, _theirs(error.__traceback__)))
    data = text.encode(errors="replace")
    if len(data) <= MAX_DETAIL:
        return text
    head, tail = data[: MAX_DETAIL // 4], data[-(MAX_DETAIL * 3 // 4 - 100) :]
    return head.decode(errors="ignore") + "\n… left out …\n" + tail.decode(errors="ignore")


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the user's first frame on."""
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return trace


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or type(function).__name__)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _kind(value: Any) -> str:
    """A value in words: ``'abc' (str)``."""
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '…'} ({type(value).__name__})"
