"""Writes what happens to a sweep's runs into their files: ``metrics.jsonl``, ``result.json`` and the leaderboard.

A reader of events: all of it can be written again from the store, and after a crash it is (``restore``). Knows no
terminal.
"""

from __future__ import annotations

import errno
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from trialist.core.events import AttemptStarted, Event, Reported, TrialEnded
from trialist.core.records import Metrics, Report, Trial
from trialist.core.wire import encode_metrics
from trialist.sweep.layout import RunFiles, replacing
from trialist.sweep.leaderboard import Leaderboard, exit_code, row_of

_log = logging.getLogger("trialist")
LEADERBOARD_EVERY_S = 1.0
"""Writing it costs time in proportion to its length, so it is not written for every run of a fast sweep."""
_SHARE = 20
"""A long one is written more rarely: at most this part of the time goes into it."""


class ReportsOf(Protocol):
    """All reports of a trial as the store has them."""

    def __call__(self, trial: int) -> Iterable[Report]: ...


class Recorder:
    """A sink."""

    def __init__(
        self,
        *,
        study: str,
        leaderboard: Leaderboard,
        path: Path,
        files_of: Callable[[Trial], RunFiles],
        reports_of: ReportsOf,
        say: Callable[[str], None] = _log.warning,
    ) -> None:
        """A recorder of one sweep.

        Args:
            study: Its study's name.
            leaderboard: Filled with what is known, and kept up to date.
            path: The leaderboard's file.
            files_of: The files of a run.
            reports_of: Asked where an attempt goes on from an earlier one.
            say: Tells the person at the terminal of a run whose files cannot be written.
        """
        self._study = study
        self._leaderboard = leaderboard
        self._path = path
        self._files_of = files_of
        self._reports_of = reports_of
        self._say = say
        self._due_at = 0.0
        self._dirty = True
        self._in_write = False
        """Stays true after a write that raised."""
        self.is_whole = False
        """Whether everything has been written: false while it goes on, where a full disk had it switched off, and where
        a run's directory broke."""
        self.broken: dict[int, OSError] = {}
        """Trials whose files cannot be written, and why; nothing more is written of them before ``restore``."""

    def restore(self, trials: Iterable[Trial]) -> None:
        """Take what the store knows, and write what a crash or a full disk kept from the files."""
        self._in_write = False
        self._dirty = True
        again, self.broken = self.broken, {}
        for trial in trials:
            files = self._files_of(trial)
            self._leaderboard.put(row_of(trial, files.directory.name))
            with self._alone(trial):
                known = trial.number in again or files.directory.is_dir()
                if trial.status.is_terminal and known and not files.result.exists():
                    self._rewrite_reports(files, trial)
                    self._write_result(files, trial)

    def write(self, events: Sequence[Event], trials: Mapping[int, Trial]) -> None:
        self._in_write = True
        self._write(events, trials)
        self._in_write = False

    def _write(self, events: Sequence[Event], trials: Mapping[int, Trial]) -> None:
        lines: dict[int, list[str]] = {}
        for event in events:
            body = event.body
            if isinstance(body, Reported):
                lines.setdefault(body.trial, []).append(_line(body.step, body.metrics, event.at))
            elif isinstance(body, AttemptStarted) and body.attempt > 1 and body.trial not in self.broken:
                # Reports that a lost attempt made beyond its checkpoint do not count any more.
                with self._alone(trials[body.trial]) as files:
                    self._rewrite_reports(files, trials[body.trial], below=body.from_step)
                lines.pop(body.trial, None)
        for number, new in lines.items():
            if number not in self.broken:
                with self._alone(trials[number]) as files:
                    files.directory.mkdir(parents=True, exist_ok=True)
                    with files.reports.open("a", encoding="utf-8") as file:
                        file.writelines(new)
        for trial in trials.values():
            self._leaderboard.put(row_of(trial, self._files_of(trial).directory.name))
            self._dirty = True
        for event in events:
            if isinstance(event.body, TrialEnded) and event.body.trial not in self.broken:
                trial = trials[event.body.trial]
                with self._alone(trial) as files:
                    self._write_result(files, trial)
        if time.monotonic() >= self._due_at:
            self.flush()

    def flush(self) -> None:
        """Write the leaderboard where it has changed."""
        if self._dirty:
            began = time.monotonic()
            self._leaderboard.write(self._path)
            ended = time.monotonic()
            self._dirty, self._due_at = False, ended + max(LEADERBOARD_EVERY_S, _SHARE * (ended - began))

    def close(self) -> None:
        self.flush()
        self.is_whole = not self._in_write and not self.broken

    @contextmanager
    def _alone(self, trial: Trial) -> Iterator[RunFiles]:
        """Around what concerns the files of one run: a broken directory costs only these. A full disk costs all."""
        files = self._files_of(trial)
        try:
            yield files
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            self.broken[trial.number] = error
            self._say(f"the files of {files.directory.name} cannot be written; its results are in the store ({error})")

    def _rewrite_reports(self, files: RunFiles, trial: Trial, below: int | None = None) -> None:
        kept = [
            _line(report.step, report.metrics, report.at)
            for report in self._reports_of(trial.number)
            if not report.superseded and (below is None or report.step <= below)
        ]
        files.directory.mkdir(parents=True, exist_ok=True)
        if not kept:
            files.reports.unlink(missing_ok=True)
            return
        with replacing(files.reports) as file:
            file.writelines(kept)

    def _write_result(self, files: RunFiles, trial: Trial) -> None:
        files.directory.mkdir(parents=True, exist_ok=True)
        if trial.metrics and not files.reports.exists():
            # It only printed them, or left a metrics.json: then its last ones are all there is.
            files.reports.write_text(_line(trial.step, trial.metrics, trial.ended_at), encoding="utf-8")
        with replacing(files.result) as file:
            json.dump(
                result_json(self._study, files.directory.name, trial),
                file,
                indent=2,
                ensure_ascii=False,
                allow_nan=False,
            )
            file.write("\n")


def result_json(study: str, run: str, trial: Trial) -> dict[str, Any]:
    """What ``result.json`` says of a run that has ended."""
    error = trial.error
    return {
        "run": run,
        "study": study,
        "trial": trial.number,
        "status": trial.status.value,
        "params": dict(trial.params),
        "metrics": encode_metrics(trial.metrics),
        "value": trial.value,
        "step": trial.step,
        "seed": trial.seed,
        "seconds": round(trial.seconds, 3),
        "started_at": _time(trial.started_at),
        "ended_at": _time(trial.ended_at),
        "attempts": trial.attempt,
        "exit_code": exit_code(trial),
        "error": None if error is None else {"reason": error.reason.value, "message": error.message},
        "reason": trial.reason,
    }


def _line(step: int | None, metrics: Metrics, at: float | None) -> str:
    line = {"step": step, **encode_metrics(metrics), "at": _time(at)}
    return json.dumps({**line, "step": step}, ensure_ascii=False, allow_nan=False) + "\n"


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
