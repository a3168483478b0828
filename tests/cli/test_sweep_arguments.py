"""``trialist sweep`` hands exactly what was typed to its front door."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from trialist.cli.sweep_arguments import plain, split_command
from trialist.sweep.options import SweepOptions


@pytest.fixture
def asked(cli, monkeypatch: pytest.MonkeyPatch):
    """The options that a line of arguments becomes."""
    seen: list[SweepOptions] = []

    def record(options: SweepOptions, screen: Any) -> int:
        seen.append(options)
        return 0

    monkeypatch.setattr("trialist.cli.sweep.run_sweep", record)
    monkeypatch.delenv("TRIALIST_STORE")

    def ask(line: str) -> SweepOptions:
        result = cli("sweep", *shlex.split(line))
        assert result.code == 0, result.err
        return seen.pop()

    return ask


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {}),
        ("--config c.yaml --run-prefix lr", {"config": "c.yaml", "run_prefix": "lr"}),
        (
            '--param-variations "a.b=1e-3,1e-4" "c=[1,2],[3]" --run-prefix lr',
            {"param_variations": ("a.b=1e-3,1e-4", "c=[1,2],[3]"), "run_prefix": "lr"},
        ),
        ("--param-variations a=1 --param-variations=+b=2 c=3", {"param_variations": ("a=1", "+b=2", "c=3")}),
        ("--param-variations a=-1,-2", {"param_variations": ("a=-1,-2",)}),
        ("--no-execute", {"execute": False}),
        (
            "--search sobol --num-trials 40 --jobs 4 --metric val_loss --mode min --scheduler asha",
            {
                "search": "sobol",
                "num_trials": 40,
                "jobs": 4,
                "metric": "val_loss",
                "mode": "min",
                "scheduler": "asha",
            },
        ),
        ("--gpus-per-run 0.5 --timeout-s 1.5 --seed 7", {"gpus_per_run": 0.5, "timeout_s": 1.5, "seed": 7}),
        ("--retries 2 --max-failures 0 --quiet --plan --json", {"retries": 2, "max_failures": 0, "quiet": True, "plan": True, "json": True}),
        ("--resume", {"resume": ""}),
        ("--resume --jobs 3", {"resume": "", "jobs": 3}),
        ("--resume lr_120000", {"resume": "lr_120000"}),
        ("--resume=lr_120000 --quiet", {"resume": "lr_120000", "quiet": True}),
        ("--store trials.db", {"store": "trials.db"}),
        (
            "--jobs 2 -- python train.py --config {config} --jobs 9 --resume -- x",
            {"jobs": 2, "command": ("python", "train.py", "--config", "{config}", "--jobs", "9", "--resume", "--", "x")},
        ),
        ("--param-variations a=1,2 -- python t.py", {"param_variations": ("a=1,2",), "command": ("python", "t.py")}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_line_becomes_these_options(asked, line: str, expected: dict[str, Any]) -> None:
    options = asked(line)
    if "config" in expected:
        expected = {**expected, "config": options.config}
        assert str(options.config) == "c.yaml"
    assert options == SweepOptions(**expected)


def test_every_option_of_the_door_can_be_typed(asked) -> None:
    typed = asked(
        "--config c --run-prefix r --param-variations a=1 --no-execute --search s --num-trials 1 --jobs 2 --metric m "
        "--mode max --scheduler f --gpus-per-run 1 --seed 3 --timeout-s 4 --plan --resume n --quiet --json --retries 5 "
        "--max-failures 6 --cold --queue --store s.db -- c"
    )
    untouched = [
        name for name in SweepOptions.__dataclass_fields__ if getattr(typed, name) == getattr(SweepOptions(), name)
    ]
    assert untouched == []


def test_the_exit_code_is_the_doors(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trialist.cli.sweep.run_sweep", lambda options, screen: 130)
    assert cli("sweep").code == 130


def test_arguments_are_only_spread_never_lost() -> None:
    assert split_command([]) == ([], ())
    assert split_command(["--"]) == ([], ())
    assert plain(["--param-variations"]) == ["--param-variations"]
    assert plain(["--param-variations=a=1", "b=2", "-h"]) == [
        "--param-variations=a=1", "--param-variations=b=2", "-h",
    ]  # fmt: skip


def test_an_option_without_its_value_is_an_error(cli) -> None:
    assert "'--param-variations' requires an argument" in cli("sweep", "--param-variations").err
