"""A study's way from one store to another, as a person goes it: run, export, import, run on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import trialist
from trialist.api.checking import fsck
from trialist.api.moving import study_lines
from trialist.core.errors import ConfigError, Conflict, StudyExists, UserError
from trialist.core.faults import ENVIRONMENT
from trialist.core.wire import event_from_json
from trialist.store.locate import open_store

SPACE = {"lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1}, "kind": ["a", "ü\N{SNOWMAN}"]}
SCHEDULER = {"name": "asha", "max_steps": 4, "eta": 2}


def objective(trial):
    for step in range((trial.resume_step or 0) + 1, 5):
        if trial.number % 5 == 3:
            raise ValueError("no \x00 \udcff")
        trial.save_checkpoint(lambda path, step=step: (path / "step").write_text(str(step)))
        trial.report(step, loss=trial.params["lr"] * (6 - step))
    return {"loss": float("nan") if trial.number % 7 == 6 else trial.params["lr"]}


def plain(trial):
    trial.report(1, loss=trial.params["lr"])
    return {"loss": float("nan") if trial.number % 4 == 3 else trial.params["lr"]}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.extras)])
def target(request, tmp_path):
    """The URL of an empty store to move to."""
    return f"sqlite:///{tmp_path}/target.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def made(tmp_path):
    """A study with an end of every kind, a clone, a queued params, a command without an answer; and its file."""
    url = f"sqlite:///{tmp_path}/source.db"
    with closing(open_store(url)) as store:
        study = trialist.create_study(
            "naïve \N{SNOWMAN}", SPACE, metric="loss", mode="min", searcher="random", store=store
        )
        study.run(plain, num_trials=12, progress=False)
        study.trial(0).clone({"lr": 0.05})
        study.ask()
        study.pause()
        path = tmp_path / "all.study"
        path.write_text(text_of(store, study.name))
    return url, path


def text_of(store, name):
    return "".join(study_lines(store, [store.find_study(name)]))


def test_a_study_comes_out_as_it_went_in(made, target):
    url, path = made
    (moved,) = trialist.import_studies(path, store=target)
    assert not moved.was_there
    with closing(open_store(url)) as there, closing(open_store(target)) as here:
        assert text_of(here, moved.name) == path.read_text()
        was, now = there.find_study(moved.name), here.find_study(moved.name)
        assert now == was
        assert [trial.number for trial in here.iter_trials(now.id)] == list(range(was.num_trials))
        assert here.pending_commands(now.id) == there.pending_commands(was.id)
        assert here.leader(now.id) is None
    assert fsck(store=target, replay=True).findings == []
    assert trialist.import_studies(path, store=target)[0].was_there


def test_a_moved_study_goes_on_where_it_was(made, target):
    _, path = made
    (moved,) = trialist.import_studies(path, store=target)
    with closing(open_store(target)) as store:
        study = trialist.load_study(moved.name, store=store)
        study.resume()
        study.run(plain, num_trials=20, progress=False)
        assert study.reason.startswith("trial 12 is still out")
        study.trial(12).cancel()
        study.run(plain, num_trials=20, progress=False)
        assert study.status == "completed"
        assert study.row.num_suggested == 20
    assert fsck(store=target, replay=True).ok
    with pytest.raises(StudyExists, match=r"is not what the file holds.*--rename"):
        trialist.import_studies(path, store=target)


def test_a_name_that_is_taken_asks_for_another(made, target):
    _, path = made
    with closing(open_store(target)) as store:
        trialist.create_study("naïve \N{SNOWMAN}", {"x": [1, 2]}, store=store)
        with pytest.raises(StudyExists, match="--rename"):
            trialist.import_studies(path, store=store)
        (moved,) = trialist.import_studies(path, store=store, rename="another")
        assert moved.name == "another"
        (again,) = trialist.import_studies(path, store=store, rename="a third")
        assert again.id != moved.id
        assert {study.name for study in trialist.list_studies(store=store)} == {
            "naïve \N{SNOWMAN}", "another", "a third"
        }  # fmt: skip
    assert fsck(store=target, replay=True).ok


def damages(lines):
    """What may be wrong with a file, and what is said of it."""
    last = len(lines)
    event = next(number for number, line in enumerate(lines) if '"trial_suggested","trial":2' in line)
    other = json.loads(lines[event])
    yield lines[:-1], r"the file ends in the middle of a study"
    yield [*lines[:-2], lines[-2][: len(lines[-2]) // 2]], rf":{last - 1}: the file ends in the middle"
    yield [*lines[:event], *lines[event + 1 :]], rf":{event + 1}: event {other['seq']} should stand here"
    yield [*lines[:event], lines[event].replace('"lr":0', '"lr":1'), *lines[event + 1 :]], "checksum differs"
    yield [*lines[:event], lines[event].replace('"trial":2', '"trial":3'), *lines[event + 1 :]], "trial 2 should be"
    yield [*lines[:event], "{nonsense\n", *lines[event + 1 :]], rf":{event + 1}: this is no JSON object"
    yield (
        [*lines[:event], lines[event].replace("trial_suggested", "of_tomorrow"), *lines[event + 1 :]],
        "newer Trialist",
    )
    yield [lines[0].replace('"version":1', '"version":2'), *lines[1:]], ":1: a newer Trialist .*pip install --upgrade"
    yield ["number,status,value\n"], "no file of whole studies"
    yield lines[:1], "holds no study"
    yield [], "no file of whole studies"
    ended = next(number for number, line in enumerate(lines) if '"trial_ended"' in line)
    twice = lines[ended].replace(f'"seq":{json.loads(lines[ended])["seq"]}', f'"seq":{other["seq"]}')
    twice = twice.replace('"trial":' + str(json.loads(lines[ended])["trial"]), '"trial":1')
    yield [*lines[:event], twice, *lines[event + 1 :]], rf":{event + 1}: this cannot have happened|there is no trial"


def test_a_damaged_file_leaves_nothing_behind(made, target, tmp_path):
    _, path = made
    broken = tmp_path / "broken.study"
    for lines, words in damages(path.read_text().splitlines(keepends=True)):
        broken.write_text("".join(lines))
        with pytest.raises(ConfigError, match=words):
            trialist.import_studies(broken, store=target)
        with closing(open_store(target)) as store:
            assert store.list_studies().studies == []
    assert fsck(store=target).findings == []
    with pytest.raises(UserError, match="cannot read"):
        trialist.import_studies(tmp_path / "nothing", store=target)
    assert len(trialist.import_studies(path, store=target)) == 1


def test_what_comes_before_the_damage_is_kept_and_not_imported_again(made, target, tmp_path):
    url, _ = made
    with closing(open_store(url)) as store:
        second = trialist.create_study("second", SPACE, metric="loss", mode="min", searcher="random", store=store)
        second.run(plain, num_trials=3, progress=False)
        text = "".join(study_lines(store, [store.find_study(name) for name in ("naïve \N{SNOWMAN}", "second")]))
    path = tmp_path / "two.study"
    path.write_text(text[:-100])
    with pytest.raises(ConfigError, match="Studies before it are in the store: naïve"):
        trialist.import_studies(path, store=target)
    path.write_text(text)
    assert [moved.was_there for moved in trialist.import_studies(path, store=target)] == [True, False]
    with pytest.raises(ConfigError, match="more than one study"):
        trialist.import_studies(path, store=target, rename="x")


IMPORT = "import sys, trialist; trialist.import_studies(sys.argv[1], store=sys.argv[2])"


@pytest.mark.parametrize("point", ["store.import.piece", "store.import.publish"])
def test_killed_in_an_import(made, target, point, monkeypatch):
    """Nobody sees a half; the next import finds its place free and clears what the dead one left."""
    _, path = made
    command = [sys.executable, "-c", IMPORT, str(path), target]
    killed = subprocess.run(command, env={**os.environ, ENVIRONMENT: f"engine:{point}=kill"}, check=False)
    assert killed.returncode == -signal.SIGKILL
    with closing(open_store(target)) as store:
        assert store.list_studies().studies == []
        assert store.find_study("naïve \N{SNOWMAN}") is None
    found = fsck(store=target)
    assert found.ok
    assert ["an import that did not come" in finding.problem for finding in found.findings] == [True]
    assert subprocess.run(command, check=False).returncode == 0
    assert fsck(store=target, replay=True).findings == []


def test_of_two_imports_at_a_time_one_is_made(made, target):
    _, path = made
    with closing(open_store(target)) as store:
        first = next(json.loads(line) for line in path.read_text().splitlines() if "study_created" in line)
        spec = event_from_json(first).body.spec
        staged = store.stage_study(spec)
        assert fsck(store=target).findings == []
        with pytest.raises(Conflict, match="another process is importing it now"):
            trialist.import_studies(path, store=target)
        staged.discard()
    assert len(trialist.import_studies(path, store=target)) == 1


@pytest.mark.slow
@pytest.mark.extras
def test_checkpoints_stay_where_they_are_and_are_found_from_the_new_store(tmp_path: Path, postgres_url: str):
    """A study of paused, stopped and checkpointed trials moves in the middle of its run."""
    url = f"sqlite:///{tmp_path}/source.db"
    with closing(open_store(url)) as store:
        study = trialist.create_study(
            "halving", SPACE, metric="loss", mode="min", searcher="random", scheduler=SCHEDULER, store=store
        )
        study.run(objective, num_trials=9, progress=False)
        text = text_of(store, "halving")
    path = tmp_path / "halving.study"
    path.write_text(text)
    trialist.import_studies(path, store=postgres_url)
    with closing(open_store(postgres_url)) as store:
        assert text_of(store, "halving") == text
        study = trialist.load_study("halving", store=store)
        study.run(objective, num_trials=15, progress=False)
        assert study.row.num_suggested == 15
    assert fsck(store=postgres_url, replay=True).ok
