"""Importance: what is known of functions whose shares are known, and Optuna's evaluators on the same data."""

from __future__ import annotations

import math
import random
import warnings

import pytest

from trialist.analysis.importance import METHODS, guessed_space, importance
from trialist.analysis.snapshot import Snapshot
from trialist.core.errors import UnknownName
from trialist.core.records import Metric, Mode, Trial
from trialist.core.states import TrialStatus
from trialist.space import SearchSpace


def study(space, value, count=400, seed=0, mode=Mode.MIN) -> Snapshot:
    space, rng = SearchSpace.of(space), random.Random(seed)
    trials = []
    for number in range(count):
        params = space.sample(rng)
        trials.append(Trial(number=number, params=params, value=value(params), status=TrialStatus.COMPLETED))
    return Snapshot(name="s", trials=tuple(trials), metrics=(Metric(name="loss", mode=mode),), space=space)


UNIT = {"type": "uniform", "low": 0.0, "high": 1.0}
MIXED = {
    "a": UNIT,
    "b": {"type": "loguniform", "low": 1e-4, "high": 1.0},
    "n": {"type": "randint", "low": 1, "high": 8},
    "m": {"type": "lograndint", "low": 1, "high": 200},
    "q": {"type": "quniform", "low": 0.0, "high": 2.0, "q": 0.25},
    "k": ["x", "y", "z"],
}


def mixed(p) -> float:
    return (
        3 * (p["a"] - 0.3) ** 2
        + 0.3 * abs(math.log10(p["b"]) + 2)
        + {"x": 0.0, "y": 0.2, "z": 0.9}[p["k"]]
        + 0.02 * p["n"]
    )


@pytest.mark.parametrize("method", METHODS)
def test_what_matters_comes_first_and_shares_sum_to_one(method, search) -> None:
    pytest.importorskip("sklearn")
    found = importance(search(300), method=method)
    assert set(list(found.shares)[:2]) == {"lr", "model"}
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert list(found.shares.values()) == sorted(found.shares.values(), reverse=True)
    assert min(found.shares.values()) >= 0
    assert found.note == ""


@pytest.mark.parametrize("method", METHODS)
def test_any_study_has_shares(method, odd) -> None:
    pytest.importorskip("sklearn")
    if method == "fanova" and len(odd.trials) > 1000:
        pytest.skip("the other sizes show as much, and faster")
    found = importance(odd, method=method)
    total = sum(found.shares.values())
    assert total == pytest.approx(1.0) or (total == 0 and found.note)
    assert all(math.isfinite(share) for share in found.shares.values())


def test_the_other_way_round_is_the_same(taken) -> None:
    low, high = study(MIXED, mixed), study(MIXED, lambda p: -mixed(p), mode=Mode.MAX)
    assert importance(low).shares == pytest.approx(importance(high).shares)


def test_equal_data_gives_equal_shares(search) -> None:
    pytest.importorskip("sklearn")
    assert importance(search(80), method="fanova") == importance(search(80), method="fanova")


def test_a_conditional_parameter_counts_where_it_is_active() -> None:
    space = {"kind": [{"name": "a", "x": UNIT}, {"name": "b", "y": UNIT}], "z": UNIT}
    pytest.importorskip("sklearn")
    made = study(space, lambda p: (p["kind"]["x"] - 0.5) ** 2 if "x" in p["kind"] else 0.3, count=600)
    for method in METHODS:
        shares = importance(made, method=method).shares
        assert shares["kind.x"] > 0.08, method
        assert shares["kind.x"] > 4 * shares["kind.y"], method
        assert shares["kind.x"] > 4 * shares["z"], method


def test_fanova_finds_the_known_shares_of_variance() -> None:
    pytest.importorskip("sklearn")
    made = study({"a": UNIT, "b": UNIT, "k": ["x", "y"]}, lambda p: 2 * p["a"] + p["b"] + (p["k"] == "y"), count=1500)
    # Variances: 4/12, 1/12 and 1/4.
    assert importance(made, method="fanova").shares == pytest.approx({"a": 0.5, "k": 0.375, "b": 0.125}, abs=0.04)


def test_what_was_stopped_counts_and_what_failed_does_not(taken, tried) -> None:
    S = TrialStatus
    trials = [
        tried(k, None if k % 3 == 0 else k / 10, (S.FAILED, S.STOPPED, S.COMPLETED)[k % 3], x=k) for k in range(30)
    ]
    assert importance(taken(trials)).trials == 20


def test_a_study_without_its_space_gets_one_from_its_values(taken, tried) -> None:
    trials = [tried(k, 0.1 * k, lr=10.0 ** -(k % 5), n=k, act="ab"[k % 2], same=1) for k in range(20)]
    space = guessed_space(taken(trials))
    assert space.paths == ("lr", "n", "act")
    assert all(space.contains({name: one.params[name] for name in space.paths}) for one in trials)
    assert importance(taken(trials)).trials == 20


def test_what_cannot_be_told_is_said(taken, tried) -> None:
    assert importance(taken([])).note == "no parameter varies"
    assert (
        importance(taken([tried(k, 1.0, x=k) for k in range(20)])).note == "no parameter tells good trials from others"
    )
    assert "only 4 trials" in importance(taken([tried(k, 1.0 * k, x=k) for k in range(4)])).note
    with pytest.raises(UnknownName, match="Did you mean 'fanova'"):
        importance(taken([]), method="fannova")


@pytest.mark.extras
@pytest.mark.parametrize("seed", range(4))
def test_ped_anova_agrees_with_optuna(seed) -> None:
    optuna, theirs = optuna_study(study(MIXED, mixed, count=300, seed=seed))
    ours = importance(study(MIXED, mixed, count=300, seed=seed)).shares
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = optuna.importance.get_param_importances(theirs, evaluator=evaluator)
    # Numbers: the same estimate. Choices: theirs smooths as many kernels as options, whatever the number of trials.
    numbers = [name for name in known if name != "k"]
    total_ours, total_theirs = (sum(one[name] for name in numbers) for one in (ours, known))
    for name in numbers:
        assert ours[name] / total_ours == pytest.approx(known[name] / total_theirs, rel=1e-6, abs=1e-9)
    assert set(sorted(ours, key=ours.__getitem__)[-3:]) == set(sorted(known, key=known.__getitem__)[-3:])


@pytest.mark.extras
def test_fanova_agrees_with_optuna() -> None:
    space = {"a": UNIT, "b": UNIT, "c": {"type": "randint", "low": 1, "high": 9}, "k": ["x", "y"]}

    def value(p) -> float:
        return 3 * (p["a"] - 0.3) ** 2 + 0.5 * p["b"] * (p["k"] == "y") + 0.05 * p["c"]

    made = study(space, value, count=250)
    optuna, theirs = optuna_study(made)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        known = optuna.importance.get_param_importances(theirs, evaluator=evaluator)
    assert importance(made, method="fanova").shares == pytest.approx(
        {name: float(x) for name, x in known.items()}, abs=0.06
    )


def optuna_study(made: Snapshot):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    of = optuna.distributions
    known = {
        "a": of.FloatDistribution(0, 1),
        "b": of.FloatDistribution(1e-4, 1, log=True) if "m" in made.names else of.FloatDistribution(0, 1),
        "c": of.IntDistribution(1, 9),
        "n": of.IntDistribution(1, 8),
        "m": of.IntDistribution(1, 200, log=True),
        "q": of.FloatDistribution(0, 2, step=0.25),
        "k": of.CategoricalDistribution(["x", "y", "z"] if "m" in made.names else ["x", "y"]),
    }
    theirs = optuna.create_study()
    for trial in made.trials:
        spread = {name: known[name] for name in trial.params}
        theirs.add_trial(optuna.trial.create_trial(params=dict(trial.params), distributions=spread, value=trial.value))
    return optuna, theirs
