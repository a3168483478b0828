"""A plan as text for a terminal, and as JSON. Knows plans; prints nothing."""

from __future__ import annotations

import math
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from trialist.core.records import Mode
from trialist.space import describe
from trialist.sweep.layout import DEFAULT_PREFIX
from trialist.sweep.names import RunNames, tails
from trialist.sweep.plan import Param, Plan, samples

_VALUES = 400
"""Characters of values that are shown of one parameter."""
_LEAST = 30
"""Columns that values need beside their path; with fewer they stand below it."""
_LABEL = 13


def render(plan: Plan, *, prefix: str | None = None, width: int = 80, obstacle: str = "") -> str:
    """The plan, at most ``width`` columns wide but for words that are longer.

    Args:
        plan: What to show.
        prefix: Of the directories, where one was given.
        width: Columns.
        obstacle: Why it cannot be executed as it is.
    """
    lines = list(_values(plan, width))
    lines += [*_facts(plan, prefix, width), *_notes(plan, width)]
    if obstacle:
        lines += ["", *_wrapped(f"This cannot be executed as it is: {obstacle}", "", "", width)]
    return "\n".join(lines).rstrip() + "\n"


def render_made(plan: Plan, *, width: int = 80) -> str:
    """What varies, for runs that are not executed: a blank line at its end."""
    notes = list(_notes(plan, width))
    return "\n".join([*_values(plan, width), *notes, *([""] if notes else [])])


def headline(plan: Plan) -> str:
    """How many runs, and how they are chosen."""
    runs = "1 run" if plan.num_runs == 1 else f"{plan.num_runs:,} runs"
    if not plan.params:
        return f"nothing varies, so there is {runs}"
    sizes = [param.domain.size or 0 for param in plan.params]
    if plan.searcher != "grid":
        return f"{runs}, chosen by {plan.searcher} search"
    product = " × ".join(f"{size:,}" for size in sizes if size > 1)
    if plan.num_runs < math.prod(sizes):
        return f"{runs} of a grid of {product} = {math.prod(sizes):,}"
    return f"{runs}, a grid of {product}" if "×" in product else runs


def values_text(param: Param, width: int = _VALUES) -> str:
    """What a parameter varies over."""
    text = describe(param.domain, width=width)
    some = samples(param.domain)
    return f"{text}; for example {', '.join(f'{value:.3g}' for value in some)}" if some else text


def _values(plan: Plan, width: int) -> Iterator[str]:
    yield from _wrapped(f"{plan.source}: {headline(plan)}", "", "", width)
    yield ""
    if plan.params:
        yield from _table(plan, width)
        yield ""


def _notes(plan: Plan, width: int) -> Iterator[str]:
    for note in plan.notes:
        yield from _wrapped(note, "Note: ", "      ", width)


def _table(plan: Plan, width: int) -> Iterator[str]:
    longest = max(len(param.path) for param in plan.params)
    beside = width - longest - 4 >= _LEAST
    for param in plan.params:
        first = f"  {param.path:<{longest}}  " if beside else "      "
        rest = " " * len(first)
        if not beside:
            yield f"  {param.path}"
        yield from _wrapped(values_text(param), first, rest, width)
        if param.given:
            whence = "new, given" if param.replaced is None else f"given; the file has {_short(param.replaced)}"
            yield from _wrapped(f"({whence})", rest, rest + " ", width)


def _short(text: str, width: int = 60) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _facts(plan: Plan, prefix: str | None, width: int) -> Iterator[str]:
    if plan.execute:
        how_many = "" if plan.num_runs == 1 else ", one at a time" if plan.jobs == 1 else f", {plan.jobs} at a time"
        yield from _fact("Each run" if plan.num_runs != 1 else "Runs", command_text(plan.command), width)
        yield from _fact("", f"({plan.command_why}{how_many}{', warm starts' if plan.warm else ''})", width)
    else:
        yield from _fact("Runs", "nothing: --no-execute makes directories and configs only", width)
    yield from _fact(
        "Directory" if plan.num_runs == 1 else "Directories",
        _short(directory_example(plan, prefix), width - _LABEL),
        width,
    )
    if plan.execute:
        yield from _fact("Leaderboard", _sorted_by(plan), width)
    if plan.scheduler is not None:
        yield from _fact("Scheduler", plan.scheduler, width)


def command_text(command: Sequence[str]) -> str:
    """A command to be read: quoted where a word would not be seen as one, braces left alone."""
    return " ".join(_quoted(word) for word in command)


def _quoted(word: str) -> str:
    if word and not set(word) & set(" \t\n'\"\\"):
        return word
    return f'"{word}"' if "'" in word and not set(word) & set('"\\') else shlex.quote(word)


def _fact(label: str, text: str, width: int) -> list[str]:
    return _wrapped(text, f"{label:<{_LABEL}}", " " * _LABEL, width)


def _sorted_by(plan: Plan) -> str:
    if plan.metric is None:
        return "in the order of the runs; --metric NAME sorts it"
    better = "smallest" if plan.metric.mode is Mode.MIN else "largest"
    return f"by {plan.metric.name}, the {better} first ({plan.metric_why})"


def directory_example(plan: Plan, prefix: str | None) -> str:
    """What the first directory will be called, the time left open."""
    if not plan.params:
        return f"runs/{prefix}_<HHMMSS>" if prefix is not None else "runs/<YYYY-MM-DD>_<HHMMSS>"
    stem = f"{prefix or DEFAULT_PREFIX}_<HHMMSS>"
    paths = [param.path for param in plan.params]
    first = plan.space.grid_point(0) if plan.searcher == "grid" else None
    if first is None:
        return f"runs/{stem}_{'_'.join(f'{tail}_<value>' for tail in tails(paths).values())}"
    return f"runs/{RunNames(stem, paths).name(0, first)}{' …' if plan.num_runs > 1 else ''}"


def _wrapped(text: str, first: str, rest: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, max(width, len(rest) + 20), initial_indent=first, subsequent_indent=rest,
        break_long_words=False, break_on_hyphens=False,
    ) or [first.rstrip()]  # fmt: skip


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON."""
    return {
        "config": plan.source,
        "runs": plan.num_runs,
        "search": plan.searcher,
        "scheduler": plan.scheduler,
        "params": [
            {
                "path": param.path,
                "domain": param.domain.to_json(),
                "count": param.domain.size,
                "given": param.given,
                "replaced": param.replaced,
                "line": param.line,
            }
            for param in plan.params
        ],
        "metric": None if plan.metric is None else plan.metric.name,
        "mode": None if plan.metric is None else plan.metric.mode.value,
        "command": list(plan.command) if plan.execute else None,
        "jobs": plan.jobs,
        "warm": plan.warm,
        "notes": list(plan.notes),
    }
