"""Arguments and options that several verbs share, and what they open. Knows no verb."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from trialist.api import Study
from trialist.api.trials import TrialHandle
from trialist.cli.completion import study_names
from trialist.cli.output import plural
from trialist.config import parse_value
from trialist.core.errors import ConfigError, NotFound
from trialist.core.ports import Store
from trialist.store.locate import ENVIRONMENT, open_store, public_url, store_url

_FILE = "sqlite:///"

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        envvar="TRIALIST_STORE",
        help="Where studies are kept: a file, or a URL such as postgresql://host/db. Without it, your own store.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]
StudyArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The study's name or id.", autocompletion=study_names, show_default=False)
]
TrialArgument = Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="The trial's number.", show_default=False)]
TrialOption = Annotated[
    int | None, typer.Option("--trial", metavar="N", min=0, help="Only this trial of the study.", show_default=False)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="A param's value, as YAML; may be given several times.", show_default=False
    ),
]


@contextmanager
def opened_store(where: str | None) -> Iterator[Store]:
    """The store that is meant, closed at the end; never made here.

    Raises:
        StoreError: It is not there, or cannot be used.
    """
    store = open_store(where, create=False)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def opened(name: str, where: str | None) -> Iterator[Study]:
    """The study of this name; its store is closed at the end.

    Raises:
        NotFound: There is none; the nearest name is offered.
    """
    if missing(where):
        raise NotFound("study", name, f"{place(store_url(where))}, which is not there yet")
    with opened_store(where) as store:
        row = store.find_study(name)
        if row is None:
            known = [study.name for study in store.list_studies(limit=500).studies]
            raise NotFound("study", name, place(store.url), known)
        yield Study(store, row)


def find_trial(study: Study, number: int) -> TrialHandle:
    """A trial of the study.

    Raises:
        NotFound: There is none of this number; says how many there are.
    """
    try:
        return study.trial(number)
    except NotFound:
        raise NotFound(
            "trial", number, f"study '{study.name}', which has {plural(study.row.num_trials, 'trial')}"
        ) from None


def place(url: str) -> str:
    """A store's URL as people know it: the path of a file, or a URL without its password."""
    return public_url(url).removeprefix(_FILE)


def nothing_yet(where: str | None) -> bool:
    """Whether the store that is meant without ``--store`` is not there yet: no mistake, but a new user."""
    return where in (None, os.environ.get(ENVIRONMENT)) and missing(where)


def missing(where: str | None) -> bool:
    """Whether the store that is meant is a file that nobody has made yet."""
    url = store_url(where)
    return url.startswith(_FILE) and not Path(place(url)).exists()


def assignments(given: Iterable[str]) -> dict[str, Any]:
    """``["lr=1e-4", "opt.name=adam"]`` as params by path; values are YAML.

    Raises:
        ConfigError: One is not of the form ``path=value``, or a path is given twice.
    """
    out: dict[str, Any] = {}
    for text in given:
        path, equals, value = text.partition("=")
        path = path.strip()
        if not equals or not path:
            raise ConfigError(f"--set '{text}' is not of the form path=value, such as lr=1e-4.")
        if path in out:
            raise ConfigError(f"--set gives '{path}' twice.")
        try:
            out[path] = parse_value(value)
        except ConfigError as error:
            raise ConfigError(f"--set {path}: {error.problem}") from error
    return out


def words(given: Iterable[str]) -> list[str]:
    """Values of an option that may be repeated and may hold several, separated by commas."""
    return [word.strip() for text in given for word in text.split(",") if word.strip()]
