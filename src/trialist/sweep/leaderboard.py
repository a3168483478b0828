"""The leaderboard: one row a run, the best first, as records and as a CSV file that is never half written.

Knows the rows of trials, not where they come from.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trialist.core.records import Metric, Mode, Trial
from trialist.core.states import TrialStatus
from trialist.sweep.layout import replacing
from trialist.sweep.names import value_text

_OWN = ("run", "status", "seconds", "exit_code", "error")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One run."""

    number: int
    run: str
    """Name of its directory."""
    params: Mapping[str, Any]
    metrics: Mapping[str, float] = field(default_factory=dict)
    value: float | None = None
    """Of the metric that the leaderboard is sorted by."""
    status: TrialStatus = TrialStatus.WAITING
    seconds: float = 0.0
    exit_code: int | None = None
    error: str = ""
    retry_of: int | None = None
    """The failed run that this one tries again."""

    @property
    def ranks(self) -> bool:
        """Whether it has a place among the best."""
        return self.status.counts and self.value is not None and math.isfinite(self.value)


def row_of(trial: Trial, run: str) -> Row:
    """A trial's row as a row of the leaderboard."""
    return Row(
        number=trial.number,
        run=run,
        params=trial.params,
        metrics=trial.metrics,
        value=trial.value,
        status=trial.status,
        seconds=trial.seconds,
        exit_code=exit_code(trial),
        error=trial.error.message if trial.error is not None else "",
        retry_of=trial.parent if trial.source == "retry" else None,
    )


def exit_code(trial: Trial) -> int | None:
    """What the run's process exited with; ``None`` where it did not end by itself, or has not ended."""
    if trial.status is TrialStatus.COMPLETED:
        return 0
    return None if trial.error is None else trial.error.exit_code


class Leaderboard:
    """The rows of one sweep. Belongs to whoever leads it; not thread-safe."""

    def __init__(self, paths: Sequence[str], metric: Metric | None) -> None:
        """An empty one.

        Args:
            paths: Dotted paths of what varies, in order: the first columns.
            metric: What it is sorted by; ``None``: by the order of the runs.
        """
        self.paths = list(paths)
        self.metric = metric
        self._rows: dict[int, Row] = {}

    def put(self, row: Row) -> None:
        """Add a run, or replace what was known of it."""
        self._rows[row.number] = row

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        """The best first, then those without a value by number; without a metric, all by number."""
        if self.metric is None:
            return iter([self._rows[number] for number in sorted(self._rows)])
        sign = -1.0 if self.metric.mode is Mode.MAX else 1.0
        return iter(sorted(self._rows.values(), key=lambda row: _place(row, sign)))

    def failed(self) -> list[Row]:
        """The runs that failed for good, by number: those that were tried again are judged by their last try."""
        retried = {row.retry_of for row in self._rows.values()}
        return [
            row
            for number, row in sorted(self._rows.items())
            if row.status is TrialStatus.FAILED and number not in retried
        ]

    def metric_names(self) -> list[str]:
        """All metrics that any run has, the one that sorts first."""
        names = dict.fromkeys([self.metric.name] if self.metric is not None else [])
        for number in sorted(self._rows):
            names.update(dict.fromkeys(self._rows[number].metrics))
        return list(names)

    def records(self) -> list[dict[str, Any]]:
        """The rows as mappings from column to value, in order; a run without a metric has no such key.

        A metric whose name is also a param's or a column of ours is called ``metric.<name>``, and such a param
        ``param.<path>``.
        """
        columns = {path: f"param.{path}" if path in _OWN else path for path in self.paths}
        taken = {*_OWN, *columns.values()}
        metrics = {name: f"metric.{name}" if name in taken else name for name in self.metric_names()}
        return [
            {
                "run": row.run,
                **{column: row.params[path] for path, column in columns.items() if path in row.params},
                **{column: row.metrics[name] for name, column in metrics.items() if name in row.metrics},
                "status": row.status.value,
                "seconds": round(row.seconds, 3),
                "exit_code": row.exit_code,
                "error": row.error,
            }
            for row in self
        ]

    def columns(self, records: Iterable[Mapping[str, Any]]) -> list[str]:
        """All columns of the records: run, params, metrics, then how it ended."""
        found = dict.fromkeys(key for record in records for key in record)
        first = [column for column in found if column not in _OWN]
        return ["run", *first, *_OWN[1:]]

    def write(self, path: Path) -> None:
        """Write the CSV in one step: a reader sees the old file or the new one."""
        records = self.records()
        columns = self.columns(records)
        with replacing(path) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([_safe(column) for column in columns])
            writer.writerows([_cell(record.get(column)) for column in columns] for record in records)


def _place(row: Row, sign: float) -> tuple[bool, float, int]:
    return (not row.ranks, sign * row.value if row.ranks and row.value is not None else 0.0, row.number)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return _safe(value) if isinstance(value, str) else value_text(value)


def _safe(text: str) -> str:
    """Text that a spreadsheet does not take for a formula: ``=HYPERLINK(…)`` gets an apostrophe before it."""
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text
