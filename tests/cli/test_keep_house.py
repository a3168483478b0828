"""``gc``, ``doctor`` and ``db``: they find what is wrong, say what to do, and touch nothing that somebody needs."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import NamedTuple

import pytest

import trialist
from trialist.api import Study, cleaning
from trialist.api.naming import artifacts_root
from trialist.cli import checks
from trialist.cli.checks import Verdict
from trialist.store.holders import holder
from trialist.store.schema import SCHEMA_VERSION


@pytest.fixture
def litter(study: Study) -> dict[str, Path]:
    """Files beside a study's own, an hour and more old: some garbage, some not."""
    root = artifacts_root(study.store.url)
    kept = study.best_trial.checkpoint  # type: ignore[union-attr]
    assert kept is not None
    place = Path(kept.path).parent
    made = {
        "deleted study": root / "gone-0123abcd",
        "freed": place / "step-000002",
        "half": place / ".tmp-1-77-abcdef01",
        "foreign": root / "my-notes",
        "own": place / "best-model",
        "kept": Path(kept.path),
    }
    for path in made.values():
        path.mkdir(exist_ok=True)
        (path / "weights").write_bytes(b"w" * 2048)
    for path in made.values():
        os.utime(path, (0, 0))
    return made


GARBAGE = {"deleted study", "freed", "half"}


def test_gc_removes_garbage_and_nothing_else(cli, litter: dict[str, Path]) -> None:
    dry = cli("gc", "--dry-run", "--json").json
    assert {item["path"] for item in dry["items"]} == {str(litter[name]) for name in GARBAGE}
    assert dry["num_bytes"] == sum(item["num_bytes"] for item in dry["items"]) == 3 * 2048
    assert all(path.exists() for path in litter.values())
    out = cli("gc").out
    assert "Removed 3 items, 6.0 KiB." in out
    assert {name for name, path in litter.items() if not path.exists()} == GARBAGE
    assert cli("gc").out == "Nothing to remove.\n"


def test_gc_leaves_what_is_young_or_led_alone(study: Study, litter: dict[str, Path]) -> None:
    os.utime(litter["half"])
    assert {garbage.path for garbage in cleaning.find_garbage(study.store)} == {
        litter["deleted study"],
        litter["freed"],
    }
    lease = study.store.take_lease(study.id, holder(), 30)
    assert {garbage.path for garbage in cleaning.find_garbage(study.store)} == {litter["deleted study"]}
    study.store.release_lease(lease)


def test_gc_of_one_store_leaves_its_neighbours_alone(cli, study: Study, tmp_path: Path) -> None:
    neighbour = trialist.create_study("other", {"x": [1, 2, 3]}, metric="y", mode="min", store=str(tmp_path / "b.db"))
    neighbour.run(lambda trial: (trial.save_checkpoint(lambda d: None), 1.0)[1], num_trials=1)
    files = neighbour.trial(0).checkpoint
    assert files is not None
    cli("gc")
    assert Path(files.path).exists()
    neighbour.store.close()


def test_gc_says_what_it_could_not_remove(cli, litter: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cleaning.shutil, "rmtree", refused)
    out = cli("gc").out
    assert "cannot be removed: Permission denied" in out
    assert "Removed 0 items, 0 B." in out


def test_gc_without_a_store_has_nothing_to_do(cli) -> None:
    assert cli("gc").out == "Nothing to remove.\n"


def rows(document: dict) -> dict[str, dict]:
    return {row["name"]: row for row in document["checks"]}


def test_doctor_looks_at_everything(cli, study: Study) -> None:
    result = cli("doctor", "--json")
    found = rows(result.json)
    assert (result.code, result.json["ok"]) == (0, True)
    assert {
        "python",
        "platform",
        "store",
        "schema",
        "journal",
        "integrity",
        "disk",
        "commits",
        "children",
        "gpus",
    } <= set(found)
    assert found["store"]["found"].endswith("trials.db: 1 study")
    assert found["schema"]["found"] == SCHEMA_VERSION
    assert found["journal"]["found"] == "write-ahead log"
    told = found["extras"]["found"], found.get("not installed", {"found": "pip install 'trialist[NAME]'"})["found"]
    assert all(sum(extra in words for words in told) == 1 for extra in ("sklearn", "postgres", "basilica"))
    assert "pip install 'trialist[NAME]'" in told[1]
    text = cli("doctor").out
    assert all(line.split()[0] in ("ok", "warn", "→") for line in text.splitlines())


def test_doctor_before_the_first_study_makes_nothing(cli, tmp_path: Path) -> None:
    result = cli("doctor", "--json")
    assert result.code == 0
    assert "not there yet" in rows(result.json)["store"]["found"]
    assert list(tmp_path.iterdir()) == []


def test_doctor_finds_a_damaged_store(cli, study: Study, tmp_path: Path) -> None:
    study.store.close()
    path = tmp_path / "trials.db"
    data = bytearray(path.read_bytes())
    for start in range(4096, len(data), 4096):
        data[start : start + 100] = b"\xff" * 100
    path.write_bytes(data)
    result = cli("doctor", "--json")
    assert (result.code, result.json["ok"]) == (1, False)
    assert any(row["verdict"] == "bad" and row["advice"] for row in result.json["checks"])
    assert "bad " in cli("doctor").out


def test_doctor_finds_somebody_elses_database(cli, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "trials.db") as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    result = cli("doctor", "--json")
    assert result.code == 1
    assert "belongs to something else" in rows(result.json)["store"]["found"]


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(
    ("free", "verdict"), [(10 << 20, Verdict.BAD), (500 << 20, Verdict.WARN), (500 << 30, Verdict.OK)]
)
def test_doctor_weighs_the_room_on_the_disk(cli, monkeypatch: pytest.MonkeyPatch, free: int, verdict: Verdict) -> None:
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda path: Usage(free))
    result = cli("doctor", "--json")
    assert rows(result.json)["disk"]["verdict"] == verdict
    assert result.code == (verdict is Verdict.BAD)


def test_doctor_warns_of_network_file_systems_and_broken_drivers(
    cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(checks, "network_filesystem", lambda path: "nfs4")
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho no driver >&2\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    found = rows(cli("doctor", "--json").json)
    assert found["file system"]["verdict"] == "bad"
    assert "(nfs4)" in found["file system"]["found"]
    assert found["gpus"] == {
        "name": "gpus", "verdict": "warn", "found": "nvidia-smi fails: no driver", "advice": "Check the driver.",
    }  # fmt: skip
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771'\n")
    assert rows(cli("doctor", "--json").json)["gpus"]["found"] == "1: NVIDIA H200, 143771 MiB"


def test_db_tells_the_schema_and_upgrades_to_it(cli, study: Study, tmp_path: Path) -> None:
    path = str(tmp_path / "trials.db")
    assert cli("db", "version").out == f"{path}: schema {SCHEMA_VERSION}\n"
    assert cli("db", "version", path, "--json").json["schema"] == SCHEMA_VERSION
    assert cli("db", "upgrade", path).out == f"{path} has schema {SCHEMA_VERSION} already.\n"
    shutil.copy(path, tmp_path / "copy.txt")
    assert cli("db", "version", "--store", "memory").code == 2
