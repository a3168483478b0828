"""Which checkpoints stay, and that files go only after the commit that frees them."""

from __future__ import annotations

from pathlib import Path

from trialist.core.errors import StoreBusy
from trialist.core.events import CheckpointFreed, Noted
from trialist.core.records import Command, CommandKind
from trialist.core.states import TrialStatus
from trialist.store.sql import SqlStore
from trialist.testing.fakes import ScriptedExecutor, UniformSearcher


def script(segment):
    for step in range(segment.from_step + 1, 5):
        yield {"loss": segment.params["x"] + 1 / step}


class Directories(ScriptedExecutor):
    """Each checkpoint in a directory of its own."""

    def __init__(self, root):
        super().__init__(script, checkpoints="set below")
        self._root = root

    def _move(self, key):
        moving = self._running.get(key)
        if moving is not None:
            path = self._root / f"{key.trial}-{moving.step + 1}"
            path.mkdir(exist_ok=True)
            self._checkpoints = str(path)
        super()._move(key)


def test_a_trial_keeps_its_last_checkpoint(bench, tmp_path):
    bench.create(num_trials=3)
    bench.lead(Directories(tmp_path))
    rows = bench.store.checkpoints(bench.study_id)
    assert [(row.trial, row.step) for row in rows] == [(0, 4), (1, 4), (2, 4)]
    assert len(bench.removed) == 9
    assert not {row.path for row in rows} & set(bench.removed)


def test_beyond_the_budget_the_best_three_stay(bench, tmp_path):
    bench.create(num_trials=8)
    bench.lead(Directories(tmp_path), artifact_budget_bytes=3)
    rows = bench.store.checkpoints(bench.study_id)
    best = sorted(bench.trials, key=lambda t: t.value)[:3]
    assert {row.trial for row in rows} >= {t.number for t in best}
    assert len(rows) <= 4


def test_a_clone_keeps_what_it_starts_from(bench, tmp_path):
    bench.create(num_trials=1)
    bench.lead(Directories(tmp_path))
    executor = Directories(tmp_path)
    command = Command(kind=CommandKind.CLONE, args={"trial": 0, "params": {"x": 0.5}, "warm_start": "weights"}, key="c")
    bench.store.send_command(bench.study_id, command)
    bench.lead(executor, artifact_budget_bytes=0)
    segment = executor.started[0]
    assert segment.state.path.endswith("0-4")
    assert segment.state.what == "weights"
    assert segment.from_step == 0  # warm weights, its own training
    assert bench.trials[1].warm_start_from.trial == 0


def test_what_a_clone_started_from_goes_when_nobody_needs_it_any_more(bench, tmp_path):
    bench.create(num_trials=1)
    searcher = UniformSearcher(limit=1)
    executor = Directories(tmp_path)
    clone = (CommandKind.CLONE, {"trial": 0, "warm_start": "weights"})
    bench.lead(bench.commanding(executor, {3: [clone]}), searcher=searcher)  # of a checkpoint that is not its last
    origin = bench.trials[1].warm_start_from.checkpoint
    assert origin.startswith("0-1-")
    rows = bench.store.checkpoints(bench.study_id)
    assert [(row.trial, row.step) for row in rows] == [(0, 4), (1, 4)]
    assert len(bench.removed) == 6
    bench.send(CommandKind.RETRY, trial=1)
    bench.lead(Directories(tmp_path), searcher=searcher)
    (note,) = [body.message for body in bench.bodies(Noted)]
    assert f"starts from nothing: the checkpoint {origin} of trial 0" in note


def test_a_step_may_be_saved_twice(bench, tmp_path):
    bench.store = SqlStore(f"sqlite:///{tmp_path}/trials.db")
    bench.create(num_trials=1)

    def objective(trial):
        for text in ("first", "second"):
            trial.save_checkpoint(lambda folder, text=text: (folder / "weights.txt").write_text(text))
        trial.report(loss=1.0)

    assert bench.lead(objective).study.counts == {TrialStatus.COMPLETED: 1}
    (row,) = bench.store.checkpoints(bench.study_id)
    assert (Path(row.path) / "weights.txt").read_text() == "second"
    assert bench.removed == [str(Path(row.path).with_name("step-000000"))]
    bench.store.close()


def test_files_go_only_after_the_commit(bench, tmp_path, monkeypatch):
    bench.create(num_trials=1)
    real = bench.store.commit
    monkeypatch.setattr("trialist.engine.interrupts.Interrupts.pause", lambda seconds: bench.clock.forward(1))
    away = iter(range(2))

    def commit(lease, commit):
        if any(isinstance(event.body, CheckpointFreed) for event in commit.events):
            assert not bench.removed
            if next(away, None) is not None:
                raise StoreBusy("memory", "away")
        real(lease, commit)

    monkeypatch.setattr(bench.store, "commit", commit)
    bench.lead(Directories(tmp_path))
    assert len(bench.removed) == 3
