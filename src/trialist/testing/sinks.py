"""The contract of sinks that follow a study, as tests: subclass ``SinkContract``, say how yours is made, and run pytest.

    class TestMine(SinkContract):
        def make(self, path):
            return MySink(path)

``story`` is a study as events, with everything in it that a sink may meet; it knows no engine and no store.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from trialist.core.events import (
    AttemptStarted,
    Body,
    Checkpointed,
    CheckpointFreed,
    CommandApplied,
    Decided,
    Event,
    LeaseTaken,
    Noted,
    Reported,
    StudyCreated,
    StudyStatusChanged,
    TrialEnded,
    TrialSuggested,
)
from trialist.core.records import Failure, FailureReason, Metric, Mode, Spec, StudySpec, Trial
from trialist.core.states import StudyStatus, TrialStatus
from trialist.schedule.asha import AshaScheduler
from trialist.telemetry import Follower
from trialist.testing.schedulers import Campaign, curves

STRANGE = 'a "quoted"\ttab, a\nline end,\r a back\\slash, \\t, \u2028, \x00, half a pair \udc80 and an é'
"""Text that breaks careless formats."""


class Story:
    """Events of a study, in order, and the rows of its trials after all of them."""

    def __init__(self, events: Sequence[Event], rows: Mapping[int, Trial]) -> None:
        self.events = list(events)
        self.rows = dict(rows)

    def after(self, seq: int, reads: frozenset[type[Body]] = frozenset()) -> list[Event]:
        """The events behind ``seq``, of these kinds, as a store gives them."""
        return [event for event in self.events if event.seq > seq and (not reads or type(event.body) in reads)]


def story(*, trials: int = 12, seed: int = 0, study: str = "0" * 32) -> Story:
    """A study under ASHA with lost attempts, failures, checkpoints, people's commands and strange text."""
    metric = Metric(name="loss", mode=Mode.MIN)
    campaign = Campaign(
        scheduler=AshaScheduler((metric,), eta=2, rungs=[3]),
        metric=metric,
        curve=curves(seed),
        trials=trials,
        seed=seed,
        mishaps=0.05,
    )
    plain = Spec(name="random")
    spec = StudySpec(id=study, name=f"story {seed}", space={}, metrics=(metric,), searcher=plain, executor=plain)
    campaign.emit(StudyCreated(spec=spec))
    campaign.emit(LeaseTaken(epoch=1, holder="pid 1 on here"))
    campaign.emit(StudyStatusChanged(was=StudyStatus.CREATED, status=StudyStatus.RUNNING))
    strange = {"text": STRANGE, "nested": {"list": [1, None, {"deep": True}]}, "empty": {}}
    campaign.emit(TrialSuggested(trial=0, params=strange, seed=1, source="enqueue", seen_seq=0))
    campaign.emit(AttemptStarted(trial=0, attempt=1, worker="pid 2 on here"))
    campaign.emit(Reported(trial=0, attempt=1, step=1, metrics={"loss": float("nan"), "gain": float("inf")}))
    campaign.emit(Checkpointed(trial=0, attempt=1, step=1, checkpoint="0-1-1", path="/x", num_bytes=5))
    campaign.emit(CommandApplied(command=1, command_kind="stop_trial", sender="person", args={"trial": 0}))
    campaign.emit(Decided(trial=0, attempt=1, step=1, decision="stop", by="person", reason=STRANGE))
    error = Failure(reason=FailureReason.EXCEPTION, message=STRANGE, detail=STRANGE * 10)
    metrics = {"loss": float("nan"), "gain": float("inf")}
    campaign.emit(
        TrialEnded(trial=0, attempt=1, status=TrialStatus.FAILED, step=1, metrics=metrics, error=error, reason=STRANGE)
    )
    campaign.emit(CheckpointFreed(trial=0, checkpoint="0-1-1"))
    campaign.emit(TrialSuggested(trial=1, params={}, seed=2, source="", seen_seq=0))
    campaign.emit(TrialEnded(trial=1, attempt=0, status=TrialStatus.CANCELLED, by="person"))
    campaign.run()
    for row in list(campaign.rows.values()):
        if not row.status.is_terminal:
            status, value = TrialStatus.STOPPED, row.value
            campaign.emit(TrialEnded(trial=row.number, attempt=row.attempt, status=status, step=row.step, value=value))
    campaign.emit(Noted(message=STRANGE))
    campaign.emit(StudyStatusChanged(was=StudyStatus.RUNNING, status=StudyStatus.COMPLETED))
    events = [event._replace(at=1.7e9 + event.seq * 0.1234567) for event, _ in campaign.events]
    ends = {event.body.trial: event.at for event in events if isinstance(event.body, TrialEnded)}
    rows = {number: replace(row, ended_at=ends.get(number)) for number, row in campaign.rows.items()}
    return Story(events, rows)


class SinkContract:
    """What every ``Follower`` keeps; subclass it and override ``make``, and ``check`` to validate the format."""

    def make(self, path: Path) -> Follower:
        """A sink that writes at ``path`` (and beside it)."""
        raise NotImplementedError

    def check(self, path: Path) -> None:
        """Assert that what lies at ``path`` is sound; called after every write."""

    def written(self, path: Path, told: Story) -> dict[str, bytes]:
        """What a sink leaves behind that got all events at once, by file name."""
        sink = self.make(path)
        sink.write(told.events, told.rows)
        sink.close()
        self.check(path)
        return _content(path)

    def finish(self, path: Path, told: Story) -> dict[str, bytes]:
        """Open what lies at ``path``, write what is missing, and give back what is there then."""
        sink = self.make(path)
        self.check(path)
        sink.write(told.after(sink.last_seq, sink.reads), told.rows)
        sink.close()
        self.check(path)
        return _content(path)

    def test_portions_do_not_matter(self, tmp_path: Path) -> None:
        told, rng = story(), random.Random(0)
        expected = self.written(tmp_path / "whole" / "out", told)
        path = tmp_path / "portions" / "out"
        sink, at = self.make(path), 0
        while at < len(told.events):
            size = rng.choice([0, 1, 2, 7, 30])
            sink.write(told.events[at : at + size], told.rows)
            self.check(path)
            at += size
        sink.close()
        assert _content(path) == expected

    def test_no_event_is_written_twice(self, tmp_path: Path) -> None:
        told = story()
        expected = self.written(tmp_path / "once" / "out", told)
        sink = self.make(tmp_path / "twice" / "out")
        for start in (0, 3, 0):
            sink.write(told.events[start : start + 30], told.rows)
        sink.write(told.events, told.rows)
        sink.write(told.events, told.rows)
        sink.close()
        assert _content(tmp_path / "twice" / "out") == expected

    def test_it_goes_on_where_it_was(self, tmp_path: Path) -> None:
        told, rng = story(), random.Random(1)
        expected = self.written(tmp_path / "whole" / "out", told)
        path, at = tmp_path / "parts" / "out", 0
        while at < len(told.events):
            sink, size = self.make(path), rng.randrange(1, 25)
            sink.write(told.events[at : at + size], told.rows)
            last = sink.last_seq
            sink.close()
            assert self.make(path).last_seq == last
            at += size
        assert _content(path) == expected

    def test_it_only_needs_the_events_it_reads(self, tmp_path: Path) -> None:
        told = story()
        expected = self.written(tmp_path / "all" / "out", told)
        assert self.finish(tmp_path / "some" / "out", told) == expected

    def test_cut_anywhere_it_becomes_whole_again(self, tmp_path: Path) -> None:
        told = story(trials=6)
        path = tmp_path / "out"
        expected = self.written(path, told)
        whole, rng = path.read_bytes(), random.Random(2)
        ends = [len(whole) - back for back in range(120)]
        for size in {0, 1, 2, 3, *ends, *rng.sample(range(len(whole)), 80)}:
            path.write_bytes(whole[: max(0, size)])
            assert self.finish(path, told) == expected, f"cut to {size} of {len(whole)} bytes"

    def test_rubbish_at_its_end_is_dropped(self, tmp_path: Path) -> None:
        told = story(trials=6)
        path = tmp_path / "out"
        expected = self.written(path, told)
        whole = path.read_bytes()
        for rubbish in (b"\x00" * 4096, b"{", b'{"seq":', b"\xff\xfe", b"\x00\n"):
            for keep in (len(whole), len(whole) - 40):
                path.write_bytes(whole[:keep] + rubbish)
                assert self.finish(path, told) == expected, rubbish[:10]

    def test_it_knows_how_far_it_is(self, tmp_path: Path) -> None:
        told = story()
        sink = self.make(tmp_path / "out")
        assert sink.last_seq == 0
        assert not sink.is_at(told.events[0])
        sink.write(told.events, told.rows)
        for here in (sink, self.make(tmp_path / "out")):
            last = told.events[here.last_seq - 1]
            assert last.seq == here.last_seq > 1
            assert here.is_at(last)
            assert not here.is_at(last._replace(at=last.at + 1))
            assert not here.is_at(told.events[here.last_seq - 2])
            here.close()

    def test_starting_over_keeps_the_old_output(self, tmp_path: Path) -> None:
        old, new = story(seed=1), story(seed=2, trials=7)
        before = self.written(tmp_path / "both" / "out", old)
        expected = self.written(tmp_path / "new" / "out", new)
        sink = self.make(tmp_path / "both" / "out")
        for number in (1, 2):
            sink.start_over()
            assert sink.last_seq == 0
            sink.write(new.events, new.rows)
            here = _content(tmp_path / "both" / "out")
            assert here.pop("out.old-1") == before["out"]
            assert number == 1 or here.pop("out.old-2") == expected["out"]
            assert here == expected
        sink.close()

    def test_closing_twice_is_harmless(self, tmp_path: Path) -> None:
        sink = self.make(tmp_path / "deep" / "er" / "out")
        sink.close()
        sink.close()


def _content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.parent.iterdir())}
