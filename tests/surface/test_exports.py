"""Guards the public names: what ``trialist`` offers, that each resolves, and that type checkers are told the same.

``python tests/surface/test_exports.py`` (``make stub``) writes the stub anew from the table.
"""

from __future__ import annotations

import importlib
import inspect
from collections import defaultdict
from pathlib import Path

import pytest

import trialist
from trialist.core.errors import MissingExtra, TrialistError

STUB = Path(trialist.__file__).with_suffix(".pyi")

PROMISED = {
    "create_study", "load_study", "list_studies", "list_workers", "delete_study", "import_studies", "fsck", "Study",
    "HyperParamSearch", "TrainingEngine", "HPOptimizer", "HPOResults", "load_results", "ConfigLoader",
    "HPOVisualizer", "analyze",
    "SearchSpace", "Float", "Int", "Choice", "Fixed",
    "report", "params", "emit_progress", "checkpoint_dir", "Stopped", "Paused",
    "TrialistError", "UserError", "SpaceError", "ConfigError", "ObjectiveError", "UnknownName", "MissingExtra", "NotFound",
    "Conflict", "StudyExists", "StudyMismatch", "StudyLed", "IllegalTransition", "LeaseLost",
    "StoreError", "StoreBusy", "StoreFull", "SchemaMismatch", "InternalError",
    "__version__",
}  # fmt: skip
"""What users may rely on; written out, so that a change of the table is a change of this test."""
OF_A_LIBRARY = {"RayTuneSearcher"}
"""These too, where an optional library is there."""


def render_stub() -> str:
    """The stub that the table of exports asks for."""
    by_module: dict[str, list[str]] = defaultdict(list)
    for name, target in trialist._EXPORTS.items():
        module, _, attribute = target.partition(":")
        assert attribute == name, "the stub has no renaming"
        by_module[module].append(name)
    by_module["trialist._version"].append("__version__")
    lines = ["# Made from the table in __init__.py by `make stub`; a test holds the two equal.", ""]
    for module in sorted(by_module):
        imports = sorted(by_module[module], key=lambda one: (not one[0].isupper(), one.lower()))
        if len(imports) == 1:
            lines.append(f"from {module} import {imports[0]}")
        else:
            lines += [f"from {module} import (", *(f"    {one}," for one in imports), ")"]
    names = sorted(["__version__", *trialist._EXPORTS], key=_isort_key)
    lines += ["", "__all__ = [", *(f'    "{name}",' for name in names), "]", ""]
    return "\n".join(lines)


def _isort_key(name: str) -> tuple[bool, str]:
    return (not name[0].isupper(), name)


def test_the_public_names_are_the_promised_ones() -> None:
    assert set(trialist.__all__) == PROMISED
    assert len(trialist.__all__) == len(PROMISED)
    assert set(trialist.__all__) <= set(dir(trialist))


@pytest.mark.parametrize("name", sorted(PROMISED | OF_A_LIBRARY))
def test_each_name_resolves_to_a_documented_object_of_that_name(name: str) -> None:
    try:
        value = getattr(trialist, name)
    except MissingExtra:
        assert name in OF_A_LIBRARY
        return
    assert value is getattr(trialist, name)
    if name == "__version__":
        assert value[0].isdigit()
        return
    assert value.__name__ == name
    assert inspect.getdoc(value), f"{name} has no docstring"


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'create_studdy'.*Did you mean 'create_study'"):
        trialist.create_studdy  # type: ignore[attr-defined]
    assert not hasattr(trialist, "__path_of_nothing__")


def test_the_error_tree_is_public_whole() -> None:
    module = importlib.import_module("trialist.core.errors")
    tree = {name for name, value in vars(module).items() if inspect.isclass(value) and issubclass(value, TrialistError)}
    assert tree <= PROMISED


def test_the_stub_says_what_the_table_says() -> None:
    assert STUB.read_text(encoding="utf-8") == render_stub(), "run `make stub`"


if __name__ == "__main__":
    STUB.write_text(render_stub(), encoding="utf-8")
    print(f"wrote {STUB.name}: {len(trialist._EXPORTS)} names")
