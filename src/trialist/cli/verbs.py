"""The table of verbs, and the group that loads a verb's module only when it is called or its help is shown.

Knows names and one-line summaries; a test holds the summaries equal to the first lines of the verbs' docstrings.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from trialist import registry
from trialist.core.errors import UnknownName


class Verb(NamedTuple):
    """One verb."""

    name: str
    target: str
    """``module:attribute``: a function, or a ``typer.Typer`` with verbs of its own."""
    summary: str
    section: str
    command: str = ""
    """``module:class`` of a command that parses its arguments in a way of its own."""


_RUN, _LOOK, _STEER, _TRIALS, _CARE = "Run", "Look", "Steer a study", "Steer its trials", "Keep house"

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "sweep",
            "trialist.cli.sweep:sweep",
            "Try several values of a config, one run each.",
            _RUN,
            "trialist.cli.sweep_arguments:SweepCommand",
        ),
        Verb(
            "worker", "trialist.cli.worker:worker", "Lead queued studies, as many at once as fit on this machine.", _RUN
        ),
        Verb("queue", "trialist.cli.queue:queue", "Hand a study to workers ('trialist worker').", _RUN),
        Verb("list", "trialist.cli.list:list_", "The studies of a store, newest first.", _LOOK),
        Verb("status", "trialist.cli.status:status", "How a study stands, and what to do next.", _LOOK),
        Verb("watch", "trialist.cli.watch:watch", "Follow a study until it ends.", _LOOK),
        Verb("workers", "trialist.cli.workers:workers", "The workers of a store, and what each of them leads.", _LOOK),
        Verb("trials", "trialist.cli.trials:trials", "A study's trials as a table, a page at a time.", _LOOK),
        Verb("show", "trialist.cli.show:show", "Everything about one trial.", _LOOK),
        Verb("logs", "trialist.cli.logs:logs", "What a trial printed.", _LOOK),
        Verb("events", "trialist.cli.events:events", "What happened in a study, event by event.", _LOOK),
        Verb("importance", "trialist.cli.importance:importance_", "Which parameters mattered in a study.", _LOOK),
        Verb("plot", "trialist.cli.plot:plot", "Draw a plot of any study.", _LOOK),
        Verb("report", "trialist.cli.report:report", "Write a report of any study: a page, pictures, tables.", _LOOK),
        Verb("export", "trialist.cli.export:export", "Write a study's trials or events to a file.", _LOOK),
        Verb("pause", "trialist.cli.pause:pause", "Start no more trials until it is resumed.", _STEER),
        Verb("resume", "trialist.cli.resume:resume", "Go on with a paused study or trial.", _STEER),
        Verb("stop", "trialist.cli.stop:stop", "Start no more trials, and let the running ones end.", _STEER),
        Verb("cancel", "trialist.cli.cancel:cancel", "End a study or a trial now; nothing more of it counts.", _STEER),
        Verb("budget", "trialist.cli.budget:budget", "Show or change how much a study may do.", _STEER),
        Verb("clone", "trialist.cli.clone:clone", "Start a trial like another one, with some params changed.", _TRIALS),
        Verb("enqueue", "trialist.cli.enqueue:enqueue", "Add a trial with params of your own.", _TRIALS),
        Verb("retry", "trialist.cli.retry:retry", "Try ended trials again, as new trials.", _TRIALS),
        Verb("import", "trialist.cli.import_:import_", "Bring whole studies of a file into a store.", _CARE),
        Verb("delete", "trialist.cli.delete:delete", "Remove a study and its files.", _CARE),
        Verb("gc", "trialist.cli.gc:gc", "Remove files that no study needs any more.", _CARE),
        Verb("fsck", "trialist.cli.fsck:fsck", "Prove a store consistent.", _CARE),
        Verb("doctor", "trialist.cli.doctor:doctor", "Check this machine and the store.", _CARE),
        Verb("db", "trialist.cli.db:app", "The store's schema: its version, and upgrades.", _CARE),
    )
}
"""Every verb, in the order of the help."""


def load(verb: Verb) -> Any:
    """The command of a verb; its module is imported now."""
    target = registry.resolve(verb.target, what=f"trialist {verb.name}")
    if isinstance(target, typer.Typer):
        command = typer.main.get_command(target)
        command.name = verb.name
        return command
    cls = registry.resolve(verb.command, what=f"trialist {verb.name}") if verb.command else TyperCommand
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(verb.name, cls=cls)(target)
    return typer.main.get_command(app)


class VerbGroup(TyperGroup):
    """``trialist`` itself: its commands are the table's."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a verb, loaded now; while verbs are only listed, its name and summary.

        Raises:
            UnknownName: There is none; the nearest is offered.
        """
        verb = VERBS.get(cmd_name)
        if verb is None:
            if ctx.resilient_parsing:
                return None
            raise UnknownName("command of trialist", cmd_name, VERBS)
        return TyperCommand(verb.name, help=verb.summary) if self._listing else load(verb)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The verbs by section, from the table alone."""
        width = max(map(len, VERBS))
        for section in dict.fromkeys(verb.section for verb in VERBS.values()):
            rows = [(f"{verb.name:<{width}}", verb.summary) for verb in VERBS.values() if verb.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        with self._only_listed():
            return super().shell_complete(ctx, incomplete)

    @contextmanager
    def _only_listed(self) -> Iterator[None]:
        """While a shell asks for the verbs' names, none of their modules is loaded."""
        self._listing = True
        try:
            yield
        finally:
            self._listing = False
