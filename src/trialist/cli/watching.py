"""Following a study: its events as they are committed, whoever leads it, on a screen or line by line.

The store tells nobody of a commit, so it is asked twice a second. Knows no verb.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from trialist.api import Study
from trialist.cli.narration import clock, line, tells
from trialist.cli.output import clean, console
from trialist.cli.steering import steps_of, steps_table
from trialist.cli.summary import print_summary, progress
from trialist.core.events import Event

LOOK_EVERY_S = 0.5
_SHOWN = 6
"""Last events under the summary of a followed study."""


def follow(study: Study, after: int, look_every_s: float = LOOK_EVERY_S) -> Iterator[list[Event]]:
    """Events from ``after`` on, as they come; an empty list each time there are none; ends when the study has ended.

    Raises:
        NotFound: The study was deleted meanwhile.
    """
    waiting = threading.Event()
    while True:
        ended = study.row.status.is_ended  # before its events are read: what ended it is among them
        page = study.store.events(study.id, after=after, limit=1000)
        if page:
            after = page[-1].seq
            yield page
        elif ended:
            return
        else:
            yield []
            waiting.wait(look_every_s)


def watch_study(study: Study, *, quiet: bool = False) -> None:
    """Show a study until it has ended: a screen that stays current, or without a terminal a line an event."""
    to = console()
    after = study.row.seq
    if quiet:
        for _ in follow(study, after):
            pass
    elif to.is_terminal:
        _on_screen(study, after)
    else:
        print(_in_one_line(study), flush=True)
        for page in follow(study, after):
            for event in page:
                if tells(event):
                    print(line(event).plain, flush=True)


def _in_one_line(study: Study) -> str:
    row, leader = study.row, study.leader
    led = f", led by {leader}" if leader else ", led by nobody"
    return f"{clock(time.time())}  {clean(row.name)} is {row.status}{led}, {progress(row)} trials"


def _on_screen(study: Study, after: int) -> None:
    to = console()
    recent: list[Text] = []
    with Live(console=to, auto_refresh=False, transient=False) as live:
        live.update(_screen(study, recent), refresh=True)
        for page in follow(study, after):
            recent = [*recent, *(line(event) for event in page if tells(event))][-_SHOWN:]
            live.update(_screen(study, recent), refresh=True)
        live.update(_screen(study, recent), refresh=True)


def _screen(study: Study, recent: list[Text]) -> Group:
    to = console()
    row, leader = study.row, study.leader
    with to.capture() as captured:
        print_summary(to, study, row, leader)
    steps = [step for step in steps_of(study) if not step.do.startswith("trialist watch")]
    parts: list[Text | Table] = [Text.from_ansi(captured.get().rstrip("\n"))]
    if recent:
        parts += [Text(""), *recent]
    if steps:
        parts += [Text(""), steps_table(steps)]
    return Group(*parts)
