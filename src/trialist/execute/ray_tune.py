"""Runs trials inside one ``ray.tune.Tuner``, under Ray Tune's own schedulers: the study stays ours, the running is Ray Tune's.

To Ray Tune the engine is a search algorithm: what the engine starts is what the ``Tuner`` is suggested, one for one. What its
trials report and how they end comes back as signals, and a trial that Ray Tune's scheduler ends is stopped by ``Mirror``, the
scheduler that speaks for it here. Knows no engine and no store.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import ray
from ray import tune
from ray.tune.search import Searcher

from trialist.core.ports import CheckpointedSignal, ExitedSignal, ReportedSignal, Signal
from trialist.core.records import (
    AttemptKey,
    Failure,
    FailureReason,
    Metric,
    OutcomeKind,
    Segment,
    Spec,
)
from trialist.execute.ray import connect
from trialist.execute.ray_place import pack, resources_of, unpack
from trialist.execute.ray_schedulers import Mirror, make_scheduler
from trialist.execute.ray_trainable import PAYLOAD, SAID, STEP, trainable
from trialist.execute.segments import start_of

_log = logging.getLogger("trialist")

_CLOSING_S = 60.0


class RayTuneExecutor:
    """One ``Tuner`` for a study's turn; trials are Ray Tune's trials, with ``reuse_actors``.

    Orders take effect at a trial's next report. A checkpoint travels with the report after it.

    Args:
        target: The function; see ``function_launch``.
        metric: What Ray Tune's scheduler compares.
        metric_names: The study's metrics, the first of which a bare number stands for.
        jobs: How many trials run at once.
        scheduler: By our name, with our options or Ray Tune's; ``None``: none.
        mirror: Told of what Ray Tune's scheduler has ended.
        address: See ``RayExecutor``.
        init: See ``RayExecutor``.

    Raises:
        ConfigError: Ray Tune has no such scheduler, or refuses its options.
        UserError: The cluster cannot be reached.
    """

    name = "ray_tune"
    options = ("address", "init")
    runs_ahead = False
    parks = False
    is_elsewhere = True

    def __init__(
        self,
        target: str | bytes,
        *,
        metric: Metric,
        metric_names: Sequence[str],
        jobs: int,
        mirror: Mirror,
        scheduler: Spec | None = None,
        address: str | None = None,
        init: Mapping[str, Any] | None = None,
    ) -> None:
        self._scheduler = make_scheduler(scheduler, metric)
        steps = None if scheduler is None else scheduler.options.get("max_steps", scheduler.options.get("max_t"))
        self._max_steps: int | None = steps
        self._owns_cluster = connect(address, init or {})
        self._metric, self._names, self._jobs, self._mirror = metric, tuple(metric_names), jobs, mirror
        self._target = target
        self._search = _Search()
        self._segments: dict[AttemptKey, Segment] = {}
        self._orders: dict[AttemptKey, OutcomeKind] = {}
        self._failures: dict[AttemptKey, Failure] = {}
        self._thread: threading.Thread | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="trialist-ray-tune-"))
        self._is_closed = False

    def worker(self) -> str:
        return "ray tune"

    # --- orders ---

    def start(self, segment: Segment) -> None:
        self._segments[segment.key] = segment
        self._search.waiting.append(_payload(segment))
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._tune, args=(segment.resources,), name="trialist-ray-tune", daemon=True
            )
            self._thread.start()

    def go_on(self, key: AttemptKey, to_step: int | None) -> None:
        """Nothing parks here."""

    def evict(self, key: AttemptKey) -> None:
        self._order(key, OutcomeKind.EVICTED)

    def stop(self, key: AttemptKey) -> None:
        self._order(key, OutcomeKind.STOPPED)

    def kill(self, key: AttemptKey) -> None:
        self._order(key, OutcomeKind.KILLED)

    def _order(self, key: AttemptKey, kind: OutcomeKind) -> None:
        if key not in self._segments:
            return
        self._orders[key] = kind
        self._search.leaving.add(key_of(key))
        for payload in list(self._search.waiting):
            if payload["key"] == list(key_of(key)):  # Ray Tune has not heard of it
                self._search.waiting.remove(payload)
                self._search.said.put(_Said("ended", key, {}))

    def _tune(self, resources: Mapping[str, float]) -> None:
        """The whole run of Ray Tune, on a thread of its own."""
        wanted = resources_of(resources)
        custom = wanted.pop("resources", {})
        bundle = {"cpu": wanted["num_cpus"], "gpu": wanted["num_gpus"], **custom}
        if "memory" in wanted:
            bundle["memory"] = wanted["memory"]
        os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new one prints tables where it is told to be quiet
        try:
            tune.Tuner(
                tune.with_resources(trainable(self._target, self._names, self._metric), bundle),
                tune_config=tune.TuneConfig(
                    search_alg=self._search,
                    scheduler=self._scheduler,
                    num_samples=-1,
                    max_concurrent_trials=self._jobs,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="tune", storage_path=str(self._folder), verbose=0, stop=_Leave(self._search)
                ),
            ).fit()
        except BaseException as error:  # noqa: BLE001  told where it is heard
            self._search.said.put(_Said("broken", None, error))

    # --- signals ---

    def poll(self, timeout_s: float, sink: Callable[[Signal], None]) -> None:
        with suppress(Empty):
            said = self._search.said.get(timeout=max(0.0, timeout_s))
            while True:
                if said is not None:
                    self._hear(said, sink)
                said = self._search.said.get_nowait()

    def wake(self) -> None:
        self._search.said.put(None)

    def _hear(self, said: _Said, sink: Callable[[Signal], None]) -> None:
        if said.what == "broken":
            self._thread = None
            for one in list(self._segments):
                del self._segments[one]
                error = Failure(reason=FailureReason.LOST, message=f"Ray Tune broke off: {said.given}")
                sink(ExitedSignal(key=one, outcome=OutcomeKind.NOT_STARTED, error=error))
            return
        key = said.key
        assert key is not None
        segment = self._segments.get(key)
        if segment is None:
            return
        told = json.loads(said.given[SAID]) if SAID in said.given else {}
        self._reported(segment, told, sink)
        if said.what == "reported":
            return
        del self._segments[key]
        self._ended(key, segment, told, is_error=bool(said.given.get("is_error")), sink=sink)

    def _reported(self, segment: Segment, told: Mapping[str, Any], sink: Callable[[Signal], None]) -> None:
        key = segment.key
        for checkpoint in told.get("checkpoints", ()):
            folder = Path(segment.run_dir) / "checkpoints" / checkpoint["name"]
            if not folder.exists():
                unpack(bytes.fromhex(checkpoint["tar"]), folder)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            sink(CheckpointedSignal(key=key, step=checkpoint["step"], path=str(folder), num_bytes=size))
        if "failed" in told:
            self._failures[key] = Failure(**{**told["failed"], "reason": FailureReason(told["failed"]["reason"])})
        elif "step" in told and "result" not in told:
            sink(ReportedSignal(key=key, step=told["step"], metrics=_floats(told["metrics"])))

    def _ended(
        self,
        key: AttemptKey,
        segment: Segment,
        told: Mapping[str, Any],
        *,
        is_error: bool,
        sink: Callable[[Signal], None],
    ) -> None:
        ordered, failure = self._orders.pop(key, None), self._failures.pop(key, None)
        if is_error or failure is not None:
            failure = failure or Failure(reason=FailureReason.EXCEPTION, message="Ray Tune lost it")
            sink(ExitedSignal(key=key, outcome=OutcomeKind.RAISED, error=failure))
        elif "result" in told:
            sink(ExitedSignal(key=key, outcome=OutcomeKind.RETURNED, metrics=_floats(told["result"])))
        elif ordered is not None:
            sink(ExitedSignal(key=key, outcome=ordered))
        elif self._max_steps is not None and told.get("step", 0) >= self._max_steps:  # there was nothing left to do
            sink(ExitedSignal(key=key, outcome=OutcomeKind.RETURNED))
        elif "step" in told:
            self._mirror.stopped.add(segment.trial)
            # The same report again: now it is decided upon.
            sink(ReportedSignal(key=key, step=told["step"], metrics=_floats(told["metrics"])))
            sink(ExitedSignal(key=key, outcome=OutcomeKind.STOPPED))
        else:
            failure = Failure(reason=FailureReason.EXCEPTION, message="Ray Tune ended it before it reported anything")
            sink(ExitedSignal(key=key, outcome=OutcomeKind.RAISED, error=failure))

    def lead_for(self, seconds: float) -> None:
        """Ray ends the trials of a process that dies; one that is frozen freezes the ``Tuner`` with it, not its trials."""

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._search.finished = True
        self._search.leaving.update(key_of(key) for key in self._segments)
        if self._thread is not None:
            self._thread.join(_CLOSING_S)
        self._segments.clear()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._owns_cluster:
            ray.shutdown()


class _Said(NamedTuple):
    what: str
    """``reported``, ``ended`` or ``broken``."""
    key: AttemptKey | None
    given: Any


class _Search(Searcher):
    """The engine, as Ray Tune sees it."""

    def __init__(self) -> None:
        super().__init__(metric=STEP, mode="max")  # what it is told of, each result has
        self.waiting: deque[dict[str, Any]] = deque()
        self.said: SimpleQueue[_Said | None] = SimpleQueue()
        self.leaving: set[tuple[int, int]] = set()
        self.finished = False
        self.keys: dict[str, AttemptKey] = {}
        """By Ray Tune's ids."""

    def suggest(self, trial_id: str) -> Any:
        if self.finished:
            return Searcher.FINISHED
        try:
            payload = self.waiting.popleft()
        except IndexError:
            return None
        self.keys[trial_id] = AttemptKey(trial=payload["key"][0], attempt=payload["key"][1])
        return {PAYLOAD: json.dumps(payload)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self.said.put(_Said("reported", self.keys[trial_id], {SAID: result.get(SAID, "{}")}))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        given = {SAID: (result or {}).get(SAID, "{}"), "is_error": error}
        self.said.put(_Said("ended", self.keys[trial_id], given))

    def save(self, checkpoint_path: str) -> None:
        """The study is what lasts; there is nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """See ``save``."""

    def __getstate__(self) -> dict[str, Any]:
        return {"_metric": self._metric, "_mode": self._mode}


class _Leave(tune.Stopper):
    """Ends trials that were told to leave, at their next report."""

    def __init__(self, search: _Search) -> None:
        self._search = search

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        del result
        return key_of(self._search.keys[trial_id]) in self._search.leaving

    def stop_all(self) -> bool:
        return self._search.finished

    def __getstate__(self) -> dict[str, Any]:
        return {}


def key_of(key: AttemptKey) -> tuple[int, int]:
    return key.trial, key.attempt


def _payload(segment: Segment) -> dict[str, Any]:
    """What the trial's side needs of a segment, as JSON."""
    resume_step, checkpoint, warm_start = start_of(segment)
    return {
        "key": [segment.trial, segment.attempt],
        "params": dict(segment.params),
        "seed": segment.seed,
        "resume_step": resume_step,
        "warm_start": warm_start,
        "checkpoint": None if checkpoint is None else pack(checkpoint).hex(),
        "path": [str(Path(entry).absolute()) for entry in sys.path],
    }


def _floats(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items()}
