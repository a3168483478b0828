"""What the benchmarks of search stand on: tasks, peers, races and comparisons do what the page says of them."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from trialist.core.records import Continue, Metric, Mode, Stop
from trialist.space import SearchSpace

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROOMS = ("tasks", "tuning", "quality", "fidelity", "forecast", "latency", "measuring")


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("TRIALIST_BENCHMARKS_CACHE", str(tmp_path / "cache"))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ROOMS]:
        del sys.modules[name]


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


# --- tasks ---


def test_tasks_have_their_groups() -> None:
    tasks = module("tasks").all_tasks()
    groups = [task.group for task in tasks.values()]
    assert groups.count("lcbench") == 10
    assert groups.count("real") >= 6
    conditional = [t for t in tasks.values() if t.group == "real" and any(leaf.condition for leaf in t.space.leaves)]
    assert len(conditional) >= 3
    with pytest.raises(SystemExit, match="no task or group is called 'svn'"):
        module("tasks").find("svn")


def test_a_real_training_gives_the_same_loss_again() -> None:
    for task in module("tasks").find("real"):
        params = task.space.sample(random.Random(3))
        loss = task.evaluate(params, seed=0)
        assert np.isfinite(loss), task.name
        assert task.evaluate(params, seed=1) == loss, task.name


def test_noise_is_of_the_seed_and_the_params_and_leaves_the_loss_alone() -> None:
    (task,) = module("tasks").find("branin-noisy")
    params = task.space.sample(random.Random(0))
    seen = {task.evaluate(params, seed) for seed in (0, 0, 1, 2)}
    assert len(seen) == 3
    assert task.loss(params) not in seen


def test_the_scale_runs_from_the_best_known_to_the_median_of_random_params() -> None:
    task = replace(module("tasks").find("branin")[0], pool=51)
    assert task.regret(task.best) == 0.0
    assert task.regret(task.median) == 1.0
    assert np.median(task.pool_losses) == task.median


@pytest.mark.extras
@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs onnxruntime")
def test_a_learning_curve_ends_where_the_full_training_does() -> None:
    (task,) = module("tasks").find("lcbench-3945")
    curves = module("tasks.curves")
    curve_task = curves.lcbench_curves()[0]
    params = task.space.sample(random.Random(0))
    (curve,) = curve_task.curves([params])
    assert len(curve.values) == len(curve.seconds) == curve_task.steps == 52
    assert task.loss(params) == pytest.approx(1 - curve.values[-1] / 100, abs=1e-6)
    assert all(np.diff(curve.seconds) >= 0)


# --- comparing ---


def test_a_ratio_is_of_means_over_the_cells_that_both_have() -> None:
    compare = module("tuning.compare")
    ours = {("a", 0): 1.0, ("a", 1): 3.0, ("b", 0): 100.0}
    peer = {("a", 0): 2.0, ("a", 1): 6.0}
    ratio = compare.times(ours, peer)
    assert ratio.ratio == ratio.low == ratio.high == 0.5
    assert ratio.cells == 2
    assert compare.times(ours, {}) is None
    rng = np.random.default_rng(0)
    noisy = {("a", seed): float(value) for seed, value in enumerate(rng.random(200))}
    wide = compare.times(noisy, dict.fromkeys(noisy, 0.5))
    assert wide.low < wide.ratio < wide.high


def test_ranks_share_ties() -> None:
    ranks = module("tuning.compare").mean_ranks(
        {"a": {("t", 0): 1.0, ("t", 1): 5.0}, "b": {("t", 0): 1.0, ("t", 1): 4.0}, "c": {("t", 0): 2.0, ("t", 1): 3.0}}
    )
    assert ranks == {"a": 2.25, "b": 1.75, "c": 2.0}


def test_regret_is_of_the_trial_that_looked_best() -> None:
    regret_at = module("tuning.compare").regret_at
    seen, true = [3.0, 1.0, 2.0], [3.0, 2.5, 2.0]
    assert regret_at(seen, true, 1, best=2.0, median=3.0) == 1.0
    assert regret_at(seen, true, 3, best=2.0, median=3.0) == 0.5
    assert regret_at(seen, true, 9, best=2.0, median=3.0) == 0.5


# --- running ---


def test_finished_courses_are_kept_and_a_torn_line_is_passed_over() -> None:
    running, tasks = module("tuning.running"), module("tasks").find("branin")
    tasks = [replace(tasks[0], pool=50)]
    first = running.run(["random", "sobol"], tasks, range(2), 6)
    assert {name: len(lines) for name, lines in first.items()} == {"random": 2, "sobol": 2}
    path = running.kept_of("random").path
    with path.open("a") as file:
        file.write('{"task": "branin", "seed"')
    assert running.run(["random", "sobol"], tasks, range(2), 6) == first
    assert running.kept_of("random").read({"branin": 2}) == {}
    better = module("tuning.kept").best_known(tasks)["branin"]
    assert better == min(tasks[0].best, *(min(line.true) for lines in first.values() for line in lines.values()))


def test_the_source_of_a_searcher_says_whether_it_must_run_again() -> None:
    ours = module("tuning.ours")
    assert ours.fingerprint("random") == ours.fingerprint("random?unused=1")
    assert ours.fingerprint("random") != ours.fingerprint("sobol")
    assert ours.fingerprint("asha", kind="scheduler") != ours.fingerprint("median", kind="scheduler")
    assert ours.Named.of("gp?a=1&b=text") == ("gp", {"a": 1, "b": "text"})


@pytest.mark.extras
@pytest.mark.slow
@pytest.mark.parametrize("peer", ["optuna-tpe", "optuna-gp", "hyperopt-tpe", "smac"])
def test_a_peer_is_given_every_space(peer: str) -> None:
    peers, course = module("tuning.peers"), module("tuning.course")
    if not peers.PEERS[peer].is_installed:
        pytest.skip(f"needs {peers.PEERS[peer].library}")
    for task in module("tasks").all_tasks().values():
        if task.name in ("svm", "mlp", "pipeline", "network", "discrete", "lcbench-3945"):
            free = replace(task, loss=lambda params: float(len(repr(params))))
            run = course.Course(task=free, seed=0, trials=5)
            peers.PEERS[peer].search(run)  # Course checks that params lie in the space
            assert len(run.seen) == 5, task.name


# --- racing ---


def line_task(curves: ModuleType, steps: int = 9) -> object:
    """Trial values fall to x; the less x, the better at every step."""

    def run(points):
        at = np.arange(1, steps + 1)
        return [curves.Curve(point["x"] + 1.0 / at, at.astype(float)) for point in points]

    space = SearchSpace.of({"x": {"type": "uniform", "low": 0.0, "high": 1.0}})
    metric = Metric(name="loss", mode=Mode.MIN)
    return curves.CurveTask(name="line", space=space, steps=steps, metric=metric, curves=run)


def test_workers_spend_the_budget_and_no_more() -> None:
    curves, race, racers = (module(name) for name in ("tasks.curves", "tuning.race", "tuning.racers"))
    task = line_task(curves)
    whole = race.Race(task=task, seed=0, budget=8.0).run(racers.racer("random", task, 0))
    assert sum(whole.steps.values()) == 8 * task.steps
    assert sorted(whole.steps.values()) == [task.steps] * 8
    halved = race.Race(task=task, seed=0, budget=8.0).run(racers.racer("random+asha?min_steps=1&max_steps=9", task, 0))
    assert sum(halved.steps.values()) <= 8 * task.steps
    assert len(halved.steps) > 8
    assert max(halved.steps.values()) == task.steps
    losses = [loss for _, loss in halved.trace]
    assert losses == sorted(losses, reverse=True)
    assert halved.loss_after(8) == losses[-1]
    assert halved.loss_after(0) == float("inf")


class Harsh:
    """Stops every second trial after its first report."""

    name = "harsh"
    reads = frozenset()

    def __init__(self, metrics=()):
        pass

    def boundary(self, trial, step):
        return None

    def decide(self, trial, step, *, at_boundary):
        return Stop() if trial.number % 2 else Continue()

    def promote(self, *, last=False):
        return None


def test_a_winner_that_was_stopped_counts_as_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    curves, forecast = module("tasks.curves"), module("forecast")
    task = line_task(curves)
    xs = [0.9, 0.5, 0.8, 0.85, 0.7, 0.1]  # trials 1, 3 and 5 are stopped; 1, 2, 4 and 5 would win
    params = [{"x": x} for x in xs]
    monkeypatch.setattr(curves.CurveTask, "drawn", lambda self, rng, n: (params[:n], self.curves(params[:n])))
    whole = forecast.campaign("fifo", task, 0, 6, 0.0)
    assert (whole.winners, whole.cancelled, whole.saved, whole.lost) == (2, 0, 0.0, 0.0)
    ours = module("tuning.ours")
    made = ours.Named.made
    monkeypatch.setattr(ours.Named, "made", lambda self, kind: Harsh if self.name == "harsh" else made(self, kind))
    harsh = forecast.campaign("harsh", task, 0, 6, 0.0)
    assert (harsh.winners, harsh.cancelled) == (4, 2)
    assert harsh.saved == pytest.approx(3 * 8 / (6 * 9))
    assert harsh.lost == pytest.approx((0.7 - 0.1) / task.unit)
