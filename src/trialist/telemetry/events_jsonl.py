"""Events as JSON lines, the way ``core.wire`` writes them, in files that are rotated by size.

Knows no trial rows: events say it all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from trialist.core.errors import ConfigError
from trialist.core.events import Body, Event
from trialist.core.records import Trial
from trialist.core.wire import event_to_json
from trialist.telemetry.files import GrowingFile, set_aside

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def events_lines(events: Iterable[Event]) -> Iterator[str]:
    """A line for each event, with its end: what ``EventsJsonl`` writes."""
    for event in events:
        yield _encode(event_to_json(event)) + "\n"


def _line(event: Event) -> bytes:
    # What no encoding can hold (half a surrogate pair) becomes the JSON escape that it came from.
    return (_encode(event_to_json(event)) + "\n").encode(errors="backslashreplace")


class EventsJsonl:
    """Appends each event to ``path``, one JSON object a line.

    A ``Follower``. When the file would grow past ``max_bytes`` it becomes ``path.1``, that one ``path.2`` and so on;
    of these ``keep`` stay. A line that was torn by a kill is dropped when the file is opened again.

    Args:
        path: The file; its directory is made where it is missing.
        max_bytes: Size at which it is rotated, at least 1; ``None``: never.
        keep: How many rotated files stay, at least 1.

    Raises:
        ConfigError: A limit is below 1.
        OSError: The file cannot be opened.
    """

    reads: frozenset[type[Body]] = frozenset()

    def __init__(self, path: str | Path, *, max_bytes: int | None = 64 << 20, keep: int = 5) -> None:
        if (max_bytes is not None and max_bytes < 1) or keep < 1:
            raise ConfigError(f"{path}: max_bytes and keep need at least 1, not {max_bytes} and {keep}")
        self.path = Path(path)
        self._max_bytes = max_bytes
        self._keep = keep
        self._file = GrowingFile(self.path)
        self._last: dict[str, Any] = self._find_last()

    @property
    def last_seq(self) -> int:
        return int(self._last.get("seq", 0))

    def is_at(self, event: Event) -> bool:
        return (event.seq, event.at) == (self.last_seq, self._last.get("at"))

    def write(self, events: Sequence[Event], trials: Mapping[int, Trial]) -> None:
        """Append events that are not in it yet.

        Raises:
            OSError: The disk is full, say; what was written before stays readable.
        """
        buffer, written = bytearray(), None
        for event in events:
            if event.seq <= self.last_seq:
                continue
            line = _line(event)
            filled = self._file.size + len(buffer)
            if self._max_bytes is not None and filled and filled + len(line) > self._max_bytes:
                self._append(buffer, written)
                self._rotate()
                buffer = bytearray()
            buffer += line
            written = event
        self._append(buffer, written)

    def _append(self, lines: bytearray, last: Event | None) -> None:
        if lines and last is not None:
            self._file.append(bytes(lines))
            self._last = {"seq": last.seq, "at": last.at}

    def start_over(self) -> None:
        self._file.close()
        set_aside(self.path, *self._rotated())
        self._file, self._last = GrowingFile(self.path), {}

    def close(self) -> None:
        self._file.close()

    def _rotated(self) -> list[Path]:
        return [self.path.with_name(f"{self.path.name}.{number}") for number in range(1, self._keep + 1)]

    def _rotate(self) -> None:
        self._file.close()
        steps = [self.path, *self._rotated()]
        for newer, older in reversed(list(pairwise(steps))):
            if newer.exists():
                newer.replace(older)
        self._file = GrowingFile(self.path)

    def _find_last(self) -> dict[str, Any]:
        """The last event on disk, what was torn after it dropped."""
        self._file.drop_torn_line()
        while self._file.size:
            last = _parse(self._file.last_line())
            if last is not None:
                return last
            self._file.drop_last_line()
        for path in self._rotated():  # it died between rotating and writing on
            lines = path.read_bytes().splitlines() if path.exists() else []
            for line in reversed(lines):
                last = _parse(line)
                if last is not None:
                    return last
        return {}


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) and isinstance(data.get("seq"), int) else None
