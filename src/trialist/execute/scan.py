"""Which libraries a program imports when it starts, found without running it; and what a library is.

Read by ``execute.template``, which leaves no module of ours behind: so a file of the standard library alone.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import site
import sysconfig
from collections.abc import Iterator
from typing import Any


class Libraries:
    """Tells modules of libraries, which stay as they are, from the user's own, which may change between trials."""

    def __init__(self, ours: str) -> None:
        paths = sysconfig.get_paths()
        found = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
        found += [*site.getsitepackages(), site.getusersitepackages(), ours]
        self._roots = tuple({os.path.realpath(path) + os.sep for path in found})

    def has(self, file: str | None) -> bool:
        """Whether a module's file is a library's; a module without a file is part of Python."""
        return file is None or os.path.realpath(file).startswith(self._roots)


class Scan:
    """The libraries that a program imports when it starts, in its order, found without running it.

    Looks at statements outside of functions, in the program and in the user's own modules that it imports.

    Args:
        libraries: Which modules are libraries.
    """

    def __init__(self, libraries: Libraries) -> None:
        self._libraries = libraries
        self._seen: set[str] = set()
        self.names: list[tuple[str, tuple[str, ...]]] = []
        """Modules, and the names that are taken from each."""

    def file(self, path: str, package: str = "") -> None:
        """Scan a file; one that cannot be read or parsed says nothing, as the trial will."""
        if path in self._seen:
            return
        self._seen.add(path)
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - pathlib would be a module more in every trial
                tree = ast.parse(file.read())
        except (OSError, SyntaxError, ValueError, RecursionError):
            return
        for node in self._statements(tree.body):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.module(alias.name, ())
            elif isinstance(node, ast.ImportFrom):
                parents = package.split(".")[: -(node.level - 1) or None] if node.level else []
                name = ".".join([*filter(None, parents), *filter(None, [node.module])])
                if name:
                    self.module(name, tuple(alias.name for alias in node.names))

    def _statements(self, body: list[Any]) -> Iterator[Any]:
        for node in body:
            yield node
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                yield from self._statements(node.orelse)
            elif isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.While | ast.TryStar):
                for field in ("body", "handlers", "orelse", "finalbody"):
                    yield from self._statements(getattr(node, field, []))
            elif isinstance(node, ast.ExceptHandler):
                yield from self._statements(node.body)

    def program(self, name: str) -> None:
        """Scan what ``python -m name`` runs; the packages around it are imported first, as Python does."""
        spec = self._inwards(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name = f"{name}.__main__"
            spec = _find(name, list(spec.submodule_search_locations))
        if spec is not None and spec.has_location:
            self.file(spec.origin, name.rpartition(".")[0])

    def module(self, name: str, taken: tuple[str, ...]) -> None:
        """Note a library's module, or scan a user's own."""
        spec = _find(name.partition(".")[0], None)
        if spec is None:
            return
        if self._is_library(spec):
            self.names.append((name, taken))
            return
        found = self._inwards(name)
        if found is None:
            return
        self._own(found)
        for part in taken:
            inner = _find(f"{name}.{part}", list(found.submodule_search_locations or ()))
            if inner is not None:
                self._own(inner)

    def _inwards(self, name: str) -> Any:
        """The spec of a module, after what its packages import."""
        spec, places = None, None
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            if spec is not None:
                if self._is_library(spec):
                    self.names.append((spec.name, ()))
                self._own(spec)
                places = list(spec.submodule_search_locations or ())
            spec = _find(".".join(parts[:depth]), places)
            if spec is None:
                return None
        return spec

    def _own(self, spec: Any) -> None:
        if spec.has_location and not self._libraries.has(spec.origin):
            self.file(spec.origin, spec.name if spec.submodule_search_locations is not None else spec.parent)

    def _is_library(self, spec: Any) -> bool:
        return self._libraries.has(spec.origin if spec.has_location else None) and not is_namespace(spec)


def is_namespace(spec: Any) -> bool:
    """Whether a module is a package of no file of its own."""
    return spec.submodule_search_locations is not None and not spec.has_location


def _find(name: str, places: list[str] | None) -> Any:
    """The spec of a module, its package not imported."""
    try:
        if places is None:
            return importlib.util.find_spec(name)
        from importlib.machinery import PathFinder

        return PathFinder.find_spec(name, places)
    except (ImportError, ValueError, AttributeError):
        return None
