"""What a sweep would do, before anything is made: what varies, over what, and how many runs that is.

A plan is a record; ``render`` makes it text. Knows trees, spaces and names; reads no file, opens no store, makes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from trialist.config.paths import Path, format_path, get_path, has_path, iter_leaves, missing_path, parse_path, set_path
from trialist.config.template import TRAINING_COMMAND, program
from trialist.core.errors import ConfigError, SpaceError
from trialist.core.records import Metric
from trialist.execute.warm import warm_command
from trialist.space import Domain, Float, Group, SearchSpace, describe, parse_domain
from trialist.space.values import short
from trialist.sweep.options import SweepOptions
from trialist.sweep.settings import command_of, optimised
from trialist.sweep.variations import Variation, parse_variations
from trialist.sweep.walk import Found, is_whole, reserved, unmarked, walk

MANY_RUNS = 10_000
"""More runs than this are made only where somebody names their number."""
_PATIENT = frozenset({"fifo", "median"})
"""Schedulers that never pause a run, so that nothing depends on its checkpoints."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Param:
    """One parameter that varies."""

    path: str
    domain: Domain
    replaced: str | None = None
    """What the file has there, where the command line replaces it."""
    given: bool = False
    """Whether it was given beside the file: on the command line, or in Python."""
    line: int | None = None
    """Its line in the file."""

    @property
    def keys(self) -> Path:
        return parse_path(self.path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A sweep that could be started."""

    source: str
    """The config's file, as the user knows it."""
    base: Mapping[str, Any]
    """The config without marks; what varies is still in it as the file has it."""
    params: tuple[Param, ...]
    space: SearchSpace
    searcher: str
    scheduler: str | None
    num_runs: int
    num_trials: int | None
    """The number asked for, where one was."""
    metric: Metric | None
    metric_why: str
    command: tuple[str, ...]
    command_why: str
    execute: bool
    jobs: int
    warm: bool
    """Whether its runs are Python programs that start with their imports behind them."""
    notes: tuple[str, ...]

    @property
    def grid_size(self) -> int | None:
        """How many combinations there are; ``None``: a continuum."""
        return self.space.count()

    @property
    def trains(self) -> bool:
        """Whether the built-in TrainingEngine is what is executed."""
        return self.command == TRAINING_COMMAND

    def values_at(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The config of a run: the base with these params in their places."""
        tree: Any = self.base
        for path, value in params.items():
            tree = set_path(tree, path, value, create=True)
        return dict(tree)


def make_plan(
    tree: Mapping[str, Any], options: SweepOptions, *, source: str, line_of: Callable[[str], int | None]
) -> Plan:
    """The plan for a config and what was asked.

    Args:
        tree: The config, with ``!fixed`` marks in it.
        options: What was asked; names of searchers and schedulers are not looked up here.
        source: The config's file, for messages.
        line_of: The line of a path in the file.

    Raises:
        ConfigError, SpaceError: Something that is asked for cannot be; says what and where.
    """
    options.check()
    notes: list[str] = []
    with _located(source, line_of):
        command, command_why = _command(tree, options)
        best = optimised(tree, options.metric, options.mode)
        in_file = {found.path: found for found in walk(tree)}
    variations = parse_variations(options.param_variations)
    given = _given(tree, variations, in_file, source, line_of, notes)
    with _located(source, line_of):
        kept = [found for found in in_file.values() if not any(_within(found.path, one.path) for one in given)]
        params = [*given, *(Param(path=one.path, domain=_domain(one, notes), line=line_of(one.path)) for one in kept)]
    base = dict(unmarked(tree))
    space = SearchSpace(Group({param.path: param.domain for param in params}))
    searcher = (options.search if params else None) or _default_searcher(params, options.num_trials)
    num_runs = _num_runs(params, space, searcher, options, notes)
    scheduler = options.scheduler
    if scheduler not in (None, "fifo") and best.metric is None:
        raise ConfigError(
            f"--scheduler {scheduler} compares runs while they run, so it must know by what: give --metric NAME (and --mode)."
        )
    if scheduler is not None and scheduler not in _PATIENT:
        notes.append(
            f"{scheduler} pauses runs and lets the best go on. A run goes on from its last checkpoint; one that saves none "
            "starts again from step 0."
        )
    return Plan(
        source=source,
        base=base,
        params=tuple(params),
        space=space,
        searcher=searcher,
        scheduler=scheduler,
        num_runs=num_runs,
        num_trials=options.num_trials,
        metric=best.metric,
        metric_why=best.why,
        command=command,
        command_why=command_why,
        execute=options.execute,
        jobs=options.jobs or 1,
        warm=not options.cold and options.gpus_per_run is None and warm_command(program(command)) is not None,
        notes=tuple(notes),
    )


def _command(tree: Mapping[str, Any], options: SweepOptions) -> tuple[tuple[str, ...], str]:
    """What is executed: the command after ``--``, else the config's, else the built-in TrainingEngine."""
    own = command_of(tree)
    if options.command:
        return tuple(options.command), "the command after --"
    if own is not None:
        return own, "the config's command"
    return TRAINING_COMMAND, "the built-in TrainingEngine"


@contextmanager
def _located(source: str, line_of: Callable[[str], int | None]) -> Iterator[None]:
    """Gives errors about a path of the config the file and the line."""
    try:
        yield
    except (ConfigError, SpaceError) as error:
        if not error.path or (isinstance(error, ConfigError) and error.file is not None):
            raise
        problem = error.problem if isinstance(error, ConfigError) else error.rule
        raise ConfigError(problem, file=source, line=line_of(error.path), path=error.path) from error


def _within(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}.")


def _given(
    tree: Mapping[str, Any],
    variations: Sequence[Variation],
    in_file: Mapping[str, Found],
    source: str,
    line_of: Callable[[str], int | None],
    notes: list[str],
) -> list[Param]:
    """What was given beside the file, in its order."""
    base = unmarked(tree)
    # A list that varies is one thing to a person, so its elements are no paths to offer.
    shown = base
    for path in in_file:
        shown = set_path(shown, path, None)
    params: list[Param] = []
    for one in variations:
        _check_variation(one, shown, reserved(tree), in_file, source)
        replaced = None if one.adds else short(get_path(base, one.keys), 200)
        line = None if one.adds else line_of(one.path)
        params.append(Param(path=one.path, domain=_domain(one.found, notes), replaced=replaced, given=True, line=line))
        _note_one_list(one, notes)
    return params


def _check_variation(
    one: Variation, shown: Any, kept: frozenset[str], in_file: Mapping[str, Found], source: str
) -> None:
    """Raise ConfigError where a variation does not fit the config."""
    if one.keys[0] in kept:
        instead = " Put {dotted.path} into the command for what does." if one.keys[0] == "command" else ""
        raise ConfigError(f"'{one.keys[0]}' says how to sweep and does not vary.{instead}", path=one.path)
    for depth in range(1, len(one.keys)):
        above = format_path(one.keys[:depth])
        if above in in_file:
            raise ConfigError(f"lies within '{above}', which varies as a whole: give '{above}=…'.", path=one.path)
    there = has_path(shown, one.keys)
    if one.adds:
        if there:
            raise ConfigError(f"'+' adds a path, and {source} has this one: write '{one.path}=…'.", path=one.path)
        set_path(shown, one.keys, None, create=True)
    elif not there:
        problem = missing_path(shown, one.keys).problem.replace(
            "there is no such path", f"{source} has no such path", 1
        )
        raise ConfigError(f"{problem} A new path is added with '+{one.path}=…'.", path=one.path)
    elif isinstance(section := get_path(shown, one.keys), Mapping) and not _for_a_section(one):
        leaves = [format_path((*one.keys, *keys)) for keys, _ in iter_leaves(section)]
        inside = f": {', '.join(leaves[:3])}{', …' if len(leaves) > 3 else ''}" if leaves else ""
        raise ConfigError(f"is a section of {source}, not a value; vary something in it{inside}.", path=one.path)


def _for_a_section(one: Variation) -> bool:
    """Whether the values can stand where a section stands: mappings, or null for none."""
    values = one.found.domain.get("values", ())
    return bool(values) and all(isinstance(value, Mapping) or value is None for value in values)


def _note_one_list(one: Variation, notes: list[str]) -> None:
    values = one.found.domain.get("values", ())
    if len(values) == 1 and isinstance(values[0], list) and len(values[0]) > 1:
        inner = ",".join(short(value, 30) for value in values[0])
        notes.append(
            f"{one.path} has one value, the list {short(values[0])}. To vary over its elements: {one.path}={inner}"
        )


def _domain(found: Found, notes: list[str]) -> Domain:
    if found.repeated:
        again = ", ".join(short(value, 30) for value in found.repeated)
        notes.append(f"{found.path} lists {again} more than once; each value is tried once.")
    try:
        return parse_domain(found.domain, found.path)
    except SpaceError as error:
        # Whoever has a section of their own that happens to say 'type: uniform' must learn the way out.
        hint = "" if is_whole(found.domain) else " If it is no distribution, keep it as it is with !fixed."
        raise ConfigError(f"{error.rule}{hint}", path=error.path) from error


def _default_searcher(params: Sequence[Param], num_trials: int | None) -> str:
    """A grid where there is one; with a continuum and a number of runs, random ones."""
    continuous = any(param.domain.size is None for param in params)
    return "random" if continuous and num_trials is not None else "grid"


def _num_runs(
    params: Sequence[Param], space: SearchSpace, searcher: str, options: SweepOptions, notes: list[str]
) -> int:
    size, asked = space.count(), options.num_trials
    if size is None and asked is None:
        named = [f"{param.path} ({describe(param.domain)})" for param in params if param.domain.size is None]
        verb = "is" if len(named) == 1 else "are"
        raise ConfigError(
            f"{' and '.join(named)} {verb} continuous, so there is no grid: say how many runs to make with --num-trials N, "
            "or list the values to try."
        )
    if size is None and searcher == "grid":
        raise ConfigError(
            "--search grid needs values that can be counted; for a continuous range say --search random or sobol."
        )
    if size is not None and searcher == "grid":
        if asked is None and size > MANY_RUNS:
            raise ConfigError(
                f"the grid has {size:,} combinations. If you want all of them, say so with --num-trials {size}; or try some, "
                "with --search random --num-trials 200."
            )
        if asked is not None and asked < size:
            notes.append(f"--num-trials {asked} makes the first {asked:,} of the grid's {size:,} combinations.")
        return size if asked is None else min(size, asked)
    if asked is None:
        raise ConfigError(f"--search {searcher} makes as many runs as it is told: say how many with --num-trials N.")
    if size is not None and size < asked:
        notes.append(f"there are only {size:,} different combinations, so there are no more runs than that.")
        return size
    return asked


def sizes(params: Sequence[Param]) -> list[int]:
    """How many values each finite parameter has."""
    return [param.domain.size for param in params if param.domain.size is not None]


def samples(domain: Domain) -> list[Any]:
    """Three values of a continuous parameter, spread over it; of any other, none."""
    if not isinstance(domain, Float):
        return []
    if domain.size is not None:
        return []
    decode = domain.decoder()
    return [decode(place) for place in (0.1, 0.5, 0.9)]
