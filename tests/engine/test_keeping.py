"""Which checkpoints stay, and that files go only after the commit that frees them."""

from __future__ import annotations

from trialist.core.errors import StoreBusy
from trialist.core.events import CheckpointFreed
from trialist.core.records import Command, CommandKind
from trialist.testing.fakes import ScriptedExecutor


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
