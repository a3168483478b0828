"""Everything around the engine misbehaves: what the user sees, that nothing is lost, and that nobody is left over."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from trialist.api.steering import SystemClock
from trialist.core.errors import ConfigError, LeaseLost, SpaceError, StoreBusy, StoreFull
from trialist.core.events import AttemptStarted, Noted, TrialEnded
from trialist.core.records import CommandKind, Continue, OutcomeKind, Suggestion
from trialist.core.states import StudyStatus, TrialStatus
from trialist.engine.heartbeat import Heartbeat
from trialist.engine.recover import take_up
from trialist.schedule.fifo import FifoScheduler
from trialist.store.checks import check_study
from trialist.store.holders import holder
from trialist.store.sql import SqlStore
from trialist.testing.fakes import ScriptedExecutor, UniformSearcher


def script(segment):
    """Three reports, two of them beyond a boundary that a scheduler may ask for."""
    for step in range(segment.from_step, 3):
        yield {"loss": 1.0 / (1 + step) + segment.trial}
    return {"loss": 0.25 + segment.trial}


@pytest.fixture(params=["memory", "sqlite"])
def attacked(request, bench, tmp_path):
    if request.param == "sqlite":
        bench.store = SqlStore(f"sqlite:///{tmp_path / 'trialist.db'}")
    yield bench
    assert list(check_study(bench.store, bench.study_id)) == []
    bench.store.close()


def results(bench):
    return [(trial.status, trial.value, trial.params) for trial in bench.trials]


EXPECTED = [
    (TrialStatus.COMPLETED, 0.25 + number, dict(UniformSearcher().suggest(number).params)) for number in range(4)
]


class Raising(UniformSearcher):
    def suggest(self, number):
        if number == 3:
            raise ZeroDivisionError("the searcher's own")
        return super().suggest(number)


class RaisingFold(UniformSearcher):
    """Raises at each event that it hears of from the fourth suggestion on."""

    def __init__(self):
        super().__init__()
        self.reads = frozenset({AttemptStarted, TrialEnded})
        self.heard = 0

    def update(self, event, trial):
        self.heard += 1
        if self.heard > 3:
            raise ZeroDivisionError("the searcher's own")


class RaisingScheduler(FifoScheduler):
    def decide(self, trial, step, *, at_boundary):
        if trial.number == 2:
            raise ZeroDivisionError("the scheduler's own")
        return Continue()


def polling_raises(executor):
    poll, polls = executor.poll, iter(range(1000))

    def raising(timeout_s, sink):
        if next(polls) == 5:
            raise ZeroDivisionError("the executor's own")
        poll(timeout_s, sink)

    executor.poll = raising


def starting_raises(executor):
    start = executor.start

    def raising(segment):
        if segment.trial == 3:
            raise ZeroDivisionError("the executor's own")
        start(segment)

    executor.start = raising


@pytest.mark.parametrize("who", ["searcher", "fold", "scheduler", "poll", "start", "callback"])
def test_whoever_raises_the_study_is_paused_with_the_reason_and_nobody_seems_to_run(attacked, who):
    attacked.create(num_trials=4, jobs=2)
    executor = ScriptedExecutor(script)
    given = {}
    if who == "searcher":
        given["searcher"] = Raising()
    elif who == "fold":
        given["searcher"] = RaisingFold()
    elif who == "scheduler":
        given["scheduler"] = RaisingScheduler(metrics=())
    elif who == "poll":
        polling_raises(executor)
    elif who == "start":
        starting_raises(executor)
    else:
        given["on_end"] = lambda trial: 1 / 0
    with pytest.raises(ZeroDivisionError):
        attacked.lead(executor, **given)
    assert executor._running == {}
    assert attacked.study.status is StudyStatus.PAUSED
    assert "interrupted by ZeroDivisionError" in attacked.study.reason
    assert TrialStatus.RUNNING not in attacked.study.counts
    for trial in attacked.trials:
        for attempt in attacked.store.attempts(attacked.study_id, trial.number):
            assert attempt.outcome in (OutcomeKind.RETURNED, OutcomeKind.INTERRUPTED)
    attacked.lead(ScriptedExecutor(script))
    assert results(attacked) == EXPECTED


def test_a_paused_study_whose_run_breaks_off_has_nobody_running_either(attacked):
    attacked.create(num_trials=4, jobs=2)
    executor = attacked.commanded(script, {2: [(CommandKind.PAUSE, {})]})
    polling_raises(executor)
    executor._checkpoints = None
    with pytest.raises(ZeroDivisionError):
        attacked.lead(executor)
    assert attacked.study.status is StudyStatus.PAUSED
    assert TrialStatus.RUNNING not in attacked.study.counts


class Outside(UniformSearcher):
    def suggest(self, number):
        return Suggestion(params={"x": 7.0}) if number == 2 else super().suggest(number)


def test_what_a_foreign_searcher_suggests_beyond_the_space_is_never_tried(attacked):
    attacked.create(num_trials=4, jobs=2)

    def check(params):
        if not 0 <= params["x"] < 1:
            raise SpaceError("x", f"must lie in [0, 1), not at {params['x']}")
        return dict(params)

    with pytest.raises(ConfigError, match=r"searcher 'uniform' suggested .* x: must lie in"):
        attacked.lead(ScriptedExecutor(script), searcher=Outside(), check_suggestions=True, check_params=check)
    assert (attacked.study.status, attacked.study.num_trials) == (StudyStatus.PAUSED, 2)
    assert "must lie in" in attacked.study.reason
    attacked.lead(ScriptedExecutor(script), check_suggestions=True, check_params=check)
    assert results(attacked) == EXPECTED


class Away:
    """A store that raises at one of its calls, before it has done anything."""

    def __init__(self, store, at=None, error=None, only=None):
        self._store = store
        self._at = at
        self._error = error
        self._only = only
        self.calls = []

    def __getattr__(self, name):
        value = getattr(self._store, name)
        if not callable(value) or name in ("close", "take_lease", "release_lease", "renew_lease", "send_command"):
            return value

        def call(*args, **given):
            if self._only in (None, name):
                self.calls.append(name)
                if len(self.calls) == self._at:
                    raise self._error
            return value(*args, **given)

        return call


def leading(bench, store):
    """A run that reads and writes all there is: checkpoints, commands, a failure, a retry."""

    def some_fail(segment):
        yield {"loss": 1.0}
        if segment.trial == 1:
            raise ValueError("no")
        yield {"loss": 0.5}
        return {"loss": 0.25 + segment.trial}

    executor = bench.commanded(
        some_fail,
        {3: [(CommandKind.CLONE, {"trial": 0, "params": {"x": 0.5}}), (CommandKind.CLONE, {"trial": 9})]},
        checkpoints=str(bench.tmp),
    )
    kept, bench.store = bench.store, store
    try:
        return bench.lead(executor)
    finally:
        bench.store = kept


def fresh(tmp_path_factory, bench):
    bench.store = SqlStore(f"sqlite:///{tmp_path_factory.mktemp('attacked') / 'trialist.db'}")
    bench.create(num_trials=3, jobs=2, retries=1)


def told(bench):
    """What the study came to, but for the notes about the store."""
    assert list(check_study(bench.store, bench.study_id)) == []
    return [(t.number, t.status, t.value, t.params, t.source, t.attempt) for t in bench.trials], bench.study.status


def kinds(told):
    return [(status, source) for _, status, _, _, source, _ in told[0]]


def count_of_calls(bench, tmp_path_factory, only=None):
    fresh(tmp_path_factory, bench)
    counting = Away(bench.store, only=only)
    leading(bench, counting)
    expected = told(bench)
    bench.store.close()
    return len(counting.calls), expected


@pytest.mark.parametrize("error", [StoreBusy("store", "busy"), StoreFull("store", "full")])
def test_a_store_that_is_away_at_any_one_call_costs_nothing(bench, tmp_path_factory, error, monkeypatch):
    monkeypatch.setattr("trialist.engine.interrupts.Interrupts.pause", lambda seconds: None)
    calls, expected = count_of_calls(bench, tmp_path_factory)
    assert calls > 20
    for at in range(1, calls + 1):
        fresh(tmp_path_factory, bench)
        away = Away(bench.store, at, error)
        try:
            leading(bench, away)
        except type(error):  # while the study was being read, before it was led: nothing was changed
            assert len(away.calls) == at
            assert bench.study.seq == 1
            leading(bench, bench.store)
        struck = away.calls[at - 1]
        if struck == "pending_commands":  # asked again later: another trial may come before the clone
            assert set(kinds(told(bench))) == set(kinds(expected))
            assert bench.store.pending_commands(bench.study_id) == []
        else:
            assert told(bench) == expected, f"call {at}: {struck}"
        bench.store.close()


def test_a_lease_that_is_lost_at_any_commit_leaves_what_was_committed(bench, tmp_path_factory):
    commits, expected = count_of_calls(bench, tmp_path_factory, only="commit")
    for at in range(1, commits + 1):
        fresh(tmp_path_factory, bench)
        lost = Away(bench.store, at, LeaseLost("bench", 1), only="commit")
        with pytest.raises(LeaseLost):
            leading(bench, lost)
        assert len(lost.calls) == at, "written on after the fence"
        seq = bench.study.seq
        assert list(check_study(bench.store, bench.study_id)) == []
        bench.lead(ScriptedExecutor(script))
        assert bench.study.seq > seq
        assert bench.study.status is StudyStatus.COMPLETED
        assert TrialStatus.RUNNING not in bench.study.counts
        assert list(check_study(bench.store, bench.study_id)) == []
        bench.store.close()
    assert expected[1] is StudyStatus.COMPLETED


def test_a_second_ctrl_c_ends_the_wait_for_a_store_that_is_away(bench, monkeypatch):
    bench.create(num_trials=3)
    real, waits = bench.store.commit, []

    def away(lease, commit):
        if bench.study.num_trials:
            raise StoreBusy("store", "busy")
        real(lease, commit)

    def pause(seconds):
        waits.append(seconds)
        assert len(waits) < 9
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(bench.store, "commit", away)
    monkeypatch.setattr("trialist.engine.interrupts.Interrupts.pause", pause)
    with pytest.raises(StoreBusy):
        bench.lead(ScriptedExecutor(script))
    assert len(waits) == 2
    monkeypatch.setattr(bench.store, "commit", real)
    assert bench.lead(ScriptedExecutor(script)).study.counts == {TrialStatus.COMPLETED: 3}


def test_a_clock_that_is_set_back_stretches_nothing(attacked):
    attacked.create(num_trials=50, time_budget_s=60.0)

    def set_back(segment):
        attacked.clock.forward(5.0)
        yield {"loss": 1.0}
        if segment.trial == 3:
            attacked.clock.set_back(3600.0)
        attacked.clock.forward(5.0)
        yield {"loss": 0.5}

    end = attacked.lead(ScriptedExecutor(set_back))
    assert end.study.num_trials == 6
    assert end.study.active_s == 60.0
    assert [trial.seconds for trial in attacked.trials] == [10.0] * 6
    times = [event.at for event in attacked.store.events(attacked.study_id, limit=10_000)]
    assert times[1:] == sorted(times[1:])


class Beating:
    """The store of a heartbeat: counts how often the lease is renewed."""

    def __init__(self):
        self.renewed = threading.Semaphore(0)

    def renew_lease(self, lease):
        self.renewed.release()


@pytest.fixture
def lead(bench):
    bench.create(num_trials=1)
    lease = bench.store.take_lease(bench.study_id, holder(), 0.3)
    return take_up(
        store=bench.store, lease=lease, study=bench.study, searcher=None, scheduler=None, clock=SystemClock()
    )


def test_the_lease_is_kept_while_a_sink_holds_up_the_engines_commit(lead):
    store = Beating()
    with lead.lock, Heartbeat(store, lead.lease, lead, on_lost=lambda: None):
        lead.emit(Noted(message="waits for its commit"))
        for _ in range(6):
            assert store.renewed.acquire(timeout=30)
        assert lead.pending == 1


def test_the_lease_is_kept_where_a_commit_meets_a_defect(lead, monkeypatch, caplog):
    store, tried = Beating(), threading.Semaphore(0)

    def defect():
        tried.release()
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(lead, "commit", defect)
    with Heartbeat(store, lead.lease, lead, on_lost=lambda: None):
        lead.emit(Noted(message="waits for its commit"))
        for _ in range(3):
            assert tried.acquire(timeout=30)
        while store.renewed.acquire(blocking=False):
            pass
        assert store.renewed.acquire(timeout=30)
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["a defect"]
