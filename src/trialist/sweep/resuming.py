"""Goes on with a sweep that was interrupted, killed, or given more to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from trialist.api.opening import load_study
from trialist.api.study import Study
from trialist.core.errors import ConfigError
from trialist.core.records import Study as StudyRow
from trialist.core.states import TrialStatus
from trialist.store.locate import open_store
from trialist.sweep.leading import Finished, lead_sweep, total_runs
from trialist.sweep.options import SweepOptions
from trialist.sweep.record import SweepRecord
from trialist.sweep.speaking import print_text
from trialist.telemetry.progress import Screen


def resume(options: SweepOptions, cwd: Path, screen: Screen) -> Finished:
    """Go on with a sweep: runs that ended stay as they are, all others are made.

    Raises:
        NotFound: There is no sweep of this name.
        ConfigError: It is no sweep, has nothing left to do, or none was interrupted here.
        StudyLed: Another process leads it.
    """
    if options.resume:
        study = load_study(options.resume, store=options.store)
    else:
        study = last_interrupted(options.store, cwd)
    row = study.row
    record = SweepRecord.from_json(row.spec.config, study.name)
    budget = replace(
        row.spec.budget,
        jobs=row.spec.budget.jobs if options.jobs is None else options.jobs,
        num_trials=row.spec.budget.num_trials if options.num_trials is None else options.num_trials,
    )
    if _has_ended(row) and budget.num_trials == row.spec.budget.num_trials:
        why = f" ({row.reason})" if row.reason else ""
        failed = row.count(TrialStatus.FAILED)
        retry = f" Try the failed ones again with 'trialist retry {study.name} --failed'." if failed else ""
        raise ConfigError(f"the sweep '{study.name}' is {row.status}{why}: nothing is left to resume.{retry}")
    if not options.quiet and not options.json:
        done = sum(row.count(status) for status in TrialStatus if status.is_terminal)
        print_text(
            screen,
            f"Going on with {study.name} ({record.source}): {done} of {total_runs(study, budget)} runs are done.",
        )
    if options.timeout_s is not None:
        record = replace(record, timeout_s=options.timeout_s)
    return lead_sweep(study, record, options, screen, budget=budget)


def last_interrupted(store_url: str | None, cwd: Path) -> Study:
    """The last sweep of this directory that has something left to do and that nobody leads.

    Raises:
        ConfigError: There is none; says what there is instead.
    """
    elsewhere: list[str] = []
    led: list[str] = []
    for study in _unfinished(store_url):
        record = SweepRecord.from_json(study.row.spec.config, study.name)
        leader = study.leader
        if Path(record.cwd) != cwd:
            elsewhere.append(f"{study.name} (in {record.cwd})")
        elif leader is not None:
            led.append(f"{study.name} ({leader})")
        elif study.row.in_line_since is not None:
            led.append(f"{study.name} (waits for a worker)")
        else:
            return study
    hint = f" Still running: {', '.join(led[:3])}." if led else ""
    hint += f" Interrupted elsewhere: {', '.join(elsewhere[:3])}; give the name to resume one." if elsewhere else ""
    raise ConfigError(f"no sweep of '{cwd}' was interrupted, so there is nothing to resume.{hint}")


def _unfinished(store_url: str | None) -> Iterator[Study]:
    """Sweeps that have not ended, the last one first."""
    store = open_store(store_url)
    cursor = None
    while True:
        page = store.list_studies(limit=200, cursor=cursor)
        for row in page.studies:
            if row.spec.door == "sweep" and not _has_ended(row):
                yield Study(store, row)
        cursor = page.cursor
        if cursor is None:
            return


def _has_ended(row: StudyRow) -> bool:
    """Whether nothing is left to do: a retry or a clone may have been asked for after the end."""
    return row.status.is_ended and row.count(*(status for status in TrialStatus if not status.is_terminal)) == 0
