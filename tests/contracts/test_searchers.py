"""Every registered searcher, through the contract suite."""

from __future__ import annotations

from typing import Any

import pytest

from trialist import registry
from trialist.core.errors import ConfigError
from trialist.core.ports import Searcher
from trialist.core.records import Metric
from trialist.space import SearchSpace
from trialist.testing.searchers import SPACES, SearcherContract

OPTIONS: dict[str, list[dict[str, Any]]] = {"grid": [{}, {"shuffle": True}]}
EXTRAS = {"cmaes", "optuna"}
"""Those that need a library of their own."""


def marked(*case: Any) -> Any:
    return pytest.param(*case, marks=[pytest.mark.extras] if case[0] in EXTRAS else [])


CASES = [marked(name, options) for name in registry.names("searcher") for options in OPTIONS.get(name, [{}])]


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
class TestSearchers(SearcherContract):
    @pytest.fixture(autouse=True)
    def _case(self, name: str, options: dict[str, Any]) -> None:
        self.name, self.options = name, options
        self.seeded = name != "grid" or bool(options)
        self.replays = name != "optuna"
        self.repeats = name == "optuna"

    def make(self, space: SearchSpace, *, metrics: tuple[Metric, ...], seed: int) -> Searcher:
        searcher: Searcher = registry.load("searcher", self.name)(space, metrics=metrics, seed=seed, **self.options)
        assert searcher.name == self.name
        return searcher


@pytest.mark.parametrize("name", [marked(name) for name in registry.names("searcher")])
def test_a_typing_mistake_in_an_option_is_named(name: str):
    with pytest.raises(ConfigError, match=f"'{name}' has no option 'nonsense'"):
        registry.load("searcher", name)(SPACES["finite"], nonsense=1)
