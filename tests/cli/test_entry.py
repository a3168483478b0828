"""Errors come as sentences with exit codes, whatever is typed and whatever breaks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import trialist
from trialist.api import Study
from trialist.cli import entry

COMMAND = [sys.executable, "-m", "trialist"]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["stauts"], 2, "Did you mean 'status'?"),
        (["list", "--stauts", "x"], 2, "no such option: '--stauts'. Did you mean '--status'?"),
        (["list", "--limit", "0"], 2, "'--limit': must be greater than or equal to 1"),
        (["list", "--limit", "many"], 2, "'--limit': must be a valid integer. See 'trialist list --help'."),
        (["list", "--status", "done"], 2, "--status is one of created, queued"),
        (["status"], 2, "missing argument 'NAME'"),
        (["status", "x"], 2, "no study 'x' in "),
        (["list", "--store", "nope.db"], 74, "nope.db: there is no such file."),
        (["list", "--store", "nope"], 2, "'nope' names no store"),
        (["clone", "x"], 2, "missing option '--trial'"),
        (["clone", "x", "--trial", "0", "--set", "lr"], 2, "--set 'lr' is not of the form path=value"),
        (["clone", "x", "--trial", "0", "--set", "lr=1", "--set", "lr=2"], 2, "--set gives 'lr' twice"),
        (["clone", "x", "--trial", "0", "--set", "lr=[1"], 2, "--set lr:"),
        (["enqueue", "x"], 2, "--set PATH=VALUE"),
        (["retry", "x"], 2, "--trial N, or --failed"),
        (["retry", "x", "--failed", "--trial", "1"], 2, "--trial N, or --failed"),
        (["budget", "x", "--num-trials", "few"], 2, "--num-trials is a whole number or 'none', not 'few'"),
        (["export", "x", "--format", "cvs"], 2, "Did you mean 'csv'?"),
        (["events", "x", "--kind", "trial_endd"], 2, "Did you mean 'trial_ended'"),
        (["db", "versoin"], 2, "Did you mean 'version'?"),
        (["sweep", "config.yaml"], 2, "given as --config config.yaml"),
        (["sweep", "--config", "nope.yaml"], 2, "nope.yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_a_sentence(cli, args: list[str], code: int, said: str) -> None:
    result = cli(*args)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("error: ")
    assert said in result.err


def test_the_nearest_study_is_offered(cli, study: Study) -> None:
    assert "Did you mean 'digits'?" in cli("status", "digist").err


def test_with_json_an_error_is_an_object(cli) -> None:
    result = cli("status", "x", "--json")
    error = json.loads(result.err)["error"]
    assert (error["kind"], error["exit_code"], result.code, result.out) == ("NotFound", 2, 2, "")
    assert "no study 'x'" in error["message"]
    usage = json.loads(cli("list", "--json", "--stauts").err)["error"]
    assert (usage["kind"], usage["exit_code"]) == ("UsageError", 2)


def test_json_after_the_dashes_is_the_commands_own(cli) -> None:
    assert cli("sweep", "--config", "nope.yaml", "--", "train", "--json").err.startswith("error: ")


def test_a_defect_is_one_line_with_a_way_to_the_traceback(
    cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("oh\nno")

    monkeypatch.setattr("trialist.cli.list.nothing_yet", broken)
    result = cli("list")
    assert result.code == 70
    assert result.err.splitlines() == [
        "error: internal error: RuntimeError: oh no (a defect of Trialist's; run with TRIALIST_DEBUG=1 for the traceback)"
    ]
    assert json.loads(cli("list", "--json").err)["error"]["exit_code"] == 70
    monkeypatch.setenv("TRIALIST_DEBUG", "1")
    with pytest.raises(SystemExit):
        entry.main(["list"])
    assert "Traceback" in capsys.readouterr().err


def test_what_the_machine_refuses_is_no_defect(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device", "/data/x")

    monkeypatch.setattr("trialist.cli.list.nothing_yet", full)
    result = cli("list")
    assert (result.code, result.err) == (74, "error: /data/x: no space left on device.\n")


def test_the_version_is_printed(cli) -> None:
    assert cli("--version").out == f"trialist {trialist.__version__}\n"


def test_nothing_typed_shows_the_help(cli) -> None:
    assert cli().out == cli("--help").out
    assert "Run:" in cli().out


def test_a_reader_that_leaves_is_not_complained_about(study: Study, tmp_path: Path) -> None:
    environment = {**os.environ, "TRIALIST_STORE": str(tmp_path / "trials.db")}
    with subprocess.Popen(
        [*COMMAND, "export", "digits", "--format", "events"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_ctrl_c_is_quiet(unled: Study, tmp_path: Path) -> None:
    environment = {**os.environ, "TRIALIST_STORE": str(tmp_path / "trials.db")}
    with subprocess.Popen(
        [*COMMAND, "events", "digits", "--follow"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()  # it follows
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == b""
