"""What is seen of ``study.run`` at a terminal. Rich is loaded with the first bar; knows no store."""

from __future__ import annotations

import sys

from trialist.core.records import Budget, Study, Trial
from trialist.space import SearchSpace
from trialist.telemetry.progress import Bar, Tally


def shows_progress(asked: bool | None) -> bool:
    """Whether to show a bar: as asked, else where standard error is a terminal."""
    return sys.stderr.isatty() if asked is None else asked


def progress_bar(study: Study, budget: Budget, space: SearchSpace) -> Bar:
    """A bar over the trials of a study that is about to be led."""
    from rich.console import Console

    total = budget.num_trials
    if total is None and study.spec.searcher.name == "grid":
        total = space.count()
    tally = Tally(total, study.metric, budget.jobs, study.spec.is_feasible)
    ended = sum(count for status, count in study.counts.items() if status.is_terminal)
    tally.resume(ended, study.best_value, study.active_s)
    return Bar(tally, Console(stderr=True), _name)


def _name(trial: Trial) -> str:
    return f"trial {trial.number}"
