"""Reads a data file into a frame, and says in one sentence what is wrong with one that cannot be read.

Knows formats by the file's ending (.csv, .tsv, .jsonl, .ndjson, .parquet) and nothing of what the columns mean.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from trialist.core.errors import ConfigError


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
    try:
        frame = reader()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8", path="data.path"
        ) from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}", path="data.path") from None
    if frame.empty:
        raise ConfigError(f"{file} has column names and no rows", path="data.path")
    return frame


def _csv(file: Path, separator: object) -> pd.DataFrame:
    if not isinstance(separator, str) or len(separator) != 1:
        raise ConfigError(f"must be one character, not {separator!r}", path="data.separator")
    with file.open(encoding="utf-8-sig", newline="") as lines:
        header = next(csv.reader(lines, delimiter=separator), [])
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise ConfigError(f"{file} has more than one column '{twice[0]}'; rename them", path="data.path")
    if len(header) == 1:
        for other, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if other in header[0]:
                raise ConfigError(
                    f'the columns of {file} are separated by {name}: give data.separator: "{other}"',
                    path="data.separator",
                )
    try:
        return pd.read_csv(file, sep=separator, encoding="utf-8-sig", skipinitialspace=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ConfigError(f"{file} is no readable CSV file: {str(error).strip()}", path="data.path") from None


def _jsonl(file: Path) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ConfigError(f"{file}:{number} is no JSON: {error}", path="data.path") from None
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
