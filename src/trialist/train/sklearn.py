"""Model type ``sklearn``: any scikit-learn classifier or regressor, epoch by epoch where it can learn that way.

Three ways to train, told apart by the training section: ``cv: k`` scores by cross-validation and reports each fold;
``epochs: n`` passes over the data n times (``partial_fit``), reports and checkpoints each pass; neither fits once.
Knows scikit-learn's conventions and no study.
"""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trialist.core.errors import ConfigError, nearest
from trialist.core.records import Metric, Mode
from trialist.train import data as tables
from trialist.train.data import Split, Table
from trialist.train.estimators import (
    alias,
    constant_rate,
    estimator_class,
    is_classifier,
    parameters,
    trains_in_epochs,
)
from trialist.train.model_type import Config, Declaration, Job
from trialist.train.values import whole

TRAINING = frozenset({"lr", "epochs", "batch_size", "seed", "cv"})
STATE = "estimator.pkl"


class SklearnModel:
    """Any scikit-learn estimator.

    Classifiers report ``val_loss`` (log loss; the share of errors where the estimator tells no probabilities),
    ``val_accuracy`` and ``score`` (= accuracy); regressors ``val_loss`` (mean squared error), ``val_r2`` and ``score``
    (= R²).
    """

    def describe(self, model: Config) -> Declaration:
        cls = estimator_class(model.get("estimator"))
        quality = "val_accuracy" if is_classifier(cls) else "val_r2"
        names = {"estimator", *parameters(cls)}
        if alias(cls, "lr"):
            names |= {"lr", "learning_rate"}
        return Declaration(
            model=frozenset(names),
            data=tables.NAMES,
            training=TRAINING,
            metrics=("val_loss", quality, "score"),
            primary=Metric(name=quality, mode=Mode.MAX),
        )

    def check(self, job: Job) -> None:
        estimator_values(estimator_class(job.model.get("estimator")), job)

    def train(self, job: Job) -> dict[str, float]:
        cls = estimator_class(job.model.get("estimator"))
        values = estimator_values(cls, job)
        epochs, folds = whole(job, "training", "epochs"), whole(job, "training", "cv", least=2)
        if epochs is not None and folds is not None:
            raise ConfigError("cannot be combined with training.cv; keep one", path=job.path("training", "epochs"))
        if epochs is not None and not trains_in_epochs(cls, values):
            values = _epochs_as_parameter(cls, job, values, epochs)
            epochs = None
        table = tables.load(job.data, classify=is_classifier(cls))
        try:
            if folds is not None:
                return _cross_validate(cls, values, job, table, folds)
            split = tables.split(table, job.data)
            if epochs is not None:
                return _in_epochs(cls, values, job, table, split, epochs)
            return _at_once(cls(**values), job, table, split)
        except ValueError as error:
            # scikit-learn's own word on a bad value; the class is not public.
            if type(error).__name__ != "InvalidParameterError":
                raise
            raise ConfigError(str(error), path="model") from error


def estimator_values(cls: type[Any], job: Job) -> dict[str, Any]:
    """What the estimator is constructed with: hyperparameters, resolved aliases and the seed.

    Raises:
        ConfigError: A name that the estimator does not have, or two names for one parameter.
    """
    known = parameters(cls)
    out: dict[str, Any] = {}
    written: dict[str, str] = {}

    def put(name: str, value: Any, path: str) -> None:
        if name in written:
            raise ConfigError(f"sets '{name}' of {cls.__name__}, as {written[name]} does; keep one of them", path=path)
        out[name], written[name] = value, path

    for name, value in job.model.items():
        if name == "estimator":
            continue
        path = job.path("model", name)
        rate = name == "lr" or (name == "learning_rate" and _is_number(value))
        target = alias(cls, "lr") if rate else name
        if target is None or target not in known:
            raise ConfigError(f"{cls.__name__} has no parameter '{name}'.{nearest(name, known)}", path=path)
        put(target, value, path)
    for name in ("lr", "batch_size"):
        if name in job.training:
            path = job.path("training", name)
            target = alias(cls, name)
            if target is None:
                what = "learning rate" if name == "lr" else "batch size"
                raise ConfigError(f"{cls.__name__} has no {what}; leave this out", path=path)
            put(target, job.training[name], path)
    if "eta0" in written:
        out.update(constant_rate(cls, out))
    if "random_state" in known and "random_state" not in out:
        out["random_state"] = tables.seed_of(job.training, job.path("training", "seed"))
    for name, default in known.items():
        if default is inspect.Parameter.empty and name not in out:
            raise ConfigError(f"{cls.__name__} needs a value for '{name}'", path=f"model.{name}")
    return out


def _epochs_as_parameter(cls: type[Any], job: Job, values: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Epochs for an estimator that cannot be watched: its number of iterations."""
    path = job.path("training", "epochs")
    if "max_iter" not in parameters(cls):
        raise ConfigError(f"{cls.__name__} does not learn in epochs; leave this out", path=path)
    if "max_iter" in values:
        raise ConfigError(f"sets 'max_iter' of {cls.__name__}, as {job.path('model', 'max_iter')} does", path=path)
    return {**values, "max_iter": epochs}


def _at_once(model: Any, job: Job, table: Table, split: Split) -> dict[str, float]:
    """Fit once, report once, and keep the fitted model as a checkpoint."""
    if _goes_on(job):
        metrics: dict[str, float] = dict(_saved(job, "metrics")["metrics"])  # there was nothing left but to end
        return metrics
    metrics = _fit_once(model, job, table, split)
    try:
        job.report(step=1, **metrics)
    finally:
        _keep(job, {"model": model, "epochs": 1, "metrics": metrics})
    return metrics


def _fit_once(model: Any, job: Job, table: Table, split: Split) -> dict[str, float]:
    x = _inputs(job, table, split.train)
    model.fit(x[split.train], table.y[split.train])
    return _metrics(model, x[split.val], table.y[split.val], bool(table.classes))


def _cross_validate(cls: type[Any], values: Mapping[str, Any], job: Job, table: Table, folds: int) -> dict[str, float]:
    """The mean over folds of each metric; reports the mean so far after each fold, so that a bad one can be stopped."""
    if folds > len(table.y):
        raise ConfigError(f"cannot cut {len(table.y)} rows into {folds} folds", path="training.cv")
    order = np.random.default_rng(tables.seed_of(job.data, "data.seed")).permutation(len(table.y))
    if table.classes:
        order = order[np.argsort(table.y[order], kind="stable")]  # dealing out sorted classes stratifies
    scores: list[dict[str, float]] = list(_saved(job, "folds")["folds"]) if _goes_on(job) else []
    mean = _mean(scores)
    for fold in range(len(scores), folds):
        val = order[fold::folds]
        scores.append(_fit_once(cls(**values), job, table, Split(train=np.setdiff1d(order, val), val=val)))
        mean = _mean(scores)
        try:
            job.report(step=fold + 1, **mean)
        finally:
            _keep(job, {"folds": scores})
    return mean


def _mean(scores: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in scores])) for name in (scores[0] if scores else ())}


def _in_epochs(
    cls: type[Any], values: Mapping[str, Any], job: Job, table: Table, split: Split, epochs: int
) -> dict[str, float]:
    """Pass by pass, in an order that depends on the seed and the pass alone: so a resumed training equals a whole one."""
    x = _inputs(job, table, split.train)
    seed = tables.seed_of(job.training, job.path("training", "seed"))
    model, done, metrics = _start(cls, values, job)
    extra = {"classes": np.arange(len(table.classes))} if table.classes else {}
    for epoch in range(done, epochs):
        order = np.random.default_rng([seed, epoch]).permutation(split.train)
        model.partial_fit(x[order], table.y[order], **(extra if epoch == 0 or not _fitted(model) else {}))
        metrics = _metrics(model, x[split.val], table.y[split.val], bool(table.classes))
        try:
            job.report(step=epoch + 1, **metrics)
        finally:
            # Also where the report told the trial to leave: it goes on from here without training this epoch again.
            _keep(job, {"model": model, "epochs": epoch + 1, "metrics": metrics})
    return metrics


def _start(cls: type[Any], values: Mapping[str, Any], job: Job) -> tuple[Any, int, dict[str, float]]:
    """A new estimator, or the one of the checkpoint with this trial's values put over its own."""
    given = job.checkpoints
    if given is None or given.checkpoint is None:
        return cls(**values), 0, {}
    saved = _saved(job, "model")
    model = saved["model"].set_params(**values)
    if given.resume_step is not None:
        _obey(model)
        return model, int(saved["epochs"]), dict(saved["metrics"])
    _renew(model, keep_optimizer=given.warm_start == "optimizer")
    return model, 0, {}


def _goes_on(job: Job) -> bool:
    return job.checkpoints is not None and job.checkpoints.resume_step is not None


def _keep(job: Job, state: dict[str, Any]) -> None:
    if job.checkpoints is not None:
        saved = pickle.dumps(state)
        job.checkpoints.save_checkpoint(lambda folder: (folder / STATE).write_bytes(saved))


def _saved(job: Job, needed: str) -> dict[str, Any]:
    """What ``_keep`` wrote, ``needed`` among it.

    Raises:
        ConfigError: The checkpoint is of another kind of training.
    """
    assert job.checkpoints is not None
    file = Path(job.checkpoints.checkpoint or "") / STATE
    try:
        # Our own file, written by the same kind of trial process that reads it here.
        saved: dict[str, Any] = pickle.loads(file.read_bytes())  # noqa: S301
        saved[needed]
    except (OSError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise ConfigError(
            f"the checkpoint {file.parent} holds no estimator that can be read ({error}); it was written by another kind of "
            "training, or is damaged. Start without it"
        ) from error
    return saved


def _renew(model: Any, *, keep_optimizer: bool) -> None:
    """Make restored weights obey this trial's values: scikit-learn's networks keep their old learning rate otherwise."""
    optimizer = getattr(model, "_optimizer", None)
    if optimizer is not None and keep_optimizer:
        optimizer.learning_rate_init = optimizer.learning_rate = model.learning_rate_init
    elif optimizer is not None:
        del model._optimizer
    if hasattr(model, "t_") and not keep_optimizer:
        model.t_ = type(model.t_)(1)


def _obey(model: Any) -> None:
    """Give a restored optimizer this trial's values where they are others: it goes on from another trial's checkpoint."""
    optimizer = getattr(model, "_optimizer", None)
    if optimizer is None:
        return
    if optimizer.learning_rate_init != model.learning_rate_init:
        optimizer.learning_rate_init = optimizer.learning_rate = model.learning_rate_init
    if hasattr(optimizer, "momentum"):
        optimizer.momentum = model.momentum


def _fitted(model: Any) -> bool:
    return hasattr(model, "classes_")


def _inputs(job: Job, table: Table, train: np.ndarray) -> np.ndarray:
    scale = job.data.get("standardize", False)
    if not isinstance(scale, bool):
        raise ConfigError(f"must be true or false, not {scale!r}", path="data.standardize")
    return tables.standardize(table.x, train) if scale else table.x


def _metrics(model: Any, x: np.ndarray, y: np.ndarray, classify: bool) -> dict[str, float]:
    """Loss, quality and score, by plain numpy: a diverged model gives NaN here, which is told as what it is."""
    if not classify:
        error = np.asarray(model.predict(x), dtype=np.float64).reshape(len(y)) - y
        with np.errstate(over="ignore", invalid="ignore"):
            loss = float(np.mean(error**2))
        spread = float(np.mean((y - y.mean()) ** 2))
        r2 = 1.0 - loss / spread if spread > 0 else float("nan")
        return {"val_loss": loss, "val_r2": r2, "score": r2}
    accuracy = float(np.mean(model.predict(x) == y))
    loss = _log_loss(model, x, y) if hasattr(model, "predict_proba") else 1.0 - accuracy
    return {"val_loss": loss, "val_accuracy": accuracy, "score": accuracy}


def _log_loss(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    told = np.asarray(model.predict_proba(x), dtype=np.float64)
    place = np.searchsorted(model.classes_, y).clip(max=len(model.classes_) - 1)
    right = np.where(model.classes_[place] == y, told[np.arange(len(y)), place], 0.0)
    return float(-np.mean(np.log(np.clip(right, 1e-15, 1.0))))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
