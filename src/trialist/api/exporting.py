"""A study as text for other programs: trials as CSV, JSON or a ledger, events as JSON lines, the timeline.

Streams: however many trials there are, a page of them is in memory. Knows no file; portions of text come out.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trialist.api.documents import strict, study_document, trial_document
from trialist.api.moving import study_lines
from trialist.api.study import Study
from trialist.core.errors import UnknownName
from trialist.core.events import TrialEnded
from trialist.core.ports import Store
from trialist.core.records import Trial
from trialist.core.wire import encode_float
from trialist.telemetry.events_jsonl import events_lines
from trialist.telemetry.ledger import HEADER, ledger_lines
from trialist.telemetry.timeline import timeline_lines

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FIRST = ("number", "status", "value")
_LAST = ("step", "seconds", "source", "parent", "seed", "started_at", "ended_at", "error")


def export_text(study: Study, form: str) -> Iterator[str]:
    """A study in one of ``FORMATS``, portion by portion.

    Raises:
        UnknownName: No such format.
    """
    if form not in FORMATS:
        raise UnknownName("export format", form, FORMATS)
    return FORMATS[form](study)


def _csv(study: Study) -> Iterator[str]:
    """Two passes: the columns of params and metrics are known only when every trial has been seen."""
    params: dict[str, None] = dict.fromkeys(study.space.paths)
    metrics: dict[str, None] = dict.fromkeys(metric.name for metric in study.row.spec.metrics)
    for trial in study.store.iter_trials(study.id):
        params.update(dict.fromkeys(study.space.flatten(trial.params)))
        metrics.update(dict.fromkeys(trial.metrics))
    columns = [*_FIRST, *(f"params.{path}" for path in params), *(f"metrics.{name}" for name in metrics), *_LAST]
    yield _csv_line([_guarded(column) for column in columns])
    spec = study.row.spec
    for trial in study.store.iter_trials(study.id):
        flat = study.space.flatten(trial.params)
        row = trial_document(trial, spec)
        cells = [row[name] for name in _FIRST]
        cells += [flat.get(path) for path in params]
        cells += [trial.metrics.get(name) for name in metrics]
        cells += [row[name] for name in _LAST[:-1]]
        cells.append("" if trial.error is None else f"{trial.error.reason}: {trial.error.message}")
        yield _csv_line([_cell(cell) for cell in cells])


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _guarded(value)
    if type(value) is int:
        return str(value)
    return str(encode_float(value)) if isinstance(value, float) else _dumps(value)


def _guarded(text: str) -> str:
    """Text that a spreadsheet does not take for a formula: ``=HYPERLINK(…)`` gets an apostrophe before it."""
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def _jsonl(study: Study) -> Iterator[str]:
    spec = study.row.spec
    for trial in study.store.iter_trials(study.id):
        yield _dumps(trial_document(trial, spec)) + "\n"


def _json(study: Study) -> Iterator[str]:
    row = study.row
    yield '{"study": ' + _dumps(study_document(row, study.leader)) + ', "trials": ['
    separator = "\n"
    for trial in study.store.iter_trials(study.id):
        yield separator + _dumps(trial_document(trial, row.spec))
        separator = ",\n"
    yield "\n]}\n"


def _tsv(study: Study) -> Iterator[str]:
    yield HEADER
    yield from ledger_lines(study.events(kinds=(TrialEnded,)), StoredTrials(study.store, study.id))


def _events(study: Study) -> Iterator[str]:
    return events_lines(study.events())


def _timeline(study: Study) -> Iterator[str]:
    yield from timeline_lines(study.events(), StoredTrials(study.store, study.id))
    yield "\n"


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _study(study: Study) -> Iterator[str]:
    yield from study_lines(study.store, [study.row])


def _dumps(document: Any) -> str:
    try:
        return _encode(document)
    except ValueError:  # rare enough to be found out by trying: something in it is not finite
        return _encode(strict(document))


FORMATS: dict[str, Callable[[Study], Iterator[str]]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "json": _json,
    "tsv": _tsv,
    "events": _events,
    "timeline": _timeline,
    "study": _study,
}
"""Names of formats: ``csv``, ``jsonl`` and ``json`` hold trials, ``tsv`` ended trials in the order in which they ended,
``study`` all of a study, for ``import_studies``."""


class StoredTrials(Mapping[int, Trial]):
    """A study's trials by number, each read when it is asked for; the last one is kept."""

    def __init__(self, store: Store, study_id: str) -> None:
        self._store = store
        self._study_id = study_id
        self._last: Trial | None = None

    def __getitem__(self, number: int) -> Trial:
        if self._last is None or self._last.number != number:
            self._last = self._store.trial(self._study_id, number)
        return self._last

    def __iter__(self) -> Iterator[int]:
        return (trial.number for trial in self._store.iter_trials(self._study_id))

    def __len__(self) -> int:
        return sum(1 for _ in self)
