"""Taking up a study whose engine died."""

from __future__ import annotations

import pytest

from trialist.core.records import CommandKind, Continue, Metric, Mode, Pause
from trialist.core.states import StudyStatus, TrialStatus
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
            raise SystemError("kill -9")
        poll(timeout_s, sink)
        bench.clock.forward(5.0)

    dying.poll = die
    with pytest.raises(SystemError):
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
            raise SystemError("kill -9")
        poll(timeout_s, sink)

    executor.poll = die
    with pytest.raises(SystemError):
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
