"""What varies in the real tasks, as typed dicts."""

from __future__ import annotations

from typing import Any


def uniform(low: float, high: float) -> dict[str, Any]:
    return {"type": "uniform", "low": low, "high": high}


def log(low: float, high: float) -> dict[str, Any]:
    return {"type": "loguniform", "low": low, "high": high}


def integer(low: int, high: int) -> dict[str, Any]:
    return {"type": "randint", "low": low, "high": high}


def log_integer(low: int, high: int) -> dict[str, Any]:
    return {"type": "lograndint", "low": low, "high": high}


def one_of(*values: Any) -> dict[str, Any]:
    return {"type": "choice", "values": list(values)}


SPACES: dict[str, dict[str, Any]] = {
    "svm": {
        "C": log(1e-3, 1e3),
        "kernel": one_of(
            {"name": "linear"},
            {"name": "rbf", "gamma": log(1e-5, 1.0)},
            {"name": "poly", "gamma": log(1e-5, 1.0), "degree": integer(2, 5), "coef0": uniform(0.0, 2.0)},
            {"name": "sigmoid", "gamma": log(1e-5, 1.0), "coef0": uniform(-1.0, 1.0)},
        ),
    },
    "svr": {
        "C": log(1e-2, 1e2),
        "epsilon": log(1e-3, 1.0),
        "kernel": one_of(
            {"name": "linear"},
            {"name": "rbf", "gamma": log(1e-4, 1.0)},
            {"name": "poly", "gamma": log(1e-3, 0.3), "degree": integer(2, 3), "coef0": uniform(0.0, 2.0)},
        ),
    },
    "forest": {
        "n_estimators": log_integer(3, 24),
        "criterion": one_of("gini", "entropy"),
        "max_depth": integer(2, 12),
        "max_features": uniform(0.1, 1.0),
        "min_samples_split": integer(2, 12),
        "min_samples_leaf": integer(1, 6),
        "bootstrap": one_of(True, False),
    },
    "boosting": {
        "n_estimators": log_integer(5, 50),
        "learning_rate": log(0.02, 1.0),
        "max_depth": integer(1, 6),
        "min_samples_leaf": integer(1, 20),
        "subsample": uniform(0.4, 1.0),
        "max_features": uniform(0.1, 0.6),
    },
    "boosting-regression": {
        "loss": one_of(
            {"name": "squared_error"},
            {"name": "absolute_error"},
            {"name": "huber", "alpha": uniform(0.5, 0.99)},
        ),
        "n_estimators": log_integer(5, 40),
        "learning_rate": log(0.01, 0.5),
        "max_depth": integer(1, 6),
        "min_samples_leaf": integer(1, 30),
        "subsample": uniform(0.4, 1.0),
        "max_features": uniform(0.1, 1.0),
    },
    "mlp": {
        "layers": integer(1, 3),
        "units": log_integer(8, 64),
        "activation": one_of("relu", "tanh", "logistic"),
        "alpha": log(1e-6, 1.0),
        "batch_size": log_integer(8, 128),
        "optimizer": one_of(
            {"name": "adam", "lr": log(1e-4, 0.1)},
            {"name": "sgd", "lr": log(1e-3, 1.0), "momentum": uniform(0.0, 0.99)},
        ),
    },
    "which-model": {
        "model": one_of(
            {"name": "svm", "C": log(1e-2, 1e3), "gamma": log(1e-5, 1.0)},
            {
                "name": "nearest",
                "n_neighbors": integer(1, 20),
                "weights": one_of("uniform", "distance"),
                "p": integer(1, 3),
            },
            {
                "name": "trees",
                "n_estimators": log_integer(3, 40),
                "max_features": uniform(0.05, 1.0),
                "min_samples_leaf": integer(1, 6),
            },
            {
                "name": "tree",
                "max_depth": integer(2, 20),
                "min_samples_leaf": integer(1, 20),
                "ccp_alpha": log(1e-5, 0.1),
                "criterion": one_of("gini", "entropy"),
            },
            {"name": "bayes", "var_smoothing": log(1e-9, 10.0)},
            {"name": "linear", "shrinkage": uniform(0.0, 1.0)},
        )
    },
    "pipeline": {
        "scaler": one_of("standard", "robust", "quantile", "min-max"),
        "features": one_of(
            {"name": "all"},
            {"name": "pca", "components": integer(1, 20), "whiten": one_of(True, False)},
            {"name": "best", "k": integer(1, 30)},
        ),
        "model": one_of(
            {"name": "logistic", "C": log(1e-4, 1e2), "class_weight": one_of(None, "balanced")},
            {"name": "nearest", "n_neighbors": integer(1, 40), "weights": one_of("uniform", "distance")},
            {
                "name": "tree",
                "max_depth": integer(1, 12),
                "min_samples_leaf": integer(1, 40),
                "max_features": uniform(0.1, 1.0),
            },
        ),
    },
}
