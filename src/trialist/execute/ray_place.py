"""A place on a Ray cluster: an actor that runs one trial after the other in a pool of its own node.

What holds for trials of a pool holds for these: each is a process, is ended with all that it started, and its output goes to
its own log. The actor only carries orders there and signals back. Where its node does not see the study's files, it keeps the
trial's directory by itself and sends back what appears in it. Imported on the cluster's nodes, so Trialist must be installed
there. Knows no engine.
"""

from __future__ import annotations

import io
import os
import socket
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import ray

from trialist.core.ports import CheckpointedSignal, ExitedSignal, LostSignal, Signal
from trialist.core.records import AttemptKey, FromCheckpoint, Segment
from trialist.core.wire import to_json
from trialist.execute.launch import function_launch
from trialist.execute.pool import PoolExecutor

_POLL_S = 0.5
_SHOW_EVERY_S = 2.0
"""How often a log that grows on another machine is sent."""
MAX_FILES_BYTES = 256 * 1024 * 1024
"""What a trial may leave in its directory beside checkpoints, where it must be sent; more stays behind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What a place must know to run trials."""

    target: str | bytes
    """See ``function_launch``."""
    metric_names: Sequence[str] = ()
    path: Sequence[str] = ()
    """``sys.path`` of the engine's process; entries that are not there are left out."""
    grace_s: float = 10.0
    probe: tuple[str, str] = ("", "")
    """A file that the engine's process wrote, and what is in it: a node that can read it shares its files."""


@dataclass(slots=True)
class _Trial:
    """The trial that runs here now."""

    segment: Segment
    """With paths of this node."""
    home: str
    """Its directory as the engine knows it."""
    sent: dict[str, int] = field(default_factory=dict)
    """Bytes of its logs that were sent."""
    looked_at: float = 0.0


class Place:
    """The actor. All calls but ``run`` return at once.

    Args:
        recipe: What is run.
    """

    def __init__(self, recipe: Recipe) -> None:
        sys.path += [entry for entry in recipe.path if entry not in sys.path and Path(entry).exists()]
        self._shares_files = _reads(recipe.probe)
        self._orders: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._said: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._own = None if self._shares_files else tempfile.TemporaryDirectory(prefix="trialist-")
        self._trial: _Trial | None = None
        self._pool: PoolExecutor | None = None
        self._ready = threading.Event()
        self._closed = threading.Event()
        # The pool's processes die with the thread that started them, so one thread owns it for as long as this lives.
        self._thread = threading.Thread(target=self._serve, args=(recipe,), name="trialist-place", daemon=True)
        self._thread.start()
        self._ready.wait()

    def run(self, segment: Segment, checkpoint: bytes | None) -> Iterator[dict[str, Any]]:
        """Run an attempt; yields what happens, its end last.

        Args:
            segment: As the engine knows it.
            checkpoint: The directory that it starts from, packed; used where this node does not see it.
        """
        name = f"pid {os.getpid()} on {socket.gethostname()}"
        yield {"op": "placed", "shares_files": self._shares_files, "name": name}
        self._order("start", (segment, tuple(map(str, ray.get_gpu_ids())), checkpoint))
        while (said := self._said.get()) is not None:
            yield said

    def order(self, op: str, key: AttemptKey, to_step: int | None = None) -> None:
        """``go_on``, ``evict``, ``stop`` or ``kill`` an attempt."""
        self._order(op, (key, to_step))

    def lead_for(self, seconds: float) -> None:
        """See ``Executor.lead_for``."""
        if self._pool is not None:
            self._pool.lead_for(seconds)

    def close(self) -> None:
        """End what runs; returns when it has ended."""
        self._order("close", None)
        self._closed.wait()

    def _order(self, op: str, given: Any) -> None:
        self._orders.put((op, given))
        if self._pool is not None:
            self._pool.wake()

    # --- on the thread of its own ---

    def _serve(self, recipe: Recipe) -> None:
        launch = function_launch(recipe.target, metric_names=recipe.metric_names)
        self._pool = pool = PoolExecutor(launch, grace_s=recipe.grace_s, say=self._say)
        self._ready.set()
        try:
            while True:
                while not self._orders.empty():
                    op, given = self._orders.get()
                    if op == "close":
                        return
                    self._carry_out(pool, op, given)
                pool.poll(_POLL_S, self._tell)
                self._show_logs()
        finally:
            pool.close()
            if self._own is not None:
                self._own.cleanup()
            self._said.put(None)
            self._closed.set()

    def _say(self, text: str) -> None:
        self._said.put({"op": "say", "text": text})

    def _carry_out(self, pool: PoolExecutor, op: str, given: Any) -> None:
        if op == "start":
            pool.start(self._begun(*given))
            return
        key, to_step = given
        if op == "go_on":
            pool.go_on(key, to_step)
        else:
            {"evict": pool.evict, "stop": pool.stop, "kill": pool.kill}[op](key)

    def _begun(self, segment: Segment, devices: tuple[str, ...], checkpoint: bytes | None) -> Segment:
        """The segment with this node's devices and paths."""
        home = segment.run_dir
        segment = replace(segment, devices=devices if segment.resources.get("gpu", 0) > 0 else ())
        if self._own is not None:
            here = Path(self._own.name) / f"trial-{segment.trial}"
            here.mkdir(exist_ok=True)
            segment = replace(segment, run_dir=str(here))
            if isinstance(segment.state, FromCheckpoint) and checkpoint is not None:
                unpack(checkpoint, here / "start")
                segment = replace(segment, state=replace(segment.state, path=str(here / "start")))
        self._trial = _Trial(segment, home)
        return segment

    def _tell(self, signal: Signal) -> None:
        trial = self._trial
        if self._own is not None and trial is not None:
            here = Path(trial.segment.run_dir)
            if isinstance(signal, CheckpointedSignal):
                name = os.path.relpath(signal.path, here)
                self._said.put({"op": "files", "to": name, "tar": pack(Path(signal.path)), "whole": True})
                signal = replace(signal, path=str(Path(trial.home) / name))
            elif isinstance(signal, ExitedSignal | LostSignal):
                self._show_logs(now=True)
                rest = pack(here, leave_out=("checkpoints", "start"))
                self._said.put({"op": "files", "to": ".", "tar": rest, "whole": False})
        self._said.put({"op": type(signal).__name__, "signal": to_json(signal)})
        if isinstance(signal, ExitedSignal | LostSignal):
            self._trial = None
            self._said.put(None)

    def _show_logs(self, *, now: bool = False) -> None:
        trial = self._trial
        if self._own is None or trial is None or (not now and time.monotonic() - trial.looked_at < _SHOW_EVERY_S):
            return
        trial.looked_at = time.monotonic()
        for log in Path(trial.segment.run_dir).glob("*.log"):
            with log.open("rb") as file:
                file.seek(trial.sent.get(log.name, 0))
                data = file.read(1 << 20)
            if data:
                trial.sent[log.name] = trial.sent.get(log.name, 0) + len(data)
                self._said.put({"op": "log", "name": log.name, "data": data})


def _reads(probe: tuple[str, str]) -> bool:
    try:
        return Path(probe[0]).read_text(encoding="utf-8") == probe[1]
    except OSError:
        return False


def pack(folder: Path, *, leave_out: Sequence[str] = ()) -> bytes:
    """A directory's files as a tar archive; links and other special files are left out, and so is what is too much."""
    out, total = io.BytesIO(), 0
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if name.parts[0] in leave_out or path.is_symlink() or not path.is_file():
                continue
            total += path.stat().st_size
            if leave_out and (total > MAX_FILES_BYTES or (len(name.parts) == 1 and path.suffix == ".log")):
                continue
            archive.add(path, arcname=str(name), recursive=False)
    return out.getvalue()


def unpack(data: bytes, folder: Path) -> None:
    """Write an archive's files below a directory, and nowhere else."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(folder, filter="data")


def resources_of(resources: Mapping[str, float]) -> dict[str, Any]:
    """What a trial needs, in the words of Ray's actor options."""
    rest = {name: value for name, value in resources.items() if name not in ("cpu", "gpu", "memory_gb") and value}
    options: dict[str, Any] = {"num_cpus": resources.get("cpu", 1.0), "num_gpus": resources.get("gpu", 0.0)}
    if resources.get("memory_gb"):
        options["memory"] = int(resources["memory_gb"] * 1e9)
    if rest:
        options["resources"] = rest
    return options
