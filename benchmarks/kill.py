"""What kills cost: a study of 200 trials whose process is killed 20 times, in Trialist and in Optuna."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from measuring import Result, Sizes, main

import trialist

ABOUT = """
Seconds until a study of 200 trials is complete: its process run once, and the same process killed with SIGKILL 20 times on
its way and started again each time. A trial takes 20 ms, one at a time, random search with a seed, SQLite. The kills come
after equal shares of the trials, at a random instant of the trial that then runs. Both sides are resumed as their own
documentation says (Trialist: `resume=True`; Optuna: `load_if_exists=True`, and as many trials as are not complete yet). A
start is the time from a new interpreter to its first trial's end, imports and the opened study included; the ratio leaves
starts out on both sides of it. Equal to the uninterrupted run means the same params under the same numbers.
"""
SPACE = {"lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1}, "depth": {"type": "randint", "low": 1, "high": 8}}
SLEEP_S = 0.02


def train(lr: float) -> float:
    time.sleep(SLEEP_S)
    print(".", flush=True)
    return lr


# --- the programs that are killed ---


def lead_trialist(path: str, trials: int) -> None:
    study = trialist.create_study(
        "killed", SPACE, metric="loss", mode="min", seed=7, store=f"sqlite:///{path}", resume=True
    )
    study.run(lambda lr, depth: train(lr), num_trials=trials, progress=False)


def lead_optuna(path: str, trials: int) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name="killed",
        storage=f"sqlite:///{path}",
        sampler=optuna.samplers.RandomSampler(seed=7),
        load_if_exists=True,
    )

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_int("depth", 1, 8)
        return train(trial.suggest_float("lr", 1e-5, 1e-1, log=True))

    complete = len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))
    if complete < trials:
        study.optimize(objective, n_trials=trials - complete)


# --- what they left ---

Rows = list[tuple[int, str, str]]
"""Number, status and params of every trial."""


def trialist_rows(path: Path) -> Rows:
    study = trialist.load_study("killed", store=f"sqlite:///{path}")
    return [(t.number, t.status.value, repr(sorted(t.params.items()))) for t in study.trials()]


def optuna_rows(path: Path) -> Rows:
    import optuna

    study = optuna.load_study(study_name="killed", storage=f"sqlite:///{path}")
    return [(t.number, t.state.name.lower(), repr(sorted(t.params.items()))) for t in study.trials]


SIDES: dict[str, tuple[str, Callable[[Path], Rows]]] = {
    "Trialist": ("lead_trialist", trialist_rows),
    "Optuna": ("lead_optuna", optuna_rows),
}


def start(lead: str, path: Path, trials: int) -> subprocess.Popen[bytes]:
    code = f"import kill; kill.{lead}({str(path)!r}, {trials})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path[1:]])}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)


class Took(NamedTuple):
    """Seconds of a whole study."""

    all_of_it: float
    starts: float
    """Of these, from each interpreter's start to its first trial's end."""


def first_end(child: subprocess.Popen[bytes], lead: str) -> float:
    """When the program's first trial ended."""
    assert child.stdout is not None
    if child.stdout.read(2) != b".\n":
        raise RuntimeError(f"{lead} ended before its first trial")
    return time.perf_counter()


def whole(lead: str, path: Path, trials: int) -> Took:
    """Run the program to its end."""
    began = time.perf_counter()
    child = start(lead, path, trials)
    started = first_end(child, lead)
    child.communicate()
    if child.returncode != 0:
        raise RuntimeError(f"{lead} ended with {child.returncode}")
    return Took(time.perf_counter() - began, started - began)


def killed(lead: str, path: Path, trials: int, kills: int, seed: int) -> Took:
    """Kill the program so many times on its way, then let it end."""
    rng = random.Random(seed)
    began = time.perf_counter()
    starts = 0.0
    for _ in range(kills):
        spawned = time.perf_counter()
        child = start(lead, path, trials)
        starts += first_end(child, lead) - spawned
        assert child.stdout is not None
        child.stdout.read(2 * (trials // (kills + 1) - 1))
        time.sleep(SLEEP_S * rng.random())
        child.send_signal(signal.SIGKILL)
        child.communicate()
    last = whole(lead, path, trials)
    return Took(time.perf_counter() - began, starts + last.starts)


def ask(result: Result, sizes: Sizes) -> None:
    trials, kills, rounds = sizes.of(200, 6), sizes.of(20, 1), sizes.of(3, 1)
    took: dict[str, list[tuple[Took, Took]]] = {name: [] for name in SIDES}
    left: dict[str, list[tuple[Rows, Rows]]] = {name: [] for name in SIDES}
    count = itertools.count()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(rounds):
            for name, (lead, rows) in SIDES.items():
                once, again = (Path(folder) / f"{next(count)}.db" for _ in range(2))
                took[name].append((whole(lead, once, trials), killed(lead, again, trials, kills, seed)))
                left[name].append((rows(once), rows(again)))
    for name, pairs in took.items():
        result.add(f"{name}: uninterrupted", "s", [once.all_of_it for once, _ in pairs])
        result.add(f"{name}: killed {kills} times", "s", [again.all_of_it for _, again in pairs])
        result.add(f"{name}: of that, {kills + 1} starts", "s", [again.starts for _, again in pairs])
    for name, pairs in left.items():
        _count(result, name, pairs)
    for name, pairs in took.items():
        worked = [[one.all_of_it - one.starts for one in pair] for pair in pairs]
        target = 1.5 if name == "Trialist" else None
        what = f"times the uninterrupted run, starts left out: {name}"
        result.compare(what, [again for _, again in worked], [once for once, _ in worked], at_most=target)


def _count(result: Result, name: str, pairs: list[tuple[Rows, Rows]]) -> None:
    stuck, twice, other = [], [], []
    for once, again in pairs:
        params = [row[2] for row in again if row[1] == "completed" or row[1] == "complete"]
        stuck.append(sum(row[1] == "running" for row in again))
        twice.append(len(params) - len(set(params)))
        other.append(sum(a[2] != b[2] for a, b in itertools.zip_longest(once, again, fillvalue=(-1, "", ""))))
    result.add(f"{name}: trials left as running", "trials", stuck)
    result.add(f"{name}: params tried again", "trials", twice)
    result.add(f"{name}: trials unlike the uninterrupted run's", "trials", other)


if __name__ == "__main__":
    sys.exit(main(ask, question="kill", about=ABOUT, packages=["optuna"]))
