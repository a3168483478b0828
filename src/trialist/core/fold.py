"""What events add up to: the rows of trials and studies are folds of the event log, and this is the fold.

Leaders fold once, as they emit; stores keep the resulting rows beside the events; ``trialist fsck`` and the memory store
fold again and compare. So there is one answer to "what does this event change".
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from trialist.core.events import (
    AttemptContinued,
    AttemptEnded,
    AttemptStarted,
    Body,
    BudgetChanged,
    Checkpointed,
    CommandApplied,
    Decided,
    Event,
    LeaseLapsed,
    LeaseTaken,
    Reported,
    RunConfigured,
    StudyClaimed,
    StudyCreated,
    StudyStatusChanged,
    StudySubmitted,
    StudyWithdrawn,
    TrialEnded,
    TrialPaused,
    TrialResumed,
    TrialSuggested,
)
from trialist.core.quick import changer
from trialist.core.records import PERSON, Budget, CommandKind, Metric, Study, StudySpec, Trial
from trialist.core.states import StudyStatus, TrialStatus, check_study, check_trial


def fold_trial(trial: Trial | None, event: Event, metric_names: tuple[str, ...] = ()) -> Trial:
    """The trial's row after an event that concerns it.

    Args:
        trial: The row before; ``None`` for ``TrialSuggested`` alone.
        event: An event whose ``trial`` is not ``None``.
        metric_names: Names of the study's metrics; the first one's last report is the trial's value.

    Raises:
        IllegalTransition: The event does not fit the row's status.
    """
    body = event.body
    if isinstance(body, TrialSuggested):
        return Trial(
            number=body.trial,
            params=body.params,
            seed=body.seed,
            source=body.source,
            counted=body.counted,
            parent=body.parent,
            repeat_of=body.repeat_of,
            warm_start_from=body.warm_start_from,
            note=body.note,
            seen_seq=body.seen_seq,
            to_step=body.to_step,
            suggested_at=event.at,
        )
    assert trial is not None, event
    match body:
        case Reported():
            metrics = {**trial.metrics, **body.metrics}
            value = metrics.get(metric_names[0]) if metric_names else None
            return _changed(trial, step=body.step, metrics=metrics, value=value)
        case AttemptStarted():
            check_trial(trial.number, trial.status, TrialStatus.RUNNING)
            return _changed(
                trial,
                status=TrialStatus.RUNNING,
                attempt=body.attempt,
                step=body.from_step or None,
                to_step=body.to_step,
                metrics=body.metrics,
                value=body.metrics.get(metric_names[0]) if metric_names else None,
                parked=False,
                paused_by="",
                ordered="",
                reason="",
                worker=body.worker,
                run_dir=body.run_dir,
                started_at=event.at if trial.started_at is None else trial.started_at,
                running_since=event.at,
            )
        case AttemptContinued():
            if trial.status is not TrialStatus.RUNNING:
                check_trial(trial.number, trial.status, TrialStatus.RUNNING)
            return _changed(
                trial,
                status=TrialStatus.RUNNING,
                to_step=body.to_step,
                parked=False,
                paused_by="",
                reason="",
                running_since=event.at if trial.running_since is None else trial.running_since,
            )
        case TrialPaused():
            check_trial(trial.number, trial.status, TrialStatus.PAUSED)
            return _changed(
                trial,
                **_at_rest(trial, event.at),
                status=TrialStatus.PAUSED,
                parked=body.parked,
                paused_by=body.by,
                reason=body.reason,
            )
        case TrialResumed():
            check_trial(trial.number, trial.status, TrialStatus.WAITING)
            return _changed(trial, status=TrialStatus.WAITING, to_step=body.to_step, paused_by="", reason="")
        case AttemptEnded():
            if body.status is not trial.status:
                check_trial(trial.number, trial.status, body.status)
            return _changed(
                trial,
                **_at_rest(trial, event.at if body.until is None else body.until),
                status=body.status,
                parked=False,
                ordered="",
                paused_by=body.by if body.status is TrialStatus.PAUSED else "",
                reason=body.message,
            )
        case TrialEnded():
            check_trial(trial.number, trial.status, body.status)
            return _changed(
                trial,
                **_at_rest(trial, event.at),
                status=body.status,
                parked=False,
                ordered="",
                paused_by="",
                step=body.step,
                metrics=body.metrics,
                value=body.value,
                error=body.error,
                reason=body.reason,
                ended_at=event.at,
            )
        case Checkpointed():
            return _changed(trial, checkpoint=body.checkpoint, checkpoint_step=body.step)
        case Decided() if body.by == PERSON and (trial.status is TrialStatus.RUNNING or trial.parked):
            if trial.ordered != "cancel":  # which nothing undoes
                return _changed(trial, ordered=body.decision, reason=body.reason)
    # What else happens around a trial leaves its row as it is: a freed checkpoint concerns the checkpoint's row alone.
    return trial


_changed = changer(Trial)


def _at_rest(trial: Trial, at: float) -> dict[str, Any]:
    """What changes in a row whose trial no longer runs since ``at``: its running time is accounted for."""
    if trial.running_since is None:
        return {}
    return {"seconds": trial.seconds + max(0.0, at - trial.running_since), "running_since": None}


class StudyFold:
    """A study's row while it is being led: cheap to add events to, frozen on demand by ``study()``.

    Not thread-safe; belongs to whoever folds.
    """

    def __init__(self, study: Study) -> None:
        self.spec: StudySpec = study.spec
        self.status = study.status
        self.reason = study.reason
        self.seq = study.seq
        self.num_trials = study.num_trials
        self.num_suggested = study.num_suggested
        self.counts: Counter[TrialStatus] = Counter(study.counts)
        self.best_number = study.best_number
        self.best_value = study.best_value
        self.started_at = study.started_at
        self.ended_at = study.ended_at
        self.active_s = study.active_s
        self.led_since = study.led_since
        self.active_before_s = study.active_before_s
        self.stopping = study.stopping
        self.submitted_at = study.submitted_at
        self.worker = study.worker
        self.claims = study.claims

    @property
    def metric(self) -> Metric | None:
        return self.spec.metrics[0] if len(self.spec.metrics) == 1 else None

    @property
    def last_active_at(self) -> float | None:
        """When whoever leads, or led last and died, last made something happen; ``None`` after an orderly end."""
        return None if self.led_since is None else self.led_since + self.active_s - self.active_before_s

    def add(self, event: Event, was: Trial | None, now: Trial | None) -> None:
        """Account for an event; ``was`` and ``now`` are the rows of its trial before and after, where it has one."""
        if self.led_since is not None and not isinstance(event.body, _UNLED):
            self.active_s = self.active_before_s + max(0.0, event.at - self.led_since)
        if now is not None and (was is None or was.status is not now.status):
            self._count(was, now)
        body = event.body
        if self.claims and _got_somewhere(body, was):
            self.claims = 0
        match body:
            case TrialSuggested():
                self.num_trials = max(self.num_trials, body.trial + 1)
                self.num_suggested += body.counted
            case StudyStatusChanged():
                check_study(self.spec.name, self.status, body.status)
                self.status, self.reason = body.status, body.reason
                if body.status is StudyStatus.RUNNING and self.started_at is None:
                    self.started_at = event.at
                if body.status is not StudyStatus.RUNNING:
                    self.led_since, self.worker, self.claims = None, "", 0
                elif self.led_since is None and body.was is StudyStatus.PAUSED:
                    # Its leader waited; whoever asks for a trial without leading does not come from here.
                    self.active_before_s, self.led_since = self.active_s, event.at
                self.ended_at = event.at if body.status.is_ended else None
                if body.status.is_ended:
                    self.stopping = ""
            case CommandApplied():
                self._commanded(body)
            case BudgetChanged():
                if _gives_more(self.spec.budget, body.budget):
                    self.stopping = ""
                self.spec = replace(self.spec, budget=body.budget)
            case RunConfigured():
                self.spec = replace(
                    self.spec, objective=body.objective, executor=body.executor, resources=body.resources
                )
            case StudySubmitted():
                self.spec = replace(self.spec, order=body.order)
                self.submitted_at, self.claims = event.at, 0
            case StudyWithdrawn():
                self.spec = replace(self.spec, order=None)
                self.submitted_at, self.worker, self.claims = None, "", 0
            case StudyClaimed():
                self.worker, self.claims = body.worker, self.claims + 1
            case LeaseTaken():
                self.active_before_s, self.led_since = self.active_s, event.at
            case LeaseLapsed():
                self.active_before_s, self.led_since = self.active_s, None
            case StudyCreated():
                self.spec = body.spec
        self.seq = event.seq  # last: an event that does not fit leaves no gap

    def _commanded(self, body: CommandApplied) -> None:
        """A person's stop holds until the study has ended, whoever leads it, or until a person says otherwise."""
        if body.command_kind == CommandKind.STOP and not self.status.is_ended:
            self.stopping = "stopped by a person"
        elif body.command_kind == CommandKind.RESUME:
            self.stopping = ""

    def _count(self, was: Trial | None, now: Trial) -> None:
        if was is not None:
            self.counts[was.status] -= 1
        self.counts[now.status] += 1
        metric = self.metric
        if metric is None or not now.status.counts or now.value is None or not self.spec.is_feasible(now.metrics):
            return
        if metric.mode.better(now.value, self.best_value) if self.best_value is not None else _finite(metric, now):
            self.best_number, self.best_value = now.number, now.value

    def study(self) -> Study:
        """The row as it is now."""
        return Study(
            spec=self.spec,
            status=self.status,
            reason=self.reason,
            seq=self.seq,
            num_trials=self.num_trials,
            num_suggested=self.num_suggested,
            counts={status: count for status, count in self.counts.items() if count},
            best_number=self.best_number,
            best_value=self.best_value,
            started_at=self.started_at,
            ended_at=self.ended_at,
            active_s=self.active_s,
            led_since=self.led_since,
            active_before_s=self.active_before_s,
            stopping=self.stopping,
            submitted_at=self.submitted_at,
            worker=self.worker,
            claims=self.claims,
        )


_UNLED = LeaseTaken | LeaseLapsed | StudyClaimed
"""What happens after a time in which nobody led."""


def _got_somewhere(body: Body, was: Trial | None) -> bool:
    """Whether a study is further than before, also if its leader dies in the next moment."""
    if isinstance(body, Checkpointed):
        return was is None or was.checkpoint_step is None or body.step > was.checkpoint_step
    return isinstance(body, TrialEnded)


def _finite(metric: Metric, trial: Trial) -> bool:
    worst = float("inf") if metric.mode == "min" else float("-inf")
    return trial.value is not None and metric.mode.better(trial.value, worst)


def _gives_more(was: Budget, now: Budget) -> bool:
    """Whether a budget has room for what the one before it has none for."""
    return _more(was.num_trials, now.num_trials) or _more(was.time_budget_s, now.time_budget_s)


def _more(was: float | None, now: float | None) -> bool:
    return was is not None and (now is None or now > was)
