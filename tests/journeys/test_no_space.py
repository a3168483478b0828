"""A disk that is full for a while, wherever it is met: waited out, and nothing is lost."""

from __future__ import annotations

from contextlib import closing

import pytest

import trialist
from trialist.api.exporting import export_text
from trialist.core.events import Noted
from trialist.store.locate import open_store
from trialist.telemetry import EventsJsonl, catch_up

TRIALS = 5
STORE = [
    "store.write.begun",
    "store.commit.fenced",
    "store.commit.trials",
    "store.commit.events",
    "store.commit.reports",
    "store.write.before",
]
SINKS = ["sinks.torn", "engine.sinks.before"]


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", "command"])
@pytest.mark.parametrize("point", STORE)
def test_a_full_store_is_waited_out(killable, tmp_path, point, executor):
    options = {"executor": executor, "trials": TRIALS, "KILLABLE_CHECKPOINTS": "1"}
    whole, full = (killable(name, **options) for name in ("whole", "full"))
    whole.finish()
    marks = tmp_path / "marks"
    assert full.struck(f"engine:{point}=enospc@3-6", marks) == 0, full.said
    assert sorted(mark.name for mark in marks.iterdir()) == [f"{point}@{number}" for number in (3, 4, 5, 6)]
    assert "no space left on its disk" in full.said
    assert full.rows() == whole.rows()
    assert len(full.acknowledged) == TRIALS
    full.check(replay=True)
    notes = [event.body.message for event in full.study.events(kinds=(Noted,))]
    assert any("the store was away" in note for note in notes)


@pytest.mark.slow
def test_no_room_for_a_trials_files_is_waited_out(killable, tmp_path):
    options = {"executor": "command", "trials": TRIALS}
    whole, full = (killable(name, **options) for name in ("whole", "full"))
    whole.finish()
    assert full.struck("engine:executor.start=enospc@2-3", tmp_path / "marks") == 0, full.said
    assert (tmp_path / "marks" / "executor.start@3").exists()
    assert "no space for a trial's files; nothing is lost" in full.said
    assert full.rows() == whole.rows()
    full.check(replay=True)


@pytest.mark.slow
@pytest.mark.parametrize("point", SINKS)
def test_a_sink_without_room_is_switched_off_and_catches_up(killable, tmp_path, point):
    """The study goes on without it; its file is whole lines, and complete once somebody lets it catch up."""
    path = tmp_path / "events.jsonl"
    whole, full = (killable(name, trials=TRIALS) for name in ("whole", "full"))
    whole.finish()
    assert full.struck(f"engine:{point}=enospc@4", tmp_path / "marks", KILLABLE_EVENTS=str(path)) == 0, full.said
    assert "is switched off" in full.said
    assert full.rows() == whole.rows()
    full.check(replay=True)
    with closing(open_store(full.store)) as store:
        study = trialist.load_study(full.name, store=store)
        wanted = "".join(export_text(study, "events"))
        assert wanted.startswith(path.read_text())
        with closing(EventsJsonl(path)) as sink:
            catch_up(sink, store, study.id)
        assert path.read_text() == wanted


@pytest.mark.slow
def test_a_disk_that_fails_ends_the_run_in_words_and_the_study_goes_on_later(killable, tmp_path):
    whole, broken = (killable(name, trials=TRIALS) for name in ("whole", "broken"))
    whole.finish()
    assert broken.struck("engine:store.write.before=eio@4", tmp_path / "marks") == 74
    assert "reading or writing failed" in broken.said
    broken.check()
    broken.finish()
    assert broken.rows() == whole.rows()
    broken.check(replay=True)
