"""A sweep from its options to its end: planned, checked, made, led, summed up; or taken up again.

The composition of this door: it reads the config, creates the study, and hands it to the engine with a command executor.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from trialist.api.opening import create_study, load_study
from trialist.api.study import Study
from trialist.config import Document, load_yaml
from trialist.core.errors import ConfigError, StudyExists, TrialistError
from trialist.core.records import Budget, Spec, Trial
from trialist.core.records import Study as StudyRow
from trialist.core.states import StudyStatus, TrialStatus
from trialist.execute.command import CommandExecutor
from trialist.store.locate import open_store
from trialist.sweep.checks import check_executable, check_names, check_resources
from trialist.sweep.layout import check_prefix, claimed_stem
from trialist.sweep.leaderboard import Leaderboard
from trialist.sweep.making import RunMaker
from trialist.sweep.options import SweepOptions, first_config
from trialist.sweep.plan import Plan, make_plan
from trialist.sweep.progress import Bar, Lines, Screen, Silent, Tally
from trialist.sweep.record import SweepRecord
from trialist.sweep.recorder import Recorder
from trialist.sweep.render import plan_json, render
from trialist.sweep.summary import Ended, summary, summary_json
from trialist.sweep.unexecuted import depends_on_results, make_directories

RUNS = "runs"
INTERRUPTED = 130


class Prepared(NamedTuple):
    """A sweep that has been planned and looked over; nothing is made yet."""

    plan: Plan
    document: Document
    cwd: Path


class Finished(NamedTuple):
    """A sweep that was led to its end, or interrupted."""

    exit_code: int
    study: Study
    ended: Ended
    directories: list[Path]


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
        _show_plan(prepared.plan, options, screen, _obstacle(prepared, options))
        return 0
    prepared = prepare(options, cwd)
    if not options.execute:
        directories = make_directories(prepared.plan, prepared.document, cwd / RUNS, options)
        _show_directories(directories, options, screen, cwd)
        return 0
    if not options.quiet and not options.json:
        _show_plan(prepared.plan, options, screen)
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
                    executor=Spec(name=CommandExecutor.name),
                    resources=resources_of(options),
                )
                Leaderboard(record.paths, plan.metric).write(record.files.leaderboard)
    return _lead(study, record, options, screen, document=document)


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
    if row.status.is_ended and budget.num_trials == row.spec.budget.num_trials:
        why = f" ({row.reason})" if row.reason else ""
        failed = row.count(TrialStatus.FAILED)
        retry = f" Try the failed ones again with 'trialist retry {study.name}'." if failed else ""
        raise ConfigError(f"the sweep '{study.name}' is {row.status}{why}: nothing is left to resume.{retry}")
    if not options.quiet and not options.json:
        done = sum(row.count(status) for status in TrialStatus if status.is_terminal)
        _print(
            screen, f"Going on with {study.name} ({record.source}): {done} of {_total(study, budget)} runs are done."
        )
    if options.timeout_s is not None:
        record = replace(record, timeout_s=options.timeout_s)
    return _lead(study, record, options, screen, budget=budget)


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
            if row.spec.door == "sweep" and not row.status.is_ended:
                yield Study(store, row)
        cursor = page.cursor
        if cursor is None:
            return


def _lead(
    study: Study,
    record: SweepRecord,
    options: SweepOptions,
    screen: Screen,
    *,
    document: Document | None = None,
    budget: Budget | None = None,
) -> Finished:
    """Lead a sweep's study in this process, with its files and the screen as readers of its events."""
    row = study.row
    maker = RunMaker(record, document)
    before = [handle.record for handle in study.iter_trials()]
    maker.take_up(before)
    leaderboard = Leaderboard(record.paths, row.metric)
    recorder = Recorder(
        study=study.name,
        leaderboard=leaderboard,
        path=record.files.leaderboard,
        files_of=maker.files,
        reports_of=lambda number: study.store.reports(study.id, number),
    )
    recorder.restore(before)
    tally = Tally(_total(study, budget or row.spec.budget), row.metric, (budget or row.spec.budget).jobs)
    tally.restore(before)
    view = _view(tally, options, screen, lambda trial: maker.files(trial).directory.name)
    end = study.lead(
        CommandExecutor(maker.launch),
        run_dir=maker.run_dir,
        sinks=[recorder, view],
        budget=budget,
        timeout_s=record.timeout_s,
        say=view.say,
    )
    ended = Ended(
        leaderboard=leaderboard,
        files=record.files,
        total=tally.total,
        seconds=end.study.active_s,
        interrupted=end.interrupted,
        reason="" if _went_without_saying(end.study, leaderboard, tally.total) else end.study.reason,
    )
    failed = bool(leaderboard.failed()) or end.study.status in (StudyStatus.FAILED, StudyStatus.CANCELLED)
    code = INTERRUPTED if end.interrupted else int(failed)
    rows = sorted(leaderboard, key=lambda row: row.number)
    return Finished(code, study, ended, [record.files.run(row.run).directory for row in rows])


def _went_without_saying(row: StudyRow, leaderboard: Leaderboard, total: int) -> bool:
    """Whether a sweep simply made all its runs, so that the reason for its end tells nobody anything."""
    return row.status is StudyStatus.COMPLETED and sum(one.status.is_terminal for one in leaderboard) >= total


def _total(study: Study, budget: Budget) -> int:
    """How many runs there are to be."""
    size = study.space.count() if study.row.spec.searcher.name == "grid" else None
    limits = [limit for limit in (size, budget.num_trials) if limit is not None]
    return min(limits) if limits else study.row.num_trials


def _view(tally: Tally, options: SweepOptions, screen: Screen, name_of: Callable[[Trial], str]) -> Bar | Lines | Silent:
    if options.quiet or options.json:
        return Silent(tally, lambda text: None if options.json else _print(screen, text))
    return Bar(tally, screen, name_of) if screen.is_terminal else Lines(tally, screen, name_of)


# --- printing ----------------------------------------------------------------------------------------------------------


def _print(screen: Screen, text: str) -> None:
    """Text as it is: no markup, no colours guessed, no lines broken."""
    screen.print(text, markup=False, highlight=False, soft_wrap=True)


def _print_json(screen: Screen, data: Any) -> None:
    _print(screen, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def _show_plan(plan: Plan, options: SweepOptions, screen: Screen, obstacle: str = "") -> None:
    if options.json:
        _print_json(screen, {**plan_json(plan), "obstacle": obstacle})
    else:
        _print(screen, render(plan, prefix=options.run_prefix, width=screen.width, obstacle=obstacle))


def _show_directories(directories: list[Path], options: SweepOptions, screen: Screen, cwd: Path) -> None:
    if options.json:
        _print_json(screen, {"directories": [str(path) for path in directories]})
    elif not options.quiet:
        shown = [str(path.relative_to(cwd)) for path in directories[:3]]
        more = [f"… and {len(directories) - 3} more"] if len(directories) > 3 else []
        what = "1 directory" if len(directories) == 1 else f"{len(directories)} directories"
        _print(screen, "\n".join([f"Made {what}, each with its config.yaml; nothing was executed.", *shown, *more]))


def conclude(finished: Finished, options: SweepOptions, screen: Screen, cwd: Path) -> int:
    """Say how a sweep ended; returns the exit code."""
    ended = finished.ended
    again = f"trialist sweep --resume {ended.files.stem}" + (f" --store {options.store}" if options.store else "")
    if options.json:
        _print_json(screen, summary_json(ended, ended.leaderboard.metric))
    else:
        _print(screen, summary(ended, width=screen.width, again=again, here=cwd))
    return finished.exit_code
