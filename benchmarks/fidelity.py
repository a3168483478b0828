"""How good is what four asynchronous workers have found after the time of 3, 10, 20 and 30 full trainings?

To look at some pairs of a searcher and a scheduler (``$T`` is the last epoch):

    python benchmarks/fidelity.py --pairs 'gp+asha?min_steps=5&max_steps=$T,random+median' --seeds 3 --metric val_cross_entropy --noise 0.03

Peers: ``optuna-tpe``, ``optuna-tpe+median``, ``optuna-tpe+hyperband``, ``optuna-gp+median``. Finished races are kept in
``benchmarks/cache`` under a hash of the source of both, so only what has changed runs again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

from measuring import Ratio, Result, Sizes, main
from tasks.curves import METRICS, CurveTask, lcbench_curves, mlp_curves
from threadpoolctl import threadpool_limits
from tuning.compare import Cell, mean_ranks, times
from tuning.kept import Kept, Key, Line
from tuning.race import Race
from tuning.racers import OPTUNA, pair_fingerprint, racer
from tuning.running import Done, finish

from trialist.registry import names

ABOUT = """
Normalised regret of whatever looked best at any epoch, after the time in which so many trainings of all 52 epochs fit, with
four asynchronous workers in virtual time: 0 is the best value that anything has ever found on the task, 1 the median of random
params after a full training. Tasks are the ten learning-curve surrogates (LCBench). An epoch costs 1 whatever the params are;
pausing, resuming from a checkpoint and deciding cost nothing. Ours run through their ports as the engine drives them, Optuna's
through ask, report, should_prune and tell. Ten seeds; a figure's spread is that of the seeds, and a ratio of mean regrets has
its paired bootstrap 95% interval over (task, seed) beside it. Beside the first setting, the pair that is best there also runs with
a minimised metric (cross-entropy), with noise on every report (its standard deviation a tenth of the way from the best value to
the median), and with epochs that cost the seconds that the surrogate says, three seeds each.
"""
AT = (3, 10, 20, 30)
BAR = "optuna-tpe"
SEEDS, FEW_SEEDS, JOBS = 10, 3, 2
WORKERS = 4
RUNGS = "min_steps=5&max_steps=$T"
PLAIN = (f"random+asha?{RUNGS}", f"random+asha?{RUNGS}&variant=stop")
"""Plain ASHA: promoting and stopping."""
SEARCHERS = ("auto", "gp", "tpe")
SCHEDULERS = {"asha": RUNGS, "hyperband": "max_steps=$T", "forecast": "max_steps=$T"}
"""Those that are raced, with options."""
SLOW = ("optuna-gp+median",)
TARGET = 0.07
"""Mean regret of our best pair after 30 trainings."""


class Setting(NamedTuple):
    """What races are about, beside the task and the seed."""

    metric: str = "val_accuracy"
    noise: float = 0.0
    by_time: bool = False

    def named(self, task: str) -> str:
        return f"{task}|{self.metric}|{self.noise}|{'time' if self.by_time else 'epoch'}"

    @classmethod
    def of(cls, name: str) -> tuple[str, Setting]:
        task, metric, noise, cost = name.split("|")
        return task, cls(metric, float(noise), cost == "time")


OTHERS = (Setting(metric="val_cross_entropy"), Setting(noise=0.1), Setting(by_time=True))
"""Settings that our best pair is tried in beside the first: a minimised metric, noise, and epochs that cost what they take."""


def tasks_of(setting: Setting) -> dict[str, CurveTask]:
    """The tasks that have this metric."""
    tasks = lcbench_curves(setting.metric) if setting.metric in METRICS else mlp_curves()
    return {task.name: task for task in tasks}


def race_one(words: str, key: Key) -> Line:
    """A race, from start to end, on one thread."""
    name, setting = Setting.of(key.task)
    task = tasks_of(setting)[name]
    race = Race(
        task=task,
        seed=key.seed,
        workers=WORKERS,
        noise=setting.noise,
        by_time=setting.by_time,
        budget=float(key.trials),
    )
    with threadpool_limits(1):
        race.run(racer(words, task, key.seed, jobs=WORKERS))
    at, losses = zip(*race.trace, strict=True)
    return Line(key, task.version, at, losses, {}, 0.0)


def race_all(
    pairs: Sequence[str],
    setting: Setting,
    tasks: Sequence[str],
    seeds: Sequence[int],
    *,
    jobs: int,
    budget: int = AT[-1],
) -> Done:
    """All races of these pairs."""
    versions = {setting.named(task.name): task.version for task in tasks_of(setting).values()}
    keys = [Key(setting.named(task), seed, budget) for seed in seeds for task in tasks]
    kept = {words: Kept(words, pair_fingerprint(words), "races") for words in pairs}
    return finish(kept, keys, versions, race_one, jobs=jobs)


def regrets(done: Done, setting: Setting, after: float) -> dict[str, dict[Cell, float]]:
    """Normalised regrets after so many full trainings, by pair and cell."""
    tasks = tasks_of(setting)
    best = {setting.named(name): task.scale[0] for name, task in tasks.items()}
    unit = {setting.named(name): task.unit for name, task in tasks.items()}
    for races in done.values():
        for key, line in races.items():
            best[key.task] = min(best[key.task], *line.true)
    return {
        words: {
            (key.task, key.seed): (_after(line, after) - best[key.task]) / unit[key.task] for key, line in races.items()
        }
        for words, races in done.items()
    }


def _after(line: Line, trainings: float) -> float:
    """The loss of what looked best by then; the first one's, where there was none yet."""
    known = [loss for at, loss in zip(line.seen, line.true, strict=True) if at <= trainings]
    return known[-1] if known else line.true[0]


def told(done: Done, setting: Setting) -> str:
    """A table for a terminal."""
    values = {after: regrets(done, setting, after) for after in AT}
    ranks = {after: mean_ranks(of) for after, of in values.items()}
    lines = [f"{setting!s:<58}" + "".join(f"{f'@{after}':>9}{'rank':>6}" for after in AT) + f"{f'@10 x {BAR} @20':>26}"]
    for words in sorted(done, key=lambda words: statistics.fmean(values[10][words].values())):
        row = f"  {words[:55]:<56}"
        for after in AT:
            row += (
                f"{statistics.fmean(values[after][words].values()):>9.4f}{ranks[after].get(words, float('nan')):>6.2f}"
            )
        ratio = times(values[10][words], values[20].get(BAR, {}))
        lines.append(f"{row}{ratio or ''!s:>26}")
    return "\n".join(lines)


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pairs", required=True, help="comma-separated; Optuna's TPE without a pruner is always beside them"
    )
    parser.add_argument("--metric", default="val_accuracy", help=f"{', '.join(METRICS)}; mlp: real trainings (slow)")
    parser.add_argument("--tasks", default="", help="comma-separated; all of the metric's where left out")
    parser.add_argument("--noise", type=float, default=0.0, help="in units from the best value to the median")
    parser.add_argument("--cost", choices=("epoch", "time"), default="epoch")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    return parser.parse_args()


def explore() -> int:
    """The table that the command line asks for."""
    given = command_line()
    setting = Setting(given.metric, given.noise, given.cost == "time")
    tasks = [name for name in given.tasks.split(",") if name] or list(tasks_of(setting))
    pairs = list(dict.fromkeys([*given.pairs.split(","), BAR]))
    print(told(race_all(pairs, setting, tasks, range(given.seeds), jobs=given.jobs), setting))
    return 0


def ask(result: Result, sizes: Sizes) -> None:
    if sizes.quick:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["TRIALIST_BENCHMARKS_CACHE"] = folder
            done = race_all((*PLAIN[:1], BAR), Setting(), ["lcbench-3945"], range(1), jobs=1, budget=3)
            _figures(result, done, Setting(), (3,))
            _compare(result, done, Setting())
        return
    ours = [f"{one}+{scheduler}?{options}" for one, scheduler, options in _pairs()]
    peers = [*(name for name in OPTUNA if name not in SLOW), *PLAIN]
    tasks = list(tasks_of(Setting()))
    done = race_all([*ours, *peers], Setting(), tasks, range(SEEDS), jobs=JOBS)
    done |= race_all(SLOW, Setting(), tasks, range(FEW_SEEDS), jobs=JOBS)
    _figures(result, done, Setting(), AT)
    _compare(result, done, Setting())
    best = min(ours, key=lambda words: statistics.fmean(regrets(done, Setting(), 10)[words].values()))
    for setting in OTHERS:
        few = race_all([best, BAR, PLAIN[0]], setting, tasks, range(FEW_SEEDS), jobs=JOBS)
        _figures(result, few, setting, (10, 20, 30))
        _compare(result, few, setting)


def _pairs() -> list[tuple[str, str, str]]:
    """Every searcher with ASHA, and the first with every scheduler."""
    known, there = [one for one in SEARCHERS if one in names("searcher")], names("scheduler")
    pairs = [(one, "asha", SCHEDULERS["asha"]) for one in known]
    return pairs + [
        (known[0], name, options) for name, options in SCHEDULERS.items() if name in there and name != "asha"
    ]


def _words(setting: Setting) -> str:
    """What a setting changes, for a line of the table."""
    parts = [setting.metric.removeprefix("val_") if setting.metric != "val_accuracy" else ""]
    parts += [f"noise {setting.noise:g}" if setting.noise else "", "seconds" if setting.by_time else ""]
    told = ", ".join(filter(None, parts))
    return f" ({told})" if told else ""


def _plain(words: str) -> str:
    """A pair as the page calls it."""
    return (
        words.replace(f"?{RUNGS}", "")
        .replace("?max_steps=$T", "")
        .replace("&variant=stop", " (stop)")
        .replace("+", " + ")
    )


def _figures(result: Result, done: Done, setting: Setting, at: Sequence[int]) -> None:
    for after in at:
        values = regrets(done, setting, after)
        for words, of in sorted(values.items(), key=lambda item: statistics.fmean(item[1].values())):
            seeds = sorted({seed for _, seed in of})
            by_seed = [statistics.fmean(value for (_, s), value in of.items() if s == seed) for seed in seeds]
            result.add(f"@{after}: {_plain(words)}{_words(setting)}", "normalised regret", by_seed)


def _compare(result: Result, done: Done, setting: Setting) -> None:
    """Our best pair after 10 trainings beside the best peer after 20."""
    peers = [words for words in done if words.startswith("optuna-") or words in PLAIN]
    ours = [words for words in done if words not in peers] or list(PLAIN[:1])
    early, late, last = (regrets(done, setting, after) for after in (10, 20, 30))
    best = min(ours, key=lambda words: statistics.fmean(early[words].values()))
    for peer in peers:
        ratio = times(early[best], late[peer])
        if ratio is None or peer == best:
            continue
        name = f"of the regret of {_plain(peer)} @20: {_plain(best)} @10{_words(setting)}"
        result.ratios.append(Ratio(name=name, values=(ratio.low, ratio.ratio, ratio.high), at_most=1.0))
    after = statistics.fmean(last[best].values())
    asked = 1.0 if setting == Setting() else None
    name = f"of a regret of {TARGET:g}: {_plain(best)} @30{_words(setting)}"
    result.ratios.append(Ratio(name=name, values=(after / TARGET,), at_most=asked))


if __name__ == "__main__":
    if "--pairs" in sys.argv:
        sys.exit(explore())
    sys.exit(main(ask, question="fidelity", about=ABOUT, packages=["optuna", "onnxruntime"]))
