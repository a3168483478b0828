"""Proving a store consistent: the file, every study, the suggestions, and the checkpoints beside it. Changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from trialist.api.naming import artifacts_dir
from trialist.api.replaying import replay_suggestions
from trialist.core.errors import NotFound, StoreError, UserError
from trialist.core.ports import Store
from trialist.core.records import Study
from trialist.core.states import StudyStatus
from trialist.store.checks import check_file, check_study
from trialist.store.inspecting import Named, check_tables, frozen, named_studies, remains
from trialist.store.locate import open_store

_FILE = "sqlite:///"
_TEMPORARY = ".tmp-"
_CHECKPOINT = re.compile(r"step-\d+(-\d+)?")
Progress = Callable[[str, int, int], None]
"""Told of a study's name, how many of its events are folded, and how many there are."""


class Severity(StrEnum):
    """How bad a finding is."""

    WRONG = "wrong"
    """What is stored contradicts itself: something was lost, or changed by somebody else."""
    WARNING = "warning"
    """Nothing is lost; it says what to do."""


class Finding(NamedTuple):
    """One thing that was found."""

    severity: Severity
    study: str
    """Name of the study; empty: it concerns the store."""
    problem: str
    """A sentence: what, where, and for a warning what to do."""


class Fsck(NamedTuple):
    """What a check of a store found."""

    findings: list[Finding]
    studies: int
    """How many were checked."""
    events: int
    """How many of their events were folded."""
    replayed: int
    """How many suggestions were drawn again; 0 without ``replay``."""

    @property
    def ok(self) -> bool:
        """Whether the store is consistent; warnings do not count."""
        return all(finding.severity is not Severity.WRONG for finding in self.findings)


def fsck(
    study: str | None = None,
    *,
    store: str | Store | None = None,
    replay: bool = False,
    progress: Progress | None = None,
) -> Fsck:
    """Prove a store consistent: everything that it holds is what its events add up to.

    Reads alone, a page at a time. Each study is seen as it is at one instant, so others may write meanwhile.

    Args:
        study: Only this one, by name or id; ``None``: all of them, and the file.
        store: As in ``create_study``; one that is not there is an error.
        replay: Also draw every stored suggestion again from the events, and compare bit for bit.
        progress: Told how far it is.

    Raises:
        NotFound: No such study.
        StoreError: The store is not there, or nothing of it can be read.
    """
    opened = open_store(store, create=False) if store is None or isinstance(store, str) else store
    try:
        return _Fsck(opened, replay, progress).run(study)
    finally:
        if opened is not store:
            opened.close()


class _Fsck:
    def __init__(self, store: Store, replay: bool, progress: Progress | None) -> None:
        self._store = store
        self._replay = replay
        self._progress = progress
        self._studies = self._events = self._replayed = 0

    def run(self, study: str | None) -> Fsck:
        if study is None:
            findings = [*self._whole_store(), *(f for one in named_studies(self._store) for f in self._study(one))]
        else:
            findings = list(self._study(self._named(study)))
        return Fsck(findings, self._studies, self._events, self._replayed)

    def _named(self, name: str) -> Named:
        known = list(named_studies(self._store))
        for one in known:
            if name in (one.name, one.id):
                return one
        raise NotFound("study", name, self._store.url, [one.name for one in known])

    def _whole_store(self) -> Iterator[Finding]:
        if self._store.url.startswith(_FILE):
            for problem in check_file(self._store.url):
                yield Finding(Severity.WRONG, "", f"SQLite says of the file: {problem}.")
        for problem in check_tables(self._store):
            yield Finding(Severity.WRONG, "", problem)
        for problem in remains(self._store):
            yield Finding(
                Severity.WARNING, "", f"{problem[:-1]}; the next 'trialist delete' or 'trialist import' removes them."
            )

    def _study(self, named: Named) -> Iterator[Finding]:
        name = named.name
        with frozen(self._store) as view:
            try:
                row = view.find_study(named.id)
                if row is None:
                    return  # deleted meanwhile; or without its spec, which was said
                self._studies += 1
                self._events += row.seq
                for problem in check_study(view, named.id, self._told(name)):
                    yield Finding(Severity.WRONG, name, problem)
                if self._replay:
                    yield from self._replayed_of(view, row)
            except (StoreError, NotFound) as error:
                yield Finding(Severity.WRONG, name, f"it cannot be read: {error}")
                return
        yield from self._around(row)

    def _told(self, name: str) -> Callable[[int, int], None] | None:
        progress = self._progress
        return None if progress is None else lambda done, total: progress(name, done, total)

    def _replayed_of(self, view: Store, row: Study) -> Iterator[Finding]:
        try:
            replayed = replay_suggestions(view, row)
        except UserError as error:
            yield Finding(Severity.WARNING, row.name, f"its suggestions cannot be drawn again here: {error}")
            return
        self._replayed += replayed.drawn
        if replayed.problem:
            yield Finding(Severity.WRONG, row.name, replayed.problem)
        if replayed.unpromised:
            yield Finding(Severity.WARNING, row.name, f"{replayed.unpromised} All else was checked.")

    def _around(self, row: Study) -> Iterator[Finding]:
        """What is no contradiction: a study whose leader died, and files."""
        leader = self._store.leader(row.id)
        if leader is None and row.status is StudyStatus.RUNNING and row.led_since is not None:
            problem = "it runs, and nobody leads it: its leader died. Run it again, and it goes on from there."
            yield Finding(Severity.WARNING, row.name, problem)
        for path, problem in self._files(row, led=leader is not None):
            yield Finding(Severity.WARNING, row.name, f"{path} {problem}")

    def _files(self, row: Study, *, led: bool) -> Iterator[tuple[Path, str]]:
        kept: set[Path] = set()
        for checkpoint in self._store.checkpoints(row.id):
            path = Path(checkpoint.path)
            kept.add(path.resolve())
            if not path.is_dir() and not (led and self._is_freed(row.id, checkpoint.id)):
                what = f"(checkpoint {checkpoint.id}) is gone; a trial that needs it starts from nothing. Put it back if you can."
                yield path, what
        if led:
            return  # what is half-written now may be whole in a moment
        for path in sorted(artifacts_dir(self._store.url, row.id, row.name).glob("trial-*/checkpoints/*")):
            if path.name.startswith(_TEMPORARY):
                yield path, "is a half-written checkpoint of a trial that was killed; 'trialist gc' removes it."
            elif _CHECKPOINT.fullmatch(path.name) and path.resolve() not in kept:
                yield (
                    path,
                    "is a checkpoint that the study does not know, or no longer needs; 'trialist gc' removes it.",
                )

    def _is_freed(self, study_id: str, checkpoint_id: str) -> bool:
        """Whether a leader freed it since it was read."""
        try:
            self._store.checkpoint(study_id, checkpoint_id)
        except NotFound:
            return True
        return False
