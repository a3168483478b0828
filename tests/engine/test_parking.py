"""Boundaries: trials that wait for decisions, in their workers or from their checkpoints."""

from __future__ import annotations

import pytest

from trialist.core.errors import InternalError
from trialist.core.events import (
    AttemptContinued,
    AttemptEnded,
    AttemptStarted,
    Decided,
    Reported,
    TrialEnded,
    TrialPaused,
)
from trialist.core.ports import CheckpointedSignal
from trialist.core.records import (
    CommandKind,
    Continue,
    Fork,
    FromCheckpoint,
    Metric,
    Mode,
    Pause,
    Promotion,
    Suggestion,
)
from trialist.core.states import StudyStatus, TrialStatus
from trialist.schedule.asha import AshaScheduler
from trialist.schedule.fifo import FifoScheduler
from trialist.schedule.median import MedianScheduler
from trialist.testing.fakes import ScriptedExecutor

LOSS = Metric(name="loss", mode=Mode.MIN)


def curve(segment):
    """A trial of 9 steps whose loss falls towards its x."""
    for step in range(segment.from_step + 1, 10):
        yield {"loss": segment.params["x"] + 1.0 / step}


def asha():
    return AshaScheduler(metrics=(LOSS,), eta=3, min_steps=1, max_steps=9)


def test_asha_promotes_parked_trials_where_they_sit(bench):
    bench.create(num_trials=9, jobs=2)
    executor = ScriptedExecutor(curve)
    end = bench.lead(executor, scheduler=asha())
    assert end.study.status is StudyStatus.COMPLETED
    # Nobody was started twice: promotions went on in place.
    assert sorted(key.trial for name, key in executor.calls if name == "start") == list(range(9))
    assert {body.parked for body in bench.bodies(TrialPaused)} == {True}
    trials = bench.trials
    completed = [t for t in trials if t.status is TrialStatus.COMPLETED]
    stopped = [t for t in trials if t.status is TrialStatus.STOPPED]
    assert len(completed) + len(stopped) == 9
    assert completed
    best = min(trials, key=lambda t: t.params["x"])
    assert best in completed
    assert all(t.value is not None for t in stopped)
    # At most a third of a rung goes on, and the steps spent are far below 9 x 9.
    steps = len(bench.bodies(Reported))
    assert steps < 45


def test_without_parking_and_without_checkpoints_a_promoted_trial_starts_over(bench):
    bench.create(num_trials=9)
    executor = ScriptedExecutor(curve, parks=False)
    bench.lead(executor, scheduler=asha())
    started = [body for body in bench.bodies(AttemptStarted) if body.attempt > 1]
    assert started
    assert all(body.from_step == 0 for body in started)
    assert all(body.to_step in (3, 9, None) for body in started)


def test_with_checkpoints_a_promoted_trial_goes_on_from_its_step(bench, tmp_path):
    bench.create(num_trials=9)
    executor = ScriptedExecutor(curve, parks=False, checkpoints=str(tmp_path))
    bench.lead(executor, scheduler=asha())
    again = [body for body in bench.bodies(AttemptStarted) if body.attempt > 1]
    assert again
    assert all(body.from_step in (1, 3) for body in again)
    segments = [s for s in executor.started if s.attempt > 1]
    assert all(isinstance(s.state, FromCheckpoint) and s.state.step == s.from_step for s in segments)
    # Every step of every trial was trained once.
    steps = [(body.trial, body.step) for body in bench.bodies(Reported)]
    assert len(steps) == len(set(steps))


def test_parked_and_restarted_trials_reach_the_same_end(bench, tmp_path):
    from trialist.store.memory import MemoryStore

    results = []
    for parks, checkpoints in ((True, None), (False, None), (False, str(tmp_path))):
        bench.store = MemoryStore()
        bench.create(num_trials=12)
        bench.lead(ScriptedExecutor(curve, parks=parks, checkpoints=checkpoints), scheduler=asha())
        results.append([(t.params["x"], t.status, t.value, t.step) for t in bench.trials])
    assert results[0] == results[1] == results[2]


def test_a_lost_worker_sends_its_residents_back(bench):
    bench.create(num_trials=6, jobs=3)
    executor = ScriptedExecutor(curve)
    real_poll, polls = executor.poll, []

    def poll(timeout_s, sink):
        polls.append(1)
        if len(polls) == 4:
            executor.lose_all("worker 1 died of signal 11")
        real_poll(timeout_s, sink)

    executor.poll = poll
    end = bench.lead(executor, scheduler=asha())
    assert end.study.status is StudyStatus.COMPLETED
    lost = bench.bodies(AttemptEnded)
    assert {body.message for body in lost} == {"worker 1 died of signal 11"}
    assert {body.status for body in lost} <= {TrialStatus.WAITING, TrialStatus.PAUSED}
    assert all(t.status.is_terminal for t in bench.trials)


def test_median_stops_at_a_report_and_the_step_is_recorded(bench):
    bench.create(num_trials=8)

    def script(segment):
        bad = segment.trial >= 5
        for step in range(1, 11):
            yield {"loss": (10.0 if bad else 1.0) / step}

    scheduler = MedianScheduler(metrics=(LOSS,), grace_steps=2, min_trials=3)
    bench.lead(ScriptedExecutor(script), scheduler=scheduler)
    stops = bench.bodies(Decided)
    assert {body.trial for body in stops} == {5, 6, 7}
    assert all(body.by == "median" and body.decision == "stop" for body in stops)
    for trial in bench.trials[5:]:
        assert trial.status is TrialStatus.STOPPED
        assert trial.step < 10
        assert trial.value == pytest.approx(10.0 / trial.step)


def test_a_person_pauses_a_trial_and_the_study_waits_for_nobody(bench):
    bench.create(num_trials=3)

    def script(segment):
        for _ in range(4):
            yield {"loss": 1.0}

    end = bench.lead(bench.commanded(script, {2: [(CommandKind.PAUSE_TRIAL, {"trial": 0})]}))
    assert [t.status for t in bench.trials] == [TrialStatus.PAUSED, TrialStatus.COMPLETED, TrialStatus.COMPLETED]
    assert (end.study.status, end.study.reason) == (StudyStatus.PAUSED, "trial 0 is paused")
    bench.send(CommandKind.RESUME_TRIAL, trial=0)
    assert bench.lead(ScriptedExecutor(script)).study.status is StudyStatus.COMPLETED
    assert bench.trials[0].attempt == 2


class ForkOnce(FifoScheduler):
    """At step 2 of trial 0, ends it and starts one from trial 1."""

    name = "forker"

    def boundary(self, trial, step):
        return 2 if trial.number == 0 and step < 2 else None

    def decide(self, trial, step, *, at_boundary):
        if trial.number == 0 and at_boundary:
            return Fork(suggestion=Suggestion(params={"x": 0.75}, parent=1), reason="exploit trial 1")
        return Continue()


def test_a_fork_ends_one_trial_and_starts_another_that_does_not_count(bench):
    bench.create(num_trials=2, jobs=2)
    bench.lead(ScriptedExecutor(curve), scheduler=ForkOnce(metrics=(LOSS,)))
    first, _, fork = bench.trials
    assert (first.status, first.step, first.reason) == (TrialStatus.STOPPED, 2, "exploit trial 1")
    assert (fork.params, fork.parent, fork.source, fork.counted) == ({"x": 0.75}, 1, "forker", False)
    assert bench.study.num_suggested == 2


class ForkPaused(ForkOnce):
    """Pauses trial 0 at step 2, and then gives its place to another."""

    reads = frozenset({TrialEnded})
    leaves = True
    ended = False

    def update(self, event, trial):
        self.ended |= event.trial == 0

    def decide(self, trial, step, *, at_boundary):
        return Pause(leaves=self.leaves) if trial.number == 0 and at_boundary else Continue()

    def promote(self, *, last=False):
        if self.ended or not last:
            return None
        return Promotion(trial=0, fork=Suggestion(params={"x": 0.75}, parent=1), reason="trial 1 is better")


def test_a_paused_trial_that_has_left_its_worker_gives_its_place_to_a_fork(bench):
    bench.create(num_trials=2, jobs=2)
    bench.lead(ScriptedExecutor(curve, parks=True), scheduler=ForkPaused(metrics=(LOSS,)))
    first, _, fork = bench.trials
    assert (first.status, first.step, first.reason) == (TrialStatus.STOPPED, 2, "trial 1 is better")
    assert (fork.params, fork.parent, fork.source, fork.counted) == ({"x": 0.75}, 1, "forker", False)
    assert fork.status is TrialStatus.COMPLETED
    assert [body.decision for body in bench.bodies(Decided)] == ["pause", "fork"]
    assert bench.study.num_suggested == 2


def test_a_scheduler_that_forks_a_trial_in_its_worker_is_told_so(bench):
    bench.create(num_trials=2, jobs=2)
    scheduler = ForkPaused(metrics=(LOSS,))
    scheduler.leaves = False
    with pytest.raises(InternalError, match="still sits in its worker"):
        bench.lead(ScriptedExecutor(curve, parks=True), scheduler=scheduler)


def test_a_fork_is_made_once_also_where_the_engine_dies_before_the_trial_has_left(bench):
    bench.create(num_trials=2, jobs=2)
    executor = ScriptedExecutor(curve, parks=True)
    poll, polls, later = executor.poll, [], []
    executor.stop = later.append  # it takes its time

    def dying(timeout_s, sink):
        polls.append(1)
        if len(polls) == 4:
            raise SystemExit("kill -9")
        bench.clock.forward(1.0)
        poll(timeout_s, sink)

    executor.poll = dying
    with pytest.raises(SystemExit):
        bench.lead(executor, scheduler=ForkOnce(metrics=(LOSS,)))
    assert later
    assert bench.bodies(Decided)
    bench.lead(ScriptedExecutor(curve), scheduler=ForkOnce(metrics=(LOSS,)))
    assert [trial.source for trial in bench.trials] == ["uniform", "uniform", "forker"]


@pytest.mark.parametrize("variant", ["stop", "promote"])
def test_what_was_decided_holds_where_the_engine_dies_while_the_trial_saves_itself(bench, tmp_path, variant):
    """Told to leave at its rung, a trial saves a checkpoint there; the engine dies before the trial has left."""
    bench.create(num_trials=4, jobs=1)

    def scheduler():
        return AshaScheduler(metrics=(LOSS,), eta=3, min_steps=1, max_steps=9, variant=variant)

    def rising(segment):
        for step in range(segment.from_step + 1, 10):
            yield {"loss": segment.trial + 1.0 / step}

    executor = ScriptedExecutor(rising, parks=False)
    poll, told = executor.poll, []

    def late(order):
        return lambda key: told.append(key) if key.trial == 1 else order(key)

    executor.stop, executor.evict = late(executor.stop), late(executor.evict)

    def dying(timeout_s, sink):
        bench.clock.forward(1.0)
        if told and len(told) < 9:
            told.extend([told[0]] * 9)
            sink(CheckpointedSignal(key=told[0], step=1, path=str(tmp_path), num_bytes=1))
        elif told:
            raise SystemExit("kill -9")
        else:
            poll(timeout_s, sink)

    executor.poll = dying
    with pytest.raises(SystemExit):
        bench.lead(executor, scheduler=scheduler())
    assert bench.trials[1].checkpoint_step == 1
    again = ScriptedExecutor(rising, parks=False)
    bench.lead(again, scheduler=scheduler())
    assert (bench.trials[1].status, bench.trials[1].step) == (TrialStatus.STOPPED, 1)
    assert 1 not in [segment.trial for segment in again.started]


def test_every_boundary_was_answered(bench):
    bench.create(num_trials=9)
    bench.lead(ScriptedExecutor(curve), scheduler=asha())
    decided = {(b.trial, b.step): b.decision for b in bench.bodies(Decided)}
    went_on = {(b.trial, b.from_step) for b in bench.bodies(AttemptContinued)}
    assert {key for key, word in decided.items() if word == "continue"} <= went_on
    assert set(decided.values()) <= {"continue", "pause"}


def test_without_a_known_end_the_best_one_runs_to_its_end_when_no_others_come(bench):
    bench.create(num_trials=5)
    bench.lead(ScriptedExecutor(curve), scheduler=AshaScheduler(metrics=(LOSS,), eta=3, min_steps=1))
    completed = [t for t in bench.trials if t.status is TrialStatus.COMPLETED]
    best = min(bench.trials, key=lambda t: t.params["x"])
    assert [t.number for t in completed] == [best.number]
    assert best.step == 9
    assert {t.status for t in bench.trials if t.number != best.number} == {TrialStatus.STOPPED}


def test_a_stopped_study_promotes_nobody_and_leaves_nobody(bench):
    bench.create(num_trials=6)
    executor = bench.commanded(curve, {4: [(CommandKind.ENQUEUE, {"params": {"x": 0.5}}), (CommandKind.STOP, {})]})
    end = bench.lead(executor, scheduler=asha())
    assert (end.study.status, end.study.reason) == (StudyStatus.COMPLETED, "stopped by a person")
    assert all(t.status.is_terminal for t in bench.trials)
    enqueued = next(t for t in bench.trials if t.source == "enqueue")
    assert (enqueued.status, enqueued.attempt) == (TrialStatus.CANCELLED, 0)
