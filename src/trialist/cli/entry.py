"""From arguments to an exit code: the root command, and the one place that tells errors.

Knows no verb. Errors go to standard error: a sentence, or with ``--json`` an object.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from trialist._version import __version__
from trialist.cli.verbs import VerbGroup
from trialist.core.errors import InternalError, TrialistError

PROGRAM = "trialist"
_IO_ERROR = 74
INTERRUPTED = 130
"""128 + SIGINT, as shells count."""
_USAGE_ERROR: type[Any] = typer.BadParameter.__mro__[1]
"""What typer raises for arguments that it cannot parse; it has no public name."""

_PARSED_BY = re.compile(r", unable to parse string as an? \w+")
"""What the library that reads numbers adds to its sentences."""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


app = typer.Typer(
    name=PROGRAM,
    cls=VerbGroup,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(epilog="'trialist COMMAND --help' says more about each. Every command that prints data takes --json.")
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Decides what to try next in machine learning, runs it, and remembers everything."""


def main(args: Sequence[str] | None = None) -> None:
    """Run a command line and exit with its code.

    Args:
        args: Without the program's name; ``None``: the process's own.

    Raises:
        SystemExit: Always.
    """
    given = list(sys.argv[1:] if args is None else args)
    _print_anything()
    sys.exit(_run(given))


def _run(args: list[str]) -> int:
    as_json = "--json" in (args[: args.index("--")] if "--" in args else args)
    if not args:
        args = ["--help"]
    try:
        code = typer.main.get_command(app).main(args, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except TrialistError as error:
        if isinstance(error, InternalError) and os.environ.get("TRIALIST_DEBUG"):
            traceback.print_exc()
        return _tell(type(error).__name__, str(error), error.exit_code, as_json)
    except _USAGE_ERROR as error:
        return _tell("UsageError", _usage(error), 2, as_json)
    except typer.Abort:
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _close_quietly()
        return 1
    except OSError as error:
        return _outside(error, as_json)
    except Exception as error:  # noqa: BLE001  nobody sees a bare traceback; this is the last line of defence
        return _defect(error, as_json)


def _tell(kind: str, message: str, code: int, as_json: bool) -> int:
    """Say what went wrong on standard error; returns the exit code."""
    if as_json:
        text = json.dumps({"error": {"kind": kind, "message": message, "exit_code": code}})
    else:
        text = f"error: {message}"
    try:
        print(text, file=sys.stderr)
    except BrokenPipeError:
        _close_quietly()
    return code


def _outside(error: OSError, as_json: bool) -> int:
    """A full disk, a directory that may not be read: not the user's mistake, and not ours."""
    if os.environ.get("TRIALIST_DEBUG"):
        traceback.print_exc()
    where = f"{error.filename}: " if error.filename else ""
    return _tell(type(error).__name__, f"{where}{(error.strerror or str(error)).lower()}.", _IO_ERROR, as_json)


def _defect(error: Exception, as_json: bool) -> int:
    if os.environ.get("TRIALIST_DEBUG"):
        traceback.print_exc()
        return InternalError.exit_code
    said = " ".join(str(error).split())
    message = (
        f"internal error: {type(error).__name__}{': ' if said else ''}{said[:300]} "
        "(a defect of Trialist's; run with TRIALIST_DEBUG=1 for the traceback)"
    )
    return _tell("InternalError", message, InternalError.exit_code, as_json)


def _usage(error: Any) -> str:
    """A usage error in our words, with the nearest option and the way to the help."""
    option, near = getattr(error, "option_name", None), getattr(error, "possibilities", None)
    if near is not None or type(error).__name__ == "NoSuchOption":
        offers = " or ".join(f"'{one}'" for one in near or ())
        message = f"no such option: '{option}'." + (f" Did you mean {offers}?" if offers else "")
    else:
        message = _PARSED_BY.sub("", error.format_message()).replace("Input should be", "must be")
        message = message[:1].lower() + message[1:] + ("" if message.endswith((".", "?")) else ".")
    context = getattr(error, "ctx", None)
    return f"{message} See '{context.command_path} --help'." if context is not None else message


def _print_anything() -> None:
    """Characters that the terminal's encoding lacks are written as escapes, never an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _close_quietly() -> None:
    """Whoever read our output has left; Python must not complain about that when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        try:
            os.dup2(nowhere, descriptor)
        except OSError:
            break
    os.close(nowhere)
