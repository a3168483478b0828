"""Every error that Trialist raises, in one tree.

    TrialistError                      exit code  HTTP
    ├── UserError                          2      422   what the user gave is wrong; nothing was changed
    │   ├── SpaceError (ValueError)        2      422   a search space, a constraint or params outside it
    │   ├── ConfigError (ValueError)       2      422   a config file or an option
    │   ├── ObjectiveError (TypeError)     2      422   what is to be run cannot be run, or its result is no result
    │   ├── UnknownName (ValueError)       2      422   a name that nobody registered; offers the nearest
    │   └── MissingExtra (ImportError)     2      501   an optional library is not installed; names the pip line
    ├── NotFound (LookupError)             2      404   no such study, trial or checkpoint
    ├── Conflict                           3      409   legal in itself, but not in the present state
    │   ├── StudyExists                    3      409   the name is taken
    │   ├── StudyMismatch                  3      409   resumed with another space, metric, seed …; shows the difference
    │   ├── StudyLed                       3      409   another live process leads the study; says who
    │   └── IllegalTransition              3      409   a status that cannot follow the present one
    ├── LeaseLost                         75      409   fenced: somebody else leads now; nothing was written
    ├── StoreError                        74      503   the store cannot be used
    │   ├── StoreBusy                     74      503   it did not answer in time; trying again may help
    │   ├── StoreFull                     74      507   no space left; nothing acknowledged is lost
    │   └── SchemaMismatch                74      503   made by an older or newer Trialist; names the way out
    └── InternalError                     70      500   a defect of ours: please report it

Constructors take ids and values, and make the message: what is wrong, where, and what to do. ``str(error)`` is one
paragraph fit for a terminal. ``exit_code`` and ``http_status`` are what the command line and the service answer with.

What a trial sees when it is told to leave (``Stopped``, ``Paused``) is no error and lives in ``trialist.runtime``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


def nearest(word: str, known: Iterable[str]) -> str:
    """The sentence that offers what the user may have meant, or the whole list where it is short; else nothing."""
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    if not close:
        # The last part of a dotted path is what people remember: "lr" for "training.lr".
        close = [name for name in names if name.rsplit(".", 1)[-1] == word.rsplit(".", 1)[-1]][:3]
    if not close and len(word) > 1:
        # The stamp is what people leave out: "mlp" for "mlp_031914". The last one is the newest.
        close = [name for name in names if name.startswith(word)][-3:]
    if close:
        return f" Did you mean {_either(close)}?"
    if names and len(names) <= 12:
        return f" Known: {', '.join(names)}."
    return ""


def _either(names: list[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + f" or {quoted[-1]}"


class TrialistError(Exception):
    """The root: ``except TrialistError`` catches all that Trialist raises on purpose."""

    exit_code = 1
    http_status = 500


class UserError(TrialistError):
    """What the user gave is wrong; nothing was changed."""

    exit_code = 2
    http_status = 422


class SpaceError(UserError, ValueError):
    """A search space, a constraint, or params that do not lie in the space.

    Args:
        path: Dotted path of the parameter; empty for the space as a whole.
        rule: What is wrong and what to do, as a sentence without the path.
    """

    def __init__(self, path: str, rule: str) -> None:
        self.path = path
        self.rule = rule
        super().__init__(f"{path}: {rule}" if path else rule)


class ConfigError(UserError, ValueError):
    """A config file or an option is wrong.

    Args:
        problem: What is wrong and what to do.
        file: The file, where there is one.
        line: Line in the file, from 1.
        path: Dotted path inside the config.
    """

    def __init__(self, problem: str, *, file: str | None = None, line: int | None = None, path: str = "") -> None:
        self.problem = problem
        self.file = file
        self.line = line
        self.path = path
        where = "" if file is None else f"{file}:{line}: " if line is not None else f"{file}: "
        super().__init__(where + (f"{path}: " if path else "") + problem)


class ObjectiveError(UserError, TypeError):
    """What is to be run cannot be run, or what it gave back is no result."""


class UnknownName(UserError, ValueError):
    """A name that nobody registered.

    Args:
        kind: What was looked for: ``"searcher"``, ``"scheduler"``, …
        name: The name that was given.
        known: All registered names.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        super().__init__(f"no {kind} is called '{name}'.{nearest(name, known)}")


class MissingExtra(UserError, ImportError):
    """An optional library is not installed.

    Args:
        what: What needs it, in the user's words.
        extra: The extra of the ``trialist`` package that brings it.
        missing: The module that could not be imported.
    """

    http_status = 501

    def __init__(self, what: str, extra: str, missing: str) -> None:
        self.extra = extra
        self.missing = missing
        super().__init__(f"{what} needs '{missing}', which is not installed: pip install 'trialist[{extra}]'")


class NotFound(TrialistError, LookupError):
    """No such study, trial or checkpoint.

    Args:
        kind: ``"study"``, ``"trial"``, …
        key: What was asked for.
        where: Where it was looked for, e.g. the store's URL.
        known: Names that are there, to offer the nearest.
    """

    exit_code = 2
    http_status = 404

    def __init__(self, kind: str, key: object, where: str = "", known: Iterable[str] = ()) -> None:
        self.kind = kind
        self.key = key
        at = f" in {where}" if where else ""
        super().__init__(f"no {kind} '{key}'{at}.{nearest(str(key), known)}")


class Conflict(TrialistError):
    """Legal in itself, but not in the present state; nothing was changed."""

    exit_code = 3
    http_status = 409


class StudyExists(Conflict):
    """The name is taken."""

    def __init__(self, name: str, store: str) -> None:
        self.name = name
        super().__init__(
            f"a study '{name}' exists in {store}. Go on with it (resume=True), give another name, or delete it "
            f"(trialist delete {name})."
        )


class StudyMismatch(Conflict):
    """A study was resumed with something that differs from what it was made with.

    Args:
        name: The study.
        differences: ``{what: (recorded, given)}``, both short enough to print.
    """

    def __init__(self, name: str, differences: Mapping[str, tuple[Any, Any]]) -> None:
        self.name = name
        self.differences = dict(differences)
        lines = [f"  {what}: recorded {old}; now {new}" for what, (old, new) in self.differences.items()]
        super().__init__(
            f"study '{name}' was made with other settings, so it cannot go on with these:\n"
            + "\n".join(lines)
            + "\nGive the recorded settings, or another study name."
        )


class StudyLed(Conflict):
    """Another live process leads the study.

    Args:
        name: The study.
        holder: Who leads, e.g. ``"pid 4711 on gpu-box"``.
    """

    def __init__(self, name: str, holder: str) -> None:
        self.name = name
        self.holder = holder
        super().__init__(
            f"study '{name}' is led by {holder}. Watch it with 'trialist status {name}', or end it with "
            f"'trialist cancel {name}'."
        )


class IllegalTransition(Conflict):
    """A status that cannot follow the present one.

    Args:
        what: E.g. ``"trial 3 of 'digits'"``.
        present: The status it has.
        wanted: The status that was asked for.
    """

    def __init__(self, what: str, present: str, wanted: str) -> None:
        self.what = what
        self.present = present
        self.wanted = wanted
        super().__init__(f"{what} is {present}, so it cannot become {wanted}.")


class LeaseLost(TrialistError):
    """Fenced: somebody else leads the study now, and nothing was written.

    Args:
        name: The study.
        epoch: The epoch this process held.
    """

    exit_code = 75
    http_status = 409

    def __init__(self, name: str, epoch: int | None) -> None:
        self.name = name
        self.epoch = epoch
        super().__init__(
            f"fenced: another process has taken over study '{name}' (this one held epoch {epoch}); "
            "nothing more was written from here."
        )


class StoreError(TrialistError):
    """The store cannot be used."""

    exit_code = 74
    http_status = 503

    def __init__(self, store: str, problem: str) -> None:
        self.store = store
        self.problem = problem
        super().__init__(f"{store}: {problem}")


class StoreBusy(StoreError):
    """The store did not answer in time; trying again may help."""


class StoreFull(StoreError):
    """No space left; what was acknowledged is safe."""

    http_status = 507


class SchemaMismatch(StoreError):
    """The store was made by an older or newer Trialist; nothing was altered."""


class InternalError(TrialistError):
    """A defect of ours: please report it."""

    exit_code = 70


def error_told(error: TrialistError) -> dict[str, Any]:
    """An error as JSON, for ``error_retold`` in another process: its class, and what its constructor kept."""
    kept = {name: value for name, value in vars(error).items() if isinstance(value, str | int | bool | None)}
    return {"class": type(error).__name__, **({"about": kept} if kept else {})}


def error_retold(told: Mapping[str, Any], message: str) -> TrialistError:
    """The error that ``error_told`` was given: the same class, message, exit code and HTTP status.

    Args:
        told: What ``error_told`` made; of an error of an older or newer version, or of a plugin, it may name a class that
            is not known here: then it is a ``Conflict``, which every caller of a command has to expect.
        message: ``str`` of that error.
    """
    cls = _tree(TrialistError).get(str(told.get("class", "")), Conflict)
    error = cls.__new__(cls)
    error.args = (message,)  # not by its constructor, which makes the message from what is in it
    about = told.get("about")
    if isinstance(about, Mapping):
        vars(error).update(about)
    return error


def _tree(root: type[TrialistError]) -> dict[str, type[TrialistError]]:
    """An error class and all below it, by name."""
    found = {root.__name__: root}
    for cls in root.__subclasses__():
        found |= _tree(cls)
    return found
