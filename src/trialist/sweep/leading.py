"""Leads a sweep's study to its end, with its files and the screen as readers of its events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from trialist.api.leading import Turn
from trialist.api.study import Study
from trialist.config import Document
from trialist.core.ports import Executor
from trialist.core.records import Budget, Trial
from trialist.core.records import Study as StudyRow
from trialist.core.states import StudyStatus
from trialist.execute.command import CommandExecutor, Prepare
from trialist.execute.pool import PoolExecutor
from trialist.sweep.leaderboard import Leaderboard
from trialist.sweep.making import RunMaker
from trialist.sweep.options import SweepOptions
from trialist.sweep.record import SweepRecord
from trialist.sweep.recorder import Recorder
from trialist.sweep.speaking import print_text
from trialist.sweep.summary import Ended
from trialist.telemetry.progress import Bar, Lines, Screen, Silent, Tally

INTERRUPTED = 130
"""What a shell expects of a program that Ctrl-C ended."""


class Finished(NamedTuple):
    """A sweep that was led to its end, or interrupted."""

    exit_code: int
    study: Study
    ended: Ended
    directories: list[Path]


def lead_sweep(
    study: Study,
    record: SweepRecord,
    options: SweepOptions,
    screen: Screen,
    *,
    document: Document | None = None,
    budget: Budget | None = None,
    turn: Turn | None = None,
) -> Finished:
    """Lead a sweep's study in this process, with its files and the screen as readers of its events; ``turn``: a worker's."""
    row = study.row
    maker = RunMaker(record, document)
    before = [handle.record for handle in study.iter_trials()]
    maker.take_up(before)
    leaderboard = Leaderboard(record.paths, row.metric)
    total = total_runs(study, budget or row.spec.budget)
    tally = Tally(total, row.metric, (budget or row.spec.budget).jobs)
    tally.restore(before)
    view = _view(tally, options, screen, lambda trial: maker.files(trial).directory.name)
    recorder = Recorder(
        study=study.name,
        leaderboard=leaderboard,
        path=record.files.leaderboard,
        files_of=maker.files,
        reports_of=lambda number: study.store.reports(study.id, number),
        say=view.say,
    )
    recorder.restore(before)
    try:
        end = study.lead(
            _executor(row.spec.executor.name, maker.launch, view.say),
            run_dir=maker.run_dir,
            sinks=[recorder, view],
            budget=budget,
            timeout_s=record.timeout_s,
            say=view.say,
            turn=turn,
        )
    finally:
        view.close()
    if not recorder.is_whole:
        _write_again(study, recorder, view.say)
    ended = Ended(
        leaderboard=leaderboard,
        files=record.files,
        total=tally.total or total,
        seconds=end.study.active_s,
        interrupted=end.interrupted,
        reason="" if _went_without_saying(end.study, leaderboard, tally.total or total) else end.study.reason,
    )
    failed = bool(leaderboard.failed()) or end.study.status in (StudyStatus.FAILED, StudyStatus.CANCELLED)
    code = INTERRUPTED if end.interrupted else int(failed)
    rows = sorted(leaderboard, key=lambda row: row.number)
    return Finished(code, study, ended, [record.files.run(row.run).directory for row in rows])


def _executor(name: str, prepare: Prepare, say: Callable[[str], None]) -> Executor:
    """The one that the sweep was started with: a pool, or plain processes where it was to be cold."""
    return PoolExecutor(prepare, say=say) if name == PoolExecutor.name else CommandExecutor(prepare)


def _write_again(study: Study, recorder: Recorder, say: Callable[[str], None]) -> None:
    """Write what could not be written while the sweep ran; the store knows it all."""
    try:
        recorder.restore(handle.record for handle in study.iter_trials())
        recorder.close()
    except OSError as error:
        say(f"results are in the store, but not all of them in the files: {error}")


def _went_without_saying(row: StudyRow, leaderboard: Leaderboard, total: int) -> bool:
    """Whether a sweep simply made all its runs, so that the reason for its end tells nobody anything."""
    return row.status is StudyStatus.COMPLETED and sum(one.status.is_terminal for one in leaderboard) >= total


def total_runs(study: Study, budget: Budget) -> int:
    """How many runs there are to be."""
    size = study.space.count() if study.row.spec.searcher.name == "grid" else None
    limits = [limit for limit in (size, budget.num_trials) if limit is not None]
    return min(limits) if limits else study.row.num_trials


def _view(tally: Tally, options: SweepOptions, screen: Screen, name_of: Callable[[Trial], str]) -> Bar | Lines | Silent:
    if options.quiet or options.json:
        return Silent(tally, lambda text: None if options.json else print_text(screen, text))
    return Bar(tally, screen, name_of) if screen.is_terminal else Lines(tally, screen, name_of)
