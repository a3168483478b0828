"""What is written by hand is what core.wire writes."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialist.core.events import AttemptStarted, Event, Reported, TrialEnded, TrialSuggested
from trialist.core.records import Budget, Failure, FailureReason, OutcomeKind, Study, Trial, WarmStartFrom
from trialist.core.states import StudyStatus, TrialStatus
from trialist.core.wire import event_from_json, event_to_json, to_json
from trialist.store import rows
from trialist.testing.event_script import study_spec

texts = st.text(max_size=4)
metrics = st.dictionaries(texts, st.floats(), max_size=3)
jsons = st.dictionaries(
    texts, st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
small = st.integers(0, 3)
maybe = st.none() | small
starts = st.none() | st.builds(WarmStartFrom, trial=small, checkpoint=texts)
failures = st.none() | st.builds(Failure, reason=st.sampled_from(FailureReason), message=texts, detail=texts)
times = st.floats(0, 2e9)

bodies = st.one_of(
    st.builds(
        TrialSuggested,
        trial=small,
        params=jsons,
        seed=small,
        source=texts,
        counted=st.booleans(),
        seen_seq=small,
        parent=maybe,
        repeat_of=maybe,
        warm_start_from=starts,
        note=jsons,
        to_step=maybe,
    ),
    st.builds(
        AttemptStarted,
        trial=small,
        attempt=small,
        from_step=small,
        to_step=maybe,
        checkpoint=st.none() | texts,
        worker=texts,
        devices=st.lists(texts, max_size=2).map(tuple),
        run_dir=texts,
        metrics=metrics,
    ),
    st.builds(Reported, trial=small, attempt=small, step=small, metrics=metrics),
    st.builds(
        TrialEnded,
        trial=small,
        attempt=small,
        status=st.sampled_from(TrialStatus),
        step=maybe,
        metrics=metrics,
        value=st.none() | st.floats(),
        error=failures,
        outcome=st.none() | st.sampled_from(OutcomeKind),
        by=texts,
        reason=texts,
    ),
)

trials = st.builds(
    Trial,
    number=small,
    params=jsons,
    status=st.sampled_from(TrialStatus),
    seed=small,
    source=texts,
    counted=st.booleans(),
    parent=maybe,
    repeat_of=maybe,
    warm_start_from=starts,
    note=jsons,
    seen_seq=small,
    attempt=small,
    step=maybe,
    to_step=maybe,
    metrics=metrics,
    value=st.none() | st.floats(),
    checkpoint=st.none() | texts,
    checkpoint_step=maybe,
    parked=st.booleans(),
    paused_by=texts,
    worker=texts,
    run_dir=texts,
    error=failures,
    reason=texts,
    suggested_at=times,
    started_at=st.none() | times,
    running_since=st.none() | times,
    ended_at=st.none() | times,
    seconds=times,
)


@given(bodies)
def test_an_event_is_written_as_the_wire_does(body):
    event = Event(3, 1.5, body)
    text = rows.event_body(event)
    assert json.loads(text) == json.loads(json.dumps(to_json(body), allow_nan=False))
    assert text.isascii()
    told = event_to_json(event)
    assert event_to_json(event_from_json({**json.loads(text), "seq": 3, "at": 1.5, "kind": event.kind})) == told
    assert event_to_json(rows.read_event(3, 1.5, event.kind, text)) == told


@given(trials)
def test_a_trial_comes_back(trial):
    found = rows.read_trial(
        trial.number,
        trial.status.value,
        rows.dumps(dict(trial.params)),
        rows.trial_origin(trial),
        rows.trial_state(trial),
    )
    assert to_json(found) == to_json(trial)


def test_every_field_of_a_trial_has_its_place():
    """A field that is added to the record without a place in the row would be lost in silence."""
    values = dict.fromkeys(Trial.__dataclass_fields__, "\x00")
    values.update(
        metrics={"a": 1.0}, value=1.0, error=Failure(reason=FailureReason.LOST, message="m"), status=TrialStatus.FAILED
    )
    values.update(warm_start_from=WarmStartFrom(trial=0, checkpoint="c"), note={"a": 1}, counted=False)
    trial = Trial(**values)
    stored = json.loads(rows.trial_origin(trial)) | json.loads(rows.trial_state(trial))
    assert stored.keys() | {"number", "params", "status"} == Trial.__dataclass_fields__.keys()


def test_a_study_comes_back():
    spec = study_spec(budget=Budget(num_trials=3), resources={"gpu": 0.5})
    study = Study(
        spec=spec,
        status=StudyStatus.FAILED,
        seq=9,
        counts={TrialStatus.FAILED: 2},
        best_value=-math.inf,
        active_s=0.1 + 0.2,
        reason="\0 \ud800",
    )
    assert "budget" not in json.loads(rows.spec_text(spec))
    found = rows.read_study(rows.spec_text(spec), "failed", 9, rows.study_state(study))
    assert found == study
    assert found.spec == spec


def test_fields_of_a_newer_version_are_skipped():
    trial = Trial(number=1, params={})
    origin = json.dumps({**json.loads(rows.trial_origin(trial)), "colour": "blue"})
    assert rows.read_trial(1, "waiting", "{}", origin, rows.trial_state(trial)) == trial


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, object()])
def test_what_is_no_json_is_refused(value):
    with pytest.raises((ValueError, TypeError)):
        rows.dumps({"a": value})


def test_deep_json_is_refused_like_endless_json():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(RecursionError):
        rows.dumps(loop)
    assert rows.dumps(replace(Trial(number=1, params={"a": [1]})).params) == '{"a":[1]}'
