"""A person's word outlives the engine that was told: stop, cancel and pause, and a kill before what ran has ended."""

from __future__ import annotations

import pytest

from trialist.core.events import AttemptStarted, CommandApplied
from trialist.core.records import PERSON, Budget, CommandKind, OutcomeKind
from trialist.core.states import StudyStatus, TrialStatus
from trialist.engine.context import Context
from trialist.engine.control import apply
from trialist.engine.recover import take_up
from trialist.store.checks import check_study
from trialist.store.sql import SqlStore
from trialist.testing.fakes import ScriptedExecutor


class Down(BaseException):
    """Takes the engine down between two polls, as a kill would: nothing is committed on the way out."""


@pytest.fixture(params=["memory", "sqlite"])
def told(request, bench, tmp_path):
    """A study in each kind of store."""
    if request.param == "sqlite":
        bench.store = SqlStore(f"sqlite:///{tmp_path / 'trialist.db'}")
    yield bench
    assert list(check_study(bench.store, bench.study_id)) == []
    bench.store.close()


def long(segment):
    """A trial of five reports."""
    for _ in range(5):
        yield {"loss": 1.0 - segment.trial / 100}
    return {"loss": 0.5}


def killed(bench, *commands, script=long, after=5, **options):
    """Lead until the commands, sent at the third poll, are answered; then the engine dies."""
    executor = bench.commanded(script, {3: list(commands)}, **options)
    poll, polls = executor.poll, iter(range(1, 1000))

    def dying(timeout_s, sink):
        if next(polls) > after:
            raise Down
        poll(timeout_s, sink)

    executor.poll = dying
    with pytest.raises(Down):
        bench.lead(executor)
    assert len(bench.bodies(CommandApplied)) == len(commands)
    assert bench.store.pending_commands(bench.study_id) == []


def command(bench, kind, **args):
    """Carry a command out where nobody leads."""
    lead = take_up(store=bench.store, lease=None, study=bench.study, searcher=None, scheduler=None, clock=bench.clock)
    context = Context(lead, None, dict, lambda number: lead.trials[number], lambda number: None)
    sent = bench.store.send_command(bench.study_id, bench.command(kind, **args))
    result = apply(context, sent)
    lead.commit()
    return result["message"]


def statuses(bench):
    return [trial.status for trial in bench.trials]


def test_a_stopped_study_stays_stopped_and_what_ran_runs_to_its_end(told):
    told.create(num_trials=10, jobs=2)
    killed(told, (CommandKind.STOP, {}))
    assert statuses(told) == [TrialStatus.RUNNING] * 2
    assert (told.study.status, told.study.stopping) == (StudyStatus.RUNNING, "stopped by a person")

    end = told.lead(ScriptedExecutor(long))
    assert statuses(told) == [TrialStatus.COMPLETED] * 2
    assert (end.study.status, end.study.reason, end.study.stopping) == (
        StudyStatus.COMPLETED,
        "stopped by a person",
        "",
    )


def test_a_stop_outlives_any_number_of_kills(told):
    told.create(num_trials=10, jobs=2)
    killed(told, (CommandKind.STOP, {}))
    for _ in range(3):
        dying = ScriptedExecutor(long)
        dying.poll = lambda timeout_s, sink: (_ for _ in ()).throw(Down)
        with pytest.raises(Down):
            told.lead(dying)
    assert told.lead(ScriptedExecutor(long)).study.counts == {TrialStatus.COMPLETED: 2}


def test_the_trials_that_had_not_begun_end_with_a_stopped_study(told):
    told.create(num_trials=10, jobs=1)
    killed(told, (CommandKind.ENQUEUE, {"params": {"x": 0.5}}), (CommandKind.STOP, {}))
    told.lead(ScriptedExecutor(long))
    assert statuses(told) == [TrialStatus.COMPLETED, TrialStatus.CANCELLED]


@pytest.mark.parametrize("how", ["resume", "budget", "run"])
def test_a_person_takes_a_stop_back(told, how):
    told.create(num_trials=3)
    killed(told, (CommandKind.STOP, {}))
    if how == "resume":
        assert "goes on" in command(told, CommandKind.RESUME)
    elif how == "budget":
        command(told, CommandKind.SET_BUDGET, num_trials=4)
    end = told.lead(ScriptedExecutor(long), budget=Budget(num_trials=4) if how == "run" else None)
    assert end.study.counts == {TrialStatus.COMPLETED: 3 if how == "resume" else 4}
    assert end.study.reason == ""


def test_less_budget_or_other_jobs_take_no_stop_back(told):
    told.create(num_trials=9)
    killed(told, (CommandKind.STOP, {}))
    end = told.lead(ScriptedExecutor(long), budget=Budget(num_trials=5, jobs=2))
    assert end.study.counts == {TrialStatus.COMPLETED: 1}


def test_a_leader_takes_a_stop_back_before_the_last_trial_has_ended(told):
    told.create(num_trials=3)
    executor = told.commanded(long, {2: [(CommandKind.STOP, {})], 4: [(CommandKind.RESUME, {})]})
    assert told.lead(executor).study.counts == {TrialStatus.COMPLETED: 3}


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        (CommandKind.ENQUEUE, {"params": {"x": 0.5}}),
        (CommandKind.CLONE, {"trial": 0, "params": {"x": 0.5}}),
        (CommandKind.RETRY, {"trial": 0}),
        (CommandKind.ASK, {}),
    ],
)
def test_nothing_is_added_to_a_study_that_is_being_stopped(told, kind, args):
    told.create(num_trials=3)
    told.lead(told.commanded(long, {2: [(CommandKind.STOP, {})], 4: [(kind, args)]}))
    refused = told.store.command(told.study_id, 2)
    assert "being stopped" in refused.error
    assert statuses(told) == [TrialStatus.COMPLETED]


def test_a_cancelled_study_runs_none_of_its_trials_again(told):
    told.create(num_trials=10, jobs=2)
    killed(told, (CommandKind.CANCEL, {}), after=3, script=deaf)
    assert told.study.status is StudyStatus.CANCELLED
    assert statuses(told) == [TrialStatus.RUNNING] * 2

    end = told.lead(ScriptedExecutor(long), budget=Budget(num_trials=3))
    assert statuses(told) == [TrialStatus.CANCELLED] * 2 + [TrialStatus.COMPLETED]
    assert [body.trial for body in told.bodies(AttemptStarted)] == [0, 1, 2]
    assert {trial.reason for trial in told.trials[:2]} == {"the study was cancelled"}
    assert end.study.status is StudyStatus.COMPLETED


def test_a_trial_added_to_a_cancelled_study_wakes_none_of_the_others(told):
    told.create(num_trials=2, jobs=2)
    killed(told, (CommandKind.CANCEL, {}), after=3, script=deaf)
    command(told, CommandKind.ENQUEUE, params={"x": 0.5})
    told.lead(ScriptedExecutor(long))
    assert statuses(told) == [TrialStatus.CANCELLED] * 2 + [TrialStatus.COMPLETED]


def test_a_paused_study_stays_paused_and_its_trials_run_once_more_when_it_goes_on(told):
    told.create(num_trials=3)
    killed(told, (CommandKind.PAUSE, {}))
    assert told.study.status is StudyStatus.PAUSED
    assert told.lead(ScriptedExecutor(long)).study.counts == {TrialStatus.COMPLETED: 3}
    assert [body.trial for body in told.bodies(AttemptStarted)] == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("kind", "status", "value", "reason"),
    [
        (CommandKind.STOP_TRIAL, TrialStatus.STOPPED, 1.0, "stopped by a person"),
        (CommandKind.CANCEL_TRIAL, TrialStatus.CANCELLED, None, "cancelled by a person"),
    ],
)
def test_a_trial_that_was_told_to_end_has_ended_when_the_study_is_taken_up(told, kind, status, value, reason):
    told.create(num_trials=2)
    killed(told, (kind, {"trial": 0}), after=3, script=deaf)
    assert (told.trials[0].status, told.trials[0].ordered) == (TrialStatus.RUNNING, kind.value.split("_")[0])
    seconds = told.study.active_s
    told.clock.forward(36_000.0)
    told.lead(ScriptedExecutor(long))
    first, second = told.trials
    assert (first.status, first.value, first.reason, first.ordered) == (status, value, reason, "")
    assert second.status is TrialStatus.COMPLETED
    assert first.seconds <= seconds


def test_a_trial_that_was_told_to_pause_is_paused_when_the_study_is_taken_up(told):
    told.create(num_trials=2)
    killed(told, (CommandKind.PAUSE_TRIAL, {"trial": 0}), after=3, script=deaf)
    end = told.lead(ScriptedExecutor(long))
    first, second = told.trials
    assert (first.status, first.paused_by, first.reason) == (TrialStatus.PAUSED, PERSON, "paused by a person")
    assert second.status is TrialStatus.COMPLETED
    assert end.study.status is StudyStatus.PAUSED


def test_a_trial_that_was_told_to_pause_and_lost_its_worker_is_paused(told):
    told.create(num_trials=2)
    executor = told.commanded(long, {3: [(CommandKind.PAUSE_TRIAL, {"trial": 0})]})
    evict = executor.evict

    def dying(key):
        evict(key)
        executor.lose_all()

    executor.evict = dying
    told.lead(executor)
    assert statuses(told) == [TrialStatus.PAUSED, TrialStatus.COMPLETED]
    assert told.store.attempts(told.study_id, 0)[0].outcome == OutcomeKind.LOST


def deaf(segment):
    """A trial whose end a dying engine never hears: it reports and goes on."""
    while True:
        yield {"loss": 1.0}
