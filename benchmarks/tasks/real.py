"""Real trainings of scikit-learn on the data that comes with it, small enough that one takes some hundredths of a second.

Losses are means over fixed splits with fixed seeds: the same params always give the same loss, and as rough a landscape as
real ones are. Data and splits are made once a process. A training that fails or diverges counts as the worst there is.
Knows no searcher.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.spaces import SPACES
from tasks.task import Params, Task
from trialist.space import SearchSpace

Array = NDArray[Any]
WORST = {"error": 1.0, "log_loss": 3.0, "relative": 2.0}
"""By measure: what a training that failed counts as; greater losses are cut there."""


class Data(NamedTuple):
    """Folds of a data set: each trains on one part and is judged on another."""

    folds: tuple[tuple[Array, Array, Array, Array], ...]


@cache
def data(name: str, rows: int, folds: int) -> Data:
    """A bundled data set in standard units, shuffled, cut to ``rows``, in folds (one: a split into halves)."""
    from sklearn import datasets, model_selection

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))[:rows]
    x, y = x[order].astype(np.float64), y[order]
    regression = name == "diabetes"
    if regression:
        y = (y - y.mean()) / y.std()
    if folds == 1:
        splitter = model_selection.ShuffleSplit if regression else model_selection.StratifiedShuffleSplit
        pairs = splitter(n_splits=1, test_size=0.5, random_state=0).split(x, y)
    else:
        kind = model_selection.KFold if regression else model_selection.StratifiedKFold
        pairs = kind(n_splits=folds, shuffle=True, random_state=0).split(x, y)
    out = []
    for train, test in pairs:
        mean, sd = x[train].mean(0), x[train].std(0)
        scaled = (x - mean) / np.where(sd > 0, sd, 1.0)
        out.append((scaled[train], y[train], scaled[test], y[test]))
    return Data(tuple(out))


def judged(make: Callable[[], Any], on: Data, measure: str) -> float:
    """The mean loss over folds of what ``make`` makes."""
    losses = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that trainings stop short of convergence is what is tuned
        for x, y, x_test, y_test in on.folds:
            try:
                losses.append(_measure(make().fit(x, y), x_test, y_test, measure))
            except (ValueError, FloatingPointError):  # diverged: no finite weights
                losses.append(WORST[measure])
    return float(np.mean(losses))


def _measure(model: Any, x: Array, y: Array, measure: str) -> float:
    if measure == "error":
        loss = float(np.mean(model.predict(x) != y))
    elif measure == "relative":
        loss = float(np.mean((model.predict(x) - y) ** 2) / np.var(y))
    else:
        chances = model.predict_proba(x)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
        loss = float(-np.mean(np.log(np.clip(chances, 1e-6, 1.0))))
    return min(loss, WORST[measure]) if math.isfinite(loss) else WORST[measure]


# --- the tasks: each is a function of params ---


def svm(params: Params) -> float:
    from sklearn.svm import SVC

    return judged(lambda: SVC(C=params["C"], **_kernel(params["kernel"])), data("digits", 360, 3), "error")


def svr(params: Params) -> float:
    from sklearn.svm import SVR

    make = lambda: SVR(C=params["C"], epsilon=params["epsilon"], max_iter=20_000, **_kernel(params["kernel"]))
    return judged(make, data("diabetes", 442, 3), "relative")


def _kernel(choice: Params) -> Params:
    return {"kernel": choice["name"], **{key: value for key, value in choice.items() if key != "name"}}


def forest(params: Params) -> float:
    from sklearn.ensemble import RandomForestClassifier

    make = lambda: RandomForestClassifier(**params, random_state=0)
    return judged(make, data("wine", 178, 2), "log_loss")


def boosting(params: Params) -> float:
    from sklearn.ensemble import GradientBoostingClassifier

    make = lambda: GradientBoostingClassifier(**params, random_state=0)
    return judged(make, data("breast_cancer", 400, 1), "log_loss")


def boosting_regression(params: Params) -> float:
    from sklearn.ensemble import GradientBoostingRegressor

    loss = dict(params["loss"])
    more = {"alpha": loss["alpha"]} if "alpha" in loss else {}
    rest = {key: value for key, value in params.items() if key != "loss"}
    make = lambda: GradientBoostingRegressor(loss=loss["name"], **more, **rest, random_state=0)
    return judged(make, data("diabetes", 442, 2), "relative")


def mlp(params: Params) -> float:
    return judged(lambda: _mlp(params), data("digits", 400, 1), "log_loss")


def _mlp(params: Params) -> Any:
    from sklearn.neural_network import MLPClassifier

    optimizer = dict(params["optimizer"])
    more = {"momentum": optimizer["momentum"]} if "momentum" in optimizer else {}
    return MLPClassifier(
        hidden_layer_sizes=(params["units"],) * params["layers"],
        activation=params["activation"],
        alpha=params["alpha"],
        batch_size=params["batch_size"],
        solver=optimizer["name"],
        learning_rate_init=optimizer["lr"],
        **more,
        max_iter=10,
        random_state=0,
    )


def which_model(params: Params) -> float:
    return judged(lambda: _model(params["model"]), data("digits", 600, 1), "error")


def _model(choice: Params) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    rest = {key: value for key, value in choice.items() if key != "name"}
    match choice["name"]:
        case "svm":
            return SVC(**rest)
        case "nearest":
            return KNeighborsClassifier(**rest)
        case "trees":
            return ExtraTreesClassifier(**rest, random_state=0)
        case "tree":
            return DecisionTreeClassifier(**rest, random_state=0)
        case "bayes":
            return GaussianNB(**rest)
        case _:
            return LinearDiscriminantAnalysis(solver="lsqr", **rest)


def pipeline(params: Params) -> float:
    return judged(lambda: _pipeline(params), data("breast_cancer", 400, 2), "log_loss")


def _pipeline(params: Params) -> Any:
    from sklearn import decomposition, feature_selection, preprocessing
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.tree import DecisionTreeClassifier

    scalers = {
        "standard": preprocessing.StandardScaler,
        "robust": preprocessing.RobustScaler,
        "quantile": lambda: preprocessing.QuantileTransformer(n_quantiles=40, output_distribution="normal"),
        "min-max": preprocessing.MinMaxScaler,
    }
    steps = [scalers[params["scaler"]]()]
    features = params["features"]
    if features["name"] == "pca":
        steps.append(decomposition.PCA(features["components"], whiten=features["whiten"], random_state=0))
    elif features["name"] == "best":
        steps.append(feature_selection.SelectKBest(k=features["k"]))
    rest = {key: value for key, value in params["model"].items() if key != "name"}
    models = {
        "logistic": lambda: LogisticRegression(**rest, max_iter=60),
        "nearest": lambda: KNeighborsClassifier(**rest),
        "tree": lambda: DecisionTreeClassifier(**rest, random_state=0),
    }
    return make_pipeline(*steps, models[params["model"]["name"]]())


TASKS: dict[str, Callable[[Params], float]] = {
    "svm": svm,
    "forest": forest,
    "mlp": mlp,
    "boosting": boosting,
    "boosting-regression": boosting_regression,
    "svr": svr,
    "which-model": which_model,
    "pipeline": pipeline,
}


def real_tasks() -> list[Task]:
    """All of them."""
    return [
        Task(name=name, group="real", space=SearchSpace.of(SPACES[name]), loss=loss) for name, loss in TASKS.items()
    ]
