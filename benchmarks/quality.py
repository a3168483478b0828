"""How good are searchers after 50 and 100 trials, beside Optuna, Hyperopt and SMAC?

To tune a searcher, name it, the tasks and the seeds:

    python benchmarks/quality.py --searchers gp,tpe,random --tasks lcbench,svm --seeds 3 --jobs 1

Options of a searcher follow its name: ``gp?noise=0.01&start=8``; ``some.module:Class`` is a searcher that is not registered.
Peers: ``optuna-tpe``, ``optuna-tpe-univariate``, ``optuna-gp``, ``hyperopt-tpe``, ``smac``. Finished courses are kept in
``benchmarks/cache`` under a hash of the searcher's source, so only what has changed runs again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace

from measuring import Ratio, Result, Sizes, main
from tasks import COUNTED, GROUPS, Task, find
from tuning.compare import Cell, Times, mean_ranks, regret_at, times
from tuning.kept import best_known, save_best
from tuning.peers import PEERS, missing
from tuning.running import Done, run

from trialist.registry import names

ABOUT = """
Normalised regret of the best of 50 and of 100 trials, one trial at a time: 0 is the best loss that anything has ever found on
the task, 1 is the median of random params. Ten tasks are learning-curve surrogates of neural networks (LCBench), where a trial
is a full training; eight are real trainings of scikit-learn on bundled data, five of them with conditional parameters. Every
searcher has the same seeds and budgets, and each gets conditional spaces in the form that suits it best (Optuna defines them
as it runs, Hyperopt nests choices, SMAC has conditions). Ten seeds; three for Optuna's GP and SMAC, which take long. A figure's
spread is that of the seeds; a ratio of mean regrets has its paired bootstrap 95% interval over (task, seed) beside it.
"""
BAR = "optuna-tpe"
OURS = ("auto", "gp", "tpe", "cmaes", "sobol", "random")
SLOW = ("optuna-gp", "smac")
QUICK_PEERS = ("optuna-tpe", "hyperopt-tpe")
CANARIES = "valley,network"
TRIALS = (50, 100)
SEEDS, FEW_SEEDS, JOBS = 10, 3, 2
TARGETS = {("lcbench", 50): 0.35, ("lcbench", 100): 0.2, ("real", 50): 0.7, ("real", 100): 0.6}
"""What ``auto``'s mean regret should be of Optuna's TPE's."""
Values = dict[str, dict[Cell, float]]
"""By searcher: regrets by cell."""


def regrets(done: Done, tasks: Sequence[Task], trials: int, best: Mapping[str, float]) -> Values:
    """The normalised regrets after so many trials, given the best losses known."""
    median = {task.name: task.median for task in tasks}
    return {
        name: {
            (key.task, key.seed): regret_at(line.seen, line.true, trials, best[key.task], median[key.task])
            for key, line in courses.items()
            if key.task in median
        }
        for name, courses in done.items()
    }


def told(done: Done, tasks: Sequence[Task], at: Sequence[int], *, by_task: bool = False) -> str:
    """Tables for a terminal: a group at a time, then each task."""
    lines: list[str] = []
    groups = {group: [task for task in tasks if task.group == group] for group in GROUPS}
    if groups["lcbench"] and groups["real"]:
        groups = {"all that count": [*groups["lcbench"], *groups["real"]], **groups}
    if by_task:
        groups.update({task.name: [task] for task in tasks})
    best = best_known(tasks)
    for group, members in groups.items():
        if members:
            lines += [*_table(group, {trials: regrets(done, members, trials, best) for trials in at}, done), ""]
    return "\n".join(lines)


def _table(group: str, values: Mapping[int, Values], done: Done) -> list[str]:
    ranks = {trials: mean_ranks(of) for trials, of in values.items()}
    first = next(iter(values.values()))
    cells = len(set.intersection(*(set(of) for of in first.values())))
    head = f"{group} ({cells} courses in common)"
    lines = [
        f"{head:<42}"
        + "".join(f"{f'regret @{n}':>12}{'rank':>6}{'x ' + BAR:>22}" for n in values)
        + f"{'ms an ask':>11}"
    ]
    for name in sorted(first, key=lambda name: statistics.fmean(list(values.values())[-1][name].values() or [9.0])):
        row = f"  {name[:40]:<40}"
        for trials, of in values.items():
            if not of[name]:
                continue
            ratio: Times | None = times(of[name], of[BAR]) if BAR in of and name != BAR else None
            row += f"{statistics.fmean(of[name].values()):>12.4f}{ranks[trials].get(name, float('nan')):>6.2f}"
            row += f"{ratio or ''!s:>22}"
        mine = [line for key, line in done[name].items() if (key.task, key.seed) in first[name]]
        asks = sum(len(line.seen) for line in mine)
        lines.append(row + (f"{1e3 * sum(line.asking_s for line in mine) / asks:>11.1f}" if asks else ""))
    return lines


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searchers", required=True, help="comma-separated; Optuna's TPE is always beside them")
    parser.add_argument("--tasks", default=",".join(COUNTED), help=f"groups ({', '.join(GROUPS)}) or tasks")
    parser.add_argument("--seeds", default="3", help="how many, or a range: 10:13")
    parser.add_argument("--trials", default="50,100", help="after how many regrets are told; the last is the budget")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--by-task", action="store_true", help="a table for each task too")
    parser.add_argument("--save-best", action="store_true", help="write the best values found to data/best.json")
    return parser.parse_args()


def explore() -> int:
    """The table that the command line asks for."""
    given = command_line()
    searchers = list(dict.fromkeys([*given.searchers.split(","), BAR]))
    absent = set(missing()) & set(searchers)
    if absent:
        print(f"not installed, and left out: {', '.join(sorted(absent))}")
    searchers = [name for name in searchers if name not in absent]
    for name in searchers:
        if ":" not in name and name not in PEERS and name.partition("?")[0] not in names("searcher"):
            raise SystemExit(f"no searcher is called '{name}': there are {', '.join((*names('searcher'), *PEERS))}")
    low, _, high = given.seeds.rpartition(":")
    at = sorted(int(trials) for trials in given.trials.split(","))
    tasks = find(given.tasks)
    done = run(searchers, tasks, range(int(low or 0), int(high)), at[-1], jobs=given.jobs)
    print(told(done, tasks, at, by_task=given.by_task))
    if given.save_best:
        print(f"new best values: {', '.join(save_best(tasks)) or 'none'}")
    return 0


def ask(result: Result, sizes: Sizes) -> None:
    if sizes.quick:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["TRIALIST_BENCHMARKS_CACHE"] = folder
            tasks = [replace(task, pool=50) for task in find("lcbench-3945,branin")]
            done = run(["random", *(set(QUICK_PEERS) - set(missing()))], tasks, range(1), 12)
            _report(result, done, tasks, (6, 12))
            return
    tasks = find(",".join(COUNTED))
    ours = [name for name in OURS if name in names("searcher")]
    absent = sorted(missing())
    fast = [name for name in (*ours, *PEERS) if name not in (*SLOW, *absent)]
    slow = [name for name in SLOW if name not in absent]
    done = run(fast, tasks, range(SEEDS), TRIALS[-1], jobs=JOBS)
    done |= run(slow, tasks, range(FEW_SEEDS), TRIALS[-1], jobs=JOBS)
    _report(result, done, tasks, TRIALS)
    if absent:
        result.notes.append(f"Not installed, and so not compared with: {', '.join(absent)}.")
    result.notes.append(_canary([name for name in (*ours, *PEERS) if name not in absent]))


def _report(result: Result, done: Done, tasks: Sequence[Task], at: Sequence[int]) -> None:
    best = best_known(tasks)
    for group in GROUPS:
        members = [task for task in tasks if task.group == group]
        if members:
            for trials in at:
                _figures(result, group, regrets(done, members, trials, best), trials)
    for trials in at:
        everywhere = regrets(done, tasks, trials, best)
        _ranked(result, everywhere, trials)


def _figures(result: Result, group: str, values: Values, trials: int) -> None:
    for name, of in sorted(values.items(), key=lambda item: statistics.fmean(item[1].values())):
        by_seed = {seed: [value for (_, s), value in of.items() if s == seed] for seed in sorted({s for _, s in of})}
        result.add(
            f"{group} @{trials}: {name}", "normalised regret", [statistics.fmean(one) for one in by_seed.values()]
        )
    for name, of in values.items():
        ratio = times(of, values[BAR]) if BAR in values and name not in PEERS else None
        if ratio is None:
            continue
        words = f"of Optuna's TPE's regret, {group} @{trials}: {name}"
        asked = TARGETS.get((group, trials)) if name == "auto" else None
        result.ratios.append(Ratio(name=words, values=(ratio.low, ratio.ratio, ratio.high), at_most=asked))
        if asked is not None:
            words = f"the upper end of its 95% interval, {group} @{trials}: {name}"
            result.ratios.append(Ratio(name=words, values=(ratio.high,), at_most=1.0))


def _ranked(result: Result, values: Values, trials: int) -> None:
    """Mean ranks over all tasks: of those with ten seeds, and of all over the seeds that all have."""
    few = {name for name in values if name in SLOW}
    for names_of, words in ((set(values) - few, "all seeds"), (set(values), "three seeds, all peers")):
        if not few and words != "all seeds":
            continue
        ranks = mean_ranks({name: of for name, of in values.items() if name in names_of})
        for name, rank in sorted(ranks.items(), key=lambda item: item[1]):
            result.add(f"everywhere @{trials}: {name}", f"mean rank of {len(ranks)}, {words}", [rank])
        peers = [name for name in ranks if name in PEERS]
        if "auto" in ranks and peers:
            share = ranks["auto"] / min(ranks[name] for name in peers)
            name = f"of the best peer's mean rank, {words}, @{trials}: auto"
            result.ratios.append(Ratio(name=name, values=(share,), at_most=1.0))
    for name, peers in (("auto", [name for name in values if name in PEERS]), ("tpe", [BAR])):
        ratios = [times(values[name], values[peer]) for peer in peers] if name in values else []
        worst = max((one for one in ratios if one), key=lambda one: one.ratio, default=None)
        if worst is not None:
            words = f"of {'the best peer' if name == 'auto' else BAR}'s mean regret, everywhere @{trials}: {name}"
            result.ratios.append(Ratio(name=words, values=(worst.low, worst.ratio, worst.high), at_most=1.0))


def _canary(searchers: Sequence[str]) -> str:
    """Whether each searcher searches at all: what it tries later on must be better than random, on the whole."""
    done = run(searchers, find(CANARIES), range(1), TRIALS[-1], jobs=JOBS)
    late = {
        name: {key.task: statistics.fmean(line.true[TRIALS[0] :]) for key, line in lines.items()}
        for name, lines in done.items()
        if name not in ("random", "sobol")
    }
    base = {key.task: statistics.fmean(line.true) for key, line in done["random"].items()}
    shares = {name: statistics.fmean(of[task] / base[task] for task in base) for name, of in late.items()}
    off = [name for name, share in shares.items() if share > 0.8]
    words = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    verdict = f"**Like random, so not really on: {', '.join(off)}.**" if off else "So all are really on."
    return (
        f"On two smooth functions that do not count, the mean loss of trials {TRIALS[0] + 1} to {TRIALS[-1]} as a share of the "
        f"mean loss of random params: {words}. {verdict}"
    )


if __name__ == "__main__":
    if "--searchers" in sys.argv:
        sys.exit(explore())
    sys.exit(
        main(
            ask, question="quality", about=ABOUT, packages=["optuna", "hyperopt", "smac", "scikit-learn", "onnxruntime"]
        )
    )
