"""Reads a data file into a frame, and says in one sentence what is wrong with one that cannot be read.

Knows formats by the file's ending (.csv, .tsv, .jsonl, .ndjson, .parquet) and nothing of what the columns mean.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from trialist.core.errors import ConfigError

MEMORY_SHARE = {".parquet": 10}
"""How many times its size a file may take in memory, by kind; ``USUAL`` for others."""
USUAL = 3


def file_of(data: Mapping[str, Any]) -> Path:
    """The file that ``data.path`` names.

    Raises:
        ConfigError: It is no path.
    """
    path = data.get("path")
    if not isinstance(path, str | Path):
        raise ConfigError(f"must be the path of a file, not {path!r}", path="data.path")
    return Path(path).expanduser()


def memory_bytes() -> int:
    """What this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def read_frame(file: Path, separator: object = None) -> pd.DataFrame:
    """The rows of a file.

    Args:
        file: Relative ones are looked for in the working directory.
        separator: Between the columns of a CSV file; ``None``: a comma (a tab for .tsv).

    Raises:
        ConfigError: It is missing, empty, broken or of an unknown kind.
    """
    readers: dict[str, Callable[[], pd.DataFrame]] = {
        ".csv": lambda: _csv(file, separator or ","),
        ".tsv": lambda: _csv(file, separator or "\t"),
        ".jsonl": lambda: _jsonl(file),
        ".ndjson": lambda: _jsonl(file),
        ".parquet": lambda: _parquet(file),
    }
    if not file.exists():
        raise ConfigError(f"there is no file {file} (looked for it at {file.absolute()})", path="data.path")
    if not file.is_file():
        raise ConfigError(f"{file} is a directory, not a data file", path="data.path")
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise ConfigError(
            f"cannot tell what kind of file {file} is; its name must end in one of: {', '.join(readers)}",
            path="data.path",
        )
    if file.stat().st_size == 0:
        raise ConfigError(f"{file} is empty", path="data.path")
    _check_size(file)
    try:
        frame = reader()
    except UnicodeDecodeError as error:
        with file.open("rb") as raw:
            start = raw.read(2)
        kind = "UTF-16" if start in (b"\xff\xfe", b"\xfe\xff") else "in another encoding, or no text at all"
        raise ConfigError(
            f"{file} is not UTF-8 text (byte {error.start}): it is {kind}. Save it as UTF-8", path="data.path"
        ) from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}", path="data.path") from None
    if frame.empty:
        raise ConfigError(f"{file} has column names and no rows", path="data.path")
    frame.columns = [str(name) for name in frame.columns]
    return frame


def _check_size(file: Path) -> None:
    size, memory = file.stat().st_size, memory_bytes()
    needed = size * MEMORY_SHARE.get(file.suffix.lower(), USUAL)
    if needed > memory:
        raise ConfigError(
            f"{file} has {size / 1e9:.1f} GB and would take about {needed / 1e9:.1f} GB of memory, of which this machine has "
            f"{memory / 1e9:.1f}. Train on a sample of its rows",
            path="data.path",
        )


def _csv(file: Path, separator: object) -> pd.DataFrame:
    if not isinstance(separator, str) or len(separator) != 1:
        raise ConfigError(f"must be one character, not {separator!r}", path="data.separator")
    with file.open(encoding="utf-8-sig", newline="") as lines:
        header = next(csv.reader(lines, delimiter=separator), [])
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise ConfigError(f"{file} has more than one column '{twice[0]}'; rename them", path="data.path")
    _check_names(header, file)
    if len(header) == 1:
        for other, name in ((",", "commas"), (";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if other in header[0] and other != separator:
                raise ConfigError(
                    f'the columns of {file} are separated by {name}: give data.separator: "{other}"',
                    path="data.separator",
                )
    try:
        return pd.read_csv(file, sep=separator, encoding="utf-8-sig", skipinitialspace=True, low_memory=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ConfigError(f"{file} is no readable CSV file: {str(error).strip()}", path="data.path") from None


def _check_names(header: list[str], file: Path) -> None:
    """Raise ConfigError where the first line is no line of names."""
    if header and all(_is_number(cell) for cell in header):
        raise ConfigError(
            f"the first line of {file} holds numbers ({', '.join(header[:4])}), so it has no line with the names of its "
            "columns. Put one first",
            path="data.path",
        )
    for place, name in enumerate(header, start=1):
        if not name.strip() and len(header) > 1:
            raise ConfigError(
                f"column {place} of {file} has no name (row numbers that were saved along?). Give it one, or take it out",
                path="data.path",
            )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _jsonl(file: Path) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                whole = (
                    "; it seems to be one JSON list, and here each line is an object of its own"
                    if line[0] == "["
                    else ""
                )
                raise ConfigError(f"{file}:{number} is no JSON: {error}{whole}", path="data.path") from None
            if not isinstance(row, dict):
                raise ConfigError(
                    f"{file}:{number} must be a JSON object with a value for each column", path="data.path"
                )
            rows.append(row)
    return pd.DataFrame.from_records(rows)


def _parquet(file: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(file)
    except ImportError:
        raise ConfigError(
            f"{file} is a Parquet file, and reading those needs pyarrow: pip install pyarrow (or save it as CSV)",
            path="data.path",
        ) from None
    except ValueError as error:
        # pyarrow's own errors for a broken file are ValueErrors.
        raise ConfigError(f"{file} is no readable Parquet file: {error}", path="data.path") from None
