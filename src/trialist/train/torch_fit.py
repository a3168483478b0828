"""The training loop of the types built on torch: epochs, checkpoints after each report, early stopping, exact resumption.

All randomness of an epoch comes from the seed and the epoch's number, so there is no random state to carry: a resumed
training draws what a whole one would have drawn. Knows modules and optimizers, and neither data nor what is learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trialist import registry
from trialist.core.errors import ConfigError
from trialist.train.learning import Learning
from trialist.train.model_type import Job
from trialist.train.trees import load_tree, save_tree

torch = registry.optional("torch", "a model type built on torch")

_SMALL = 2_000_000
"""Parameters below which a second thread costs more than it brings."""

STATE = "state"
"""Name of the checkpoint's files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """What is trained, on what, and how it is judged."""

    module: Any
    rows: int
    """Rows to train on, addressed from 0."""
    loss: Callable[[np.ndarray], Any]
    """The loss of some rows, as a tensor to differentiate."""
    evaluate: Callable[[], dict[str, float]]
    """Metrics on the validation rows, ``val_loss`` among them; the module is in its evaluation mode."""
    keep: Callable[[Path], None] | None = None
    """Writes what else a checkpoint must hold."""


@dataclass(kw_only=True, slots=True)
class _Progress:
    epochs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    """Metrics of the epoch with the lowest validation loss; kept only with ``patience``."""
    best_weights: dict[str, Any] | None = None
    waited: int = 0
    """Epochs since then."""


def device_of(learning: Learning) -> Any:
    """Where to train.

    Raises:
        ConfigError: An accelerator is asked for and there is none.
    """
    there = torch.cuda.is_available()
    if learning.device == "cuda" and not there:
        raise ConfigError("asks for an accelerator, and torch finds none here", path="training.device")
    return torch.device("cuda" if there and learning.device != "cpu" else "cpu")


@contextmanager
def fitting_threads(module: Any) -> Iterator[None]:
    """A small model on a CPU is trained by one thread: several would wait for each other, much longer still where trials run
    side by side; and its metrics are the same wherever the number of cores is another."""
    before = torch.get_num_threads()
    small = sum(one.numel() for one in module.parameters()) < _SMALL
    if small:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if small:
            torch.set_num_threads(before)


@contextmanager
def own_randomness(seed: int, device: Any) -> Iterator[None]:
    """Torch's random numbers come from ``seed`` inside, and go on outside as if nothing had been drawn."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def fit(job: Job, learning: Learning, course: Course) -> dict[str, float]:
    """Train to the last epoch, or until patience ends; inside ``own_randomness``.

    Returns:
        Metrics of the last epoch; with ``patience`` those of the best one, whose weights the module then has.

    Raises:
        ConfigError: The checkpoint to start from fits another model.
    """
    with fitting_threads(course.module):
        return _fit(job, learning, course)


def _fit(job: Job, learning: Learning, course: Course) -> dict[str, float]:
    optimizer = _optimizer(learning, course.module)
    progress = _start(job, learning, course.module, optimizer)
    while progress.epochs < learning.epochs and not _enough(progress, learning):
        train_loss = _epoch(learning, course, optimizer, progress.epochs)
        course.module.eval()
        with torch.inference_mode():
            progress.metrics = {"train_loss": train_loss, **course.evaluate()}
        progress.epochs += 1
        _note(progress, learning, course.module)
        try:
            job.report(step=progress.epochs, **progress.metrics)
        finally:
            # Also where the report told the trial to leave: it goes on from here without training this epoch again.
            _save(job, learning, course, optimizer, progress)
    if learning.patience is None or progress.best_weights is None:
        return progress.metrics
    course.module.load_state_dict(progress.best_weights)
    return progress.best


def _epoch(learning: Learning, course: Course, optimizer: Any, epoch: int) -> float:
    """One pass over the training rows, in an order that depends on seed and epoch alone; the mean loss."""
    torch.manual_seed(int(np.random.SeedSequence([learning.seed, epoch, 1]).generate_state(1)[0]))
    order = np.random.default_rng([learning.seed, epoch]).permutation(course.rows)
    batches = _batches(order, learning.batch_size)
    steps = learning.epochs * len(batches)
    course.module.train()
    total = 0.0
    for index, rows in enumerate(batches):
        rate = learning.rate(epoch * len(batches) + index, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss = course.loss(rows)
        loss.backward()
        if learning.clip is not None:
            torch.nn.utils.clip_grad_norm_(course.module.parameters(), learning.clip)
        optimizer.step()
        total += float(loss.detach()) * len(rows)
    return total / course.rows


def _batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    """Batches in this order; a last one of a single row joins the one before, since nothing can be normalised over it."""
    cuts = list(range(size, len(order), size))
    if cuts and len(order) - cuts[-1] == 1:
        cuts.pop()
    return np.split(order, cuts)


def _enough(progress: _Progress, learning: Learning) -> bool:
    if progress.metrics and math.isnan(progress.metrics["val_loss"]):
        return True  # weights that are no numbers never become any again
    return learning.patience is not None and progress.waited >= learning.patience


def _note(progress: _Progress, learning: Learning, module: Any) -> None:
    """Keep the best epoch, where early stopping asks for it."""
    if learning.patience is None:
        return
    loss = progress.metrics["val_loss"]
    if not progress.best or loss < progress.best["val_loss"] - learning.min_delta:
        progress.best, progress.waited = dict(progress.metrics), 0
        progress.best_weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
    else:
        progress.waited += 1


# --- checkpoints -----------------------------------------------------------------------------------------------------


def _save(job: Job, learning: Learning, course: Course, optimizer: Any, progress: _Progress) -> None:
    if job.checkpoints is None:
        return
    tree = {
        "epochs": progress.epochs,
        "metrics": progress.metrics,
        "weights": dict(course.module.state_dict()),
        "optimizer": {"kind": learning.optimizer, "state": optimizer.state_dict()["state"]},
        "best": progress.best,
        "best_weights": progress.best_weights,
        "waited": progress.waited,
    }

    def write(folder: Path) -> None:
        save_tree(folder, STATE, tree)
        if course.keep is not None:
            course.keep(folder)

    job.checkpoints.save_checkpoint(write)


def _start(job: Job, learning: Learning, module: Any, optimizer: Any) -> _Progress:
    """From nothing, from the weights of another trial, or where this one left: always with this trial's own values."""
    given = job.checkpoints
    if given is None or given.checkpoint is None:
        return _Progress()
    tree = load_tree(Path(given.checkpoint), STATE)
    take_weights(module, tree["weights"])
    goes_on = given.resume_step is not None
    if goes_on or given.warm_start in ("optimizer", "resume"):
        _take_optimizer(learning, optimizer, tree["optimizer"])
    if not goes_on:
        return _Progress()
    best = tree["best_weights"]
    return _Progress(
        epochs=tree["epochs"],
        metrics=tree["metrics"],
        best=tree["best"],
        best_weights=None if best is None else {name: torch.from_numpy(value) for name, value in best.items()},
        waited=tree["waited"],
    )


def take_weights(module: Any, saved: Mapping[str, np.ndarray]) -> None:
    """Put saved weights into a module.

    Raises:
        ConfigError: They are those of another shape of model.
    """
    own = module.state_dict()
    for name in [*own, *saved]:
        if name not in own or name not in saved or tuple(own[name].shape) != tuple(saved[name].shape):
            there = "no such weights" if name not in saved else f"shape {_shape(saved[name])}"
            here = "none" if name not in own else f"shape {_shape(own[name])}"
            raise ConfigError(
                f"the checkpoint to start from is of another model: '{name}' has {there} in it and {here} in this one. "
                "Keep the model's shape (width, depth, …) as it was, or start without the checkpoint",
                path="model",
            )
    module.load_state_dict({name: torch.from_numpy(value) for name, value in saved.items()})


def _take_optimizer(learning: Learning, optimizer: Any, saved: Mapping[str, Any]) -> None:
    """Its moments; never its learning rate, betas or decay, which are this trial's own."""
    if saved["kind"] != learning.optimizer:
        return
    state = {
        index: {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in one.items()}
        for index, one in saved["state"].items()
    }
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _optimizer(learning: Learning, module: Any) -> Any:
    parameters = [one for one in module.parameters() if one.requires_grad]
    common = {"lr": learning.lr, "weight_decay": learning.weight_decay}
    if learning.optimizer == "adam":
        return torch.optim.Adam(parameters, betas=learning.betas, **common)
    if learning.optimizer == "adamw":
        return torch.optim.AdamW(parameters, betas=learning.betas, **common)
    if learning.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=learning.momentum, **common)
    return torch.optim.RMSprop(parameters, momentum=learning.momentum, **common)


def _shape(array: Any) -> str:
    return "×".join(str(size) for size in array.shape) or "()"
