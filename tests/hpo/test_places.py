"""Where searched parameters are written, and what is said of those that nothing reads."""

from __future__ import annotations

from typing import Any

import pytest

from trialist import ConfigError, SearchSpace, TrainingEngine
from trialist.core.records import Metric, Mode
from trialist.hpo.places import find_places
from trialist.hpo.planning import Plan, default_of, make_plan
from trialist.hpo.sections import Sections
from trialist.train.model_type import Declaration

LR = {"type": "loguniform", "low": 1e-5, "high": 1e-1}
ACCURACY = Metric(name="val_accuracy", mode=Mode.MAX)
NET = Declaration(
    model=frozenset({"width", "depth", "dropout", "optimizer", "head"}),
    data=frozenset({"dataset", "path", "test_size", "seed"}),
    training=frozenset({"lr", "epochs", "batch_size", "seed"}),
    metrics=("val_loss", "val_accuracy", "score"),
    primary=ACCURACY,
)
ANYTHING = Declaration(model=None, data=None, training=None, metrics=("score",), primary=ACCURACY)


def places(
    space: dict[str, Any],
    model: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    *,
    mapping: dict[str, str] | None = None,
    declared: Declaration = NET,
) -> dict[str, str]:
    sections = Sections.of({"type": "net"} if model is None else model, data, training)
    return find_places(SearchSpace.of(space), sections, mapping or {}, lambda _: declared).places


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("width", "model.width"),
        ("lr", "training.lr"),
        ("learning_rate", "training.learning_rate"),
        ("num_epochs", "training.num_epochs"),
        ("batch_size", "training.batch_size"),
        ("test_size", "data.test_size"),
        ("seed", "training.seed"),
        ("type", "model.type"),
        ("training.lr", "training.lr"),
        ("data.noise", "data.noise"),
        ("model.width", "model.width"),
        ("hyperparameters.width", "model.hyperparameters.width"),
        ("head.0.p", "model.head.0.p"),
    ],
)
def test_a_name_goes_where_the_model_type_reads_it(name: str, place: str) -> None:
    assert places({name: [1, 2]}) == {name: place}


def test_it_is_written_where_the_user_has_it_already() -> None:
    assert places({"width": [1, 2]}, {"type": "net", "hyperparameters": {"width": 8}}) == {
        "width": "model.hyperparameters.width"
    }
    assert places({"depth": [1, 2]}, {"type": "net", "hyperparameters": {}}) == {"depth": "model.hyperparameters.depth"}
    assert places({"width": [1, 2]}, {"type": "net", "width": 8, "hyperparameters": {}}) == {"width": "model.width"}
    assert places({"learning_rate": LR}, training={"lr": 0.1}) == {"learning_rate": "training.lr"}
    assert places({"lr": LR}, training={"learning_rate": 0.1}) == {"lr": "training.learning_rate"}
    assert places({"seed": [1, 2]}, data={"seed": 3}) == {"seed": "data.seed"}


def test_a_mapping_comes_first() -> None:
    mapping = {
        "lr": "hyperparameters.learning_rate",
        "bs": "training.batch_size",
        "split": "data.test_size",
        "w": "model.width",
    }
    assert places({"lr": LR, "bs": [16, 32], "split": [0.1, 0.2], "w": [1, 2]}, mapping=mapping) == {
        "lr": "model.hyperparameters.learning_rate",
        "bs": "training.batch_size",
        "split": "data.test_size",
        "w": "model.width",
    }


def test_groups_go_parameter_by_parameter() -> None:
    space = {
        "training": {"lr": LR, "batch_size": [16, 32]},
        "model": {"head": {"p": [0.1, 0.2]}},
        "optimizer": {"beta": [1, 2]},
    }
    assert places(space) == {
        "training.lr": "training.lr",
        "training.batch_size": "training.batch_size",
        "model.head.p": "model.head.p",
        "optimizer.beta": "model.optimizer.beta",
    }
    assert places({"any": {"width": [1, 2], "inner": {"lr": LR}}}) == {
        "any.width": "model.width",
        "any.inner.lr": "training.lr",
    }
    assert places({"any": {"a": [1, 2], "lr": LR}}, mapping={"any.a": "deep.a"}) == {
        "any.a": "model.deep.a",
        "any.lr": "training.lr",
    }


def test_a_branch_is_one_value_where_its_name_is_read_and_is_spread_where_it_is_not() -> None:
    branches = [{"type": "sgd", "momentum": {"type": "uniform", "low": 0.0, "high": 1.0}}, {"type": "adam"}]
    assert places({"optimizer": {"type": "choice", "values": branches}}) == {"optimizer": "model.optimizer"}
    which = [{"width": 8, "lr": LR}, {"depth": 2}]
    assert places({"which": {"type": "choice", "values": which}}) == {
        "which.width": "model.width",
        "which.lr": "training.lr",
        "which.depth": "model.depth",
    }


def test_a_type_that_reads_anything_gets_its_own_in_the_model_and_common_names_in_the_training() -> None:
    assert places({"x": [1, 2], "lr": LR, "batch_size": [1, 2]}, declared=ANYTHING) == {
        "x": "model.x",
        "lr": "training.lr",
        "batch_size": "training.batch_size",
    }
    assert places({"x": [1, 2], "lr": LR}, {"type": "f", "lr": 1}, {}, {"x": 1}, declared=ANYTHING) == {
        "x": "training.x",
        "lr": "model.lr",
    }


def test_what_nothing_reads_is_an_error_that_offers_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"param_space\.widht: nothing reads this parameter.*'net'.*Did you mean 'width'"
    ):
        places({"widht": [1, 2]})
    with pytest.raises(ConfigError, match=r"param_space\.any\.droput"):
        places({"any": {"droput": [0.1, 0.2]}})
    with pytest.raises(ConfigError, match=r"param_space\.which:.*param_mapping=\{'which': 'path\.in\.model_config'\}"):
        places({"which": {"type": "choice", "values": [{"width": 8}, None]}})


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"learning": "training.lr"}, r"param_mapping\.learning: no parameter has this name\. Did you mean"),
        ({"lr": ""}, r"param_mapping\.lr: is a dotted path"),
        ({"lr": 3}, r"param_mapping\.lr: is a dotted path inside model_config"),
        ({"lr": "a..b"}, r"param_mapping\.lr"),
    ],
)
def test_a_wrong_mapping_is_named(mapping: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        places({"lr": LR, "learning_rat": [1, 2]}, mapping=mapping)


# --- with the training engine -----------------------------------------------------------------------------------------


def plan(space: dict[str, Any], model: dict[str, Any], training: dict[str, Any] | None = None, **more: Any) -> Plan:
    options: dict[str, Any] = {
        "mapping": {},
        "metric": None,
        "mode": None,
        "timeout_s": None,
        "runs_on": "local",
        **more,
    }
    sections = Sections.of(model, {"dataset": "iris"}, training)
    return make_plan(TrainingEngine(), SearchSpace.of(space), sections, **options)


def test_the_estimator_may_be_searched_with_what_each_one_has() -> None:
    values = [{"estimator": "SVC", "C": LR}, {"estimator": "RandomForestClassifier", "max_depth": [2, 3]}]
    made = plan({"which": {"type": "choice", "values": values}}, {"type": "sklearn"})
    assert made.record.places == {
        "which.estimator": "model.estimator",
        "which.C": "model.C",
        "which.max_depth": "model.max_depth",
    }
    assert (made.goals.metrics, made.goals.modes) == (["val_accuracy"], ["max"])


def test_a_parameter_of_some_estimators_only_is_an_error_that_shows_the_way() -> None:
    with pytest.raises(ConfigError, match=r"param_space\.max_depth: nothing reads this name.*choice of mappings"):
        plan({"estimator": ["SVC", "RandomForestClassifier"], "max_depth": [2, 3]}, {"type": "sklearn"})


def test_wrong_configs_are_named_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match=r"^model\.gama: nothing reads this name.*gamma"):
        plan({"C": LR}, {"type": "sklearn", "estimator": "SVC", "gama": 1})
    with pytest.raises(ConfigError, match="two parameters are written there"):
        plan({"C": LR, "c": LR}, {"type": "sklearn", "estimator": "SVC"}, mapping={"c": "C"})
    with pytest.raises(ConfigError, match="no parameter can be written there"):
        plan({"x": LR}, {"type": "sklearn", "estimator": "SVC"}, mapping={"x": "estimator.C"})
    with pytest.raises(ConfigError, match=r"model_config\.estimator: .*SVC.*must be JSON"):
        Sections.of({"estimator": type("SVC", (), {})()}, {}, {})
    with pytest.raises(ConfigError, match="data_config: must be a mapping, not a str"):
        Sections.of({}, "iris", {})


def test_what_an_estimator_does_not_have_is_found_before_any_trial() -> None:
    forest = {"type": "sklearn", "estimator": "RandomForestClassifier"}
    with pytest.raises(ConfigError, match=r"param_space\.learning_rate: RandomForestClassifier has no learning rate"):
        plan({"learning_rate": LR}, forest)
    with pytest.raises(ConfigError, match=r"^training\.batch_size: RandomForestClassifier has no batch size"):
        plan({"max_depth": [2, 3]}, forest, {"batch_size": 8})


def test_the_default_is_what_the_configs_say_of_all_that_is_searched() -> None:
    space = SearchSpace.of({"width": {"type": "randint", "low": 1, "high": 64}, "lr": LR})
    where = {"width": "model.width", "lr": "training.lr"}
    assert default_of(space, Sections({"width": 8}, {}, {"lr": 0.01}), where) == {"width": 8, "lr": 0.01}
    assert default_of(space, Sections({"width": 8}, {}, {}), where) is None  # not all of it
    assert default_of(space, Sections({"width": 99}, {}, {"lr": 0.01}), where) is None  # outside


def test_params_are_laid_into_copies() -> None:
    sections = Sections.of({"type": "net", "layers": [{"p": 0.1}, {"p": 0.2}]}, {}, {})
    laid = sections.laid({"p": "model.layers.1.p", "lr": "training.deep.lr"}, {"p": 0.5, "lr": 1.0})
    assert laid == ({"type": "net", "layers": [{"p": 0.1}, {"p": 0.5}]}, {}, {"deep": {"lr": 1.0}})
    assert sections.model["layers"][1] == {"p": 0.2}
