"""A million trials in one study: making them, looking at them, exporting them; time and memory beside those of 10,000."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from measuring import Result, Sizes, elsewhere, main, peak_mib, process, rss_mib

import trialist
from trialist.api.exporting import export_text
from trialist.core.ports import TrialOrder, TrialPage
from trialist.store.paging import ValueCursor, number_cursor, value_cursor

ABOUT = """
One study in SQLite, its no-op trials run by the engine itself (random search, three params, no reports), at 10,000 trials and
at a million. Each line is a process of its own, the start of Python and the imports included where it is a command; memory is
the greatest that was resident. Nothing should grow with the number of trials but the time of what writes all of them out. The
engine's memory is what it holds after a million trials and after 100,000 more in the same process.
"""
SPACE = {
    "lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1},
    "depth": {"type": "randint", "low": 1, "high": 8},
    "kind": ["a", "b", "c"],
}
NAME = "million"
COMMANDS = {
    "trialist list": ["list"],
    "trialist status": ["status", NAME],
    "trialist trials --sort best --limit 10": ["trials", NAME, "--sort", "best", "--limit", "10"],
    "trialist show": ["show", NAME],
    "trialist events": ["events", NAME],
}
Page = Callable[[trialist.Study], TrialPage]


def middle_page(study: trialist.Study) -> TrialPage:
    return study.store.trials(study.id, limit=50, cursor=number_cursor(study.row.num_trials // 2))


def top_ten(study: trialist.Study) -> TrialPage:
    return study.store.trials(study.id, order=TrialOrder("value"), limit=10)


def middle_by_value(study: trialist.Study) -> TrialPage:
    return study.store.trials(study.id, order=TrialOrder("value"), limit=50, cursor=value_cursor(ValueCursor(1e-3, 0)))


PAGES: dict[str, Page] = {
    "the ten best": top_ten,
    "a page in the middle": middle_page,
    "a page in the middle, by value": middle_by_value,
}


def noop(lr: float, depth: int, kind: str) -> float:
    return lr


# --- in processes of their own ---


def grow(url: str, *until: int) -> list[tuple[float, float]]:
    """Run the study until it has so many trials, in one process; seconds and resident MiB at each stop."""
    study = trialist.create_study(NAME, SPACE, metric="loss", mode="min", searcher="random", store=url, resume=True)
    stops = []
    for trials in until:
        began = time.perf_counter()
        study.run(noop, num_trials=trials, progress=False)
        stops.append((time.perf_counter() - began, rss_mib()))
    return stops


def read(urls: list[str], quick: bool) -> dict[str, list[list[float]]]:
    """Milliseconds of each page in each of the studies, again and again in turns."""
    studies = [trialist.load_study(NAME, store=url) for url in urls]

    def case(page: Page, study: trialist.Study) -> float:
        began = time.perf_counter()
        found = page(study)
        milliseconds = 1e3 * (time.perf_counter() - began)
        assert found.trials
        return milliseconds

    cases = {
        f"{name} {at}": partial(case, page, study) for name, page in PAGES.items() for at, study in enumerate(studies)
    }
    took = Sizes(quick).take_turns(cases, 50)
    return {name: [took[f"{name} {at}"] for at in range(len(urls))] for name in PAGES}


def export(url: str, form: str) -> tuple[float, float, int]:
    """Write the study out and forget it; seconds, the peak of this process, and how many characters it were."""
    study = trialist.load_study(NAME, store=url)
    began = time.perf_counter()
    characters = sum(map(len, export_text(study, form)))
    return time.perf_counter() - began, peak_mib(), characters


# --- asking ---


def ask(result: Result, sizes: Sizes) -> None:
    few, many, more = sizes.of(10_000, 20), sizes.of(1_000_000, 60), sizes.of(100_000, 40)
    with tempfile.TemporaryDirectory() as folder:
        urls = {number: f"sqlite:///{folder}/{number}.db" for number in (few, many)}
        for number, url in urls.items():
            _make(result, url, number, more if number == many else 0)
        size_mib = Path(f"{folder}/{many}.db").stat().st_size / 2**20
        result.notes.append(f"The database of {many:,} trials takes {size_mib:,.0f} MiB.")
        _look(result, urls, sizes)
        for name, (few_ms, many_ms) in elsewhere(__file__, "read", list(urls.values()), sizes.quick).items():
            result.add(f"{name}: {few:,} trials", "ms", few_ms)
            result.add(f"{name}: {many:,} trials", "ms", many_ms)
            result.compare(f"times as long with many trials: {name}", many_ms, few_ms, at_most=1.5)
        for form in ("csv", "jsonl"):
            _export(result, urls, form)


def _make(result: Result, url: str, trials: int, more: int) -> None:
    stops = elsewhere(__file__, "grow", url, trials, *([trials + more] if more else []))
    result.add(f"running {trials:,} trials", "s", [stops[0][0]])
    result.add(f"running {trials:,} trials: memory", "MiB", [stops[0][1]])
    if more:
        result.add(f"running {more:,} more: memory", "MiB", [stops[1][1]])
        result.compare("times the memory after those", [stops[1][1]], [stops[0][1]], at_most=1.1)


def _look(result: Result, urls: dict[int, str], sizes: Sizes) -> None:
    """The commands that people type."""
    peaks: dict[str, list[float]] = {}

    def case(name: str, verb: list[str], url: str) -> Callable[[], float]:
        def run() -> float:
            spent = process([sys.executable, "-m", "trialist", *verb, "--store", url])
            peaks.setdefault(name, []).append(spent.peak_mib)
            return 1e3 * spent.seconds

        return run

    commands = dict(list(COMMANDS.items())[: sizes.of(len(COMMANDS), 1)])
    names = {command: {number: f"{command}: {number:,} trials" for number in urls} for command in commands}
    cases = {
        names[command][number]: case(names[command][number], verb, url)
        for command, verb in commands.items()
        for number, url in urls.items()
    }
    took = sizes.take_turns(cases, 5)
    for command in commands:
        few, many = names[command].values()
        for name in (few, many):
            result.add(name, "ms", took[name])
        _flat(result, command, (took[few], took[many]), (peaks[few], peaks[many]))


def _export(result: Result, urls: dict[int, str], form: str) -> None:
    few, many = (elsewhere(__file__, "export", url, form) for url in urls.values())
    for number, (seconds, _, characters) in zip(urls, (few, many), strict=True):
        result.add(f"export to {form}: {number:,} trials, {characters / 2**20:,.0f} MiB", "s", [seconds])
    _flat(result, f"export to {form}", None, ([few[1]], [many[1]]))


def _flat(result: Result, name: str, times: tuple[Any, Any] | None, peaks: tuple[Any, Any]) -> None:
    """Time, where it should not grow, and memory, of many trials over those of few."""
    if times is not None:
        result.compare(f"times as long with many trials: {name}", times[1], times[0], at_most=1.5)
    result.add(f"{name}: memory, many trials", "MiB", peaks[1])
    result.compare(f"times the memory with many trials: {name}", peaks[1], peaks[0], at_most=1.2)


if __name__ == "__main__":
    sys.exit(main(ask, question="million", about=ABOUT))
