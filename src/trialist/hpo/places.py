"""Where each searched parameter is written: a dotted path in the model's, the data's or the training's config.

A place is told by ``param_mapping``, by the parameter's own name (``training.lr``), or by what the model type declares that
it reads. What nothing reads is an error here, before anything runs. Knows spaces and declarations; trains nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from trialist.config import format_path, has_path, parse_path
from trialist.core.errors import ConfigError, nearest
from trialist.hpo.sections import NAMES, Sections
from trialist.space import Choice, Domain, Fixed, Group, SearchSpace
from trialist.train.engine import ALIASES
from trialist.train.model_type import Declaration

EXAMPLES = 64
"""Params for which the configs are looked over: each of a small space, else so many at random."""
COMMON = frozenset({*ALIASES, *ALIASES.values(), "batch_size"})
"""Names that every model type finds in its training config."""
_HYPERPARAMETERS = "hyperparameters"

Describe = Callable[[Mapping[str, Any]], Declaration]


class Placed(NamedTuple):
    """Where parameters go, and what the model types say of themselves."""

    places: dict[str, str]
    """Dotted path of a parameter to the dotted path of its place: ``{"lr": "training.lr"}``."""
    declarations: list[Declaration]
    """Of the model types (and estimators) that the space can lead to."""
    model_types: list[str]


def find_places(space: SearchSpace, sections: Sections, mapping: Mapping[str, str], describe: Describe) -> Placed:
    """The place of each parameter.

    Args:
        space: What is searched.
        sections: The configs without params.
        mapping: ``param_mapping``: a parameter's path to a path inside the model's config, or one with the prefix ``data.``
            or ``training.``.
        describe: What the model type of a model config declares.

    Raises:
        ConfigError: Nothing reads a parameter, or a mapping is wrong; offers the nearest names.
    """
    finder = _Finder(space, sections, mapping)
    finder.place_by_name()
    declarations: list[Declaration] = []
    model_types: dict[str, None] = {}
    for params in examples(space):
        model = finder.provisional(params)
        model_types.setdefault(str(model.get("type", "")))
        declared = describe(model)
        if declared not in declarations:
            declarations.append(declared)
    finder.place_by_declaration(declarations, list(model_types))
    return Placed(finder.places, declarations, list(model_types))


def examples(space: SearchSpace) -> Iterable[dict[str, Any]]:
    """Params that show what a space can lead to."""
    size = space.count()
    if size is not None and size <= EXAMPLES:
        return space.grid()
    rng = random.Random(0)
    return [space.sample(rng) for _ in range(EXAMPLES)]


class _Finder:
    def __init__(self, space: SearchSpace, sections: Sections, mapping: Mapping[str, str]) -> None:
        self._sections = sections
        self._mapping = _checked(mapping, space)
        self._space = space
        self._unplaced: list[tuple[str, ...]] = []
        self.places: dict[str, str] = {}

    def place_by_name(self) -> None:
        """Place what a mapping or its own name places; the rest waits for the declarations."""
        for name, domain in self._space.root.params.items():
            self._by_name((name,), domain)

    def _by_name(self, path: tuple[str, ...], domain: Domain) -> None:
        text, inside = ".".join(path), _entries(domain)
        keys = parse_path(path[-1]) if len(path) == 1 else path
        if text in self._mapping:
            self.places[text] = self._mapping[text]
        elif keys[0] in NAMES and len(keys) > 1:
            self._within(text, keys, domain)
        elif len(path) == 1 and path[0] in NAMES and _only_entries(domain) and path[0] not in self._sections.model:
            for name, inner in inside:
                self._by_name((path[0], name), inner)
        elif any(mapped.startswith(f"{text}.") for mapped in self._mapping):
            for name, inner in inside:
                self._by_name((*path, name), inner)
        else:
            self._unplaced.append(path)

    def _within(self, text: str, keys: tuple[str, ...], domain: Domain) -> None:
        """Place a parameter at a path; of a group, each of its parameters, so that its neighbours stay."""
        if isinstance(domain, Group):
            for name, inner in domain.params.items():
                self._within(f"{text}.{name}", (*keys, name), inner)
            return
        self.places[text] = format_path(keys)

    def provisional(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The model's config with all that may be its own laid flat: enough for a type to describe itself."""
        model = self._sections.model
        flat = {name: value for name, value in model.items() if name != _HYPERPARAMETERS}
        inner = model.get(_HYPERPARAMETERS)
        flat |= inner if isinstance(inner, Mapping) else {}
        for path, value in _leaves(params):
            place = parse_path(self.places.get(path, f"model.{path.rpartition('.')[2]}"))
            is_own = path in self.places or "." not in path
            # What a branch calls its type need not be the model's.
            if place[0] == "model" and (is_own or place[-1] != "type" or "type" not in flat):
                flat[place[-1]] = value
        return flat

    def place_by_declaration(self, declarations: Sequence[Declaration], model_types: Sequence[str]) -> None:
        """Place what is left where the model type says it reads it.

        Raises:
            ConfigError: Nothing reads it.
        """
        for path in self._unplaced:
            self._declared(path, self._domains(path), declarations, model_types)

    def _domains(self, path: tuple[str, ...]) -> Domain:
        domain: Domain = self._space.root
        for name in path:
            domain = next(inner for key, inner in _entries(domain) if key == name)
        return domain

    def _declared(
        self, path: tuple[str, ...], domain: Domain, declared: Sequence[Declaration], types: Sequence[str]
    ) -> None:
        text = ".".join(path)
        if text in self.places:
            return
        place = self._place(path[-1], declared)
        if place is not None:
            self._within(text, place, domain)
            return
        inside = _entries(domain)
        if not inside or not _only_entries(domain):
            raise _nothing_reads(text, declared, types)
        for name, inner in inside:
            self._declared((*path, name), inner, declared, types)

    def _place(self, name: str, declared: Sequence[Declaration]) -> tuple[str, ...] | None:
        """The path that a bare (or dotted) name stands for; ``None``: nothing reads it."""
        if name == "type":
            return ("model", "type")
        keys = parse_path(name)
        if len(keys) > 1 and has_path(self._sections.model, keys):
            return ("model", *keys)
        if keys[0] == _HYPERPARAMETERS and len(keys) > 1:
            return ("model", *keys)
        # Where the user wrote it already comes first, in either spelling; then whoever declares it.
        for spelling in _spellings(keys[0]):
            for section in NAMES:
                own: Mapping[str, Any] = getattr(self._sections, section)
                if any(_reads(one, section, spelling) for one in declared):
                    if spelling in own:
                        return (section, spelling, *keys[1:])
                    inner = own.get(_HYPERPARAMETERS)
                    if section == "model" and isinstance(inner, Mapping) and spelling in inner:
                        return ("model", _HYPERPARAMETERS, spelling, *keys[1:])
        for spelling in _spellings(keys[0]):
            for one in declared:
                section_of = one.section_of(spelling)
                if section_of is not None:
                    if spelling in COMMON and one.model is None and one.training is None:
                        section_of = "training"
                    # Aliases are for the training config; elsewhere a name is what is declared.
                    own_name = keys[0] if section_of == "training" else spelling
                    return (*self._home(section_of), own_name, *keys[1:])
        return None

    def _home(self, section: str) -> tuple[str, ...]:
        has_inner = section == "model" and isinstance(self._sections.model.get(_HYPERPARAMETERS), Mapping)
        return (section, _HYPERPARAMETERS) if has_inner else (section,)


def _reads(declared: Declaration, section: str, name: str) -> bool:
    names: frozenset[str] | None = getattr(declared, section)
    return names is None or name in names or (section == "training" and ALIASES.get(name) in names)


def _spellings(name: str) -> list[str]:
    """A name, and the others that mean the same."""
    return [name, *(one for pair in ALIASES.items() if name in pair for one in pair if one != name)]


def _entries(domain: Domain) -> list[tuple[str, Domain]]:
    """What lies inside a group, or inside the mappings that a choice has."""
    if isinstance(domain, Group):
        return list(domain.params.items())
    if not isinstance(domain, Choice):
        return []
    found: dict[str, Domain] = {}
    for option in domain.values:
        if isinstance(option, Group):
            inside = list(option.params.items())
        else:
            inside = [(name, Fixed(value)) for name, value in option.items()] if isinstance(option, dict) else []
        for name, inner in inside:
            found.setdefault(name, inner)
    return list(found.items())


def _only_entries(domain: Domain) -> bool:
    return isinstance(domain, Group) or (
        isinstance(domain, Choice) and all(isinstance(option, Group | dict) for option in domain.values)
    )


def _leaves(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in params.items():
        yield f"{prefix}{name}", value
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")


def _checked(mapping: Mapping[str, str], space: SearchSpace) -> dict[str, str]:
    """``param_mapping`` with every place's section written out."""
    known: dict[str, None] = {}
    for leaf in space.leaves:
        for length in range(1, len(leaf.keys) + 1):
            known.setdefault(".".join(leaf.keys[:length]))
    out: dict[str, str] = {}
    for name, place in mapping.items():
        if name not in known:
            raise ConfigError(f"no parameter has this name.{nearest(str(name), known)}", path=f"param_mapping.{name}")
        if not isinstance(place, str) or not all(parse_path(place)):
            raise ConfigError(
                f"is a dotted path inside model_config, such as 'hyperparameters.learning_rate', not {place!r}",
                path=f"param_mapping.{name}",
            )
        keys = parse_path(place)
        if len(keys) > 1 and keys[0] in NAMES:
            out[name] = place
        else:
            out[name] = f"model.{place}"
    return out


def _nothing_reads(name: str, declared: Sequence[Declaration], types: Sequence[str]) -> ConfigError:
    known: set[str] = set()
    for one in declared:
        for names in (one.model, one.training, one.data):
            known |= names or frozenset()
    said = " and ".join(f"'{one}'" for one in islice((one for one in types if one), 3)) or "this model"
    hint = nearest(name.rpartition(".")[2], known)
    return ConfigError(
        f"nothing reads this parameter, so searching it would have no effect: {said} has no such setting.{hint} Where it "
        f"belongs somewhere else, say so: param_mapping={{'{name}': 'path.in.model_config'}}.",
        path=f"param_space.{name}",
    )
