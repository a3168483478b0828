"""For how long trials may run unheard: while the store is away, and never past a time in which others could lead."""

from __future__ import annotations

import queue
import threading

import pytest

from trialist.api.steering import SystemClock
from trialist.core.errors import StoreError
from trialist.engine.heartbeat import Heartbeat
from trialist.engine.recover import take_up
from trialist.engine.trust import Trust
from trialist.store.holders import holder

WITHIN_S = 30


@pytest.fixture
def told():
    """Where what is said goes, and the clock."""

    class Told(list):
        now = 100.0

    return Told()


def test_a_word_holds_for_four_fifths_of_the_lease_from_when_it_was_asked_for(told):
    with Trust(3600.0, told.append, lambda: told.now) as trust:
        told.now += 10.0
        trust.renewed(asked_at=told.now - 4.0)
        trust.renewed(asked_at=told.now - 100.0)
    assert told == [2880.0, 2876.0, 2876.0]


def test_a_renewal_that_took_as_long_as_a_freeze_gives_no_word(told):
    with Trust(3600.0, told.append, lambda: told.now) as trust:
        told.now += 5000.0
        trust.renewed(asked_at=told.now - 5000.0)
        trust.unanswered()
        assert told == [2880.0, -2120.0]
        trust.renewed(told.now)
    assert told[2:] == [2880.0]


def test_a_store_that_is_away_lets_trials_run_on_as_long_as_this_process_was_never_frozen(told):
    with Trust(3600.0, told.append, lambda: told.now) as trust:
        for _ in range(5):
            told.now += 2879.0
            trust.unanswered()
        told.now += 2880.0  # as if it was stopped, and goes on
        trust.unanswered()
        told.now += 1.0
        trust.unanswered()
        assert told == [2880.0] * 6
        trust.renewed(told.now)
        told.now += 2879.0
        trust.unanswered()
    assert told == [2880.0] * 8


class Away:
    """A store that gives no answer for as long as it likes, and then none."""

    def __init__(self):
        self.asked, self.go = threading.Event(), threading.Event()

    def renew_lease(self, lease):
        self.asked.set()
        assert self.go.wait(WITHIN_S)
        raise StoreError("nowhere", "is away.")


class HandClock(SystemClock):
    """Goes on when it is told to, so that a busy machine is not taken for a frozen process."""

    at = 100.0

    def monotonic(self):
        return self.at


def test_trials_run_on_while_a_renewal_waits_for_the_store(bench):
    bench.create(num_trials=1)
    clock, store, told = HandClock(), Away(), queue.Queue()
    lease = bench.store.take_lease(bench.study_id, holder(), 0.2)
    lead = take_up(store=bench.store, lease=lease, study=bench.study, searcher=None, scheduler=None, clock=clock)
    with Heartbeat(store, lease, lead, lambda: None, told.put):
        assert told.get(timeout=WITHIN_S) == pytest.approx(0.16)
        assert store.asked.wait(WITHIN_S)
        for _ in range(3):
            clock.at += 0.12
            assert told.get(timeout=WITHIN_S) == pytest.approx(0.16)
        store.go.set()
