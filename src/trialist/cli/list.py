"""``trialist list``. Knows a page of studies at a time."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.text import Text

from trialist.api.documents import study_document
from trialist.api.workforce import connected
from trialist.cli.options import JsonOption, StoreOption, nothing_yet, opened_store, place
from trialist.cli.output import Column, age, clean, console, emit, number, plural, print_table, say, status_text
from trialist.cli.summary import progress, waits_for_worker
from trialist.core.errors import ConfigError
from trialist.core.records import Study
from trialist.core.states import StudyStatus
from trialist.store.locate import store_url


def list_(
    status: Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help="Only studies with this status.")
    ] = None,
    search: Annotated[str, typer.Option("--search", metavar="TEXT", help="Only names that contain this.")] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="At most so many.")] = 50,
    cursor: Annotated[
        str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on where the last page ended.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """The studies of a store, newest first."""
    wanted = _status(status)
    to = console()
    if nothing_yet(store):
        if as_json:
            emit({"store": store_url(store), "studies": [], "cursor": None})
        else:
            say(to, f"No studies yet. They will be kept in {place(store_url(store))}.")
        return
    with opened_store(store) as there:
        page = there.list_studies(status=wanted, search=search, limit=limit, cursor=cursor)
        leaders = {study.id: there.leader(study.id) for study in page.studies}
        if as_json:
            documents = [study_document(s, str(leaders[s.id]) if leaders[s.id] else None) for s in page.studies]
            emit({"store": there.url, "studies": documents, "cursor": page.cursor})
            return
        if not page.studies:
            say(to, "No such study." if status or search or cursor else f"No studies in {place(there.url)}.")
            return
        workers = len(connected(there, time.time())) if any(study.in_line_since for study in page.studies) else 0
        rows = (_row(study, leaders[study.id] is not None, workers) for study in page.studies)
        print_table(to, _columns(), rows)
        if page.cursor is not None:
            say(to, f"\nThe newest {plural(len(page.studies), 'study', 'studies')}; more with --cursor {page.cursor}")


def _columns() -> list[Column]:
    return [
        Column("STUDY", gives_way=True),
        Column("DOOR"),
        Column("STATUS"),
        Column("TRIALS", right=True),
        Column("BEST", right=True),
        Column("MADE"),
    ]


def _row(study: Study, led: bool, workers: int = 0) -> list[str | Text]:
    metric = study.metric
    best = number(study.best_value)
    if metric is not None and study.best_value is not None:
        best = f"{clean(metric.name)} {best}"
    status = status_text(study.status.value)
    if study.in_line_since is not None and not led:
        status = waits_for_worker(workers)
    elif study.status is StudyStatus.RUNNING and not led:
        status = Text("running, unled", style="yellow")
    return [clean(study.name), study.spec.door, status, progress(study), best, age(study.spec.created_at)]


def _status(word: str | None) -> StudyStatus | None:
    if word is None:
        return None
    if word not in set(StudyStatus):
        raise ConfigError(f"--status is one of {', '.join(StudyStatus)}, not '{word}'.")
    return StudyStatus(word)
