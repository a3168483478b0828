"""What an analysis looks at: a study at one moment, as records. Made from a study handle, or by whoever holds trials.

Knows no store: reports of a trial come from the reader it is given, a trial at a time, so that however many there are only
those that a plot shows are in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from trialist.analysis.series import flat
from trialist.core.errors import SpaceError, UnknownName, UserError
from trialist.core.ports import Store
from trialist.core.records import Metric, Mode, Params, Report, Study, Trial
from trialist.core.states import TrialStatus
from trialist.space import SearchSpace
from trialist.space.choices import Choice, describe_option
from trialist.space.domains import Fixed, Group
from trialist.space.leaves import Leaf

ReadReports = Callable[[int], Sequence[Report]]
"""Trial number to its reports, by step; superseded ones may be among them."""


def no_reports(_: int) -> Sequence[Report]:
    """The reader of a study that kept none."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A study as it was at one moment. Read-only."""

    name: str
    trials: tuple[Trial, ...]
    """All of them, by number."""
    metrics: tuple[Metric, ...] = ()
    """What the study optimises; the first one is what ``Trial.value`` holds."""
    space: SearchSpace | None = None
    """``None`` where it is not known: then params alone say what varied."""
    infeasible: frozenset[int] = frozenset()
    """Numbers of trials that break an outcome constraint: they have a value, and are never the best."""
    reports: ReadReports = no_reports
    status: str = ""
    reason: str = ""
    searcher: str = ""
    scheduler: str = ""
    seed: int | None = None
    active_s: float = 0.0
    """Time during which the study was led."""
    at: float = 0.0
    """When it was taken, in seconds since the epoch."""

    @property
    def metric(self) -> Metric:
        """The first metric; one called ``value`` where the study optimises nothing."""
        return self.metrics[0] if self.metrics else Metric(name="value", mode=Mode.MIN, required=False)

    def metric_named(self, name: str | None) -> Metric:
        """The metric of this name, or the first one.

        Raises:
            UnknownName: The study has no such metric; the nearest is offered.
        """
        if name is None:
            return self.metric
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise UnknownName(f"metric of study '{self.name}'", name, [metric.name for metric in self.metrics])

    def values(self, metric: Metric) -> list[float | None]:
        """By place in ``trials``: the value where it counts and is finite, else ``None``."""
        first = metric == self.metric
        return [_value(trial, None if first else metric.name) for trial in self.trials]

    @cached_property
    def flat(self) -> tuple[Mapping[str, Any], ...]:
        """By place in ``trials``: the active params by dotted path; a choice of branches has its option as value."""
        choices = (
            [leaf for leaf in self.space.leaves if isinstance(leaf.domain, Choice) and leaf.domain.branches]
            if self.space
            else []
        )
        return tuple({**_flat(self.space, trial), **_branches(choices, trial.params)} for trial in self.trials)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Paths of the params that took more than one value, in the order of the space."""
        leaves = self.space.leaves if self.space else ()
        seen: dict[str, set[str]] = {leaf.path: set() for leaf in leaves if leaf.varies}
        fixed = {leaf.path for leaf in leaves} - set(seen)  # they follow from the branch that was taken
        for params in self.flat:
            for name, value in params.items():
                if name in fixed:
                    continue
                kept = seen.setdefault(name, set())
                if len(kept) < 2:
                    kept.add(repr(value))
        return tuple(name for name, kept in seen.items() if len(kept) > 1)

    def name_of_param(self, given: str) -> str:
        """A param's path, from the path or its last part where only one has it.

        Raises:
            UnknownName: No trial has such a param; the nearest is offered.
        """
        known = dict.fromkeys([*self.names, *(name for params in self.flat[:1000] for name in params)])
        if given in known:
            return given
        ends = [name for name in known if name.rsplit(".", 1)[-1] == given]
        if len(ends) == 1:
            return ends[0]
        raise UnknownName(f"param of study '{self.name}'", given, known)

    def best_first(self, metric: Metric) -> list[int]:
        """Places in ``trials`` of those with a value that may be the best, best first; the earlier of equals."""
        valued = [
            (value, place)
            for place, value in enumerate(self.values(metric))
            if value is not None and self.trials[place].number not in self.infeasible
        ]
        sign = -1.0 if metric.mode is Mode.MAX else 1.0
        return [place for _, place in sorted(valued, key=lambda one: (sign * one[0], one[1]))]

    def count(self, *statuses: TrialStatus) -> int:
        return sum(trial.status in statuses for trial in self.trials)


@runtime_checkable
class StudyLike(Protocol):
    """What a study handle has, as far as an analysis reads it."""

    @property
    def row(self) -> Study: ...

    store: Store
    space: SearchSpace


def snapshot_of(studied: Any) -> Snapshot:
    """The snapshot of whatever holds a study: a snapshot itself, a study handle, or results.

    Results are anything with a ``snapshot`` (one, or a function that takes one), or with a ``study`` that is a handle.

    Raises:
        UserError: It is none of these.
    """
    if isinstance(studied, Snapshot):
        return studied
    made = getattr(studied, "snapshot", None)
    made = made() if callable(made) else made
    if isinstance(made, Snapshot):
        return made
    for one in (studied, getattr(studied, "study", None)):
        if isinstance(one, StudyLike):
            return _of_study(one)
    raise UserError(
        f"a study, its results or a Snapshot is needed here, not {type(studied).__name__}: "
        "trialist.load_study(name) gives a study."
    )


def _of_study(study: StudyLike) -> Snapshot:
    row, store = study.row, study.store
    spec = row.spec
    trials = tuple(store.iter_trials(row.id))
    return Snapshot(
        name=row.name,
        trials=trials,
        metrics=spec.metrics,
        space=study.space,
        infeasible=frozenset(t.number for t in trials if t.status.counts and not spec.is_feasible(t.metrics)),
        reports=lambda number: store.reports(row.id, number),
        status=row.status.value,
        reason=row.reason,
        searcher=spec.searcher.name,
        scheduler="" if spec.scheduler is None else spec.scheduler.name,
        seed=spec.seed,
        active_s=row.active_s,
        at=time.time(),
    )


def kept_reports(reports: Iterable[Report]) -> list[Report]:
    """Those that count, by step: what a later attempt did again is left out."""
    return sorted((report for report in reports if not report.superseded), key=lambda report: report.step)


def _flat(space: SearchSpace | None, trial: Trial) -> Mapping[str, Any]:
    if space is None:
        return flat(trial.params)
    try:
        return space.flatten(trial.params)
    except (SpaceError, KeyError, TypeError):  # params of another space: imported, or of an older version
        return flat(trial.params)


def _branches(choices: Sequence[Leaf], params: Params) -> dict[str, str]:
    """Which branch each choice of branches took, in words."""
    out: dict[str, str] = {}
    for leaf in choices:
        assert isinstance(leaf.domain, Choice)
        value: Any = params
        for key in leaf.keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        if not isinstance(value, Mapping):
            continue
        try:
            option = leaf.domain.values[leaf.domain.option(value, leaf.path)[0]]
        except SpaceError:  # params of another space
            continue
        if isinstance(option, Group):
            fixed = [str(domain.value) for domain in option.params.values() if isinstance(domain, Fixed)]
            out[leaf.path] = ", ".join(fixed) or describe_option(option)
        elif isinstance(option, Mapping):
            out[leaf.path] = ", ".join(map(str, option.values())) or "{}"
    return out


def _value(trial: Trial, name: str | None) -> float | None:
    if not trial.status.counts:
        return None
    value = trial.value if name is None else trial.metrics.get(name)
    return value if value is not None and abs(value) < float("inf") else None
