"""``HPOptimizer.optimize``: trials of the training engine in processes of their own, and what is said of them."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trialist
from trialist import (
    ConfigError,
    HPOptimizer,
    HPOResults,
    MissingExtra,
    ObjectiveError,
    SpaceError,
    StudyExists,
    StudyMismatch,
    TrainingEngine,
    UnknownName,
    registry,
)
from trialist.cli.advice import how_to_run
from trialist.core.records import FailureReason
from trialist.hpo.queued import lead_queued

Optimise = Callable[..., HPOResults]
X = {"x": {"type": "uniform", "low": -1.0, "high": 1.0}}


def test_params_reach_the_training_and_the_best_is_put_back(bowl: Optimise) -> None:
    hpo = HPOptimizer()
    results = bowl({"hyperparameters": {"x": 0.5, "kept": 1}}, hpo=hpo, training_config={"epochs": 3}, num_trials=5)
    assert [trial.status for trial in results.trials] == ["completed"] * 5
    assert all(trial.value == pytest.approx(trial.params["x"] ** 2 + 1 / 3) for trial in results.trials)
    assert [report.step for report in results.trials[0].reports] == [1, 2, 3]
    assert results.best_score == min(trial.value for trial in results.trials)
    given = {"type": "bowl", "hyperparameters": {"x": 0.5, "kept": [1]}}
    best = hpo.get_best_model_config(given)
    assert best == {"type": "bowl", "hyperparameters": {"x": results.best_params["x"], "kept": [1]}}
    best["hyperparameters"]["kept"].append(2)
    assert given == {"type": "bowl", "hyperparameters": {"x": 0.5, "kept": [1]}}
    config = trialist.load_study(results.name, store=results.study.store).trial(0).run_dir / "config.yaml"
    assert f'"x": {results.trials[0].params["x"]}' in config.read_text()


def test_each_trial_has_a_seed_of_its_own_unless_the_config_names_one(bowl: Optimise) -> None:
    seeds = {trial.metrics["seed"] for trial in bowl(num_trials=3).trials}
    assert len(seeds) == 3
    assert {trial.metrics["seed"] for trial in bowl(num_trials=2, training_config={"seed": 7}).trials} == {7}


def test_equal_seeds_give_equal_params_however_many_run_at_once(bowl: Optimise) -> None:
    one, two = bowl(seed=3), bowl(seed=3, max_concurrent_trials=2)
    assert [trial.params for trial in one.trials] == [trial.params for trial in two.trials]
    assert one.name != two.name
    assert [trial.params for trial in bowl(seed=4).trials] != [trial.params for trial in one.trials]


def test_trials_that_fail_are_recorded_and_never_scored(bowl: Optimise) -> None:
    results = bowl({"fails": 0.1}, num_trials=8)
    failed = results.study.trials(status="failed")
    assert failed
    assert len(failed) < 8
    assert all(trial.params["x"] > 0.1 and trial.value is None for trial in failed)
    assert failed[0].error is not None
    assert failed[0].error.message.startswith("RuntimeError: it went wrong at")
    assert "raise RuntimeError" in failed[0].error.detail
    assert results.best_params["x"] <= 0.1
    assert results.status == "completed"


def test_a_study_in_which_all_fail_raises_nothing_until_the_best_is_asked_for(bowl: Optimise) -> None:
    hpo = HPOptimizer()
    results = bowl({"fails": -9.0}, hpo=hpo, num_trials=2)
    assert (results.best_trial, results.best_params, results.best_score) == (None, None, None)
    assert len(results.dataframe()) == len(results) == 2
    assert "no completed trial" in repr(results)
    with pytest.raises(
        ConfigError, match=r"has no completed trial.*2 failed, trial 0 with: RuntimeError: it went wrong"
    ):
        hpo.get_best_model_config({"type": "bowl"})
    with pytest.raises(ConfigError, match="no completed trial"):
        results.best_configs()


def test_nan_is_a_failure(bowl: Optimise) -> None:
    results = bowl({"diverges": True}, num_trials=1)
    assert [trial.error.reason for trial in results.trials if trial.error] == [FailureReason.NOT_FINITE]
    assert results.best_score is None


def test_failures_are_bounded_and_tried_again(bowl: Optimise, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="HPOptimizer"):
        results = bowl({"fails": -9.0}, num_trials=20, max_failures=3, retries=1)
    assert results.status == "failed"
    assert len(results.study.trials(status="failed")) == 4
    assert any(trial.source == "retry" for trial in results.trials)
    assert any("is failed" in record.message and "no completed trial" in record.message for record in caplog.records)


def test_it_goes_on_where_it_was_up_to_the_total(bowl: Optimise) -> None:
    first = bowl(num_trials=2, study_name="again", seed=1)
    more = bowl(num_trials=4, study_name="again", seed=1, resume=True)
    assert [trial.params for trial in more.trials[:2]] == [trial.params for trial in first.trials[:2]]
    assert len(more) == 4
    whole = bowl(num_trials=4, seed=1)
    assert [trial.params for trial in whole.trials] == [trial.params for trial in more.trials]
    same = bowl(num_trials=None, study_name="again", seed=1, resume=True)
    assert len(same) == 4
    assert "optimize(…, study_name='again', resume=True) goes on" in how_to_run(same.study.row).do


def test_another_optimisation_under_its_name_is_refused(bowl: Optimise) -> None:
    bowl(num_trials=1, study_name="taken")
    with pytest.raises(StudyExists, match="'taken'"):
        bowl(num_trials=1, study_name="taken")
    with pytest.raises(StudyMismatch, match=r"training_config\.epochs: recorded not there; now 5"):
        bowl(num_trials=2, study_name="taken", resume=True, training_config={"epochs": 5})
    with pytest.raises(StudyMismatch, match="seed"):
        bowl(num_trials=2, study_name="taken", resume=True, seed=9)
    with pytest.raises(ConfigError, match="resume=True needs study_name"):
        bowl(num_trials=2, resume=True)


def test_ctrl_c_keeps_what_there_is_and_it_goes_on(bowl: Optimise) -> None:
    hpo = HPOptimizer()

    def interrupt(study: Any, trial: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"study_name='stopped', resume=True\) goes on"):
        bowl(hpo=hpo, num_trials=6, study_name="stopped", callbacks=[interrupt])
    assert hpo.results is not None
    assert 1 <= len(hpo.results.study.trials(status="completed")) < 6
    assert len(bowl(num_trials=6, study_name="stopped", resume=True).study.trials(status="completed")) == 6


def test_reports_reach_the_scheduler(bowl: Optimise) -> None:
    results = bowl(
        num_trials=9,
        training_config={"epochs": 9},
        scheduler={"name": "asha", "eta": 3, "min_steps": 1, "max_steps": 9},
    )
    steps = [trial.step for trial in results.trials]
    assert 9 in steps
    assert 1 in steps
    assert results.study.row.spec.scheduler.name == "asha"


def test_a_grid_and_points_to_try_first(bowl: Optimise) -> None:
    results = bowl(param_space={"x": [0.1, 0.2, 0.3]}, search_algorithm="grid", num_trials=None)
    assert [trial.params["x"] for trial in results.trials] == [0.1, 0.2, 0.3]
    points = [{"x": 0.25}, {"x": -0.25}]
    first = bowl(num_trials=3, initial_points=points, study_name="points")
    assert [dict(trial.params) for trial in first.trials[:2]] == points
    assert len(bowl(num_trials=3, initial_points=points, study_name="points", resume=True)) == 3


def test_what_the_configs_say_already_is_what_auto_tries_first(bowl: Optimise) -> None:
    results = bowl({"x": 0.625}, search_algorithm="auto", num_trials=2)
    assert results.trials[0].params == {"x": 0.625}
    assert results.trials[1].params != {"x": 0.625}


def test_several_metrics_have_a_front_and_no_best(bowl: Optimise) -> None:
    hpo = HPOptimizer()
    results = bowl(hpo=hpo, metric=["loss", "size"], mode=["min", "max"], num_trials=4)
    assert results.best_trial is None
    assert results.pareto_front
    with pytest.raises(ConfigError, match="2 metrics, so no trial is best in all"):
        hpo.get_best_model_config({"type": "bowl"})


def test_the_log_tells_the_story(bowl: Optimise, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="HPOptimizer"):
        bowl({"fails": 0.1}, num_trials=8, study_name="story")
    # On a slow machine the pool has a word to say too, in a logger of its own.
    told = [(one.name, one.levelname, one.getMessage()) for one in caplog.records if one.name == "HPOptimizer"]
    assert told[0][2].startswith("study 'story': min loss, 8 trials; searcher random, scheduler none, 1 at a time")
    assert any(level == "WARNING" and "failed: RuntimeError" in text for _, level, text in told)
    assert any("is the best so far: loss=" in text for _, _, text in told)
    assert told[-1][2].startswith("study 'story' is completed")


def test_an_engine_of_ones_own_trains(store: str) -> None:
    class Doubling:
        def train(self, model: Any, data: Any, training: Any = None, report: Any = None, checkpoint: Any = None) -> Any:
            report(step=1, loss=2 * model["x"])
            return {"loss": 2 * model["x"]}

    hpo = HPOptimizer(Doubling())
    results = hpo.optimize({}, param_space=X, num_trials=2, metric="loss", store=store, progress=False)
    assert [trial.value for trial in results.trials] == [2 * trial.params["x"] for trial in results.trials]
    with pytest.raises(ConfigError, match="does not say what it reports"):
        hpo.optimize({}, param_space=X, num_trials=2, store=store)
    with pytest.raises(ConfigError, match="needs a method train"):
        HPOptimizer(object())
    turn: Any = None  # it is refused before anybody would lead
    with pytest.raises(ObjectiveError, match=r"trains with .*Doubling, which only the process that made it has"):
        lead_queued(results.study, turn)


def test_a_real_estimator_on_real_data(store: str) -> None:
    pytest.importorskip("sklearn")
    hpo = HPOptimizer(TrainingEngine())
    model = {"type": "sklearn", "estimator": "SGDClassifier"}
    space = {"alpha": {"type": "loguniform", "low": 1e-6, "high": 1e-2}, "epochs": [1, 2]}
    results = hpo.optimize(model, {"dataset": "iris"}, None, space, 2, store=store, progress=False)
    assert results.metric is not None
    assert (results.metric.name, results.metric.mode) == ("val_accuracy", "max")
    assert results.best_score is not None
    assert results.best_score > 0.5
    assert set(hpo.get_best_model_config(model)) == {"type", "estimator", "alpha"}
    assert results.best_configs().training == {"epochs": results.best_params["epochs"]}


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"search_algorithm": "randm"}, UnknownName, "no searcher is called 'randm'.*'random'"),
        ({"scheduler": "ashaa"}, UnknownName, "no scheduler is called 'ashaa'.*'asha'"),
        ({"engine": "locla"}, UnknownName, "no engine is called 'locla'.*'local'"),
        ({"param_space": None}, ConfigError, "param_space: is missing"),
        ({"param_space": {}}, ConfigError, "param_space: is empty"),
        ({"param_space": {"x": {"type": "unifrom", "low": 0, "high": 1}}}, SpaceError, "x: .*'uniform'"),
        ({"param_mapping": {"y": "x"}}, ConfigError, r"param_mapping\.y: no parameter has this name"),
        ({"max_concurrent_trials": 0}, ConfigError, "max_concurrent_trials: must be a whole number of at least 1"),
        ({"num_trials": -1}, ConfigError, "num_trials"),
        ({"resources_per_trial": {"gpus": 1}}, ConfigError, "Did you mean 'gpu'"),
        ({"resources_per_trial": {"cpu": 10_000}}, ConfigError, "a trial needs 10000"),
        ({"mode": "maximum"}, ConfigError, "mode: must be 'min' or 'max'"),
        ({"data_config": {"path": "nowhere.csv", "target": "y"}}, ConfigError, r"data_config\.path: there is no file"),
        ({"study_name": "a/b"}, ConfigError, "a study's name"),
    ],
)
def test_mistakes_are_said_at_once(bowl: Optimise, store: str, options: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        bowl(**options)
    assert trialist.list_studies(store=store) == []


def test_ray_is_named_with_its_line_where_it_is_missing(bowl: Optimise, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str, what: str) -> Any:
        raise MissingExtra(what, "ray", module)

    monkeypatch.setattr(registry, "optional", absent)
    with pytest.raises(ImportError, match=r"engine='ray' needs 'ray'.*pip install 'trialist\[ray\]'"):
        bowl(engine="ray")


def test_results_before_any_are_an_error() -> None:
    with pytest.raises(ConfigError, match="call optimize first"):
        HPOptimizer().get_best_model_config({"type": "sklearn"})


def test_a_space_is_checked_alone(tmp_path: Path) -> None:
    hpo = HPOptimizer()
    assert hpo.define_search_space(X) == trialist.SearchSpace.of(X)
    assert hpo.define_search_space({"a": [1, 2], "b": {"c": [3, 4]}}, constraints=["a < b.c"]).count() == 4
    with pytest.raises(SpaceError, match=r"^lr: "):
        hpo.define_search_space({"lr": {"type": "loguniform", "low": 0, "high": 1}})
