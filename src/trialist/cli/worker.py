"""``trialist worker``. Knows what is typed and what is printed; the worker itself is the api's."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from trialist.api.leading import lease_seconds
from trialist.cli.options import StoreOption
from trialist.cli.output import clean
from trialist.core.errors import ConfigError
from trialist.worker.admission import whole_room
from trialist.worker.happenings import Happening
from trialist.worker.supervising import Limits, Supervisor


def worker(
    store: StoreOption = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="What to call it; else the host and the process.")
    ] = None,
    studies: Annotated[
        int | None,
        typer.Option("--studies", metavar="N", min=1, help="Lead at most so many at once; else as many as fit."),
    ] = None,
    cpu: Annotated[
        float | None, typer.Option("--cpu", metavar="N", min=0, help="Cores that trials may take; else all.")
    ] = None,
    gpu: Annotated[int | None, typer.Option("--gpu", metavar="N", min=0, help="GPUs to use; else all.")] = None,
    memory_gb: Annotated[
        float | None, typer.Option("--memory-gb", metavar="N", min=0, help="Memory for trials; else the machine's.")
    ] = None,
    resource: Annotated[
        list[str] | None,
        typer.Option(
            "--resource", metavar="NAME=N", help="Something else that trials ask for by name; may be repeated."
        ),
    ] = None,
    path: Annotated[
        list[Path] | None,
        typer.Option("--path", metavar="DIR", help="Import objectives from here first; may be repeated."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Lead one study, then leave.")] = False,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Leave when nothing is left to do.")] = False,
    drain_after: Annotated[
        float | None, typer.Option("--drain-after", metavar="SECONDS", min=0, help="Leave in order after this time.")
    ] = None,
    grace_s: Annotated[
        float,
        typer.Option("--grace-s", metavar="SECONDS", min=0, help="How long trials may run on when it leaves in order."),
    ] = 60.0,
    lease_s: Annotated[
        float | None,
        typer.Option(
            "--lease-s", metavar="SECONDS", help="How long it may be silent before others take its studies; else 30."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document a line instead of text.")] = False,
) -> None:
    """Lead queued studies, as many at once as fit on this machine.

    Takes studies that were handed to workers ('trialist queue', 'trialist sweep --queue', study.submit) in the order in which
    they came, each in a process of its own. Ctrl-C or TERM: takes no more, lets trials leave where they can go on later and
    the others end within the grace; studies that are not done go to the next worker. Twice: now.

    Exit codes: 0 left in order; 1 with --once or --until-idle, where a study failed; 130 told twice.
    """
    limits = Limits(
        room=whole_room(cpu=cpu, gpu=gpu, memory_gb=memory_gb, others=_resources(resource or [])),
        max_studies=studies,
        lease_s=lease_seconds(lease_s),
        grace_s=grace_s,
        drain_after_s=drain_after,
        once=once,
        until_idle=until_idle,
        path=tuple(str(entry.expanduser().absolute()) for entry in path or ()),
    )
    supervisor = Supervisor(store, name=name, limits=limits, tell=_print_json if as_json else _print)

    def interrupt(number: int, frame: FrameType | None) -> None:
        supervisor.interrupt()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    raise typer.Exit(supervisor.run())


def _resources(given: list[str]) -> dict[str, float]:
    """``["tpu=4"]`` as numbers by name.

    Raises:
        ConfigError: One is not of the form ``name=number``.
    """
    found = {}
    for text in given:
        name, equals, number = text.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            equals = ""
        if not equals or not name or not found[name] >= 0:
            raise ConfigError(f"--resource is given as NAME=NUMBER, such as tpu=4, not '{text}'.")
    return found


def _print(happening: Happening) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')}  {clean(happening.text)}\n")
    sys.stdout.flush()


def _print_json(happening: Happening) -> None:
    document = {"at": time.time(), "kind": happening.kind, "study": happening.study, "text": happening.text}
    sys.stdout.write(json.dumps({**document, **happening.facts}) + "\n")
    sys.stdout.flush()
