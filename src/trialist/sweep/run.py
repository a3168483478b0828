"""A sweep from its options to its end: planned, checked, made, led, summed up; or taken up again.

The composition of this door: it reads the config, creates the study, and hands it to the engine with an executor.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from trialist.api.opening import create_study
from trialist.api.study import Study
from trialist.config import Document, load_yaml
from trialist.core.errors import StudyExists, TrialistError
from trialist.core.records import Budget, Spec
from trialist.execute.command import CommandExecutor
from trialist.execute.pool import PoolExecutor
from trialist.store.locate import open_store
from trialist.sweep.checks import check_executable, check_names, check_resources
from trialist.sweep.layout import check_prefix, claimed_stem
from trialist.sweep.leaderboard import Leaderboard
from trialist.sweep.leading import Finished, lead_sweep
from trialist.sweep.options import SweepOptions, first_config
from trialist.sweep.plan import Plan, make_plan
from trialist.sweep.record import SweepRecord
from trialist.sweep.resuming import resume
from trialist.sweep.speaking import show_directories, show_end, show_plan, show_queued
from trialist.sweep.unexecuted import depends_on_results, make_directories
from trialist.telemetry.progress import Screen

RUNS = "runs"


class Prepared(NamedTuple):
    """A sweep that has been planned and looked over; nothing is made yet."""

    plan: Plan
    document: Document
    cwd: Path


def run_sweep(options: SweepOptions, screen: Screen) -> int:
    """What ``trialist sweep`` does; returns its exit code.

    0: every run completed (or was stopped early). 1: some failed. 130: interrupted, and can be resumed.

    Args:
        options: What is asked for.
        screen: Where to print; a rich ``Console``.

    Raises:
        TrialistError: What is asked for cannot be; nothing was made.
    """
    options.check()
    cwd = Path.cwd()
    if options.resume is not None:
        return conclude(resume(options, cwd, screen), options, screen, cwd)
    if options.plan:
        prepared = plan_of(options, cwd)
        show_plan(prepared.plan, options, screen, _obstacle(prepared, options))
        return 0
    prepared = prepare(options, cwd)
    if not options.execute:
        directories = make_directories(prepared.plan, prepared.document, cwd / RUNS, options)
        show_directories(prepared.plan, directories, options, screen, cwd)
        return 0
    if not options.quiet and not options.json:
        show_plan(prepared.plan, options, screen)
    if options.queue:
        study, _ = create(prepared, options)
        show_queued(study.name, study.submit(), options, screen)
        return 0
    return conclude(execute(prepared, options, screen), options, screen, cwd)


def plan_of(options: SweepOptions, cwd: Path) -> Prepared:
    """Read the config and plan.

    Raises:
        TrialistError: The config, or what is asked of it, is wrong.
    """
    options.check()
    check_prefix(options.run_prefix)
    check_names(options)
    path = Path(options.config) if options.config is not None else first_config(cwd).relative_to(cwd)
    document = load_yaml(path)
    plan = make_plan(document.marked, options, source=document.file, line_of=document.line_of)
    return Prepared(plan, document, cwd)


def prepare(options: SweepOptions, cwd: Path) -> Prepared:
    """Plan, and look over what is to be executed, so that whatever is wrong is said before a directory is made.

    Raises:
        TrialistError: Something is wrong.
    """
    prepared = plan_of(options, cwd)
    if prepared.plan.execute:
        check_executable(prepared.plan, cwd)
        if not options.queue:  # a worker may have more than this machine
            check_resources(resources_of(options))
    return prepared


def _obstacle(prepared: Prepared, options: SweepOptions) -> str:
    """Why a plan cannot be executed; it is worth seeing all the same, on another machine's behalf for one."""
    try:
        prepare(options, prepared.cwd)
    except TrialistError as error:
        return str(error)
    return ""


def resources_of(options: SweepOptions) -> dict[str, float]:
    """What one run takes of the machine."""
    return {} if options.gpus_per_run is None else {"gpu": options.gpus_per_run}


def execute(prepared: Prepared, options: SweepOptions, screen: Screen) -> Finished:
    """Create the study and lead it to its end."""
    study, record = create(prepared, options)
    return lead_sweep(study, record, options, screen, document=prepared.document)


def create(prepared: Prepared, options: SweepOptions) -> tuple[Study, SweepRecord]:
    """Create the study, its record and its leaderboard; nothing runs yet."""
    plan, document, cwd = prepared
    store = open_store(options.store)
    runs = cwd / RUNS
    budget = Budget(
        num_trials=plan.num_trials,
        jobs=plan.jobs,
        retries=options.retries,
        max_failures=options.max_failures,
    )
    study = None
    while study is None:
        with claimed_stem(
            runs,
            options.run_prefix,
            varies=bool(plan.params),
            now=time.time(),
            is_taken=lambda name: store.find_study(name) is not None,
        ) as stem:
            record = SweepRecord(
                stem=stem,
                source=plan.source,
                text=document.text,
                paths=tuple(param.path for param in plan.params),
                runs=str(runs),
                cwd=str(cwd),
                command=plan.command,
                timeout_s=options.timeout_s,
            )
            # A process in another directory may have taken the name since it was asked for: then the next one.
            with suppress(StudyExists):
                study = create_study(
                    stem,
                    plan.space,
                    metric=None if plan.metric is None else plan.metric.name,
                    mode=None if plan.metric is None else plan.metric.mode.value,
                    metric_required=depends_on_results(plan),
                    searcher=plan.searcher,
                    scheduler=plan.scheduler,
                    seed=options.seed,
                    store=store,
                    budget=budget,
                    door="sweep",
                    config=record.to_json(),
                    objective={"command": list(plan.command)},
                    executor=Spec(name=CommandExecutor.name if options.cold else PoolExecutor.name),
                    resources=resources_of(options),
                )
                Leaderboard(record.paths, plan.metric).write(record.files.leaderboard)
    return study, record


def conclude(finished: Finished, options: SweepOptions, screen: Screen, cwd: Path) -> int:
    """Say how a sweep ended; returns the exit code."""
    show_end(finished.ended, options, screen, cwd)
    return finished.exit_code
