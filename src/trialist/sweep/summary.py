"""What is said at the end of a sweep: the best runs, the failed ones with the last line of their logs, and what comes next.

Knows rows and files; starts nothing and asks no store.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trialist.core.records import Metric
from trialist.core.states import TrialStatus
from trialist.sweep.layout import SweepFiles
from trialist.sweep.leaderboard import Leaderboard, Row
from trialist.sweep.names import tails, value_text
from trialist.telemetry.progress import duration

TOP = 10
FAILED = 10
_TAIL_BYTES = 8192
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[@-Z\\-_])")
_LINE = 200


class Ended(NamedTuple):
    """How leading a sweep ended."""

    leaderboard: Leaderboard
    files: SweepFiles
    total: int
    """Runs that it was to have."""
    seconds: float
    interrupted: bool
    reason: str = ""
    """Why it ended, where that does not go without saying."""


def summary(ended: Ended, *, width: int, again: str, here: Path) -> str:
    """The text for the terminal.

    Args:
        ended: How it ended.
        width: Columns.
        again: The command that goes on with it.
        here: Where the user is; paths are shown from there.
    """
    rows = list(ended.leaderboard)
    lines = [_headline(ended, rows)]
    if ended.reason and not ended.interrupted:
        reason = ended.reason[0].upper() + ended.reason[1:]
        lines.append(reason if reason.endswith((".", "?", "!", "…")) else f"{reason}.")
    shown = [row for row in rows if row.status.is_terminal and row.status is not TrialStatus.FAILED]
    if shown:
        lines += ["", *_top(ended.leaderboard, shown, width), ""]
        lines += _best(ended, shown, here)
    if rows:
        lines.append(f"Leaderboard: {_shown(ended.files.leaderboard, here)}")
    failed = ended.leaderboard.failed()
    if failed:
        lines += ["", *_failures(failed, ended.files, width)]
        if not ended.interrupted:
            lines.append(f"Try them again: trialist retry {ended.files.stem} --failed")
    lines += ["", f"Go on with it: {again}" if ended.interrupted else f"See more: trialist status {ended.files.stem}"]
    return "\n".join(lines)


def _headline(ended: Ended, rows: Sequence[Row]) -> str:
    done = sum(row.status.is_terminal for row in rows)
    counts = [(sum(row.status is status for row in rows), status.value) for status in TrialStatus if status.is_terminal]
    told = ", ".join(f"{count} {word}" for count, word in counts if count) or "nothing ended yet"
    took = f"in {duration(ended.seconds)}"
    if ended.interrupted:
        return f"Interrupted with {done} of {ended.total} runs done: {told}, {took}."
    return f"{done} run{'s' * (done != 1)}: {told}, {took}."


def _best(ended: Ended, rows: Sequence[Row], here: Path) -> list[str]:
    board, first = ended.leaderboard, rows[0]
    if board.metric is not None:
        if not first.ranks:
            told = [name for name in board.metric_names() if name != board.metric.name]
            also = f" They told {', '.join(told[:6])}: --metric takes one of these." if told else ""
            return [f"No run told '{board.metric.name}', so none is the best.{also}"]
        settings = ", ".join(
            f"{tail}={value_text(first.params[path])}" for path, tail in _named(board) if path in first.params
        )
        config = _shown(ended.files.run(first.run).config, here)
        return [
            f"Best: {board.metric.name} {first.value:.6g}{' with ' + settings if settings else ''}",
            f"      {config}",
        ]
    told = board.metric_names()
    if told:
        return [f"The runs told {', '.join(told[:6])}; --metric {told[0]} sorts the leaderboard."]
    return ["No run told a metric; the leaderboard has their exit codes."]


def _named(board: Leaderboard) -> Iterable[tuple[str, str]]:
    return tails(board.paths).items()


def _top(board: Leaderboard, rows: Sequence[Row], width: int) -> list[str]:
    """The best rows as a table that fits; what does not fit is left out from the right, a note says how much."""
    columns: list[tuple[str, Callable[[int, Row], str]]] = [("", lambda place, _: str(place))]
    names = board.metric_names()
    columns += [(name, _metric(name)) for name in names[:1]]
    columns += [(tail, _param(path)) for path, tail in _named(board)]
    if not names:
        columns.append(("exit code", lambda _, row: "" if row.exit_code is None else str(row.exit_code)))
    columns.append(("time", lambda _, row: duration(row.seconds)))
    if any(row.status is not TrialStatus.COMPLETED for row in rows[:TOP]):
        columns.append(("status", lambda _, row: row.status.value))
    columns += [(name, _metric(name)) for name in names[1:]]
    table = [[title, *(cell(place, row) for place, row in enumerate(rows[:TOP], start=1))] for title, cell in columns]
    lines = fit_columns([column for column in table if any(column[1:])], width)
    if len(rows) > TOP:
        lines.append(f"… and {len(rows) - TOP} more")
    return lines


def fit_columns(columns: Sequence[Sequence[str]], width: int, most: int = 28) -> list[str]:
    """Columns side by side, numbers to the right; a cell takes at most ``most``, and columns beyond ``width`` are left out."""
    out: list[str] = []
    for column in columns:
        cells = [cell if len(cell) <= most else cell[: most - 1] + "…" for cell in column]
        wide = max(map(len, cells))
        right = all(_is_number(cell) for cell in cells[1:] if cell)
        padded = [cell.rjust(wide) if right else cell.ljust(wide) for cell in cells]
        if out and len(out[0]) + 2 + wide > width:
            continue
        out = [f"{line}  {cell}" for line, cell in zip(out, padded, strict=True)] if out else padded
    return [line.rstrip() for line in out]


def _is_number(text: str) -> bool:
    try:
        float(text.removesuffix(" s"))
    except ValueError:
        return bool(re.fullmatch(r"\d+ (min|h|d) \d+ (s|min|h)", text))
    return True


def _metric(name: str) -> Callable[[int, Row], str]:
    return lambda _, row: f"{row.metrics[name]:.6g}" if name in row.metrics else ""


def _param(path: str) -> Callable[[int, Row], str]:
    return lambda _, row: _short(row.params[path]) if path in row.params else ""


def _short(value: Any) -> str:
    """A value as it is read; the digits of a drawn number stand in the leaderboard's file."""
    text = value_text(value)
    return f"{value:.6g}" if isinstance(value, float) and len(text) > 10 else text


def _failures(failed: Sequence[Row], files: SweepFiles, width: int) -> list[str]:
    lines = [f"Failed ({len(failed)}):"]
    for row in failed[:FAILED]:
        lines.append(f"  {row.run}")
        last = last_line(files.run(row.run).stdout)
        message = f"{row.error}: {last}" if last and last not in row.error else row.error or last
        room = max(40, width - 6)
        lines.append(f"      {message if len(message) <= room else message[: room - 1] + '…'}")
    if len(failed) > FAILED:
        lines.append(f"  … and {len(failed) - FAILED} more in the leaderboard")
    return lines


def last_line(log: Path) -> str:
    """The last line of a log that has something on it; empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            tail = file.read().decode(errors="replace")
    except OSError:
        return ""
    for line in reversed(tail.replace("\r", "\n").splitlines()):
        plain = "".join(char for char in _ESCAPES.sub("", line) if char.isprintable()).strip()
        if plain:
            return plain[:_LINE]
    return ""


def _shown(path: Path, here: Path) -> str:
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def summary_json(ended: Ended, metric: Metric | None) -> dict[str, Any]:
    """The same as JSON."""
    rows = list(ended.leaderboard)
    best = rows[0] if rows and rows[0].ranks else None
    return {
        "sweep": ended.files.stem,
        "interrupted": ended.interrupted,
        "reason": ended.reason,
        "seconds": round(ended.seconds, 3),
        "runs": ended.total,
        "metric": None if metric is None else metric.name,
        "mode": None if metric is None else metric.mode.value,
        "best": None if best is None else str(ended.files.run(best.run).directory),
        "leaderboard": str(ended.files.leaderboard),
        "rows": [_row_json(row, ended.files) for row in rows],
    }


def _row_json(row: Row, files: SweepFiles) -> dict[str, Any]:
    last = last_line(files.run(row.run).stdout) if row.status is TrialStatus.FAILED else ""
    return {
        "trial": row.number,
        "directory": str(files.run(row.run).directory),
        "status": row.status.value,
        "params": dict(row.params),
        "metrics": {name: value if abs(value) < float("inf") else str(value) for name, value in row.metrics.items()},
        "seconds": round(row.seconds, 3),
        "exit_code": row.exit_code,
        "error": row.error,
        "last_line": last,
    }
