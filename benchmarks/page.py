"""Writes ``docs/benchmarks.md`` from the figures that the benchmarks left in ``results/``: nobody types a figure.

Without arguments it writes the page; with ``--check`` it says whether the page is what the figures make. Knows no benchmark
but by its JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from measuring import RESULTS, Ratio, Result, figure, from_json, spread

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
ORDER = (
    "overhead",
    "startup",
    "commands",
    "warm",
    "pool",
    "history",
    "million",
    "writers",
    "kill",
    "quality",
    "latency",
    "fidelity",
    "forecast",
    "pbt",
)
TITLES = {
    "overhead": "What a trial costs beside itself",
    "startup": "How long until Trialist is there",
    "commands": "Programs as trials",
    "warm": "Scripts with heavy imports",
    "pool": "Trials in worker processes",
    "history": "What a long history costs",
    "million": "A million trials",
    "writers": "Sixteen writers on one store",
    "kill": "What kills cost",
    "quality": "What searchers find",
    "latency": "How long a suggestion takes",
    "fidelity": "What four workers find on learning curves",
    "forecast": "Would-be winners that are stopped",
    "pbt": "A population against random search",
}
HEAD = """# Benchmarks

Figures against peers, or against a floor that does the same with nothing around it. Peer and Trialist take turns in the same
run on the same machine, after a round that only warms up; a figure is the median of several rounds, with the least and the
greatest beside it. A ratio is taken in each round, and told as the median of these.

This page is written by `make bench`, which runs everything in `benchmarks/` (about an hour and a half on two cores; the
questions about search keep what they have finished in `benchmarks/cache`, so a run that was stopped goes on, and only what
changed runs again) and keeps the figures in `benchmarks/results/`. One question alone: `python benchmarks/overhead.py`, with
`--quick` to see only whether it works. `python benchmarks/page.py` writes this page again from the figures. The learning
curves of LCBench are in `benchmarks/data/lcbench`, with their sources and licence.

To see how one searcher does on some tasks while working on it: `python benchmarks/quality.py --searchers gp,random --tasks
real --seeds 3`; likewise `fidelity.py --pairs` and `forecast.py --schedulers`. Each script's `--help` has more.
"""


def results() -> list[Result]:
    """What full runs left, in the page's order."""
    found = [RESULTS / f"{question}.json" for question in ORDER]
    read = [from_json(json.loads(path.read_text("utf-8"))) for path in found if path.is_file()]
    return [result for result in read if not result.quick]


def page(told: list[Result]) -> str:
    """The whole page."""
    sections = [HEAD, _short(told), *(_section(result) for result in told), _machine(told)]
    return "\n".join(sections)


def _short(told: list[Result]) -> str:
    """What was asked of the figures, those that do not hold first."""
    asked = [(result, ratio) for result in told for ratio in result.ratios if ratio.holds is not None]
    missed = [(result, ratio) for result, ratio in asked if not ratio.holds]
    lines = ["## In short", "", f"{len(asked) - len(missed)} of {len(asked)} targets are reached."]
    if missed:
        lines += ["", "Not reached:", ""]
        lines += [f"- {TITLES[result.question]}: {_words(ratio)}." for result, ratio in missed]
    slower = [
        (result, ratio)
        for result in told
        for ratio in result.ratios
        if ratio.name.startswith("times faster than") and ratio.median < 1
    ]
    if slower:
        lines += ["", "Slower than a peer:", ""]
        lines += [f"- {TITLES[result.question]}: {_words(ratio)}." for result, ratio in slower]
    return "\n".join([*lines, ""])


def _words(ratio: Ratio) -> str:
    asked = ""
    if ratio.at_least is not None:
        asked = f", where at least {figure(ratio.at_least)} is asked for"
    elif ratio.at_most is not None:
        asked = f", where at most {figure(ratio.at_most)} is asked for"
    return f"{figure(ratio.median)} {ratio.name}{asked}"


def _section(result: Result) -> str:
    lines = [f"## {TITLES[result.question]}", "", result.about, ""]
    lines += ["| what | median | least to greatest | unit |", "| --- | ---: | ---: | --- |"]
    lines += [f"| {one.name} | {figure(one.median)} | {spread(one.values)} | {one.unit} |" for one in result.measured]
    if result.ratios:
        lines += ["", "| ratio | median | least to greatest | asked for |", "| --- | ---: | ---: | --- |"]
        lines += [
            f"| {one.name} | {figure(one.median)} | {spread(one.values)} | {_asked(one)} |" for one in result.ratios
        ]
    if result.notes:
        lines += ["", *result.notes]
    versions = ", ".join(f"{name} {number}" for name, number in result.versions.items())
    rounds = max((len(one.values) for one in result.measured), default=0)
    load = result.machine.get("load before", "")
    told = f"{result.taken}; {versions}; {rounds} round{'s' * (rounds != 1)}; load of the machine before: {load or 'unknown'}."
    return "\n".join([*lines, "", told, ""])


def _asked(ratio: Ratio) -> str:
    if ratio.holds is None:
        return ""
    limit = (
        f"at least {figure(ratio.at_least)}" if ratio.at_least is not None else f"at most {figure(ratio.at_most or 0)}"
    )
    return f"{limit}: {'yes' if ratio.holds else '**no**'}"


def _machine(told: list[Result]) -> str:
    """Where they were taken: what all of them say, and else what each says."""
    lines = ["## The machine", ""]
    names = list(dict.fromkeys(name for result in told for name in result.machine if name != "load before"))
    for name in names:
        values = list(dict.fromkeys(result.machine.get(name, "unknown") for result in told))
        lines.append(f"- {name}: {', '.join(values)}")
    return "\n".join([*lines, ""])


def main() -> int:
    told = results()
    if not told:
        print("no figures yet: run the benchmarks first (make bench)")
        return 1
    text = page(told)
    if "--check" in sys.argv:
        same = PAGE.is_file() and PAGE.read_text("utf-8") == text
        print(f"{PAGE.name} is {'what the figures make' if same else 'not what the figures make: run page.py'}")
        return int(not same)
    PAGE.write_text(text, "utf-8")
    print(f"written: {PAGE.name}, from {len(told)} of {len(ORDER)} questions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
