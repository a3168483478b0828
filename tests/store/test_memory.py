"""The memory store sees when rows are not what their events add up to, where it is asked to verify."""

from dataclasses import replace

import pytest

from trialist.core.errors import InternalError
from trialist.core.events import AttemptStarted, Event, TrialSuggested
from trialist.core.states import StudyStatus, TrialStatus
from trialist.store.memory import VERIFY, MemoryStore
from trialist.testing.event_script import EventScript, study_spec


@pytest.fixture
def store():
    return MemoryStore(verify=True)


@pytest.fixture
def script(store):
    script = EventScript(store.create_study(study_spec()))
    script.run(loss=1.0)
    script.start(script.suggest())
    store.commit(None, script.commit())
    script.report(1, 1, loss=0.5)
    script.run(loss=0.25)
    return script


def test_what_adds_up_is_taken(store, script):
    store.commit(None, script.commit())
    assert store.find_study("study").best_value == 0.25


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: replace(c, study=replace(c.study, best_value=0.1)),
        lambda c: replace(c, study=replace(c.study, counts={})),
        lambda c: replace(c, study=replace(c.study, status=StudyStatus.RUNNING)),
        lambda c: replace(c, new_trials=()),
        lambda c: replace(c, changed_trials=()),
        lambda c: replace(c, new_trials=c.new_trials * 2),
        lambda c: replace(c, changed_trials=c.changed_trials * 2),
        lambda c: replace(c, changed_trials=c.changed_trials + c.new_trials),
        lambda c: replace(c, new_trials=[replace(c.new_trials[0], value=9.0)]),
        lambda c: replace(c, changed_trials=[replace(c.changed_trials[0], params={})]),
        lambda c: replace(c, changed_trials=[replace(c.changed_trials[0], status=TrialStatus.STOPPED)]),
        lambda c: replace(c, changed_trials=[*c.changed_trials, replace(c.changed_trials[0], number=0)]),
        lambda c: replace(c, changed_trials=[*c.changed_trials, replace(c.changed_trials[0], number=77)]),
        lambda c: replace(c, events=[event._replace(seq=event.seq + 1) for event in c.events]),
    ],
)
def test_what_does_not_add_up_is_refused_whole(store, script, spoil):
    before = store.find_study("study"), store.events(study_spec().id), list(store.iter_trials(study_spec().id))
    with pytest.raises(InternalError):
        store.commit(None, spoil(script.commit()))
    assert (
        store.find_study("study"),
        store.events(study_spec().id),
        list(store.iter_trials(study_spec().id)),
    ) == before


@pytest.mark.parametrize(
    "body",
    [
        AttemptStarted(trial=0, attempt=2),
        AttemptStarted(trial=1, attempt=2),
        AttemptStarted(trial=9, attempt=1),
        TrialSuggested(trial=9, params={}, seed=0, source="", seen_seq=0),
    ],
)
def test_illegal_events_are_refused(store, script, body):
    commit = script.commit()
    seq = commit.study.seq + 1
    spoilt = replace(commit, study=replace(commit.study, seq=seq), events=[*commit.events, Event(seq, 1.0, body)])
    with pytest.raises(InternalError):
        store.commit(None, spoilt)


def test_an_attempt_has_a_number_of_its_own(store):
    script = EventScript(store.create_study(study_spec()))
    number = script.suggest()
    script.start(number)
    script.lose(number)
    script.emit(AttemptStarted(trial=number, attempt=1))
    with pytest.raises(InternalError, match="attempt 1 already"):
        store.commit(None, script.commit())


def test_a_row_that_nothing_changed_may_come_along(store, script):
    commit = script.commit()
    store.commit(None, commit)
    script.suggest()
    again = script.commit()
    store.commit(None, replace(again, changed_trials=[store.trial(study_spec().id, 1)]))


def test_every_test_verifies():
    script = EventScript(study_spec())
    store = MemoryStore()
    store.create_study(study_spec())
    script.run(loss=1.0)
    with pytest.raises(InternalError, match="not what its events add up to"):
        store.commit(None, replace(script.commit(), study=replace(script.study, best_value=0.1)))


@pytest.fixture
def trusting(monkeypatch):
    monkeypatch.delenv(VERIFY)
    store = MemoryStore()
    store.create_study(study_spec())
    return store


def test_a_users_own_trusts_the_rows(trusting):
    script = EventScript(study_spec())
    script.run(loss=1.0)
    trusting.commit(None, replace(script.commit(), study=replace(script.study, best_value=0.1)))
    assert trusting.find_study("study").best_value == 0.1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: replace(c, new_trials=c.new_trials * 2),
        lambda c: replace(c, changed_trials=[replace(c.new_trials[0], number=0)]),
        lambda c: replace(c, changed_trials=[replace(c.new_trials[0], number=77)]),
        lambda c: replace(c, events=[event._replace(seq=event.seq + 1) for event in c.events]),
    ],
)
def test_it_refuses_what_every_store_refuses(trusting, spoil):
    script = EventScript(study_spec())
    script.run(loss=1.0)
    trusting.commit(None, script.commit())
    script.run(loss=0.5)
    before = trusting.events(study_spec().id), list(trusting.iter_trials(study_spec().id))
    with pytest.raises(InternalError):
        trusting.commit(None, spoil(script.commit()))
    assert (trusting.events(study_spec().id), list(trusting.iter_trials(study_spec().id))) == before
