"""Drives a searcher of Trialist through its port alone: events in, suggestions out; no engine and no store."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import trialist
from trialist.core.events import AttemptStarted, Body, Event, StudyCreated, TrialEnded, TrialSuggested
from trialist.core.fold import fold_trial
from trialist.core.ports import Searcher
from trialist.core.records import Budget, Exhausted, Metric, Mode, Spec, StudySpec, Suggestion, Trial
from trialist.core.states import TrialStatus
from trialist.registry import BUILT_IN, load, resolve
from trialist.space import SearchSpace
from tuning.course import Course

LOSS = Metric(name="loss", mode=Mode.MIN)
SOURCE = Path(trialist.__file__).parents[1]


class Named(NamedTuple):
    """A searcher or scheduler as the command line names it: ``gp``, ``asha?eta=4&variant=stop``, ``some.module:Class``."""

    name: str
    options: dict[str, Any]

    @classmethod
    def of(cls, words: str) -> Named:
        """Options are JSON where they can be, and text else."""
        name, _, tail = words.partition("?")
        options = {}
        for pair in filter(None, tail.split("&")):
            key, _, value = pair.partition("=")
            try:
                options[key] = json.loads(value)
            except ValueError:
                options[key] = value
        return cls(name, options)

    def made(self, kind: str) -> Any:
        """The class, of ``searcher`` or ``scheduler``."""
        return resolve(self.name, self.name) if ":" in self.name else load(kind, self.name)


class Miniature:
    """A study in miniature: emits events, keeps the rows of live trials, and tells those who read them.

    Args:
        space: What is searched.
        metric: What trials report.
        seed: The study's.
        budget: What it may do; the first event says so.
        readers: Searcher and scheduler.
        scheduler: As the study's spec names it.
    """

    def __init__(
        self,
        space: SearchSpace,
        metric: Metric,
        seed: int,
        budget: Budget,
        *readers: Any,
        scheduler: Named | None = None,
    ) -> None:
        self._readers = readers
        self._names = (metric.name,)
        self.rows: dict[int, Trial] = {}
        self.seq = 0
        self.now = 0.0
        spec = StudySpec(
            id="0" * 32,
            name="benchmark",
            space=space.to_json(),
            metrics=(metric,),
            seed=seed,
            searcher=Spec(name="benchmark"),
            scheduler=None if scheduler is None else Spec(name=scheduler.name, options=scheduler.options),
            executor=Spec(name="benchmark"),
            budget=budget,
        )
        self.emit(StudyCreated(spec=spec))

    def emit(self, body: Body) -> Trial | None:
        """Make an event happen; returns the row of its trial."""
        self.seq += 1
        event, row = Event(self.seq, self.now, body), None
        if event.trial is not None:
            row = self.rows[event.trial] = fold_trial(self.rows.get(event.trial), event, self._names)
        for reader in self._readers:
            if type(body) in reader.reads:
                reader.update(event, row)
        return row

    def suggested(self, number: int, suggestion: Suggestion, source: str) -> None:
        """A trial comes into being."""
        self.emit(
            TrialSuggested(
                trial=number,
                params=suggestion.params,
                seed=number,
                source=source,
                seen_seq=self.seq,
                note=suggestion.note,
                parent=suggestion.parent,
                warm_start_from=suggestion.warm_start_from,
            )
        )


def search(words: str, course: Course) -> None:
    """Make the trials of a course, one at a time.

    Raises:
        TypeError: The searcher asked for something from outside.
    """
    named, space = Named.of(words), course.task.space
    searcher: Searcher = named.made("searcher")(space, metrics=(LOSS,), seed=course.seed, **named.options)
    study = Miniature(space, LOSS, course.seed, Budget(num_trials=course.trials), searcher)
    for number in range(course.trials):
        suggestion = searcher.suggest(number)
        if isinstance(suggestion, Exhausted):
            return
        if not isinstance(suggestion, Suggestion):
            raise TypeError(f"{words} wants an answer from outside: {suggestion}")
        study.suggested(number, suggestion, searcher.name)
        study.emit(AttemptStarted(trial=number, attempt=1))
        loss = course.objective(dict(suggestion.params))
        study.emit(
            TrialEnded(trial=number, attempt=1, status=TrialStatus.COMPLETED, metrics={LOSS.name: loss}, value=loss)
        )
        study.rows.pop(number)


# --- what it is made of: kept courses of a searcher count until its source changes ---


def fingerprint(words: str, *, kind: str = "searcher") -> str:
    """A hash over the code of a searcher or scheduler and of what it stands on in its room; comments do not count.

    What a space means is left out: it belongs to the tasks, whose ``version`` rises when their points change.
    """
    name = Named.of(words).name
    module = (name if ":" in name else BUILT_IN[kind][name]).partition(":")[0]
    return _digest(module)


@cache
def _digest(module: str) -> str:
    seen: dict[str, str] = {}
    queue = [module]
    while queue:
        one = queue.pop()
        path = _file(one)
        if one in seen or path is None:
            continue
        source = path.read_bytes()
        tree = ast.parse(source)
        seen[one] = _code(tree)
        queue += _imports(tree)
        if b"registry" in source:  # it finds others by name
            queue += [f"trialist.search.{other.stem}" for other in (SOURCE / "trialist" / "search").glob("*.py")]
    return hashlib.sha256("\n".join(seen[one] for one in sorted(seen)).encode()).hexdigest()[:12]


def _code(tree: ast.Module) -> str:
    """The code without comments and docstrings."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [one for one in body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _imports(tree: ast.Module) -> Iterator[str]:
    """What a module imports of the rooms of searchers and schedulers."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name.startswith(("trialist.search", "trialist.schedule")))


def _file(module: str) -> Path | None:
    if not module.startswith("trialist."):
        found = importlib.util.find_spec(module)
        return Path(found.origin) if found is not None and found.origin else None
    path = SOURCE.joinpath(*module.split("."))
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()), None)
