"""A store with a study in it, and the command line called in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import trialist
from trialist.api import Study
from trialist.cli import main

SPACE = {
    "lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1},
    "model": {"depth": {"type": "randint", "low": 1, "high": 4}},
}


class Result(NamedTuple):
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        def no_constant(name: str) -> Any:
            raise AssertionError(f"{name} is no strict JSON")

        return json.loads(self.out, parse_constant=no_constant)


Cli = Callable[..., Result]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Calls ``main`` with arguments; without ``--store`` it works on the store of this test."""
    monkeypatch.setenv("TRIALIST_STORE", str(tmp_path / "trials.db"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("TRIALIST_DEBUG", raising=False)

    def call(*args: str) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(args)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Result(int(ended.value.code or 0), out, err)

    return call


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "trials.db")


def objective(trial: Any) -> dict[str, float]:
    """Fails where the model is deepest; else better the nearer ``lr`` is to 0.001."""
    if trial.params["model"]["depth"] == 4:
        raise ValueError("too [red]deep[/red]\nfor \x1b[31mthis\x1b[0m data")
    loss = abs(trial.params["lr"] - 1e-3)
    for step in range(1, 6):
        trial.report(step=step, loss=loss + 1 / step)
        trial.save_checkpoint(lambda directory: (directory / "weights").write_text("w" * 100))
    return {"loss": loss}


@pytest.fixture
def study(url: str) -> Iterator[Study]:
    """A completed study of 12 trials, some failed."""
    made = trialist.create_study("digits", SPACE, metric="loss", mode="min", searcher="random", seed=1, store=url)
    made.run(objective, num_trials=12)
    assert 0 < made.counts["failed"] < 12  # type: ignore[index]
    yield made
    made.store.close()


@pytest.fixture
def unled(url: str) -> Iterator[Study]:
    """A study that has not ended, and that nobody leads: two trials told, one asked for, budget 10."""
    made = trialist.create_study("digits", SPACE, metric="loss", mode="min", searcher="random", seed=1, store=url)
    made.set_budget(num_trials=10)
    for loss in (0.5, 0.25):
        made.tell(made.ask(), loss)
    made.ask()
    yield made
    made.store.close()
