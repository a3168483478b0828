"""``trialist report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trialist.analysis.analyze import analyze
from trialist.analysis.report.files import write_report
from trialist.analysis.snapshot import snapshot_of
from trialist.cli.options import JsonOption, StoreOption, StudyArgument, opened
from trialist.cli.output import clean, console, emit, number, plural, say, size
from trialist.cli.plot import MetricOption, default_name


def report(
    name: StudyArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Where it goes; without it, STUDY-report.")
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="Of the importance: ped_anova or fanova.")
    ] = "ped_anova",
    top_k: Annotated[
        int, typer.Option("--top-k", metavar="K", min=1, help="How many of the best trials it lists.")
    ] = 10,
    metric: MetricOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a report of any study: a page, pictures, tables.

    report.html is one file that works offline, in light and dark; beside it lie PNGs, trials.csv and best_config.yaml.
    With --json, the analysis and the files are printed.
    """
    with opened(name, store) as study:
        snapshot = snapshot_of(study)
        told = analyze(snapshot, method=method, metric=metric, top_k=top_k)
        folder = out or Path(default_name(study.name, "report"))
        made = write_report(snapshot, folder, told)
        if as_json:
            files = [made.trials, *made.pictures, *([made.best_config] if made.best_config else [])]
            emit(
                {"report": str(made.page), "files": [str(file) for file in files], "note": made.note, "analysis": told}
            )
            return
        best = told["best_trial"]
        score = "no trial counts" if best["number"] is None else f"best {told['metric']} {number(best['score'])}"
        to = console()
        say(to, f"{clean(study.name)}: {plural(told['trials']['total'], 'trial')}, {clean(score)}")
        say(
            to,
            f"wrote {clean(str(made.page))}, {size(made.page.stat().st_size)}, and {plural(len(made.pictures), 'PNG')}",
        )
        if made.note:
            say(to, f"no PNGs: {made.note}", "yellow")
