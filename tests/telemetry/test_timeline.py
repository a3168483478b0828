"""What a timeline shows: lanes, spans, marks and the best value."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trialist.core.events import (
    AttemptContinued,
    AttemptEnded,
    AttemptStarted,
    Body,
    Decided,
    Event,
    StudyCreated,
    TrialEnded,
    TrialPaused,
)
from trialist.core.records import Metric, Mode, OutcomeKind, Spec, StudySpec, Trial
from trialist.core.states import TrialStatus
from trialist.telemetry import Timeline, timeline_lines
from trialist.testing.sinks import STRANGE, story


def drawn(*bodies: Body, start: float = 100.0) -> list[dict[str, Any]]:
    events = [Event(at + 1, start + at, body) for at, body in enumerate(bodies)]
    rows = {n: Trial(number=n, params={"n": n}) for n in range(10)}
    records: list[dict[str, Any]] = json.loads("".join(timeline_lines(events, rows)))
    return records


def spans(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if record["ph"] == "X"]


def created(*metrics: Metric) -> StudyCreated:
    plain = Spec(name="random")
    return StudyCreated(
        spec=StudySpec(id="1" * 32, name="s", space={}, metrics=metrics, searcher=plain, executor=plain)
    )


def start(trial: int, worker: str = "", attempt: int = 1) -> AttemptStarted:
    return AttemptStarted(trial=trial, attempt=attempt, worker=worker)


def end(trial: int, value: float | None = None, status: TrialStatus = TrialStatus.COMPLETED) -> TrialEnded:
    return TrialEnded(trial=trial, attempt=1, status=status, value=value)


def test_a_span_lasts_from_start_to_end_in_microseconds():
    (span,) = spans(drawn(start(3, "pid 7"), end(3, 0.5)))
    assert (span["name"], span["ts"], span["dur"], span["tid"]) == ("trial 3", 100_000_000, 1_000_000, 1)
    assert span["args"] == {
        "trial": 3, "attempt": 1, "from_step": 0, "worker": "pid 7", "end": "completed", "params": {"n": 3},
        "value": 0.5,
    }  # fmt: skip


def test_there_are_as_many_lanes_as_trials_ran_at_once():
    bodies: list[Body] = []
    for trial in range(0, 8, 2):
        bodies += [start(trial, f"pid {trial}"), start(trial + 1, f"pid {trial + 1}"), end(trial), end(trial + 1)]
    assert Counter(span["tid"] for span in spans(drawn(*bodies))) == {1: 4, 2: 4}


def test_a_worker_keeps_its_lane():
    records = drawn(start(0, "a"), start(1, "b"), end(0), end(1), start(2, "b"), start(3, "a"), end(2), end(3))
    assert {span["args"]["worker"]: span["tid"] for span in spans(records)[2:]} == {"a": 1, "b": 2}


def test_a_parked_trial_frees_its_lane_and_comes_back():
    paused = TrialPaused(trial=0, attempt=1, step=1, parked=True, by="asha", reason="rank 2 of 3")
    records = drawn(start(0), paused, start(1), AttemptContinued(trial=0, attempt=1, from_step=1), end(1), end(0))
    assert [(span["name"], span["tid"], span["args"]["end"]) for span in spans(records)] == [
        ("trial 0", 1, "paused"),
        ("trial 1", 1, "completed"),
        ("trial 0", 2, "completed"),
    ]


def test_a_lost_attempt_is_a_span_of_its_own():
    lost = AttemptEnded(trial=0, attempt=1, outcome=OutcomeKind.LOST, status=TrialStatus.WAITING)
    records = drawn(start(0), lost, start(0, attempt=2), end(0))
    assert [(span["args"]["attempt"], span["args"]["end"]) for span in spans(records)] == [
        (1, "lost"),
        (2, "completed"),
    ]


def test_the_best_value_is_a_curve_that_only_improves():
    for mode, expected in ((Mode.MIN, [3.0, 1.0]), (Mode.MAX, [3.0, 4.0])):
        metric = Metric(name="score", mode=mode)
        values = [3.0, float("nan"), None, 1.0, 4.0, 2.0]
        bodies: list[Body] = [created(metric)]
        for trial, value in enumerate(values):
            bodies += [start(trial), end(trial, value)]
        bodies += [start(9), end(9, -99.0 if mode is Mode.MIN else 99.0, TrialStatus.FAILED)]
        counters = [record for record in drawn(*bodies) if record["ph"] == "C"]
        assert [record["args"]["score"] for record in counters] == expected
        assert {record["name"] for record in counters} == {"best score"}


def test_a_study_without_a_metric_has_no_curve():
    assert not [record for record in drawn(created(), start(0), end(0, 1.0)) if record["ph"] == "C"]


def test_decisions_are_marks_on_the_lane_of_their_trial():
    decided = Decided(trial=1, attempt=1, step=3, decision="stop", by="median", reason=STRANGE * 30)
    records = drawn(start(0), start(1), decided)
    (mark,) = [record for record in records if record.get("cat") == "decision"]
    assert (mark["name"], mark["tid"], mark["s"], mark["args"]["by"]) == ("stop trial 1", 2, "t", "median")
    assert len(mark["args"]["reason"]) == 500


def test_huge_params_are_told_by_their_length():
    records = list(timeline_lines([Event(1, 0.0, start(0)), Event(2, 1.0, end(0))],
                                  {0: Trial(number=0, params={"diff": "x" * 10_000})}))  # fmt: skip
    (span,) = spans(json.loads("".join(records)))
    assert span["args"]["params"] == "10012 characters"


def test_a_clock_that_is_set_back_gives_no_negative_span(tmp_path: Path):
    events = [Event(1, 100.0, start(0)), Event(2, 90.0, end(0))]
    timeline = Timeline(tmp_path / "t.json")
    timeline.write(events, {})
    timeline.close()
    (span,) = spans(json.loads((tmp_path / "t.json").read_text()))
    assert (span["ts"], span["dur"]) == (90_000_000, 0)
    assert Timeline(tmp_path / "t.json").is_at(events[1])


def test_every_record_has_what_viewers_need():
    told = story()
    for record in json.loads("".join(timeline_lines(told.events, told.rows))):
        assert record["ph"] in {"X", "i", "C", "M"}
        assert isinstance(record["ts"], int)
        assert isinstance(record["pid"], int)
        assert isinstance(record["tid"], int)
        assert record["name"]
        assert record["ph"] != "X" or record["dur"] >= 0
        assert record["ph"] != "i" or record["s"] in {"t", "p"}
        assert record["ph"] != "C" or all(isinstance(value, float | int) for value in record["args"].values())


def test_spans_of_one_lane_never_overlap():
    told = story(trials=60, seed=4)
    lanes: dict[int, int] = {}
    for span in spans(json.loads("".join(timeline_lines(told.events, told.rows)))):
        assert span["ts"] >= lanes.get(span["tid"], 0)
        lanes[span["tid"]] = span["ts"] + span["dur"]
    assert len(lanes) == 4


def test_an_export_equals_the_live_file_once_all_has_ended(tmp_path: Path):
    told = story()
    timeline = Timeline(tmp_path / "t.json")
    timeline.write(told.events, told.rows)
    timeline.close()
    exported = "".join(timeline_lines(told.events, told.rows)).encode(errors="backslashreplace")
    assert (tmp_path / "t.json").read_bytes() == exported


def test_an_export_shows_what_still_runs():
    running = [span for span in spans(drawn(start(0), start(1), end(1))) if span["args"]["end"] == "running"]
    assert [(span["name"], span["dur"]) for span in running] == [("trial 0", 2_000_000)]


TOLD = story(trials=5)


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1)), min_size=1, max_size=6))
def test_a_file_cut_again_and_again_ends_as_if_never_cut(tmp_path_factory: Any, cuts: list[tuple[int, float]]):
    path = tmp_path_factory.mktemp("t") / "t.json"
    for size, share in cuts:
        timeline = Timeline(path)
        json.loads(path.read_text())
        timeline.write(TOLD.after(timeline.last_seq)[:size], TOLD.rows)
        timeline.close()
        json.loads(path.read_text())
        whole = path.read_bytes()
        path.write_bytes(whole[: round(share * len(whole))])
    timeline = Timeline(path)
    timeline.write(TOLD.after(timeline.last_seq), TOLD.rows)
    timeline.close()
    assert path.read_bytes() == "".join(timeline_lines(TOLD.events, TOLD.rows)).encode(errors="backslashreplace")


def test_what_is_no_timeline_is_set_aside(tmp_path: Path):
    path = tmp_path / "t.json"
    path.write_text('{"mine": true}')
    Timeline(path).close()
    assert json.loads(path.read_text()) == []
    assert (tmp_path / "t.json.old-1").read_text() == '{"mine": true}'
