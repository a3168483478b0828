"""Draws the pictures of docs/analysis.md: a search over linear models of handwritten digits, by Trialist's own plots.

Run from the root of the repository: ``python docs/images/make_analysis.py``. Needs the extras ``sklearn`` and ``plots``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import trialist

EPOCHS = 16
HERE = Path(__file__).parent
SPACE = {
    "learning_rate": {"type": "loguniform", "low": 1e-4, "high": 10.0},
    "alpha": {"type": "loguniform", "low": 1e-7, "high": 1e-1},
    "penalty": ["l2", "l1", "elasticnet"],
    "features": [
        {"map": "pixels"},
        {
            "map": "rbf",
            "gamma": {"type": "loguniform", "low": 1e-3, "high": 1.0},
            "width": {"type": "choice", "values": [50, 100, 200, 400]},
        },
    ],
}
DIGITS = load_digits()
TRAIN, TEST, Y_TRAIN, Y_TEST = train_test_split(DIGITS.data / 16.0, DIGITS.target, test_size=0.4, random_state=0)


def objective(trial: Any) -> Iterator[dict[str, float]]:
    """Train one model, epoch by epoch; yields its loss on held-out digits."""
    params = trial.params
    train, test = TRAIN, TEST
    if params["features"]["map"] == "rbf":
        features = RBFSampler(
            gamma=params["features"]["gamma"], n_components=params["features"]["width"], random_state=trial.seed
        )
        train, test = features.fit_transform(TRAIN), features.transform(TEST)
    model = SGDClassifier(
        loss="log_loss",
        penalty=params["penalty"],
        alpha=params["alpha"],
        learning_rate="constant",
        eta0=params["learning_rate"],
        random_state=trial.seed,
    )
    for _ in range(EPOCHS):
        model.partial_fit(train, Y_TRAIN, classes=DIGITS.target_names)
        yield {"val_loss": log_loss(Y_TEST, model.predict_proba(test)), "val_accuracy": model.score(test, Y_TEST)}


def main() -> None:
    """Search, then draw."""
    with tempfile.TemporaryDirectory() as folder:
        study = trialist.create_study(
            "digits", SPACE, metric="val_loss", mode="min", searcher="random",
            scheduler={"name": "asha", "min_steps": 2, "eta": 2}, seed=3, store=f"{folder}/trials.db",
        )  # fmt: skip
        study.run(objective, num_trials=120, progress=False)
        view = trialist.HPOVisualizer()
        analysis = trialist.analyze(study)
        view.plot_optimization_history(study, path=HERE / "plot_history.png")
        view.plot_parameter_importance(analysis, path=HERE / "plot_importance.png")
        view.plot_slice(study, path=HERE / "plot_slice.png")
        view.plot_parallel_coordinates(study, path=HERE / "plot_parallel_coordinates.png")
        view.plot_learning_curves(study, path=HERE / "plot_learning_curves.png")
        print(study, analysis["early_stopping_savings"])


if __name__ == "__main__":
    main()
