"""A default configuration and earlier studies: what a new study learns from, and what is refused."""

from __future__ import annotations

import pytest

import trialist
from trialist.api.checking import fsck
from trialist.core.errors import ConfigError, NotFound, SpaceError, StudyMismatch

SPACE = {"lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1}, "depth": {"type": "randint", "low": 1, "high": 4}}


def loss_of(lr, depth, **others):
    if depth == 4:
        raise ValueError("too deep")
    return {"loss": abs(lr - 1e-3) + depth, "size": depth, "extra": 1.0}


@pytest.fixture
def store(tmp_path):
    return f"sqlite:///{tmp_path}/trials.db"


@pytest.fixture
def earlier(store):
    study = trialist.create_study("earlier", SPACE, metric="loss", mode="min", searcher="random", store=store)
    return study.run(loss_of, num_trials=30)


def made(store, name="later", space=SPACE, **more):
    settings = {"metric": "loss", "mode": "min", "searcher": "auto", "store": store, **more}
    return trialist.create_study(name, space, **settings)


def sources(study):
    return [trial.record.note["by"] for trial in study.trials()]


def test_the_default_is_tried_first_and_the_trial_says_so(store):
    study = made(store, default={"lr": 0.01, "depth": 2}).run(loss_of, num_trials=3)
    assert study.trial(0).params == {"lr": 0.01, "depth": 2}
    assert {trial.source for trial in study.trials()} == {"auto"}
    assert sources(study) == ["default", "start", "start"]
    found = fsck(store=store, replay=True)
    assert found.ok, found.findings
    assert found.replayed == 3


def test_the_best_of_an_earlier_study_is_tried_and_that_study_may_go(store, earlier):
    best = [trial.params for trial in earlier.top(2)]
    study = made(store, warm_start="earlier", outcome_constraints=["size <= 3"])
    (known,) = study.row.spec.warm_start
    assert (known.name, len(known.trials)) == ("earlier", earlier.counts["completed"])
    assert known.trials[0].metrics.keys() == {"loss", "size"}  # and nothing else that it told
    trialist.delete_study("earlier", store=store)
    again = made(store, warm_start="earlier", outcome_constraints=["size <= 3"], resume=True)
    assert again.row.spec.warm_start == (known,)
    again.run(loss_of, num_trials=7)
    assert [trial.params for trial in again.trials()[:2]] == best
    assert sources(again)[:4] == ["earlier"] * 4
    found = fsck(store=store, replay=True)
    assert found.ok, found.findings


def test_from_another_store_and_only_so_many(store, earlier, tmp_path):
    study = made(f"sqlite:///{tmp_path}/other.db", warm_start={"study": "earlier", "store": store, "trials": 6})
    (known,) = study.row.spec.warm_start
    assert len(known.trials) == 6
    losses = [trial.metrics["loss"] for trial in known.trials]
    every = sorted(trial.value for trial in earlier.trials(status="completed"))
    assert every[:3] == sorted(losses)[:3]  # half of them the best
    assert max(losses) > every[len(every) // 2]  # and a spread of the others


def test_names_that_the_space_has_not_are_left_out_and_new_ones_filled_in(store, earlier):
    narrower = {"lr": SPACE["lr"], "width": [16, 32]}
    study = made(store, space=narrower, default={"lr": 0.01, "width": 32}, warm_start="earlier")
    (known,) = study.row.spec.warm_start
    assert {trial.params["width"] for trial in known.trials} == {32}


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"warm_start": "earlyer"}, NotFound, "Did you mean 'earlier'"),
        ({"warm_start": 3}, ConfigError, "not 3"),
        ({"warm_start": {"name": "earlier"}}, ConfigError, "warm_start"),
        ({"warm_start": {"study": "earlier", "trails": 3}}, ConfigError, "Did you mean 'trials'"),
        ({"warm_start": {"study": "earlier", "trials": 501}}, ConfigError, "from 1 to 500"),
        ({"warm_start": [{"study": "earlier", "trials": 300}] * 2}, ConfigError, "at most 500"),
        ({"warm_start": "earlier", "metric": "los"}, ConfigError, "did not tell 'los'. Did you mean 'loss'"),
        ({"warm_start": "earlier", "metric": None, "mode": None}, ConfigError, "needs a metric"),
        ({"warm_start": "earlier", "space": {"other": [1, 2]}}, ConfigError, "does not fit this space"),
        ({"warm_start": "earlier", "searcher": "random"}, ConfigError, "searcher 'random' learns nothing"),
        ({"default": {"lr": 0.01, "depth": 2}, "searcher": "random"}, ConfigError, "tries no default"),
        ({"default": {"lr": 0.01}}, SpaceError, "default: no value is given for 'depth'"),
        ({"default": {"lr": 7.0, "depth": 1}}, SpaceError, "default.lr"),
        ({"default": 3}, SpaceError, "default"),
    ],
)
def test_what_is_wrong_is_said_at_once_and_nothing_is_made(store, earlier, given, error, says):
    with pytest.raises(error) as raised:
        made(store, **given)
    assert says in str(raised.value)
    assert [study.name for study in trialist.list_studies(store=store)] == ["earlier"]


def test_a_study_is_resumed_with_what_it_was_made_with(store, earlier):
    made(store, default={"lr": 0.01, "depth": 2}, warm_start=["earlier"])
    with pytest.raises(StudyMismatch, match=r"default: recorded lr=0\.01, depth=2; now none"):
        made(store, warm_start=["earlier"], resume=True)
    with pytest.raises(StudyMismatch, match="warm_start: recorded earlier; now none"):
        made(store, default={"lr": 0.01, "depth": 2}, resume=True)


def test_the_command_line_shows_both(cli_json, store, earlier):
    made(store, default={"lr": 0.01, "depth": 2}, warm_start="earlier")
    document = cli_json("status", "later")
    assert document["default"] == {"lr": 0.01, "depth": 2}
    assert document["warm_start"] == [{"study": "earlier", "trials": earlier.counts["completed"]}]


@pytest.fixture
def cli_json(capsys, store):
    import json

    from trialist.cli import main

    def call(*args):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*args, "--json", "--store", store])
        assert not ended.value.code
        return json.loads(capsys.readouterr().out)

    return call
