"""What kills cost: a study of 200 trials whose process is killed 20 times, in Trialist and in Optuna, and 100 times."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from measuring import Result, Sizes, main

import trialist
from trialist.core.events import Event, LeaseTaken
from trialist.core.records import Trial

ABOUT = """
What it costs to kill the process of a study of 200 trials with SIGKILL at random instants and to start it again each time,
against the same study run once. A trial is some 20 ms of computing, one at a time, random search with a seed, SQLite. Both
sides are resumed as their own documentation says (Trialist: `resume=True`; Optuna: `load_if_exists=True`, and as many trials
as are not complete yet). Two things are measured apart. Leading is the time from the moment at which a process leads the
study (Trialist: its first event, the lease; Optuna: `optimize` is called) to its kill or to the end, summed over all
processes: what was computed twice is in it, and what it takes to find out where the study stood, until the first trial begins,
which is also told by itself. The ratio is of leading. Starting is the time from a new interpreter to that moment: imports, and
opening the store. The instants are drawn by progress, so that each is as likely to lie in any trial. Equal
to the uninterrupted run means the same params under the same numbers.
"""
SPACE = {"lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1}, "depth": {"type": "randint", "low": 1, "high": 8}}
TRIAL_S = 0.02
HASHES = 40_000
"""About so long."""


_begun: list[float] = []


def train(lr: float) -> float:
    if not _begun:
        _begun.append(time.time())
        say("begun", _begun[0])
    digest = b""
    for _ in range(HASHES):
        digest = hashlib.sha256(digest).digest()
    print(".", flush=True)
    return lr


# --- the programs that are killed ---


def say(what: str, at: float) -> None:
    print(what, repr(at), flush=True)


class Leading:
    """A sink that says when the study was led."""

    def write(self, events: Sequence[Event], trials: Mapping[int, Trial]) -> None:
        del trials
        for event in events:
            if isinstance(event.body, LeaseTaken):
                say("led", event.at)

    def close(self) -> None:
        """Nothing to release."""


def lead_trialist(path: str, trials: int) -> None:
    study = trialist.create_study(
        "killed", SPACE, metric="loss", mode="min", searcher="random", seed=7, store=f"sqlite:///{path}", resume=True
    )
    study.run(lambda lr, depth: train(lr), num_trials=trials, sinks=[Leading()], progress=False)
    say("done", time.time())


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
    say("led", time.time())
    if complete < trials:
        study.optimize(objective, n_trials=trials - complete)
    say("done", time.time())


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
    """Seconds of a whole study, over all of its processes."""

    leading: float
    finding_out: float
    """Of it, until the first trial began."""
    starting: float

    def __add__(self, other: object) -> Took:
        if not isinstance(other, Took):
            return NotImplemented
        return Took(*(one + two for one, two in zip(self, other, strict=True)))


def word(child: subprocess.Popen[bytes], what: str) -> float:
    """The time that the program says next."""
    assert child.stdout is not None
    while (line := child.stdout.readline()) == b".\n":
        pass
    said, _, at = line.decode().partition(" ")
    if said != what:
        raise RuntimeError(f"a program said '{said}' where '{what}' was due")
    return float(at)


def whole(lead: str, path: Path, trials: int) -> Took:
    """Run the program to its end."""
    began = time.time()
    with start(lead, path, trials) as child:
        led, begun, done = (word(child, what) for what in ("led", "begun", "done"))
        child.communicate()
    if child.returncode != 0:
        raise RuntimeError(f"{lead} ended with {child.returncode}")
    return Took(done - led, begun - led, led - began)


def killed(lead: str, path: Path, trials: int, kills: int, seed: int) -> Took:
    """Kill the program so many times on its way, then let it end."""
    rng = random.Random(seed)
    instants = sorted(rng.uniform(0, trials - 1) for _ in range(kills))
    took = Took(0.0, 0.0, 0.0)
    for before, instant in itertools.pairwise([0.0, *instants]):
        began = time.time()
        with start(lead, path, trials) as child:
            led, begun = word(child, "led"), word(child, "begun")
            assert child.stdout is not None
            ends, part = divmod(instant - before, 1.0)
            for _ in range(int(ends)):
                child.stdout.readline()
            time.sleep(TRIAL_S * part)
            child.send_signal(signal.SIGKILL)
            took += Took(time.time() - led, begun - led, led - began)
            child.communicate()
    return took + whole(lead, path, trials)


class Case(NamedTuple):
    side: str
    kills: int

    def __str__(self) -> str:
        return f"{self.side}, killed {self.kills} times"


class Done(NamedTuple):
    """One round of a case: uninterrupted and killed, what they took and what they left."""

    once: Took
    again: Took
    rows: tuple[Rows, Rows]


def ask(result: Result, sizes: Sizes) -> None:
    trials, rounds = sizes.of(200, 6), sizes.of(3, 1)
    few, many = sizes.of(20, 1), sizes.of(100, 2)
    cases = [*(Case(side, few) for side in SIDES), Case("Trialist", many)]
    done: dict[Case, list[Done]] = {case: [] for case in cases}
    count = itertools.count()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(rounds):
            for case in cases:
                lead, rows = SIDES[case.side]
                once, again = (Path(folder) / f"{next(count)}.db" for _ in range(2))
                took = whole(lead, once, trials), killed(lead, again, trials, case.kills, seed)
                done[case].append(Done(*took, (rows(once), rows(again))))
    for case, found in done.items():
        result.add(f"{case}: leading, uninterrupted", "s", [one.once.leading for one in found])
        result.add(f"{case}: leading", "s", [one.again.leading for one in found])
        result.add(
            f"{case}: of it, until a first trial begins",
            "ms a process",
            [1000 * one.again.finding_out / (case.kills + 1) for one in found],
        )
        result.add(f"{case}: one start", "s", [one.again.starting / (case.kills + 1) for one in found])
    for case, found in done.items():
        _count(result, str(case), [one.rows for one in found])
    for case, found in done.items():
        target = 1.5 if case.side == "Trialist" else None
        led_again, led_once = [one.again.leading for one in found], [one.once.leading for one in found]
        result.compare(f"times the uninterrupted run's leading: {case}", led_again, led_once, at_most=target)


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
