"""Names to objects: what a study's spec says becomes a searcher, a scheduler, an executor. Knows no study's state."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from trialist import registry
from trialist.api.given import OBJECT, AbsentScheduler, AbsentSearcher
from trialist.api.naming import importable
from trialist.api.shipping import shipped
from trialist.core.errors import ConfigError, ObjectiveError, UserError, nearest
from trialist.core.ports import Executor, Scheduler, Searcher
from trialist.core.records import Metric, Mode, Spec, StudySpec
from trialist.runtime.context import as_number
from trialist.space import SearchSpace


def make_searcher(spec: StudySpec, space: SearchSpace) -> Searcher:
    """The study's searcher, new."""
    if spec.searcher.name == OBJECT:
        return AbsentSearcher(spec.searcher)
    cls = registry.load("searcher", spec.searcher.name)
    searcher: Searcher = _construct("searcher", spec.searcher, cls, space, metrics=spec.metrics, seed=spec.seed)
    return searcher


def check_heeded(spec: StudySpec, searcher: Searcher, *, warm_start: bool) -> None:
    """Refuse what a searcher would pass over in silence; it says what it heeds with ``heeds``.

    Raises:
        ConfigError: A default, or earlier studies, for a searcher that takes no notice of them.
    """
    heeds: Collection[str] = getattr(searcher, "heeds", ())
    if spec.default is not None and "default" not in heeds:
        raise ConfigError(
            f"searcher '{searcher.name}' tries no default by itself: use searcher 'auto', or enqueue it "
            "(study.enqueue(...))",
            path="default",
        )
    if warm_start and "warm_start" not in heeds:
        raise ConfigError(
            f"searcher '{searcher.name}' learns nothing from earlier studies: use searcher 'auto'", path="warm_start"
        )


def make_scheduler(spec: StudySpec) -> Scheduler:
    """The study's scheduler, new; without one, every trial runs to its end."""
    chosen = spec.scheduler or Spec(name="fifo")
    if chosen.name == OBJECT:
        return AbsentScheduler(chosen)
    cls = registry.load("scheduler", chosen.name)
    given: dict[str, Any] = {"metrics": spec.metrics}
    asked = inspect.signature(cls).parameters  # one that makes params itself names what it needs for that
    if "space" in asked:
        given["space"] = SearchSpace.from_json(spec.space)
    if "seed" in asked:
        given["seed"] = spec.seed
    scheduler: Scheduler = _construct("scheduler", chosen, cls, **given)
    return scheduler


def _construct(kind: str, spec: Spec, cls: Any, *args: Any, **given: Any) -> Any:
    """Call a registered class, with an error for options that it does not take."""
    parameters = inspect.signature(cls).parameters
    known = [name for name in parameters if name not in ("space", *given)]
    checks_itself = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for name in spec.options:
        if name not in known and not checks_itself:
            offer = nearest(name, known) or " It takes no options."
            raise ConfigError(f"{kind} '{spec.name}' has no option '{name}'.{offer}", path=kind)
    return cls(*args, **given, **spec.options)


def as_spec(kind: str, given: object, default: str | None) -> Spec | None:
    """A searcher or scheduler as people name it, as a spec.

    Args:
        kind: ``searcher``, ``scheduler`` or ``executor``.
        given: A name, ``{"name": …, option: value}``, a ``Spec``, or ``None``.
        default: The name that ``None`` stands for; ``None``: none.
    """
    if given is None:
        if default is None:
            return None
        given = default
    if isinstance(given, Spec):
        spec = given
    elif isinstance(given, str):
        spec = Spec(name=given)
    elif isinstance(given, Mapping) and isinstance(given.get("name"), str):
        spec = Spec(name=given["name"], options={k: v for k, v in given.items() if k != "name"})
    else:
        raise ConfigError(
            f"give the {kind} by name, or as {{'name': …, option: value}}, not as {type(given).__name__}", path=kind
        )
    if spec.name != OBJECT or not isinstance(given, Spec):
        registry.load(kind, spec.name)
    return spec


def as_metrics(metric: str | Sequence[str] | None, mode: str | Sequence[str] | None) -> tuple[Metric, ...]:
    """What is optimised, from ``metric=`` and ``mode=``.

    Raises:
        ConfigError: A metric without a mode, an unknown mode, lists of different lengths, a metric named twice.
    """
    names = [metric] if isinstance(metric, str) else list(metric or ())
    modes = [mode] if isinstance(mode, str) else list(mode or ())
    if not names and modes:
        raise ConfigError("a mode needs a metric: say which one, as metric='loss'", path="metric")
    if len(modes) == 1:
        modes *= len(names)
    if len(modes) != len(names):
        which = (
            "a metric needs a mode, 'min' or 'max'" if not modes else f"{len(names)} metrics need {len(names)} modes"
        )
        raise ConfigError(f"{which}", path="mode")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"a metric's name must be a text, not {name!r}", path="metric")
    if len(set(names)) < len(names):
        raise ConfigError("a metric is named twice", path="metric")
    for one in modes:
        if one not in (Mode.MIN, Mode.MAX):
            raise ConfigError(f"must be 'min' or 'max', not {one!r}", path="mode")
    return tuple(Metric(name=name, mode=Mode(one)) for name, one in zip(names, modes, strict=True))


class Made(NamedTuple):
    """An executor and the spec that names it."""

    executor: Executor
    spec: Spec


def objective_executor(
    given: str | Mapping[str, Any] | Spec | None, objective: Callable[..., Any], spec: StudySpec, jobs: int
) -> Made:
    """The executor that runs a Python function.

    Args:
        given: ``inline``, ``pool`` or ``command``, alone or as ``{"name": …, option: value}``; ``None``: inline for one
            job, else pool.
        objective: The function.
        spec: The study's.
        jobs: How many trials run at once.

    Raises:
        ObjectiveError: It is to run in a process of its own, and cannot be given to one.
        UnknownName: No such executor.
        ConfigError: It has no such option, or the option no such value.
    """
    asked = as_spec("executor", given, "inline" if jobs == 1 else "pool")
    assert asked is not None
    chosen, executor = asked.name, registry.load("executor", asked.name)
    recorded = isinstance(given, Spec)  # then "function" says what ran
    options = {name: value for name, value in asked.options.items() if not (recorded and name == "function")}
    check_executor_options(chosen, options)
    metric_names = tuple(metric.name for metric in spec.metrics)
    if chosen == "inline":
        if jobs > 1:
            raise UserError(f"executor 'inline' runs one trial at a time, and jobs is {jobs}: give executor='pool'")
        return Made(executor(objective, metric_names=metric_names), Spec(name=chosen))
    if chosen in ("pool", "command"):
        target = importable(objective)
        launch = registry.resolve("trialist.execute.command:function_launch", f"executor '{chosen}'")
        more = {"spare": jobs} if chosen == "pool" else {}
        return Made(
            executor(launch(shipped(objective), metric_names=metric_names), **options, **more),
            Spec(name=chosen, options=options if target is None else {"function": target, **options}),
        )
    if chosen == "ray":
        target = importable(objective)
        recorded_options = options if target is None else {"function": target, **options}
        made = executor(shipped(objective), metric_names=metric_names, **options)
        return Made(made, Spec(name=chosen, options=recorded_options))
    raise UserError(f"executor '{chosen}' does not run Python functions: use 'inline', 'pool', 'command' or 'ray'")


def check_executor_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse options that an executor does not offer to people.

    Raises:
        ConfigError: Names the option, and the nearest one that there is.
    """
    known: Sequence[str] = getattr(registry.load("executor", name), "options", ())
    for option in options:
        if option not in known:
            offer = nearest(option, known) or (f" It has {', '.join(known)}." if known else " It takes no options.")
            raise ConfigError(f"'{name}' has no option '{option}'.{offer}", path="executor")


def told_metrics(result: object, metrics: Sequence[Metric]) -> dict[str, float]:
    """A told result as metrics by name.

    Raises:
        ObjectiveError: It is neither a number, nor numbers by name, nor nothing.
    """
    if result is None:
        return {}
    if isinstance(result, Mapping):
        out = {}
        for name, value in result.items():
            number = as_number(value)
            if number is None:
                raise ObjectiveError(f"metric '{name}' must be a number, not {value!r}")
            out[str(name)] = number
        return out
    number = as_number(result)
    if number is None:
        raise ObjectiveError(f"a result is a number or numbers by name, not {result!r}")
    if not metrics:
        raise ObjectiveError(f"the study optimises no metric, so {number:g} has no name: tell it as {{'name': value}}")
    return {metrics[0].name: number}
