"""Does population based training find a better network than random search with the same compute, and how often?"""

from __future__ import annotations

import pickle
import statistics
import sys
import tempfile
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Result, Sizes, main
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

import trialist

ABOUT = """
Studies of 12 trials of 40 epochs: a perceptron (one hidden layer of 64) on scikit-learn's handwritten digits, trained by stochastic
gradient descent with a learning rate, a momentum and a weight decay to be found. Random search trains each trial to its end; population based
training (`pbt`, compared every 4 epochs) starts from the very same trials and replaces the worst quarter by copies of the best. Both
train the same number of epochs in all, which is checked. Told is the cross-entropy on held-out rows of the trial that did best on
the validation rows, one pair of studies a seed; a ratio below 1 is a gain.
"""
TRIALS, EPOCHS, INTERVAL, SEEDS = 12, 40, 4, 9
SPACE = {
    "learning_rate": {"type": "loguniform", "low": 1e-4, "high": 1.0},
    "momentum": {"type": "uniform", "low": 0.0, "high": 0.99},
    "alpha": {"type": "loguniform", "low": 1e-6, "high": 1e-1},
}
STATE = "model.pkl"


@cache
def digits() -> dict[str, Any]:
    """Rows to train on, to choose by, and to tell."""
    x, y = load_digits(return_X_y=True)
    train, rest = train_test_split(np.arange(len(y)), train_size=0.5, random_state=0, stratify=y)
    val, test = train_test_split(rest, train_size=0.5, random_state=0, stratify=y[rest])
    return {name: (x[rows] / 16, y[rows]) for name, rows in (("train", train), ("val", val), ("test", test))}


def objective(trial: Any) -> dict[str, float]:
    """Trains epoch by epoch; goes on from a checkpoint under its own params."""
    data, told = digits(), {}
    model, done = MLPClassifier((64,), solver="sgd", batch_size=32, random_state=trial.seed), 0
    if trial.checkpoint is not None:
        # Written by this very function.
        model, done = pickle.loads((trial.checkpoint / STATE).read_bytes()), trial.resume_step or 0
    set_params(model, trial.params)
    for epoch in range(done, EPOCHS):
        order = np.random.default_rng([trial.seed, epoch]).permutation(len(data["train"][1]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", (ConvergenceWarning, RuntimeWarning))
            model.partial_fit(data["train"][0][order], data["train"][1][order], classes=np.arange(10))
            told = {"val_loss": loss(model, *data["val"]), "test_loss": loss(model, *data["test"])}
        try:
            trial.report(told, step=epoch + 1)
        finally:
            saved = pickle.dumps(model)
            trial.save_checkpoint(lambda folder, saved=saved: (folder / STATE).write_bytes(saved))
    return told


def set_params(model: MLPClassifier, params: Mapping[str, float]) -> None:
    """Hyperparameters for what comes, of the optimizer that runs already too."""
    values = {name: params[name] for name in ("momentum", "alpha")}
    model.set_params(learning_rate_init=params["learning_rate"], **values)
    optimizer = getattr(model, "_optimizer", None)
    if optimizer is not None:
        optimizer.learning_rate_init = optimizer.learning_rate = params["learning_rate"]
        optimizer.momentum = params["momentum"]


def loss(model: MLPClassifier, x: Any, y: Any) -> float:
    shares = np.clip(np.nan_to_num(model.predict_proba(x), nan=1e-9), 1e-9, 1.0)
    return float(-np.log(shares[np.arange(len(y)), y] / shares.sum(axis=1)).mean())


def best(scheduler: Mapping[str, Any] | None, seed: int, trials: int, folder: Path) -> float:
    """The told loss of a study's best trial.

    Raises:
        RuntimeError: It trained more or fewer epochs than agreed.
    """
    study = trialist.create_study(
        f"{'random' if scheduler is None else 'pbt'}-{seed}",
        SPACE,
        metric="val_loss",
        mode="min",
        searcher="random",
        scheduler=scheduler,
        seed=seed,
        store=f"sqlite:///{folder / 'studies.db'}",
    )
    with threadpool_limits(1):
        study.run(objective, num_trials=trials, progress=False)
    epochs = sum(len(trial.reports) for trial in study.trials())
    if epochs != trials * EPOCHS:
        raise RuntimeError(f"study '{study.name}' trained {epochs} epochs instead of {trials * EPOCHS}")
    assert study.best_trial is not None
    return float(study.best_trial.metrics["test_loss"])


def ask(result: Result, sizes: Sizes) -> None:
    trials, seeds = sizes.of(TRIALS, 4), sizes.of(SEEDS, 1)
    pbt = {"name": "pbt", "max_steps": EPOCHS, "interval": INTERVAL}
    with tempfile.TemporaryDirectory() as name:
        told = [(best(None, seed, trials, Path(name)), best(pbt, seed, trials, Path(name))) for seed in range(seeds)]
    random, population = zip(*told, strict=True)
    result.add("random search", "cross-entropy", random)
    result.add("pbt", "cross-entropy", population)
    result.compare("of random search's cross-entropy: pbt, same epochs", population, random, at_most=1.0)
    wins = sum(ours < theirs for theirs, ours in told)
    result.notes.append(
        f"pbt is better in {wins} of {seeds} seeds; medians {statistics.median(population):.4f} and "
        f"{statistics.median(random):.4f}."
    )


if __name__ == "__main__":
    sys.exit(main(ask, question="pbt", about=ABOUT, packages=["scikit-learn", "numpy"]))
