"""``--no-execute``: the directories and configs of a sweep, and nothing else.

Knows searchers that need no results; opens no store.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trialist import registry
from trialist.config import Document
from trialist.core.errors import ConfigError
from trialist.core.events import Event, Reported, TrialEnded, TrialSuggested
from trialist.core.ports import Searcher
from trialist.core.records import Suggestion, Trial
from trialist.sweep.layout import claimed_stem
from trialist.sweep.making import RunMaker
from trialist.sweep.options import SweepOptions
from trialist.sweep.plan import Plan
from trialist.sweep.record import SweepRecord

_RESULTS: frozenset[type] = frozenset({Reported, TrialEnded})
"""The events that tell how a run does."""


def make_directories(plan: Plan, document: Document, runs: Path, options: SweepOptions) -> list[Path]:
    """Make all of them, or none: what was begun is taken away where one cannot be made.

    Raises:
        ConfigError: The searcher needs results, or the files cannot be written.
    """
    suggestions = params_of(plan, options.seed)
    with claimed_stem(runs, options.run_prefix, varies=bool(plan.params), now=time.time()) as stem:
        maker = RunMaker(
            SweepRecord(
                stem=stem,
                source=plan.source,
                text=document.text,
                paths=tuple(param.path for param in plan.params),
                runs=str(runs),
                cwd=str(runs.parent),
                command=plan.command,
            ),
            document,
        )
        made: list[Path] = []
        try:
            for number, params in enumerate(suggestions):
                files = maker.record.files.run(maker.name(number, params))
                maker.make(files, params, new=True)
                made.append(files.directory)
        except BaseException as error:
            for directory in made:
                shutil.rmtree(directory, ignore_errors=True)
            if isinstance(error, OSError):
                problem = (
                    f"'{error.filename or runs}' cannot be made: {error.strerror or error}. Nothing was left behind."
                )
                raise ConfigError(problem) from error
            raise
    return made


def params_of(plan: Plan, seed: int) -> Iterator[Mapping[str, Any]]:
    """The params of all runs, where they can be known beforehand.

    Raises:
        ConfigError: The searcher chooses by results; raised at the call.
    """
    searcher = _searcher(plan, seed)
    if searcher.reads & _RESULTS:
        raise ConfigError(
            f"--search {plan.searcher} chooses by the results of earlier runs, so there is nothing to make before they run; "
            "with --no-execute choose grid, random or sobol."
        )
    return _suggested(searcher, plan.num_runs)


def depends_on_results(plan: Plan) -> bool:
    """Whether something is decided by what the runs tell, so that one that tells nothing has failed."""
    return plan.scheduler not in (None, "fifo") or bool(_searcher(plan, 0).reads & _RESULTS)


def _searcher(plan: Plan, seed: int) -> Searcher:
    metrics = () if plan.metric is None else (plan.metric,)
    made: Searcher = registry.load("searcher", plan.searcher)(plan.space, metrics=metrics, seed=seed)
    return made


def _suggested(searcher: Searcher, count: int) -> Iterator[Mapping[str, Any]]:
    for number in range(count):
        suggestion = searcher.suggest(number)
        if not isinstance(suggestion, Suggestion):
            return
        yield suggestion.params
        if TrialSuggested in searcher.reads:
            body = TrialSuggested(
                trial=number,
                params=suggestion.params,
                seed=0,
                source=searcher.name,
                seen_seq=number,
                note=suggestion.note,
            )
            trial = Trial(number=number, params=suggestion.params, source=searcher.name, note=suggestion.note)
            searcher.update(Event(seq=number + 1, at=0.0, body=body), trial)
