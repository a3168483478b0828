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

from measuring import Result, Sizes, main

import trialist

ABOUT = """
Seconds until a study of 200 trials is complete: its process run once, and the same process killed with SIGKILL 20 times on
its way and started again each time. A trial takes 20 ms, one at a time, random search with a seed, SQLite. The kills come
after equal shares of the trials, at a random instant of the trial that then runs. Both sides are resumed as their own
documentation says (Trialist: `resume=True`; Optuna: `load_if_exists=True`, and as many trials as are not complete yet); what
the restarts themselves take (a new interpreter, imports, the study opened) is the same in both rows of each side and told
apart. Equal to the uninterrupted run means the same params under the same numbers.
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


def whole(lead: str, path: Path, trials: int) -> float:
    """Seconds until the program has ended by itself."""
    began = time.perf_counter()
    child = start(lead, path, trials)
    child.communicate()
    if child.returncode != 0:
        raise RuntimeError(f"{lead} ended with {child.returncode}")
    return time.perf_counter() - began


def killed(lead: str, path: Path, trials: int, kills: int, seed: int) -> float:
    """Seconds until the program has ended by itself after so many kills."""
    rng = random.Random(seed)
    began = time.perf_counter()
    for _ in range(kills):
        child = start(lead, path, trials)
        assert child.stdout is not None
        for _ in range(trials // (kills + 1)):
            if not child.stdout.read(1):
                raise RuntimeError(f"{lead} ended before it was killed")
            child.stdout.read(1)
        time.sleep(SLEEP_S * rng.random())
        child.send_signal(signal.SIGKILL)
        child.communicate()
    whole(lead, path, trials)
    return time.perf_counter() - began


def ask(result: Result, sizes: Sizes) -> None:
    trials, kills, rounds = sizes.of(200, 6), sizes.of(20, 1), sizes.of(3, 1)
    took: dict[str, list[float]] = {}
    left: dict[str, list[tuple[Rows, Rows]]] = {name: [] for name in SIDES}
    count = itertools.count()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(rounds):
            for name, (lead, rows) in SIDES.items():
                paths = [Path(folder) / f"{next(count)}.db" for _ in range(3)]
                whole(lead, paths[0], 1)
                took.setdefault(f"{name}: start, one trial, end", []).append(whole(lead, paths[0], 1))
                took.setdefault(f"{name}: uninterrupted", []).append(whole(lead, paths[1], trials))
                took.setdefault(f"{name}: killed {kills} times", []).append(killed(lead, paths[2], trials, kills, seed))
                left[name].append((rows(paths[1]), rows(paths[2])))
    for name, values in took.items():
        result.add(name, "s", values)
    for name, pairs in left.items():
        _count(result, name, pairs)
    for name in SIDES:
        alone, uninterrupted, all_of_it = (
            took[f"{name}: {what}"] for what in ("start, one trial, end", "uninterrupted", f"killed {kills} times")
        )
        without = [a - kills * b for a, b in zip(all_of_it, alone, strict=True)]
        target = 1.5 if name == "Trialist" else None
        result.compare(
            f"times the uninterrupted run, restarts left out: {name}", without, uninterrupted, at_most=target
        )


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
