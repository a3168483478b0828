"""The ledger: a table of ended trials, one row each in the order in which they ended, as tab-separated text.

Knows trials' rows; of events only that a trial ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trialist.core.events import Body, Event, TrialEnded
from trialist.core.records import Trial
from trialist.core.wire import encode_float, encode_metrics
from trialist.telemetry.files import GrowingFile, set_aside


class _Column(NamedTuple):
    name: str
    value: Callable[[Event, Trial], Any]
    """A number, text, a mapping (written as JSON), or ``None`` (written as nothing)."""


COLUMNS = (
    _Column("number", lambda event, trial: trial.number),
    _Column("status", lambda event, trial: str(trial.status)),
    _Column("value", lambda event, trial: trial.value),
    _Column("step", lambda event, trial: trial.step),
    _Column("metrics", lambda event, trial: encode_metrics(trial.metrics)),
    _Column("params", lambda event, trial: trial.params),
    _Column("source", lambda event, trial: trial.source),
    _Column("seed", lambda event, trial: trial.seed),
    _Column("parent", lambda event, trial: trial.parent),
    _Column("attempts", lambda event, trial: trial.attempt),
    _Column("seconds", lambda event, trial: round(trial.seconds, 6)),
    _Column("ended_at", lambda event, trial: event.at),
    _Column("error", lambda event, trial: f"{trial.error.reason}: {trial.error.message}" if trial.error else ""),
    _Column("reason", lambda event, trial: trial.reason),
    _Column("seq", lambda event, trial: event.seq),
)
HEADER = "\t".join(column.name for column in COLUMNS) + "\n"
_JSON = frozenset({"metrics", "params"})
_ESCAPES: dict[str, str] = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_UNESCAPES = {escaped: plain for plain, escaped in _ESCAPES.items()} | {'\\"': '"'}


def ledger_lines(events: Iterable[Event], trials: Mapping[int, Trial]) -> Iterator[str]:
    """A row, with its end, for each trial that ended: what ``Ledger`` writes below ``HEADER``."""
    for event in events:
        if isinstance(event.body, TrialEnded):
            trial = trials[event.body.trial]
            yield "\t".join(_cell(column.value(event, trial)) for column in COLUMNS) + "\n"


def read_ledger(text: str) -> list[dict[str, str]]:
    """The rows of a ledger by column; ``params`` and ``metrics`` are JSON text."""
    header, *rows = text.removesuffix("\n").split("\n")
    names = header.split("\t")
    return [
        {name: cell if name in _JSON else _unescape(cell) for name, cell in zip(names, row.split("\t"), strict=True)}
        for row in rows
    ]


class Ledger:
    r"""Appends a row to ``path`` for each trial that ends.

    A ``Follower``. Columns are those of ``COLUMNS``. Tabs, line ends and backslashes in text are written ``\t``, ``\n``,
    ``\r`` and ``\\``; what is unknown is empty. A file with another header is set aside.

    Args:
        path: The file; its directory is made where it is missing.

    Raises:
        OSError: The file cannot be opened.
    """

    reads: frozenset[type[Body]] = frozenset({TrialEnded})

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = GrowingFile(self.path)
        self._last = self._find_last()

    @property
    def last_seq(self) -> int:
        return self._last[0]

    def is_at(self, event: Event) -> bool:
        return (event.seq, event.at) == self._last

    def write(self, events: Sequence[Event], trials: Mapping[int, Trial]) -> None:
        """Append the trials that ended and are not in it yet.

        Raises:
            OSError: The disk is full, say; what was written before stays readable.
        """
        new = [event for event in events if event.seq > self.last_seq and isinstance(event.body, TrialEnded)]
        if new:
            self._file.append("".join(ledger_lines(new, trials)).encode(errors="backslashreplace"))
            self._last = new[-1].seq, new[-1].at

    def start_over(self) -> None:
        self._file.close()
        set_aside(self.path)
        self._file = GrowingFile(self.path)
        self._last = self._find_last()

    def close(self) -> None:
        self._file.close()

    def _find_last(self) -> tuple[int, float | None]:
        self._file.drop_torn_line()
        if self._file.size:
            header = next(self._file.lines())
            if header != HEADER.encode():
                self._file.close()
                set_aside(self.path)
                self._file = GrowingFile(self.path)
        if not self._file.size:
            self._file.append(HEADER.encode())
        while self._file.size > len(HEADER):
            cells = dict(
                zip(
                    [c.name for c in COLUMNS], self._file.last_line().decode(errors="replace").split("\t"), strict=False
                )
            )
            try:
                return int(cells["seq"]), float(cells["ended_at"])
            except (KeyError, ValueError):  # a row that a loss of power left as rubbish
                self._file.drop_last_line()
        return 0, None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return str(encode_float(value))
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    text = re.sub(r"[\\\t\n\r]", lambda match: _ESCAPES[match.group()], str(value))
    # A quote at the start of a cell makes most readers of tables look for its end, over many rows if need be.
    return f"\\{text}" if text.startswith('"') else text


def _unescape(cell: str) -> str:
    return re.sub(r'\\[\\tnr"]', lambda match: _UNESCAPES[match.group()], cell)
