"""Our searchers inside Ray Tune: ``tune.Tuner(..., tune_config=TuneConfig(search_alg=RayTuneSearcher("auto", space=…)))``.

For people who stay in Ray Tune, and for ``engine="ray_tune"``. What a searcher is told here is the same events that a study
would tell it, so what it suggests is the same function of them; saving is writing these down, and restoring is telling them
again. Knows no study and no store.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune import search as tune_search
from ray.tune.search import sample

from trialist.api.assembling import as_metrics, as_spec, make_searcher
from trialist.core.errors import ConfigError, SpaceError, UserError
from trialist.core.events import AttemptStarted, Body, Event, Reported, StudyCreated, TrialEnded, TrialSuggested
from trialist.core.fold import fold_trial
from trialist.core.ports import Searcher
from trialist.core.records import Budget, Exhausted, Failure, FailureReason, NeedsReply, Spec, StudySpec, Trial
from trialist.core.states import TrialStatus
from trialist.core.wire import event_from_json, event_to_json
from trialist.runtime.context import as_number
from trialist.space import SearchSpace

FORMAT = 1
STEP = "training_iteration"


class RayTuneSearcher(tune_search.Searcher):
    """A searcher of Trialist as one of Ray Tune's.

    Trials that Ray Tune ends early (``done`` before ``max_steps``, where that is given) count as stopped at their step, and a
    result that is missing, NaN or an error counts as a failure, never as a value. With ``save`` and ``restore`` (which
    ``Tuner.restore`` calls) it goes on as if it had not been interrupted.

    Args:
        searcher: ``"auto"``, any registered name, or ``{"name": "gp", …options}``.
        space: What varies, in any form that ``SearchSpace.of`` takes; ``None``: what ``param_space`` of the ``Tuner`` holds
            of Ray Tune's own domains.
        metric: Name of the metric, or several; ``None``: the ``TuneConfig``'s.
        mode: ``min`` or ``max``, for each metric.
        seed: Equal seeds and results give equal suggestions.
        num_trials: How many trials there will be, where that is known: some searchers plan by it.
        max_steps: The ``training_iteration`` at which a trial is complete; ``None``: every trial that ends is complete.

    Raises:
        ConfigError, SpaceError, UnknownName: As ``create_study``.
    """

    def __init__(
        self,
        searcher: str | Mapping[str, Any] | Spec = "auto",
        *,
        space: Any = None,
        metric: str | Sequence[str] | None = None,
        mode: str | Sequence[str] | None = None,
        seed: int = 0,
        num_trials: int | None = None,
        max_steps: int | None = None,
    ) -> None:
        super().__init__()
        spec = as_spec("searcher", searcher, None)
        assert spec is not None
        self._spec, self._seed, self._num_trials, self._max_steps = spec, seed, num_trials, max_steps
        self._space = None if space is None else SearchSpace.of(space)
        self._names, self._modes = metric, mode
        self._searcher: Searcher | None = None
        self._metric_names: tuple[str, ...] = ()
        self._events: list[Event] = []
        self._trials: dict[int, Trial] = {}
        self._numbers: dict[str, int] = {}
        """Ray's ids of trials to numbers."""
        if self._space is not None and metric is not None:
            self._begin()

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """What the ``Tuner`` says; what the constructor was told comes first."""
        del spec
        if self._searcher is not None:
            return not config  # two spaces: Ray Tune says so
        if self._space is None:
            self._space = space_of(config)
        self._names, self._modes = self._names or metric, self._modes or mode
        self._begin()
        return True

    def _begin(self) -> None:
        metrics = as_metrics(self._names, self._modes)
        if not metrics:
            raise ConfigError("say what to optimise: metric='loss', mode='min'", path="metric")
        assert self._space is not None
        self._metric_names = tuple(metric.name for metric in metrics)
        # Ray Tune asks its searchers for these.
        modes: Any = [metric.mode.value for metric in metrics]
        names: Any = list(self._metric_names)
        self._metric, self._mode = (names, modes) if len(metrics) > 1 else (names[0], modes[0])
        study = StudySpec(
            id="0" * 32,
            name="ray tune",
            space=self._space.to_json(),
            metrics=metrics,
            seed=self._seed,
            searcher=self._spec,
            executor=Spec(name="ray"),
            budget=Budget(num_trials=self._num_trials),
        )
        self._searcher = make_searcher(study, self._space)
        self._tell(StudyCreated(spec=study))

    def suggest(self, trial_id: str) -> Any:
        """Params for a new trial; ``FINISHED`` where there are no more."""
        searcher = self._ready()
        number = len(self._trials)
        answer = searcher.suggest(number)
        if isinstance(answer, Exhausted):
            return tune_search.Searcher.FINISHED
        if isinstance(answer, NeedsReply):
            raise UserError(f"searcher '{self._spec.name}' asks for what only a study of Trialist can answer")
        self._numbers[trial_id] = number
        self._tell(
            TrialSuggested(
                trial=number,
                params=answer.params,
                seed=number,
                source=searcher.name,
                seen_seq=len(self._events),
                note=answer.note,
            )
        )
        self._tell(AttemptStarted(trial=number, attempt=1))
        params: dict[str, Any] = json.loads(json.dumps(answer.params))
        return params

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A report of a running trial."""
        number = self._numbers.get(trial_id)
        if number is None:
            return
        metrics = self._metrics(result)
        if metrics:
            self._tell(Reported(trial=number, attempt=1, step=_step(result), metrics=metrics))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The end of a trial."""
        number = self._numbers.get(trial_id)
        if number is None or self._trials[number].status.is_terminal:
            return
        metrics = self._metrics(result or {})
        step = _step(result) if result else self._trials[number].step
        values = [metrics.get(name, math.nan) for name in self._metric_names]
        if error or not all(map(math.isfinite, values)):
            reason = FailureReason.EXCEPTION if error else FailureReason.NOT_FINITE
            failure = Failure(reason=reason, message="it failed" if error else "no finite value of the metric")
            self._tell(TrialEnded(trial=number, attempt=1, status=TrialStatus.FAILED, step=step, error=failure))
            return
        early = self._max_steps is not None and step is not None and step < self._max_steps
        status = TrialStatus.STOPPED if early else TrialStatus.COMPLETED
        self._tell(TrialEnded(trial=number, attempt=1, status=status, step=step, metrics=metrics, value=values[0]))

    def save(self, checkpoint_path: str) -> None:
        """Write down everything that was suggested and told, as JSON; atomically."""
        data = {
            "format": FORMAT,
            "space": None if self._space is None else self._space.to_json(),
            "numbers": self._numbers,
            "events": [event_to_json(event) for event in self._events],
        }
        path = Path(checkpoint_path)
        part = path.with_name(f"{path.name}.part")
        with part.open("w", encoding="utf-8") as file:
            json.dump(data, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def restore(self, checkpoint_path: str) -> None:
        """Go on from what ``save`` wrote.

        Raises:
            UserError: It is no such file, or of a newer version, or of a search over another space.
        """
        try:
            data = json.loads(Path(checkpoint_path).read_text(encoding="utf-8"))
            known = data["format"] == FORMAT
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            raise UserError(f"{checkpoint_path} holds no state of this searcher, or that of a newer version")
        if data["space"] is None:
            return
        space = SearchSpace.from_json(data["space"])
        if self._space is not None and self._space != space:
            raise UserError(f"{checkpoint_path} is of a search over another space: {self._space.difference(space)}")
        events = [event_from_json(event) for event in data["events"]]
        created = events[0].body
        assert isinstance(created, StudyCreated)
        self._space, self._spec = space, created.spec.searcher
        self._seed, self._num_trials = created.spec.seed, created.spec.budget.num_trials
        self._names = [metric.name for metric in created.spec.metrics]
        self._modes = [metric.mode.value for metric in created.spec.metrics]
        self._events, self._trials, self._numbers = [], {}, dict(data["numbers"])
        self._begin()
        for event in events[1:]:
            self._tell(event.body)

    def _ready(self) -> Searcher:
        if self._searcher is None:
            raise SpaceError("", "there is nothing to search yet: give space=, or a param_space to the Tuner.")
        return self._searcher

    def _metrics(self, result: Mapping[str, Any]) -> dict[str, float]:
        found = {name: as_number(result.get(name)) for name in self._metric_names}
        return {name: value for name, value in found.items() if value is not None}

    def _tell(self, body: Body) -> None:
        searcher, row = self._ready(), None
        event = Event(len(self._events) + 1, time.time(), body)
        number = event.trial
        if number is not None:
            row = self._trials[number] = fold_trial(self._trials.get(number), event, self._metric_names)
        self._events.append(event)
        if type(body) in searcher.reads:
            searcher.update(event, row)


def _step(result: Mapping[str, Any]) -> int:
    step = as_number(result.get(STEP))
    return 0 if step is None or not math.isfinite(step) else int(step)


def space_of(config: Mapping[str, Any], path: str = "") -> SearchSpace:
    """A ``param_space`` of Ray Tune's as ours: its domains by what they draw, ``grid_search`` as a choice, the rest fixed.

    Raises:
        SpaceError: A domain has no counterpart (``sample_from``, normal distributions); names it.
    """
    return SearchSpace.of({name: _domain(value, f"{path}{name}") for name, value in config.items()})


def _domain(value: Any, path: str) -> Any:
    if isinstance(value, Mapping) and set(value) == {"grid_search"}:
        return {"type": "choice", "values": list(value["grid_search"])}
    if isinstance(value, Mapping):
        return {name: _domain(inner, f"{path}.{name}") for name, inner in value.items()}
    if isinstance(value, sample.Categorical):
        return {"type": "choice", "values": [_domain(one, path) for one in value.categories]}
    if isinstance(value, sample.Float | sample.Integer):
        return _number(value, path)
    if isinstance(value, sample.Domain):
        raise SpaceError(path, f"{type(value).__name__.lower()} of Ray Tune has no counterpart here.")
    return {"type": "fixed", "value": value}


def _number(domain: Any, path: str) -> dict[str, Any]:
    outer: Any = domain.get_sampler()
    is_quantized = isinstance(outer, sample.Quantized)
    sampler, q = (outer.sampler, outer.q) if is_quantized else (outer, None)
    if not isinstance(sampler, sample.Uniform | sample.LogUniform):
        raise SpaceError(path, f"{type(sampler).__name__.strip('_').lower()} of Ray Tune has no counterpart here.")
    log = "log" if isinstance(sampler, sample.LogUniform) else ""
    if isinstance(domain, sample.Float):
        kind = f"q{log}uniform" if q else f"{log}uniform"
        return {"type": kind, "low": domain.lower, "high": domain.upper, **({"q": q} if q else {})}
    # The upper end of Ray Tune's integers is not among them, unless they are quantized.
    whole = {"type": f"{log}randint", "low": domain.lower, "high": domain.upper - 1}
    return whole if q in (None, 1) else {"type": f"q{log}randint", "low": domain.lower, "high": domain.upper, "q": q}
