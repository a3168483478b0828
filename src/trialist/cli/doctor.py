"""``trialist doctor``."""

from __future__ import annotations

from collections.abc import Iterable

import typer
from rich.text import Text

from trialist.cli.checks import Check, Verdict, all_checks
from trialist.cli.options import JsonOption, StoreOption
from trialist.cli.output import FAINT, clean, console, emit, say

_MARKS = {Verdict.OK: ("ok", "green"), Verdict.WARN: ("warn", "yellow"), Verdict.BAD: ("bad", "bold red")}


def doctor(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Check this machine and the store.

    Every line is ok, warn or bad, and says what to do about it. The exit code is 1 if any is bad.
    """
    checks = list(all_checks(store))
    bad = any(check.verdict is Verdict.BAD for check in checks)
    if as_json:
        emit({"ok": not bad, "checks": [check._asdict() for check in checks]})
    else:
        _print(checks)
    raise typer.Exit(1 if bad else 0)


def _print(checks: Iterable[Check]) -> None:
    to = console()
    for check in checks:
        mark, style = _MARKS[check.verdict]
        text = Text.assemble((f"{mark:<6}", style), (f"{check.name:<16}", FAINT), clean(check.found))
        text.no_wrap, text.overflow = False, "fold"
        say(to, text)
        if check.advice:
            say(to, Text(f"      {'':<16}→ {clean(check.advice)}"))
