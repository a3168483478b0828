"""The same optimisation here, on a Ray cluster, and inside Ray Tune; and our searchers for people who stay in Ray Tune."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.hpo.conftest import Optimise

from trialist.core.errors import ConfigError, SpaceError, UserError

pytestmark = [pytest.mark.extras, pytest.mark.slow]
ray = pytest.importorskip("ray")
X = {"x": {"type": "uniform", "low": -1.0, "high": 1.0}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    if " " in sys.executable:
        pytest.skip("Ray starts no workers where the path of Python holds a space")
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def told(results: Any) -> list[Any]:
    return [(trial.number, trial.params, str(trial.status), trial.value) for trial in results.trials]


def test_the_engine_changes_nothing_but_where_trials_run(cluster: None, bowl: Optimise) -> None:
    here, there, tune = (
        bowl(engine=engine, study_name=engine, seed=3, num_trials=4) for engine in ("local", "ray", "ray_tune")
    )
    assert told(here) == told(there) == told(tune)
    assert [len(trial.reports) for trial in here.trials] == [len(trial.reports) for trial in tune.trials]


def test_what_ray_tunes_scheduler_ends_is_stopped_at_its_step(cluster: None, bowl: Optimise) -> None:
    asha = {"name": "asha", "min_steps": 1, "max_steps": 8, "eta": 2}
    training = {"epochs": 8}
    results = bowl(
        engine="ray_tune", scheduler=asha, num_trials=8, seed=1, max_concurrent_trials=1, training_config=training
    )
    by_status = {status: [one for one in results.trials if one.status == status] for status in ("stopped", "completed")}
    assert by_status["stopped"]
    assert by_status["completed"]
    assert all(one.record.step < 8 for one in by_status["stopped"])
    assert all(one.record.step == 8 for one in by_status["completed"])


def test_failures_and_nan_are_failures_inside_ray_tune_too(cluster: None, bowl: Optimise) -> None:
    results = bowl({"fails": 0.01}, engine="ray_tune", num_trials=4, seed=0)
    assert {str(one.status) for one in results.trials} == {"failed", "completed"}
    failed = next(one for one in results.trials if one.status == "failed")
    assert "it went wrong" in failed.error.message


def test_a_scheduler_that_ray_tune_has_not_is_named(cluster: None, bowl: Optimise) -> None:
    with pytest.raises(ConfigError, match="engine='ray' runs all of ours"):
        bowl(engine="ray_tune", scheduler="forecast", num_trials=2)


def test_our_searchers_inside_ray_tune_go_on_where_they_were_saved(tmp_path: Path) -> None:
    from ray import tune as ray_tune

    from trialist import RayTuneSearcher

    space = {
        "lr": ray_tune.loguniform(1e-5, 1e-1),
        "n": ray_tune.randint(1, 5),
        "kind": ray_tune.choice(["a", "b"]),
        "deep": {"q": ray_tune.quniform(0.0, 1.0, 0.25)},
        "fixed": 7,
    }

    def searcher(path: Path | None = None) -> RayTuneSearcher:
        made = RayTuneSearcher("random", seed=5)
        assert made.set_search_properties("loss", "min", space)
        if path is not None:
            made.restore(str(path))
        return made

    one = searcher()
    params = [one.suggest(f"t{number}") for number in range(4)]
    assert all(1 <= each["n"] <= 4 and each["fixed"] == 7 and each["deep"]["q"] % 0.25 == 0 for each in params)
    one.on_trial_result("t0", {"loss": 1.0, "training_iteration": 1})
    one.on_trial_complete("t0", {"loss": 0.5, "training_iteration": 2})
    one.on_trial_complete("t1", None, error=True)
    one.on_trial_complete("t2", {"loss": float("nan"), "training_iteration": 2})
    one.save(str(tmp_path / "state"))
    again = searcher(tmp_path / "state")
    assert again.suggest("t9") == one.suggest("t9") != params[3]
    again.on_trial_complete("t3", {"loss": 0.1})
    other = RayTuneSearcher("random", space=X, metric="loss", mode="min")
    with pytest.raises(UserError, match="another space"):
        other.restore(str(tmp_path / "state"))
    with pytest.raises(SpaceError, match="no counterpart"):
        RayTuneSearcher("random").set_search_properties("loss", "min", {"x": ray_tune.randn()})


def test_a_tuner_of_ray_tunes_takes_our_searcher(cluster: None, tmp_path: Path) -> None:
    from ray import tune as ray_tune

    from trialist import RayTuneSearcher

    def train(config: dict[str, Any]) -> dict[str, float]:
        return {"loss": config["x"] ** 2}

    tuner = ray_tune.Tuner(
        train,
        param_space={"x": ray_tune.uniform(-1.0, 1.0)},
        tune_config=ray_tune.TuneConfig(
            search_alg=RayTuneSearcher("random", seed=1), metric="loss", mode="min", num_samples=3
        ),
        run_config=ray_tune.RunConfig(storage_path=str(tmp_path), verbose=0),
    )
    results = tuner.fit()
    assert len(results) == 3
    assert not results.errors
