"""Commands without a leader: what each changes, that asking twice is asking once, and what is refused."""

from __future__ import annotations

import pytest

from trialist.core.errors import Conflict, NotFound, SpaceError, TrialistError, UnknownName
from trialist.core.events import CommandApplied, CommandRefused
from trialist.core.records import Command, CommandKind
from trialist.core.states import StudyStatus, TrialStatus
from trialist.engine.context import Context
from trialist.engine.control import apply
from trialist.engine.recover import take_up
from trialist.engine.trial_control import merged
from trialist.testing.fakes import ScriptedExecutor


def carry_out(bench, kind, **args):
    """Apply a command where nobody leads, and commit."""
    lead = take_up(store=bench.store, lease=None, study=bench.study, searcher=None, scheduler=None, clock=bench.clock)

    def check(params):
        if set(params) != {"x"}:
            raise SpaceError("x", "is missing")
        return dict(params)

    def find_trial(number):
        return lead.trials.get(number) or bench.store.trial(bench.study_id, number)

    context = Context(lead, None, check, find_trial, lambda number: None)
    sent = bench.store.send_command(bench.study_id, Command(kind=kind, args=args, key=f"{kind}{args}{lead.fold.seq}"))
    try:
        return apply(context, sent)
    finally:
        lead.commit()


class Down(BaseException):
    """Takes the engine down in the middle of a trial, as a kill would."""


@pytest.fixture
def crashed(bench):
    """A study whose engine died with trial 0 completed, 1 running, and 2 waiting."""
    bench.create(num_trials=5, jobs=1)

    def script(segment):
        if segment.trial == 1:
            raise Down
        yield {"loss": 1.0}
        return {"loss": 0.5}

    with pytest.raises(Down):
        bench.lead(ScriptedExecutor(script))
    carry_out(bench, CommandKind.ENQUEUE, params={"x": 0.5})
    assert [t.status for t in bench.trials] == [TrialStatus.COMPLETED, TrialStatus.RUNNING, TrialStatus.WAITING]
    return bench


def test_pause_resume_are_idempotent(crashed):
    assert "paused" in carry_out(crashed, CommandKind.PAUSE)["message"]
    assert "already" in carry_out(crashed, CommandKind.PAUSE)["message"]
    assert crashed.study.status is StudyStatus.PAUSED
    carry_out(crashed, CommandKind.RESUME)
    assert crashed.study.status is StudyStatus.QUEUED
    assert "already" in carry_out(crashed, CommandKind.RESUME)["message"]


def test_cancel_without_a_leader_ends_everything(crashed):
    carry_out(crashed, CommandKind.CANCEL)
    assert crashed.study.status is StudyStatus.CANCELLED
    assert [t.status for t in crashed.trials] == [TrialStatus.COMPLETED, TrialStatus.CANCELLED, TrialStatus.CANCELLED]
    assert "already" in carry_out(crashed, CommandKind.CANCEL)["message"]
    assert "already" in carry_out(crashed, CommandKind.STOP)["message"]


def test_stop_without_a_leader_completes(crashed):
    carry_out(crashed, CommandKind.STOP)
    assert crashed.study.status is StudyStatus.COMPLETED
    assert [t.status for t in crashed.trials] == [TrialStatus.COMPLETED, TrialStatus.STOPPED, TrialStatus.STOPPED]


def test_an_added_trial_reopens_an_ended_study(bench):
    bench.create(num_trials=1)
    bench.lead(lambda x: x)
    assert bench.study.status is StudyStatus.COMPLETED
    assert carry_out(bench, CommandKind.ENQUEUE, params={"x": 0.5})["trial"] == 1
    assert bench.study.status is StudyStatus.QUEUED
    bench.lead(lambda x: x)
    assert [t.source for t in bench.trials] == ["uniform", "enqueue"]
    assert bench.study.status is StudyStatus.COMPLETED


def test_retry_and_clone_make_new_trials(bench):
    bench.create(num_trials=1)
    bench.lead(lambda x: float("nan"))
    assert carry_out(bench, CommandKind.RETRY, trial=0)["trial"] == 1
    assert carry_out(bench, CommandKind.CLONE, trial=0, params={"x": 0.5})["trial"] == 2
    bench.lead(lambda x: x)
    failed, retry, clone = bench.trials
    assert failed.status is TrialStatus.FAILED
    assert (retry.parent, retry.params, retry.status) == (0, failed.params, TrialStatus.COMPLETED)
    assert (clone.parent, clone.params) == (0, {"x": 0.5})


@pytest.mark.parametrize(
    ("kind", "args", "error", "words"),
    [
        (CommandKind.ENQUEUE, {"params": {"y": 1}}, SpaceError, "x"),
        (CommandKind.CLONE, {"trial": 0, "params": {"y": 1}}, SpaceError, "x"),
        (CommandKind.CLONE, {"trial": 9}, NotFound, "9"),
        (CommandKind.CLONE, {"trial": 0, "warm_start": "weight"}, UnknownName, "weights"),
        (CommandKind.CLONE, {"trial": 0, "warm_start": True}, Conflict, "checkpoint"),
        (CommandKind.RETRY, {"trial": 2}, Conflict, "waiting"),
        (CommandKind.STOP_TRIAL, {"trial": 0}, Conflict, "completed"),
        (CommandKind.PAUSE_TRIAL, {"trial": 0}, Conflict, "completed"),
        (CommandKind.RESUME_TRIAL, {"trial": 0}, Conflict, "completed"),
        (CommandKind.SET_BUDGET, {"num_trails": 3}, UnknownName, "num_trials"),
        (CommandKind.SET_BUDGET, {"jobs": 0}, SpaceError, "at least 1"),
        (CommandKind.SET_BUDGET, {"time_budget_s": -1}, SpaceError, "above 0"),
        (CommandKind.ASK, {}, TrialistError, "ask"),
    ],
)
def test_what_is_refused_changes_nothing_and_is_recorded(crashed, kind, args, error, words):
    before = [(t.number, t.status, t.params) for t in crashed.trials], crashed.study.spec
    with pytest.raises(error, match=words):
        carry_out(crashed, kind, **args)
    assert ([(t.number, t.status, t.params) for t in crashed.trials], crashed.study.spec) == before
    assert crashed.bodies(CommandRefused)[-1].command_kind == kind


def test_trials_without_a_leader(crashed):
    carry_out(crashed, CommandKind.PAUSE_TRIAL, trial=2)
    assert crashed.trials[2].status is TrialStatus.PAUSED
    assert "already" in carry_out(crashed, CommandKind.PAUSE_TRIAL, trial=2)["message"]
    carry_out(crashed, CommandKind.RESUME_TRIAL, trial=2)
    assert crashed.trials[2].status is TrialStatus.WAITING
    carry_out(crashed, CommandKind.CANCEL_TRIAL, trial=2)
    assert "already" in carry_out(crashed, CommandKind.CANCEL_TRIAL, trial=2)["message"]
    assert len(crashed.bodies(CommandApplied)) == 6  # with the fixture's enqueue


def test_merged_reaches_into_nested_params():
    params = {"a": {"b": 1, "c": 2}, "d.e": 3}
    assert merged(params, {"a.b": 5, "d.e": 4}) == {"a": {"b": 5, "c": 2}, "d.e": 4}
    assert merged(params, {"a": {"c": 7}}) == {"a": {"b": 1, "c": 7}, "d.e": 3}
    assert params == {"a": {"b": 1, "c": 2}, "d.e": 3}
