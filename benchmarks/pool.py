"""What a trial in a worker process costs: no-op trials, two at a time, in Trialist's pool and in Ray Tune."""

from __future__ import annotations

import io
import itertools
import logging
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_TRAIN_V2_ENABLED": "0"}

import ray
from measuring import Result, Sizes, main
from ray import tune

import trialist

ABOUT = """
Milliseconds a trial that does nothing: three params by random search, two trials at a time in processes of their own, and
nothing reported but the result. Start-up is left out on both sides: the time runs from the end of the first trial to the end
of the last, as the trials' own clocks have it; `ray.init` and one whole run of each case happened before. The rows with the
start count a whole call (`study.run`, `Tuner.fit`), divided by its trials. Ray Tune runs a class with `reset_config` and
`reuse_actors=True`: once as it comes, and once as fast as its settings allow (no loggers, no periodic checkpoints of the
experiment); dashboard and progress are off in both. Trialist commits every suggestion and every result durably to SQLite. Its
pool gives each trial a new process, so that no trial meets what another left behind; told to keep its workers (`start:
spawn`), it runs one trial after the other in them, as Ray does in its two actors.
"""
OURS = "Trialist, pool"
KEPT = "Trialist, pool, workers kept"
RAY = "Ray Tune, reuse_actors=True"
RAY_FASTEST = "Ray Tune, reuse_actors=True, loggers off"
TRIALS = 60
AT_ONCE = 2
SPACE = {
    "lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1},
    "depth": {"type": "randint", "low": 1, "high": 8},
    "kind": ["a", "b", "c"],
}
RAY_SPACE = {"lr": tune.loguniform(1e-5, 1e-1), "depth": tune.randint(1, 8), "kind": tune.choice(["a", "b", "c"])}
_count = itertools.count()


def noop(lr: float, depth: int, kind: str) -> dict[str, float]:
    return {"loss": lr, "at": time.time()}


class Noop(tune.Trainable):
    """The same for Ray."""

    def setup(self, config: dict[str, object]) -> None:
        pass

    def reset_config(self, config: dict[str, object]) -> bool:
        self.config = config
        return True

    def step(self) -> dict[str, object]:
        return {"loss": self.config["lr"], "at": time.time(), "done": True}

    def save_checkpoint(self, folder: str) -> None:
        return None


FASTEST = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "TUNE_GLOBAL_CHECKPOINT_S": "1000000"}
"""What makes Ray Tune faster; it reads them at each ``fit``."""
_whole: dict[str, list[float]] = defaultdict(list)


def in_pool(folder: Path, trials: int, name: str, executor: dict[str, str]) -> float:
    store = f"sqlite:///{folder / f'{next(_count)}.db'}"
    study = trialist.create_study("noop", SPACE, metric="loss", mode="min", searcher="random", store=store)
    began = time.perf_counter()
    study.run(noop, num_trials=trials, jobs=AT_ONCE, executor=executor, progress=False)
    _whole[name].append(1e3 * (time.perf_counter() - began) / trials)
    return between([trial.metrics["at"] for trial in study.trials()], trials)


def in_ray(folder: Path, trials: int, name: str, settings: Mapping[str, str]) -> float:
    for setting in FASTEST:
        os.environ.pop(setting, None)
    os.environ |= settings
    tuner = tune.Tuner(
        Noop,
        param_space=RAY_SPACE,
        tune_config=tune.TuneConfig(
            metric="loss", mode="min", num_samples=trials, max_concurrent_trials=AT_ONCE, reuse_actors=True
        ),
        run_config=tune.RunConfig(storage_path=str(folder), name=f"ray-{next(_count)}", verbose=0),
    )
    began = time.perf_counter()
    with redirect_stdout(io.StringIO()):  # it prints a table for each, also where it is told to be quiet
        results = tuner.fit()
    _whole[name].append(1e3 * (time.perf_counter() - began) / trials)
    return between([result.metrics["at"] for result in results if result.metrics], trials)


def between(ends: list[float], trials: int) -> float:
    """Milliseconds a trial, from the first end to the last."""
    if len(ends) != trials:
        raise RuntimeError(f"{len(ends)} of {trials} trials ended")
    return 1e3 * (max(ends) - min(ends)) / (trials - 1)


def ask(result: Result, sizes: Sizes) -> None:
    if " " in sys.executable:
        raise SystemExit(f"Ray starts no workers where the path of Python holds a space: {sys.executable}")
    trials = sizes.of(TRIALS, 4)
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(num_cpus=AT_ONCE, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            cases = {
                OURS: partial(in_pool, folder, trials, OURS, {"name": "pool"}),
                KEPT: partial(in_pool, folder, trials, KEPT, {"name": "pool", "start": "spawn"}),
                RAY: partial(in_ray, folder, trials, RAY, {}),
                RAY_FASTEST: partial(in_ray, folder, trials, RAY_FASTEST, FASTEST),
            }
            took = sizes.take_turns(cases, 5)
    finally:
        ray.shutdown()
    for name, values in took.items():
        result.add(name, "ms a trial", values)
    whole = {name: values[-len(took[name]) :] for name, values in _whole.items()}
    for name, values in whole.items():
        result.add(f"{name}, start included", "ms a trial", values)
    for ours, words in ((OURS, ""), (KEPT, "workers kept, ")):
        for peer, which in ((RAY, "Ray Tune as it comes"), (RAY_FASTEST, "Ray Tune at its fastest")):
            result.compare(f"{words}times faster than {which}", took[peer], took[ours], at_least=50)
            result.compare(f"{words}times faster than {which}, start included", whole[peer], whole[ours])


if __name__ == "__main__":
    sys.exit(main(ask, question="pool", about=ABOUT, packages=["ray"]))
