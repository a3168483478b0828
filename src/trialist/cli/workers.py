"""``trialist workers``."""

from __future__ import annotations

import time

from rich.text import Text

from trialist.api.workforce import Presence, Staff, worker_document, workforce
from trialist.cli.options import JsonOption, StoreOption, nothing_yet, opened_store, place
from trialist.cli.output import Column, age, clean, console, emit, print_table, say
from trialist.store.locate import store_url

_STYLES = {Presence.CONNECTED: "green", Presence.DRAINING: "yellow", Presence.LOST: "red"}


def workers(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """The workers of a store, and what each of them leads.

    One that died or went silent is called lost, and leaves the list after an hour; others take over its studies.
    """
    to = console()
    if nothing_yet(store):
        if as_json:
            emit({"store": store_url(store), "workers": []})
        else:
            say(to, f"No workers: {place(store_url(store))} is not there yet.")
        return
    with opened_store(store) as there:
        staff = workforce(there, time.time())
        if as_json:
            emit({"store": there.url, "workers": [worker_document(one) for one in staff]})
        elif not staff:
            say(to, f"No workers. Start one: trialist worker --store {place(there.url)}")
        else:
            print_table(to, _columns(), (_row(one) for one in staff))


def _columns() -> list[Column]:
    return [
        Column("WORKER"),
        Column("STATUS"),
        Column("WHERE"),
        Column("STARTED"),
        Column("SEEN"),
        Column("HAS"),
        Column("LEADS", gives_way=True),
    ]


def _row(staff: Staff) -> list[str | Text]:
    worker = staff.worker
    has = ", ".join(f"{value:.3g} {name}" for name, value in worker.capacity.items() if value)
    leads = ", ".join(
        f"{clean(one.study)} ({age(one.since)})" if one.since else clean(one.study) for one in staff.leads
    )
    return [
        clean(worker.name),
        Text(staff.presence.value, style=_STYLES[staff.presence]),
        clean(str(worker.holder)),
        age(worker.started_at),
        age(worker.seen_at),
        has,
        leads or "–",
    ]
