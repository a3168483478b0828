"""Options of searchers, schedulers and other registered things: read one by one, and typing mistakes named.

Knows no particular option; whoever takes options asks for each by name, then calls ``done``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from trialist.core.errors import ConfigError, nearest
from trialist.core.records import Metric


class Options:
    """The options that something was given, each asked for once.

    >>> options = Options("scheduler 'asha'", {"eta": 4})
    >>> options.integer("eta", 3, low=2)
    4
    >>> options.done()

    Args:
        what: Whose options they are, in the user's words, for the errors.
        given: The options by name.
    """

    def __init__(self, what: str, given: Mapping[str, Any]) -> None:
        self.what = what
        self._given = dict(given)
        self._known: list[str] = []

    def value(self, name: str, default: Any = None) -> Any:
        """An option as it was given; ``default`` where it was not."""
        self._known.append(name)
        return self._given.get(name, default)

    def integer(self, name: str, default: int, *, low: int = 0) -> int:
        """A whole number of at least ``low``."""
        value = self.value(name, default)
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if not whole or isinstance(value, bool) or value < low:
            raise self.wrong(name, f"needs a whole number of at least {low}, not {value!r}")
        return int(value)

    def optional_integer(self, name: str, *, low: int = 0) -> int | None:
        """A whole number of at least ``low``, or ``None`` where it was not given."""
        return None if self.value(name) is None else self.integer(name, low, low=low)

    def number(self, name: str, default: float, *, low: float) -> float:
        """A finite number of at least ``low``."""
        value = self.value(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < math.inf:
            raise self.wrong(name, f"needs a number of at least {low:g}, not {value!r}")
        return float(value)

    def choice(self, name: str, default: str, values: Iterable[str]) -> str:
        """One of some words."""
        value, words = self.value(name, default), list(values)
        if value not in words:
            raise self.wrong(name, f"is one of {', '.join(words)}, not {value!r}")
        return str(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.value(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, f"is true or false, not {value!r}")
        return value

    def metric(self, metrics: tuple[Metric, ...]) -> Metric:
        """The metric to compare trials by: the study's only one, or the one that the option ``metric`` names."""
        name = self.value("metric")
        by_name = {metric.name: metric for metric in metrics}
        if name is None and len(metrics) == 1:
            return metrics[0]
        if not metrics:
            raise ConfigError(f"{self.what} compares trials by a metric, and the study has none: name one (metric=…).")
        if name is None:
            raise ConfigError(
                f"{self.what} compares trials by one metric, and the study has {len(metrics)}: "
                f"say which with its option 'metric' ({', '.join(by_name)})."
            )
        if name not in by_name:
            raise self.wrong("metric", f"names no metric of the study: {name!r}.{nearest(str(name), by_name)}")
        return by_name[name]

    def wrong(self, name: str, problem: str) -> ConfigError:
        """The error for an option whose value is wrong; ``problem`` goes on from its name."""
        return ConfigError(f"option '{name}' of {self.what} {problem}")

    def done(self) -> None:
        """Refuse options that nobody asked for.

        Raises:
            ConfigError: With the nearest known option.
        """
        for name in self._given:
            if name not in self._known:
                known = nearest(name, self._known) or " It takes none."
                raise ConfigError(f"{self.what} has no option '{name}'.{known}")
