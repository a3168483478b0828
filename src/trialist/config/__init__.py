"""Config files and dotted paths into them. Importing this loads the standard library only."""

from trialist.config.marks import FixedValue
from trialist.config.paths import (
    as_path,
    format_path,
    get_path,
    has_path,
    iter_leaves,
    iter_paths,
    missing_path,
    nearest_paths,
    parse_path,
    set_path,
)
from trialist.config.yaml import Document, dump_yaml, load_yaml, load_yaml_text, parse_value, parse_values

__all__ = [
    "Document",
    "FixedValue",
    "as_path",
    "dump_yaml",
    "format_path",
    "get_path",
    "has_path",
    "iter_leaves",
    "iter_paths",
    "load_yaml",
    "load_yaml_text",
    "missing_path",
    "nearest_paths",
    "parse_path",
    "parse_value",
    "parse_values",
    "set_path",
]
