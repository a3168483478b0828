"""How ``trialist sweep`` reads its arguments where that is not what typer does.

Several values may follow one ``--param-variations``, the name after ``--resume`` may be left out, and everything after
``--`` is the command, whatever it looks like. Knows no other option.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

COMMAND = "trialist.sweep.command"
"""Where in ``Context.meta`` the words after ``--`` are."""
_SEVERAL = "--param-variations"
_OPTIONAL = "--resume"


class SweepCommand(TyperCommand):
    """The command ``sweep``; words that belong to no option are left in ``Context.args``."""

    allow_extra_args = True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own, ctx.meta[COMMAND] = split_command(args)
        return super().parse_args(ctx, plain(own))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND ...]"]


def split_command(args: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The arguments before the first ``--``, and the command after it.

    >>> split_command(["--jobs", "2", "--", "python", "a.py", "--", "x"])
    (['--jobs', '2'], ('python', 'a.py', '--', 'x'))
    """
    given = list(args)
    if "--" not in given:
        return given, ()
    place = given.index("--")
    return given[:place], tuple(given[place + 1 :])


def plain(args: Sequence[str]) -> list[str]:
    """Arguments as typer reads them: one value an option, and ``--resume`` always with one.

    >>> plain(["--param-variations", "a=1,2", "b=3", "--resume", "--quiet"])
    ['--param-variations=a=1,2', '--param-variations=b=3', '--resume=', '--quiet']
    """
    out: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == _SEVERAL or word.startswith(f"{_SEVERAL}="):
            values = [word.removeprefix(f"{_SEVERAL}=")] if word != _SEVERAL else []
            while rest and not rest[0].startswith("-"):
                values.append(rest.pop(0))
            out += [f"{_SEVERAL}={value}" for value in values] or [_SEVERAL]
        elif word == _OPTIONAL:
            has_name = bool(rest) and not rest[0].startswith("-")
            out.append(f"{_OPTIONAL}={rest.pop(0) if has_name else ''}")
        else:
            out.append(word)
    return out
