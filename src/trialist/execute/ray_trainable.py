"""The trial's side of ``ray_tune``: a ``Trainable`` of Ray Tune's that runs one of our trials to its next report at each step.

What is said travels as JSON inside Ray Tune's results. Imported on the cluster's nodes. Knows no engine and no ``Tuner``.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import ray
from ray import tune

from trialist.core.records import Metric, Mode
from trialist.execute.ray_place import pack, unpack
from trialist.runtime.call import load, outcome
from trialist.runtime.context import TrialContext
from trialist.runtime.objective import Ended
from trialist.runtime.protocol import Order

STEP = "trialist_step"
SAID = "trialist_said"
PAYLOAD = "trialist"


def trainable(target: str | bytes, names: Sequence[str], metric: Metric) -> type[tune.Trainable]:
    """Ray Tune's trial, which runs one of ours on a thread beside it, and the next one after it."""

    class Runs(tune.Trainable):
        """``step`` lets ours run to its next report."""

        _run: _Run | None = None

        def setup(self, config: dict[str, Any]) -> None:
            self._run = _Run(target, names, metric, json.loads(config[PAYLOAD]))

        def step(self) -> dict[str, Any]:
            assert self._run is not None
            return self._run.next()

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.cleanup()
            self.setup(new_config)
            return True

        def cleanup(self) -> None:
            if self._run is not None:
                self._run.leave()
                self._run = None

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            assert self._run is not None
            (Path(checkpoint_dir) / "trial.json").write_text(json.dumps(self._run.checkpoint), encoding="utf-8")

        def load_checkpoint(self, checkpoint: Any) -> None:
            assert self._run is not None
            payload, saved = (
                self._run.payload,
                json.loads((Path(checkpoint) / "trial.json").read_text(encoding="utf-8")),
            )
            self.cleanup()
            if saved is not None:
                payload |= {"checkpoint": saved["tar"], "resume_step": saved["step"], "warm_start": "resume"}
            self._run = _Run(target, names, metric, payload)

    return Runs


class _Run:
    """One of our trials on a thread of its own; the ``Channel`` of its context.

    Args:
        target: The function.
        names: The study's metrics.
        metric: What Ray Tune's scheduler looks for in every result; until a trial has told it, it stands at the worst.
        payload: The segment.
    """

    def __init__(self, target: str | bytes, names: Sequence[str], metric: Metric, payload: dict[str, Any]) -> None:
        self.payload = payload
        self.checkpoint: dict[str, Any] | None = None
        """The last one: its step, name and files."""
        self._last: dict[str, float] = {metric.name: math.inf if metric.mode is Mode.MIN else -math.inf}
        self._step = payload["resume_step"] or 0
        self._unsent: list[dict[str, Any]] = []
        self._told: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._turns: SimpleQueue[Order | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, args=(target, names), name="trial", daemon=True)
        self._thread.start()

    def next(self) -> dict[str, Any]:
        """Let it run to its next report; that, as a result of Ray Tune's."""
        self._turns.put(None)
        told = self._told.get()
        is_done = "result" in told or "failed" in told
        return {**self._last, STEP: self._step, SAID: json.dumps(told), "done": is_done}

    def leave(self) -> None:
        """Have it leave at its next report, and wait until it has."""
        self._turns.put(Order.STOP)
        self._thread.join()

    def _serve(self, target: str | bytes, names: Sequence[str]) -> None:
        order = self._turns.get()
        with tempfile.TemporaryDirectory(prefix="trialist-") as folder:
            if order is None:
                self._end(self._outcome(target, names, Path(folder)))

    def _outcome(self, target: str | bytes, names: Sequence[str], folder: Path) -> Ended:
        payload, start = self.payload, None
        sys.path += [entry for entry in payload["path"] if entry not in sys.path and Path(entry).exists()]
        if payload["checkpoint"] is not None:
            start = folder / "start"
            unpack(bytes.fromhex(payload["checkpoint"]), start)
        trial = TrialContext(
            self,
            number=payload["key"][0],
            params=payload["params"],
            seed=payload["seed"],
            run_dir=str(folder),
            attempt=payload["key"][1],
            resume_step=payload["resume_step"],
            checkpoint=start,
            warm_start=payload["warm_start"],
            devices=tuple(map(str, ray.get_gpu_ids())),
        )
        return outcome(lambda: _loaded(target, folder), names, trial)

    def report(self, step: int, metrics: Mapping[str, float], target: int | None) -> Order | None:
        """Said at the next ``step`` of Ray Tune's; waits for the one after it."""
        del target
        self._last, self._step = {**self._last, **metrics}, step
        self._say({"step": step, "metrics": dict(metrics)})
        return self._turns.get()

    def checkpointed(self, step: int, path: str, num_bytes: int) -> None:
        """Goes with the next report."""
        del num_bytes
        self.checkpoint = {"step": step, "name": Path(path).name, "tar": pack(Path(path)).hex()}
        self._unsent = [self.checkpoint]

    def _end(self, ended: Ended) -> None:
        if ended.order is not None:
            return
        if ended.reason is not None:
            self._say({"failed": {"reason": ended.reason, "message": ended.message, "detail": ended.detail}})
        else:
            self._say({"step": self._step, "metrics": {}, "result": dict(ended.metrics)})

    def _say(self, told: dict[str, Any]) -> None:
        self._told.put({**told, "checkpoints": self._unsent} if self._unsent else told)
        self._unsent = []


def _loaded(target: str | bytes, folder: Path) -> Callable[..., Any]:
    if isinstance(target, str):
        return load(target)
    file = folder / "function.pkl"
    file.write_bytes(target)
    return load(str(file))
