"""Everything that people write for a space, turned into a ``Group`` of domains.

Typed dicts (``{"type": "loguniform", "low": 1e-5, "high": 1e-1}``), plain lists (a choice), Python domain objects, scalars
(fixed), nested mappings of these, and JSON text. Inside the values of a choice only typed dicts and domain objects vary;
lists there are values. Spellings of other tools give an error that names ours. Knows no constraint.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from typing import Any

from trialist.config.marks import FixedValue
from trialist.core.errors import SpaceError, nearest
from trialist.space import distributions
from trialist.space.choices import Choice, is_typed, looks_varied
from trialist.space.domains import TYPES, Domain, Fixed, Group
from trialist.space.values import MAX_DEPTH, at, join, short

_KEYS: dict[str, tuple[str, ...]] = {
    "uniform": ("low", "high"),
    "loguniform": ("low", "high"),
    "quniform": ("low", "high", "q"),
    "qloguniform": ("low", "high", "q"),
    "randint": ("low", "high"),
    "lograndint": ("low", "high"),
    "qrandint": ("low", "high", "q"),
    "qlograndint": ("low", "high", "q"),
    "choice": ("values",),
    "fixed": ("value",),
}
_ALIASES = {"min": "low", "max": "high"}
_TELLING = {
    "low", "high", "min", "max", "lower", "upper", "q", "values", "choices", "options", "categories", "bounds",
    "distribution",
}  # fmt: skip
"""Keys that only a distribution has; a mapping with one of them and no known type is a slip, not a group."""

FOREIGN: dict[str, str] = {
    "log_uniform_values": "'loguniform'",
    "log_uniform": "'loguniform' with the bounds themselves, not their logarithms",
    "log": "'loguniform'",
    "q_uniform": "'quniform'",
    "q_log_uniform_values": "'qloguniform'",
    "q_log_uniform": "'qloguniform' with the bounds themselves, not their logarithms",
    "int_uniform": "'randint' (both ends included)",
    "uniform_int": "'randint' (both ends included)",
    "int": "'randint' (both ends included)",
    "integer": "'randint' (both ends included)",
    "int_log_uniform": "'lograndint' (both ends included)",
    "log_int": "'lograndint' (both ends included)",
    "logint": "'lograndint' (both ends included)",
    "log_randint": "'lograndint' (both ends included)",
    "float": "'uniform'",
    "double": "'uniform'",
    "real": "'uniform'",
    "linear_uniform": "'uniform'",
    "range": "'uniform' or 'randint'",
    "log_float": "'loguniform'",
    "discrete_uniform": "'quniform'",
    "discrete": "'choice' with values",
    "categorical": "'choice' with values",
    "ordinal": "'choice' with values",
    "grid_search": "'choice' with values",
    "grid": "'choice' with values",
    "list": "'choice' with values",
    "bool": "'choice' with the values [true, false]",
    "boolean": "'choice' with the values [true, false]",
    "constant": "'fixed' with value",
    "const": "'fixed' with value",
    "suggest_float": "'uniform', or 'loguniform' for log=True, or 'quniform' with q for step",
    "suggest_int": "'randint', or 'lograndint' for log=True, or 'qrandint' with q for step",
    "suggest_categorical": "'choice' with values",
    "suggest_uniform": "'uniform'",
    "suggest_loguniform": "'loguniform'",
    "suggest_discrete_uniform": "'quniform'",
    "floatdistribution": "'uniform' or 'loguniform'",
    "intdistribution": "'randint' or 'lograndint'",
    "categoricaldistribution": "'choice' with values",
    "normal": "",
    "gaussian": "",
    "lognormal": "",
    "log_normal": "",
    "qnormal": "",
    "q_normal": "",
    "randn": "",
    "qrandn": "",
    "beta": "",
    "inv_log_uniform": "",
    "inv_log_uniform_values": "",
    "sample_from": "",
}
"""Words of other tools (Weights & Biases, Optuna, Ray Tune, Hyperopt), in lower case, and what they are called here; empty:
there is no such distribution."""
_PREFIXES = ("tune.", "ray.tune.", "hp.", "trial.", "optuna.", "optuna.distributions.", "trialist.", "distributions.")
_EXCLUSIVE = {"tune.randint", "tune.lograndint", "ray.tune.randint", "ray.tune.lograndint"}


def parse_space(given: Any) -> Group:
    """Anything that describes a space, as a ``Group``.

    Raises:
        SpaceError: It does not; names the path and the rule.
    """
    if isinstance(given, str):
        given = load_json(given)
    if isinstance(given, Group):
        return given
    if isinstance(given, Domain) or is_typed(given):
        raise SpaceError("", 'a space is a mapping of names to domains: give the domain a name, {"name": …}.')
    if not isinstance(given, Mapping):
        raise SpaceError(
            "", f"a space is a mapping of names to domains; got {short(given)} (a {type(given).__name__})."
        )
    return _group(given, "", 0)


def parse_domain(given: Any, path: str = "") -> Domain:
    """What one parameter may be: a typed dict, a list (a choice), a domain, a mapping (a group) or a scalar (fixed)."""
    return _domain(given, path, 0)


def load_json(text: str) -> Any:
    """JSON text, strictly: no NaN, no name twice.

    Raises:
        SpaceError: It is no JSON.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_twins)
    except SpaceError:
        raise
    except (ValueError, RecursionError) as error:
        raise SpaceError("", f"the text is no JSON: {error}; got {short(text)}.") from None


def _refuse_constant(word: str) -> Any:
    raise SpaceError("", f"{word} is no JSON: values must be finite.")


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise SpaceError(key, "the name stands twice in one mapping.")
        out[key] = value
    return out


def _group(given: Mapping[Any, Any], path: str, depth: int) -> Group:
    if depth >= MAX_DEPTH:
        raise SpaceError(path, f"the space is nested more than {MAX_DEPTH} levels deep.")
    for key in given:
        if not isinstance(key, str):
            raise SpaceError(path, f"the name {short(key)} is not text: quote it.")
    params = {key: _domain(item, join(path, key), depth + 1) for key, item in given.items()}
    with at(path):
        return Group(params)


def _domain(given: Any, path: str, depth: int) -> Domain:
    if isinstance(given, Domain):
        return given
    if isinstance(given, FixedValue):
        with at(path):
            return Fixed(given.value)
    if isinstance(given, Mapping):
        if is_typed(given):
            return _typed(given, path, depth)
        _refuse_slips(given, path)
        return _group(given, path, depth)
    if isinstance(given, list | tuple):
        return _choice(given, path, depth)
    _refuse_foreign_object(given, path)
    with at(path):
        return Fixed(given)


def _typed(given: Mapping[Any, Any], path: str, depth: int) -> Domain:
    kind = given["type"]
    wanted = _KEYS[kind]
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key == "type":
            continue
        name = _ALIASES.get(key, key) if "low" in wanted else key
        if name not in wanted:
            raise SpaceError(path, _unknown_key(kind, str(key), wanted))
        if name in values:
            other = next(alias for alias, own in _ALIASES.items() if own == name)
            raise SpaceError(path, f"'{name}' and '{other}' are one thing: give one of them.")
        values[name] = value
    missing = [name for name in wanted if name not in values]
    if missing:
        raise SpaceError(path, f"'{kind}' needs {' and '.join(repr(name) for name in missing)}.")
    if kind == "choice":
        return _choice(values["values"], path, depth)
    make: Callable[..., Domain] = getattr(distributions, kind)
    if kind == "fixed" and isinstance(values["value"], FixedValue):
        values["value"] = values["value"].value
    with at(path):
        return make(**values)


def _choice(values: Any, path: str, depth: int) -> Domain:
    if not isinstance(values, list | tuple):
        with at(path):
            return Choice(values)
    options = [_option(value, path, depth + 1) for value in values]
    with at(path):
        return Choice(tuple(options))


def _option(value: Any, path: str, depth: int) -> Any:
    """A value of a choice; what holds a typed dict or a domain becomes a ``Group``, all else stays a value."""
    if isinstance(value, FixedValue):
        with at(path):
            return Fixed(value.value)
    if is_typed(value):
        return _typed(value, path, depth)
    if isinstance(value, Mapping) and looks_varied(value):
        return _branch(value, path, depth)
    return value


def _branch(given: Mapping[Any, Any], path: str, depth: int) -> Group:
    if depth >= MAX_DEPTH:
        raise SpaceError(path, f"the space is nested more than {MAX_DEPTH} levels deep.")
    params: dict[str, Domain] = {}
    for key, item in given.items():
        inner = join(path, str(key))
        varied = isinstance(item, FixedValue) or (isinstance(item, Mapping | Domain) and looks_varied(item))
        with at(inner):
            if not varied:
                params[key] = Fixed(item)
            elif isinstance(item, Mapping) and not is_typed(item):
                _refuse_slips(item, inner)
                params[key] = _branch(item, inner, depth + 1)
            else:
                params[key] = _domain(item, inner, depth + 1)
    with at(path):
        return Group(params)


def _unknown_key(kind: str, key: str, wanted: tuple[str, ...]) -> str:
    keys = ", ".join(f"'{name}'" for name in wanted)
    if key in ("q", "step") and "q" not in wanted and f"q{kind}" in TYPES:
        return f"'{kind}' has no '{key}': for steps the type is 'q{kind}', with 'q'."
    if key == "step":
        return f"'{kind}' calls the step 'q'."
    if key == "log":
        return f"'{kind}' has no 'log': for a log scale the type is one of 'loguniform', 'qloguniform', 'lograndint'."
    return (
        f"'{kind}' has no '{key}'; it takes {keys}.{nearest(key, (*wanted, 'min', 'max')) if 'low' in wanted else ''}"
    )


def _refuse_slips(given: Mapping[Any, Any], path: str) -> None:
    """Refuse a mapping without a known type that was surely meant to be a distribution."""
    telling = [key for key in given if key in _TELLING and not isinstance(given[key], Mapping | Domain)]
    word = given.get("type")
    if not isinstance(word, str):
        if "distribution" in telling and isinstance(given["distribution"], str):
            raise SpaceError(
                path,
                f"the key for the kind of distribution is 'type', not 'distribution'; {_offer(given['distribution'])}",
            )
        if "values" in telling and isinstance(given["values"], list | tuple):
            raise SpaceError(path, "this looks like a choice without its type: add 'type': 'choice'.")
        if len(telling) >= 2 and not any(isinstance(given[key], list | tuple) for key in telling):
            raise SpaceError(
                path, f"this looks like a distribution without its type: add 'type', one of {', '.join(TYPES)}."
            )
        return
    plain = word.strip().lower()
    known = plain in FOREIGN or plain in TYPES or plain.startswith(_PREFIXES)
    if telling or (known and not looks_varied(given)) or difflib.get_close_matches(word, TYPES, n=1, cutoff=0.85):
        raise SpaceError(path, _offer(word))


def _offer(word: str) -> str:
    """What a type that we do not have is called here."""
    plain = word.strip().lower().replace("-", "_").replace(" ", "_")
    bare = plain
    for prefix in sorted(_PREFIXES, key=len, reverse=True):
        bare = bare.removeprefix(prefix)
    if bare in TYPES:
        note = " (here the upper end is included)" if plain in _EXCLUSIVE else ""
        return f"'{word}' is called '{bare}' here{note}." if word != bare else f"'{word}' is the right word."
    if bare in FOREIGN:
        ours = FOREIGN[bare]
        if ours:
            return f"'{word}' is called {ours} here."
        return f"there is no distribution '{word}': use one of {', '.join(TYPES)}."
    return f"there is no distribution '{word}'.{nearest(bare, TYPES)} The types are {', '.join(TYPES)}."


def _refuse_foreign_object(given: Any, path: str) -> None:
    kind = type(given)
    home = (kind.__module__ or "").partition(".")[0]
    if home in ("ray", "optuna", "hyperopt", "wandb", "scipy"):
        raise SpaceError(
            path,
            f"a {kind.__name__} of {home} is no domain here: use Float, Int or Choice of trialist.space, or a typed dict.",
        )
