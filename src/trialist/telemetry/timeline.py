"""The timeline file: trace records as one JSON array that is whole after every write.

Knows the array; what is in it comes from ``telemetry.trace``. Open it in https://ui.perfetto.dev or about:tracing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from trialist.core.events import Body, Event
from trialist.core.records import Params, Trial
from trialist.telemetry.files import GrowingFile, set_aside
from trialist.telemetry.trace import READS, Record, Trace, microseconds

_HEAD, _TAIL = b"[", b"\n]"
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def timeline_lines(events: Iterable[Event], trials: Mapping[int, Trial]) -> Iterator[str]:
    """The text of a timeline in portions: the whole of it, with what still runs drawn up to the last event."""
    trace, at, separator = Trace(), 0.0, "\n"
    yield "["
    for event in events:
        at = event.at
        for record in trace.add(event, _params(event, trials)):
            yield separator + _encode(record)
            separator = ",\n"
    for record in trace.still_running(at):
        yield separator + _encode(record)
        separator = ",\n"
    yield "\n]"


class Timeline:
    """Draws a study as it runs into a Chrome trace at ``path``.

    A ``Follower``. The file is one JSON array, closed again by each write (one ``pwrite`` over its closing bracket); a
    write that a kill cut short is undone when the file is opened again. A second run of the study goes on in it.

    Args:
        path: The file; its directory is made where it is missing. What is there and is no timeline is set aside.

    Raises:
        OSError: The file cannot be opened.
    """

    reads: frozenset[type[Body]] = READS

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._last_seq = 0
        self._last_at = 0
        """Microseconds."""
        self._torn = False
        """Whether the file was found cut short."""
        self._open()

    @property
    def last_seq(self) -> int:
        return self._last_seq

    def is_at(self, event: Event) -> bool:
        return (event.seq, microseconds(event.at)) == (self._last_seq, self._last_at)

    def write(self, events: Sequence[Event], trials: Mapping[int, Trial]) -> None:
        """Add events that are not in it yet.

        Raises:
            OSError: The disk is full, say; the file stays as it was, and whole.
        """
        data = bytearray()
        for event in events:
            if event.seq <= self._last_seq:
                continue
            records = self._trace.add(event, _params(event, trials))
            for record in records:
                data += b",\n" if self._file.size > len(_HEAD + _TAIL) or data else b"\n"
                data += _encode(record).encode(errors="backslashreplace")
            if records:
                self._last_seq, self._last_at = event.seq, microseconds(event.at)
        if data:
            self._file.write_at(self._file.size - len(_TAIL), bytes(data) + _TAIL)

    def start_over(self) -> None:
        self._file.close()
        set_aside(self.path)
        self._open()

    def close(self) -> None:
        self._file.close()

    def _open(self) -> None:
        self._file = GrowingFile(self.path)
        self._trace = Trace()
        self._last_seq = self._last_at = 0
        end = self._restore()
        if end is None:
            self._file.close()
            set_aside(self.path)
            self._file, end = GrowingFile(self.path), 0
        if end == 0:
            self._file.write_at(0, _HEAD + _TAIL)
        elif self._torn:
            self._file.write_at(end, _TAIL)

    def _restore(self) -> int | None:
        """Read the file back into the trace.

        Returns:
            Where its last sound record ends; ``None``: it is no timeline.
        """
        self._torn = True
        lines = self._file.lines()
        head = next(lines, b"")
        if head.rstrip(b"\n") != _HEAD:
            return None if head else 0
        end, offset = len(_HEAD), len(head)
        group: list[Record] = []
        """The records of one event."""
        group_start = end
        for line in lines:
            if line == b"]" and offset + 1 == self._file.size:
                self._take(group)
                self._torn = False
                return end
            record = _parse(line)
            if record is None:
                break
            if group and group[-1]["seq"] != record["seq"]:
                self._take(group)
                group, group_start = [], end
            group.append(record)
            offset += len(line)
            end = offset - (len(line) - len(line.rstrip(b",\n")))
        # Of the last event some records may be missing, so it is dropped: who catches up writes it anew.
        return group_start if group else end

    def _take(self, group: list[Record]) -> None:
        for record in group:
            self._trace.restore(record)
            self._last_seq, self._last_at = record["seq"], _time_of(record)


def _params(event: Event, trials: Mapping[int, Trial]) -> Params | None:
    number = event.trial
    return trials[number].params if number is not None and number in trials else None


def _parse(line: bytes) -> Record | None:
    try:
        record = json.loads(line.rstrip(b",\n"))
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("seq"), int) else None


def _time_of(record: Record) -> int:
    """When the event of a record happened, in microseconds."""
    return int(record["ts"]) + int(record.get("dur", 0))
