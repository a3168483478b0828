"""``python -m trialist.train --config FILE``: trains what one config describes, as a trial or alone.

What a sweep without a command of its own runs. Reports each epoch, checkpoints, prints a line an epoch, and leaves
``metrics.json`` in the run's directory where there is one. Knows nothing of sweeps.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from trialist.config.yaml import load_yaml
from trialist.core.errors import TrialistError
from trialist.runtime import TrialContext, current_trial, report
from trialist.train.engine import TrainingEngine


def main(arguments: list[str] | None = None) -> int:
    """Train, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m trialist.train", description="Train the model that a config describes, and tell its metrics."
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="a YAML file with model, data and training")
    file = parser.parse_args(arguments).config
    trial = current_trial()
    try:
        metrics = _train(file, trial)
        if trial is not None:
            _leave(metrics, trial.dir / "metrics.json")
    except TrialistError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print("done: " + _line(metrics))
    return 0


def _train(file: str, trial: TrialContext | None) -> dict[str, float]:
    config = load_yaml(file).data
    engine = TrainingEngine()
    engine.check(config, file=file)
    training = dict(config.get("training") or {})
    if trial is not None and "seed" not in training:
        # Each trial has a seed of its own; a config that names one means it.
        known = engine.describe(config["model"]).training
        if known is None or "seed" in known:
            training["seed"] = trial.seed
    return engine.train(config["model"], config["data"], training, report=_tell, checkpoint=trial)


def _tell(*, step: int, **metrics: float) -> None:
    print(f"step={step} {_line(metrics)}", flush=True)
    report(step=step, **metrics)


def _line(metrics: dict[str, float]) -> str:
    return " ".join(f"{name}={value:.6g}" for name, value in metrics.items())


def _leave(metrics: dict[str, float], path: Path) -> None:
    """Write the metrics, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(metrics) + "\n", encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
