"""How verbs print: one JSON document, or text that is styled on a terminal and plain elsewhere.

Knows shapes, not what they hold: tables, named lines, notes. Nothing that comes from a study is taken for markup, and
no control character of it reaches the terminal.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trialist.api.documents import strict
from trialist.core.records import Trial

UNLIMITED = 10_000
"""Columns of a table that goes to a file or a pipe: nothing is cut there."""
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_STYLES = {
    "running": "cyan",
    "waiting": "cyan",
    "queued": "cyan",
    "created": "cyan",
    "paused": "yellow",
    "completed": "green",
    "stopped": "green",
    "failed": "red",
    "cancelled": "bright_black",
}
FAINT = "bright_black"
_GAP = 2


def console(stderr: bool = False) -> Console:
    """A console for what is printed now; without a terminal it cuts and styles nothing."""
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not made.is_terminal:
        made = Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=UNLIMITED, color_system=None)
    return made


def emit(document: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Print one strict JSON document; ``indent=None``: on one line.

    Numbers that are not finite become ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, as in every file of Trialist's.
    """
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    print(json.dumps(strict(document), indent=indent, ensure_ascii=plain, allow_nan=False), flush=indent is None)


def clean(text: str, *, lines: bool = False) -> str:
    """Text without control characters: each is shown as an escape; ``lines`` keeps line ends and tabs."""
    if not lines:
        text = " ".join(text.split())
    return "".join(char if lines and char in "\n\t" else _CONTROL.get(ord(char), char) for char in text)


def shortened(text: str, most: int) -> str:
    """Clean text of at most so many characters."""
    whole = clean(text)
    return whole if len(whole) <= most else whole[: most - 1] + "…"


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=_STYLES.get(status, ""))


def status_line(status: str, reason: str) -> Text:
    """A status and why; a reason that says the status itself stands for both."""
    why = shortened(reason, 160)
    if why.startswith(status):
        return Text(why, style=_STYLES.get(status, ""))
    return Text.assemble(status_text(status), f"  {why}" if why else "")


def number(value: float | None, missing: str = "–") -> str:
    """A number in at most six digits."""
    if value is None:
        return missing
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    return f"{value:.6g}"


def value_text(value: Any, most: int = 40) -> str:
    """A param's value as a table shows it."""
    if isinstance(value, bool) or value is None or isinstance(value, int):
        text = json.dumps(value)
    elif isinstance(value, float):
        text = number(value)
    elif isinstance(value, str):
        text = clean(value)
    else:
        text = json.dumps(strict(value), ensure_ascii=False)
    return text if len(text) <= most else text[: most - 1] + "…"


def params_text(params: Mapping[str, Any], most: int = 40) -> str:
    """Params on one line, nested ones by path: ``lr=0.001  model.depth=3``."""
    return "  ".join(f"{clean(path)}={value_text(value, most)}" for path, value in _leaves(params, ""))


def _leaves(tree: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def duration(seconds: float | None, missing: str = "–") -> str:
    """A time span in its two largest units: ``0.42 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds is None or not math.isfinite(seconds):
        return missing
    if seconds < 10:
        return f"{max(0.0, seconds):.2g} s" if seconds < 0.095 else f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, below, lower in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit}" + (f" {rest} {lower}" if rest else "")
    return f"{whole} s"


def running_time(trial: Trial) -> float | None:
    """Seconds that a trial has run, up to now where it runs; ``None`` before it has started."""
    if trial.started_at is None:
        return None
    now = 0.0 if trial.running_since is None else max(0.0, time.time() - trial.running_since)
    return trial.seconds + now


def age(at: float | None) -> str:
    """How long ago something happened, in one unit."""
    if at is None:
        return "–"
    seconds = max(0.0, time.time() - at)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now" if seconds < 5 else f"{int(seconds)} s ago"


def moment(at: float | None) -> str:
    """A point in time as people here write it."""
    return "–" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def size(num_bytes: float) -> str:
    """Bytes in binary units: ``1.4 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if num_bytes < 1024 or unit == "GiB":
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    raise AssertionError


def plural(count: int, noun: str, many: str = "") -> str:
    """``1 trial``, ``2 trials``."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


class Column:
    """A column of a table.

    Args:
        title: Its heading.
        right: Whether it is aligned to the right, as numbers are.
        gives_way: Whether it is the one that is cut where the terminal is narrow.
    """

    def __init__(self, title: str, *, right: bool = False, gives_way: bool = False) -> None:
        self.title = title
        self.right = right
        self.gives_way = gives_way


def print_table(to: Console, columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]) -> None:
    """A table without lines: a faint heading, two blanks between columns, and nothing wrapped.

    Where it is too wide, columns that give way are cut; the others keep all they have.
    """
    cells = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    widths = [
        max([cell_len(column.title), *(row[place].cell_len for row in cells)]) for place, column in enumerate(columns)
    ]
    fixed = sum(width for width, column in zip(widths, columns, strict=True) if not column.gives_way)
    room = to.width - fixed - _GAP * (len(columns) - 1)
    giving = sum(column.gives_way for column in columns)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style=FAINT, show_edge=False)
    for width, column in zip(widths, columns, strict=True):
        most = max(cell_len(column.title), room // giving) if column.gives_way else width
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=min(width, most),
        )
    for row in cells:
        table.add_row(*row)
    print_stripped(to, table)


def print_named(to: Console, rows: Iterable[tuple[str, str | Text]]) -> None:
    """Named lines: faint names, then what they stand for, wrapped beside them."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, show_edge=False)
    table.add_column(style=FAINT, no_wrap=True)
    table.add_column(overflow="fold")
    for name, what in rows:
        table.add_row(name, what if isinstance(what, Text) else Text(what))
    print_stripped(to, table)


def print_stripped(to: Console, what: Any) -> None:
    """Print without the blanks that fill lines up, so that pipes and copies hold none."""
    if to.is_terminal:
        to.print(what)
        return
    with to.capture() as captured:
        to.print(what)
    for line in captured.get().splitlines():
        to.file.write(line.rstrip() + "\n")


def say(to: Console, text: str | Text, style: str = "") -> None:
    """A sentence, wrapped at the terminal's width."""
    to.print(text if isinstance(text, Text) else Text(text, style=style))
