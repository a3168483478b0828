"""Taking up a study whose engine died."""

from __future__ import annotations

import pytest

from trialist.core.errors import LeaseLost
from trialist.core.records import (
    Budget,
    CommandKind,
    Continue,
    FailureReason,
    Metric,
    Mode,
    Pause,
    Suggestion,
)
from trialist.core.states import StudyStatus, TrialStatus
from trialist.engine.recover import take_up
from trialist.engine.runs import MAX_LOSSES
from trialist.schedule.asha import AshaScheduler
from trialist.schedule.fifo import FifoScheduler
from trialist.testing.fakes import ScriptedExecutor

LOSS = Metric(name="loss", mode=Mode.MIN)


def test_the_time_during_which_nobody_led_is_no_trials_running_time(bench):
    bench.create(num_trials=1)

    def script(segment):
        yield {"loss": 1.0}
        yield {"loss": 0.5}

    dying = ScriptedExecutor(script)
    poll, polls = dying.poll, []

    def die(timeout_s, sink):
        polls.append(1)
        if len(polls) > 1:
            raise SystemExit("kill -9")
        poll(timeout_s, sink)
        bench.clock.forward(5.0)

    dying.poll = die
    with pytest.raises(SystemExit):
        bench.lead(dying)
    assert bench.study.status is StudyStatus.RUNNING
    bench.clock.forward(36_000.0)

    end = bench.lead(ScriptedExecutor(script))
    assert end.study.status is StudyStatus.COMPLETED
    assert bench.trials[0].seconds <= 5.0
    assert end.study.active_s <= 5.0


def test_a_parked_trial_that_waits_for_a_place_when_its_engine_dies_goes_on(bench):
    bench.create(num_trials=2, jobs=1)
    executor = bench.commanded(
        lambda segment: iter([{"loss": 1.0}] * (9 if segment.trial else 1)),
        {4: [(CommandKind.RESUME_TRIAL, {"trial": 0})], 6: []},
    )
    poll, polls = executor.poll, []

    def die(timeout_s, sink):
        polls.append(1)
        if len(polls) == 6:
            raise SystemExit("kill -9")
        poll(timeout_s, sink)

    executor.poll = die
    with pytest.raises(SystemExit):
        bench.lead(executor, scheduler=PauseFirst(metrics=(LOSS,)))
    assert (bench.trials[0].status, bench.trials[0].parked) == (TrialStatus.WAITING, True)

    end = bench.lead(ScriptedExecutor(lambda segment: iter([{"loss": 1.0}])))
    assert end.study.counts == {TrialStatus.COMPLETED: 2}


class PauseFirst(FifoScheduler):
    """Pauses trial 0 at step 1 and never promotes it."""

    def boundary(self, trial, step):
        return 1 if trial.number == 0 and step < 1 else None

    def decide(self, trial, step, *, at_boundary):
        return Pause() if at_boundary else Continue()


def test_a_client_is_not_given_a_trial_that_sits_parked_in_the_leaders_worker(bench):
    bench.create(num_trials=3, jobs=1)
    executor = bench.commanded(
        lambda segment: iter([{"loss": 1.0}] * (9 if segment.trial else 1)),
        {4: [(CommandKind.RESUME_TRIAL, {"trial": 0})], 6: [(CommandKind.ASK, {})], 8: [(CommandKind.CANCEL, {})]},
    )
    bench.lead(executor, scheduler=PauseFirst(metrics=(LOSS,)))
    (asked,) = [trial for trial in bench.trials if trial.worker.startswith("client")]
    assert asked.number == 2


def test_time_during_which_nobody_led_is_not_counted_whoever_comes_first(bench):
    bench.create(num_trials=3)

    def script(segment):
        bench.clock.forward(10.0)
        yield {"loss": 1.0}
        raise SystemExit("killed")

    with pytest.raises(SystemExit):
        bench.lead(ScriptedExecutor(script))
    before = bench.study.active_s
    bench.clock.forward(28_800.0)
    lead = take_up(store=bench.store, lease=None, study=bench.study, searcher=None, scheduler=None, clock=bench.clock)
    lead.suggested(Suggestion(params={"x": 0.5}), source="enqueue")
    lead.commit()
    assert bench.study.active_s == before
    bench.clock.forward(28_800.0)
    bench.lead(lambda x: x)
    assert bench.study.active_s < before + 60


def test_a_trial_that_takes_its_worker_down_each_time_fails(bench):
    bench.create(num_trials=2)

    def script(segment):
        yield {"loss": 1.0}
        yield {"loss": 0.5}

    executor = ScriptedExecutor(script)
    real_poll = executor.poll

    def poll(timeout_s, sink):
        real_poll(timeout_s, sink)
        if any(key.trial == 0 for key in executor._running):
            executor.lose_all("worker 7 died of signal 9")

    executor.poll = poll
    bench.lead(executor)
    first, second = bench.trials
    assert (first.status, first.attempt, first.error.reason) == (TrialStatus.FAILED, 3, FailureReason.LOST)
    assert "worker 7 died" in first.error.message
    assert second.status is TrialStatus.COMPLETED


def test_losses_that_are_not_its_fault_do_not_count_against_a_trial(bench):
    bench.create(num_trials=1)

    def script(segment):
        yield {"loss": 1.0}
        yield {"loss": 0.5}

    executor = ScriptedExecutor(script)
    real_poll = executor.poll
    blameless = iter([True] * 5 + [False] * (MAX_LOSSES - 1))

    def poll(timeout_s, sink):
        real_poll(timeout_s, sink)
        is_blameless = next(blameless, None) if executor._running else None
        if is_blameless is not None:
            executor.lose_all(is_blameless=is_blameless)

    executor.poll = poll
    bench.lead(executor)
    (trial,) = bench.trials
    assert (trial.status, trial.attempt) == (TrialStatus.COMPLETED, 5 + MAX_LOSSES)


def test_a_fenced_engine_leaves_its_sinks_alone(bench):
    bench.create(num_trials=2)

    class Watch:
        closed = 0

        def write(self, events, trials):
            pass

        def close(self):
            self.closed += 1

    watch = Watch()

    class Fenced(ScriptedExecutor):
        def poll(self, timeout_s, sink):
            raise LeaseLost("bench", 1)

    with pytest.raises(LeaseLost):
        bench.lead(Fenced(lambda segment: iter(())), sinks=[watch])
    assert watch.closed == 0


def test_a_long_history_is_taken_up_under_a_lease_that_stays_alive(bench, monkeypatch):
    bench.create(num_trials=30)
    bench.lead(lambda x: x)
    monkeypatch.setattr("trialist.engine.recover._PAGE", 10)
    renewed = []
    real = bench.store.renew_lease
    monkeypatch.setattr(bench.store, "renew_lease", lambda lease: renewed.append(1) or real(lease))
    bench.lead(lambda x: x, scheduler=AshaScheduler(metrics=(LOSS,), max_steps=9), budget=Budget(num_trials=31))
    assert len(renewed) >= 8
