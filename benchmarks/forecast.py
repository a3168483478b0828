"""How many would-be winners does a scheduler that stops trials cancel, and how many steps does it save?

    python benchmarks/forecast.py --schedulers 'forecast?max_steps=$T,median' --tasks lcbench-3945,mlp-digits --seeds 2

A campaign is a study by random search. Finished campaigns are kept in ``benchmarks/cache`` under a hash of the source.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from measuring import Result, Sizes, main
from tasks.curves import METRICS, CurveTask, lcbench_curves, mlp_curves
from threadpoolctl import threadpool_limits
from tuning.kept import Kept, Key, Line
from tuning.race import Race, noise_of
from tuning.racers import Pair, pair_fingerprint
from tuning.running import Done, finish

from trialist.registry import names

ABOUT = """
Studies by random search whose trials a scheduler stops early: campaigns of 40 trials and of 200, one trial at a time, on
learning curves of neural networks: ten surrogates (LCBench, 52 epochs; by accuracy, and by cross-entropy, which is minimised) and
four tables of real trainings of scikit-learn's perceptrons (40 epochs, log loss or squared error). Noise is added to every
report, with standard deviations of 0, 0.01, 0.03 and 0.1 of the way from the best value to the median. A would-be winner is a
trial, not the first, whose last report would have been better than the best last report of those that completed before it; told is the
share of them that was cancelled, as the mean over tasks and for the task where it was greatest, the share of steps
saved (the median rule and ASHA leave the first five epochs alone, as the forecast does), and what is lost: the normalised distance between the best that completed and the best of all trials, had they run on.
"""
NOISES = (0.0, 0.01, 0.03, 0.1)
SCHEDULERS = ("forecast?max_steps=$T", "median?grace_steps=5", "asha?min_steps=5&max_steps=$T&variant=stop")
SEEDS, JOBS = 5, 2
LONG = 200
SHORT = 40


class Outcome(NamedTuple):
    """A campaign's end."""

    winners: int
    cancelled: int
    """Of these."""
    saved: float
    lost: float


def tasks() -> dict[str, CurveTask]:
    """All curves, by task and metric."""
    found = [*lcbench_curves("val_accuracy"), *lcbench_curves("val_cross_entropy"), *mlp_curves()]
    return {f"{task.name}|{task.metric.name}": task for task in found}


def campaign(words: str, task: CurveTask, seed: int, trials: int, noise: float, *, workers: int = 1) -> Outcome:
    """A study by random search under a scheduler."""
    params, curves = task.drawn(random.Random(f"{task.name}/{task.metric.name}/{noise}/{seed}/{trials}"), trials)
    race = Race(task=task, seed=seed, workers=workers, noise=noise, budget=trials + 1.0, known=dict(enumerate(curves)))
    pair = Pair(f"random+{words}", task, seed, trials=trials, drawn=params, jobs=workers)
    race.run(pair)
    true = [task.sign * float(curve.values[-1]) for curve in curves]
    seen = [
        task.sign * (float(curve.values[-1]) + noise_of(task, seed, one, task.steps, noise))
        for one, curve in zip(params, curves, strict=True)
    ]
    best, winners, cancelled = float("inf"), 0, 0
    for trial in pair.ended:
        completed = race.steps[trial] == task.steps
        if seen[trial] < best and best < float("inf"):
            winners += 1
            cancelled += not completed
        if completed:
            best = min(best, seen[trial])
    done = [trial for trial in pair.ended if race.steps[trial] == task.steps] or [0]
    found, there = min(done, key=seen.__getitem__), min(range(trials), key=seen.__getitem__)
    saved = 1.0 - sum(race.steps.values()) / (trials * task.steps)
    return Outcome(winners, cancelled, saved, (true[found] - true[there]) / task.unit)


def _one(words: str, key: Key) -> Line:
    name, _, noise = key.task.rpartition("|")
    with threadpool_limits(1):
        task = tasks()[name]
        outcome = campaign(words, task, key.seed, key.trials, float(noise))
    return Line(key, task.version, tuple(map(float, outcome)), (), {}, 0.0)


def campaigns(words: Sequence[str], named: Sequence[str], seeds: Sequence[int], trials: int, *, jobs: int) -> Done:
    """All campaigns of these schedulers, at every noise."""
    versions = {f"{name}|{noise}": task.version for name, task in tasks().items() for noise in NOISES}
    keys = [Key(f"{name}|{noise}", seed, trials) for seed in seeds for name in named for noise in NOISES]
    kept = {one: Kept(one, pair_fingerprint(f"random+{one}"), "campaigns") for one in words}
    return finish(kept, keys, versions, _one, jobs=jobs)


class Summary(NamedTuple):
    """What a scheduler did over many campaigns."""

    by_task: dict[str, float]
    """Share of would-be winners cancelled, where there were any."""
    winners: int
    saved: float
    lost: float

    @property
    def mean(self) -> float:
        return statistics.fmean(self.by_task.values()) if self.by_task else 0.0

    @property
    def worst(self) -> tuple[str, float]:
        return max(self.by_task.items(), key=lambda item: item[1], default=("", 0.0))


def summary(lines: dict[Key, Line], within: str = "") -> Summary:
    """Over campaigns on tasks whose name begins so."""
    groups: defaultdict[str, list[Outcome]] = defaultdict(list)
    for key, line in lines.items():
        if key.task.startswith(within):
            groups[key.task.rpartition("|")[0]].append(Outcome(*line.seen))  # type: ignore[arg-type]
    totals = {name: (sum(o.cancelled for o in of), sum(o.winners for o in of)) for name, of in groups.items()}
    every = [outcome for of in groups.values() for outcome in of]
    return Summary(
        {name: cancelled / winners for name, (cancelled, winners) in totals.items() if winners},
        int(sum(winners for _, winners in totals.values())),
        statistics.fmean(outcome.saved for outcome in every),
        statistics.fmean(outcome.lost for outcome in every),
    )


def explore() -> int:
    """The table that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedulers", required=True, help="comma-separated; $T is the last epoch")
    parser.add_argument(
        "--tasks", default="", help="beginnings of names: lcbench, mlp, lcbench-3945, …; all where left out"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--trials", type=int, default=SHORT)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    named = [name for name in tasks() if name.startswith(tuple(given.tasks.split(",")))]
    done = campaigns(given.schedulers.split(","), named, range(given.seeds), given.trials, jobs=given.jobs)
    for words, lines in done.items():
        of = summary(lines)
        print(
            f"{words}: {of.mean:.2%} of {of.winners} would-be winners cancelled, at most {of.worst[1]:.2%} "
            f"({of.worst[0]}); {of.saved:.1%} of the steps saved, {of.lost:.4f} lost"
        )
        for name, share in of.by_task.items():
            print(f"    {name:<36}{share:>8.2%}")
    return 0


def ask(result: Result, sizes: Sizes) -> None:
    if sizes.quick:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["TRIALIST_BENCHMARKS_CACHE"] = folder
            done = campaigns(["median"], ["lcbench-3945|val_accuracy"], range(1), 10, jobs=1)
            _figures(result, done, 10)
        return
    there = [words for words in SCHEDULERS if words.partition("?")[0] in names("scheduler")]
    named = list(tasks())
    _figures(result, campaigns(there, named, range(SEEDS), SHORT, jobs=JOBS), SHORT)
    few = [name for name in named if not name.endswith(METRICS["val_cross_entropy"].name)]
    _figures(result, campaigns(there, few, range(1), LONG, jobs=JOBS), LONG)


def _figures(result: Result, done: Done, trials: int) -> None:
    for words, lines in done.items():
        plain = words.partition("?")[0]
        whole, asked = summary(lines), plain == "forecast"
        for group in ("lcbench", "mlp"):
            if any(key.task.startswith(group) for key in lines):
                of = summary(lines, group)
                result.add(f"{plain}, {trials} trials, {group}: winners cancelled", "% of them", [1e2 * of.mean])
                result.add(f"{plain}, {trials} trials, {group}: steps saved", "%", [1e2 * of.saved])
                result.add(f"{plain}, {trials} trials, {group}: lost", "normalised regret", [of.lost])
        result.compare(
            f"of 2%: winners cancelled by {plain}, {trials} trials, mean over tasks",
            [1e2 * whole.mean],
            [2.0],
            at_most=1.0 if asked else None,
        )
        if trials == SHORT and asked:
            name, worst = whole.worst
            result.compare(f"of 4%: the task where {plain} cancels most winners", [1e2 * worst], [4.0], at_most=1.0)
            result.compare(f"of 45%: steps saved by {plain}", [1e2 * whole.saved], [45.0], at_least=1.0)
            result.notes.append(f"The task where {plain} cancels most winners is {name.replace('|', ', ')}.")
        result.notes.append(f"{plain}, {trials} trials: {len(lines)} campaigns, {whole.winners} would-be winners.")


if __name__ == "__main__":
    if "--schedulers" in sys.argv:
        sys.exit(explore())
    sys.exit(main(ask, question="forecast", about=ABOUT, packages=["onnxruntime", "scikit-learn"]))
