"""What a study knows before its first trial: what results must keep, a default configuration, and earlier studies.

People's words become records of the spec here. Knows no searcher.
"""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from trialist.core.errors import ConfigError, NotFound, SpaceError, UserError, nearest
from trialist.core.ports import Store
from trialist.core.records import (
    Bound,
    EarlierStudy,
    EarlierTrial,
    Metric,
    Mode,
    OutcomeConstraint,
    Params,
    Study,
    StudySpec,
    Trial,
)
from trialist.core.states import TrialStatus
from trialist.space import SearchSpace
from trialist.store.locate import open_store

EARLIER_TRIALS = 100
"""So many trials of an earlier study are taken, unless somebody says how many."""
MAX_EARLIER = 500
"""More than this, of all earlier studies together, make reading a study's row slow and teach a searcher no more."""
_CONSTRAINT = re.compile(r"\s*(?P<metric>.*\S)\s*(?P<bound><=|>=)\s*(?P<limit>\S+)\s*")


# --- what results must keep ------------------------------------------------------------------------------------------


def outcome_constraints(given: str | Sequence[str | OutcomeConstraint]) -> tuple[OutcomeConstraint, ...]:
    """Outcome constraints from texts: ``"memory_gb <= 8"``.

    Raises:
        ConfigError: One is no constraint, stands there twice, or two cannot hold together.
    """
    texts = [given] if isinstance(given, str | OutcomeConstraint) else given
    if not isinstance(texts, Sequence):
        raise _wrong(f"are a list of texts such as 'memory_gb <= 8', not {given!r}")
    found: dict[tuple[str, Bound], OutcomeConstraint] = {}
    for text in texts:
        one = text if isinstance(text, OutcomeConstraint) else _constraint(text)
        if (one.metric, one.bound) in found:
            raise _wrong(f"name '{one.metric} {one.bound}' twice: {found[one.metric, one.bound]} and {one}")
        found[one.metric, one.bound] = one
    for (metric, _), one in found.items():
        low, high = found.get((metric, Bound.AT_LEAST)), found.get((metric, Bound.AT_MOST))
        if low is not None and high is not None and low.limit > high.limit:
            raise _wrong(f"cannot hold together: {low} and {high}")
        assert math.isfinite(one.limit)
    return tuple(found.values())


def _constraint(text: object) -> OutcomeConstraint:
    if not isinstance(text, str):
        raise _wrong(f"are texts such as 'memory_gb <= 8', not {text!r}")
    match = _CONSTRAINT.fullmatch(text)
    if match is None:
        raise _wrong(f"are a metric's name, '<=' or '>=', and a number, such as 'memory_gb <= 8'; not {text!r}")
    limit = _finite(match["limit"])
    if limit is None:
        turned = _finite(match["metric"])
        other = ">=" if match["bound"] == "<=" else "<="
        offer = f" Write '{match['limit']} {other} {match['metric']}'." if turned is not None else ""
        raise _wrong(f"end with a finite number, and {text!r} ends with '{match['limit']}'.{offer}")
    return OutcomeConstraint(metric=match["metric"], bound=Bound(match["bound"]), limit=limit)


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _wrong(problem: str) -> ConfigError:
    return ConfigError(f"outcome constraints {problem}", path="outcome_constraints")


# --- the default -----------------------------------------------------------------------------------------------------


def default_params(given: object, space: SearchSpace) -> Params | None:
    """The default configuration as the space spells it.

    Raises:
        SpaceError: It does not lie in the space; names the path and the rule.
    """
    if given is None:
        return None
    try:
        return space.check(given)
    except SpaceError as error:
        raise SpaceError(f"default.{error.path}" if error.path else "default", error.rule) from None


# --- earlier studies -------------------------------------------------------------------------------------------------


class Source(NamedTuple):
    """An earlier study, as it was asked for."""

    name: str
    store: str | Store | None
    """``None``: the new study's."""
    trials: int


def sources(given: object) -> list[Source]:
    """Which earlier studies are meant.

    Args:
        given: A name, ``{"study": name, "store": url, "trials": 200}``, or a list of these.

    Raises:
        ConfigError: It is none of these, or too much is asked for.
    """
    listed = [given] if isinstance(given, str | Mapping) else given
    if not isinstance(listed, Sequence):
        raise _no_source(given)
    found = [_source(one) for one in listed]
    if sum(one.trials for one in found) > MAX_EARLIER:
        raise ConfigError(
            f"takes at most {MAX_EARLIER} trials in all: give each earlier study a smaller number 'trials'",
            path="warm_start",
        )
    return found


def _source(given: object) -> Source:
    if isinstance(given, str):
        return Source(given, None, EARLIER_TRIALS)
    if not isinstance(given, Mapping) or not isinstance(given.get("study"), str):
        raise _no_source(given)
    for key in given:
        if key not in ("study", "store", "trials"):
            raise ConfigError(
                f"has no key {key!r}.{nearest(str(key), ('study', 'store', 'trials'))}", path="warm_start"
            )
    trials = given.get("trials", EARLIER_TRIALS)
    if isinstance(trials, bool) or not isinstance(trials, int) or not 1 <= trials <= MAX_EARLIER:
        raise ConfigError(f"'trials' is a whole number from 1 to {MAX_EARLIER}, not {trials!r}", path="warm_start")
    return Source(given["study"], given.get("store"), trials)


def _no_source(given: object) -> ConfigError:
    return ConfigError(
        f"is an earlier study's name, {{'study': name, 'store': url, 'trials': 200}}, or a list of these; not {given!r}",
        path="warm_start",
    )


def earlier_studies(
    wanted: Sequence[Source], store: Store, space: SearchSpace, spec: StudySpec
) -> tuple[EarlierStudy, ...]:
    """Copies of earlier studies' trials: the best, and a spread of the others.

    Only completed trials that told every metric of the new study; params are taken where they lie in its space, names
    that it does not have left out and those that are missing filled in from its default.

    Args:
        wanted: Which.
        store: Where they are, unless they say.
        space: The new study's.
        spec: The new study's.

    Raises:
        NotFound: There is no such study.
        ConfigError: None of its trials is of use; says why the first is not.
    """
    if not spec.metrics and wanted:
        raise ConfigError("needs a metric: without one there is nothing to learn from", path="warm_start")
    return tuple(_earlier(source, store, space, spec) for source in wanted)


def _earlier(source: Source, store: Store, space: SearchSpace, spec: StudySpec) -> EarlierStudy:
    given = source.store
    there = store if given is None else open_store(given, create=False) if isinstance(given, str) else given
    try:
        found = there.find_study(source.name)
        if found is None:
            known = [study.name for study in there.list_studies(limit=500).studies]
            raise NotFound("study", source.name, there.url, known)
        fitting = _Fitting(space, spec)
        chosen = _chosen(fitting.of(there, found), spec.metrics, source.trials)
        if not chosen:
            raise ConfigError(
                f"nothing of '{source.name}' is of use: {fitting.why or 'no trial completed'}", path="warm_start"
            )
        return EarlierStudy(name=found.name, trials=tuple(chosen))
    finally:
        if there is not given and there is not store:
            there.close()


class _Fitting:
    """The trials of a study that fit another one."""

    def __init__(self, space: SearchSpace, spec: StudySpec) -> None:
        self._space = space
        self._metrics = [metric.name for metric in spec.metrics]
        self._also = {constraint.metric for constraint in spec.outcome_constraints}.difference(self._metrics)
        self._default = {} if spec.default is None else space.flatten(spec.default)
        self._known = {path for leaf in space.leaves for path in (leaf.path, leaf.path.split(".")[0])}
        self.why = ""
        """Why the first trial that does not fit does not."""

    def of(self, store: Store, study: Study) -> Iterator[EarlierTrial]:
        old = SearchSpace.from_json(study.spec.space)
        for trial in store.iter_trials(study.id, status=(TrialStatus.COMPLETED,)):
            metrics = self._told(trial)
            params = None if metrics is None else self._params(trial, old)
            if metrics is not None and params is not None:
                yield EarlierTrial(params=params, metrics=metrics)

    def _told(self, trial: Trial) -> dict[str, float] | None:
        told = {name: trial.metrics.get(name, math.nan) for name in self._metrics}
        missing = [name for name, value in told.items() if not math.isfinite(value)]
        if missing:
            offer = nearest(missing[0], trial.metrics)
            self.why = self.why or f"its trial {trial.number} did not tell '{missing[0]}'.{offer}"
            return None
        also = {name: trial.metrics[name] for name in sorted(self._also) if name in trial.metrics}
        return told | {name: value for name, value in also.items() if math.isfinite(value)}

    def _params(self, trial: Trial, old: SearchSpace) -> Params | None:
        problem: UserError
        try:
            return self._space.check(trial.params)
        except SpaceError as error:
            problem = error
        flat = {path: value for path, value in old.flatten(trial.params).items() if path in self._known}
        for filled in (flat, {**self._default, **flat}):
            try:
                return self._space.check(filled)
            except SpaceError as error:
                problem = error
        self.why = self.why or f"its trial {trial.number} does not fit this space: {problem}"
        return None


def _chosen(trials: Iterator[EarlierTrial], metrics: Sequence[Metric], count: int) -> list[EarlierTrial]:
    """At most so many: half of them the best by each metric in turn, the others evenly over the rest, in the order given."""
    every = list(enumerate(trials))
    if len(every) <= count:
        return [trial for _, trial in every]
    best: set[int] = set()
    share = max(1, count // 2 // len(metrics))
    for metric in metrics:
        sign = 1.0 if metric.mode is Mode.MIN else -1.0
        keyed = ((sign * trial.metrics[metric.name], place) for place, trial in every)
        best.update(place for _, place in heapq.nsmallest(share, keyed))
    rest = [place for place, _ in every if place not in best]
    left = count - len(best)
    spread = {rest[at * len(rest) // left] for at in range(left)}
    return [every[place][1] for place in sorted(best | spread)]
