"""``trialist importance``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from trialist.analysis.importance import METHODS, importance
from trialist.cli.options import JsonOption, StoreOption, StudyArgument, opened
from trialist.cli.output import FAINT, Column, clean, console, emit, plural, print_table, say
from trialist.cli.plot import MetricOption

_BAR = 30


def _methods(incomplete: str) -> list[str]:
    return [method for method in METHODS if method.startswith(incomplete)]


def importance_(
    name: StudyArgument,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="ped_anova: what tells the best trials from all; fanova: what explains the value (needs scikit-learn).",
            autocompletion=_methods,
        ),
    ] = "ped_anova",
    metric: MetricOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Which parameters mattered in a study.

    Shares sum to 100%; a parameter of one branch only counts where that branch was taken.
    """
    with opened(name, store) as study:
        found = importance(study, method=method, metric=metric)
        if as_json:
            emit(
                {
                    "study": study.name,
                    "method": found.method,
                    "metric": found.metric,
                    "trials": found.trials,
                    "importance": found.shares,
                    "note": found.note,
                }
            )
            return
        to = console()
        how = "PED-ANOVA" if method == "ped_anova" else "fANOVA"
        say(to, f"{how} of {clean(found.metric)}, {plural(found.trials, 'trial')}", FAINT)
        if any(found.shares.values()):
            most = max(found.shares.values())
            rows = [
                (clean(path), f"{100 * share:.1f}%", Text("█" * round(_BAR * share / most), style="cyan"))
                for path, share in found.shares.items()
            ]
            print_table(to, [Column("PARAM", gives_way=True), Column("SHARE", right=True), Column("")], rows)
        if found.note:
            say(to, found.note, "yellow")
