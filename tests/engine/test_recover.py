"""Taking up a study whose engine died."""

from __future__ import annotations

import pytest

from trialist.core.states import StudyStatus
from trialist.testing.fakes import ScriptedExecutor


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
