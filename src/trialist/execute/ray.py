"""Runs trials on a Ray cluster: each of a study's places is an actor there, which runs one trial after the other.

The cluster decides where a place is; what a trial may do there is ``ray_place``'s, on the rules of the pool. Messages of
places are JSON and files; nothing that a trial made is unpickled here. Knows no engine and no store.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayActorError, RayError

from trialist.core.errors import ConfigError, UserError
from trialist.core.ports import CheckpointedSignal, ExitedSignal, LostSignal, ParkedSignal, ReportedSignal, Signal
from trialist.core.records import AttemptKey, Failure, FailureReason, FromCheckpoint, OutcomeKind, Segment
from trialist.core.wire import from_json
from trialist.execute.ray_place import Place, Recipe, pack, resources_of, unpack

_log = logging.getLogger("trialist")

_SIGNALS: dict[str, type] = {
    cls.__name__: cls for cls in (ReportedSignal, ParkedSignal, CheckpointedSignal, ExitedSignal, LostSignal)
}
_MAX_SIGNALS = 256
_TELL_AFTER_S = 10.0
"""A trial that the cluster has no room for is worth a word after this."""
_CLOSING_S = 30.0
_LONGEST = 300


@dataclass(eq=False, slots=True)
class _Place:
    """An actor, as seen from here."""

    actor: Any
    options: str
    """What it was asked for; only trials that need the same may use it."""
    name: str = ""
    """Where it is; empty: the cluster has not placed it yet."""
    shares_files: bool = True


class _Said(NamedTuple):
    """What a place says of an attempt: a message, or the error that took the place."""

    key: AttemptKey
    place: _Place
    said: Any


@dataclass(eq=False, slots=True)
class _Running:
    segment: Segment
    place: _Place
    since: float = field(default_factory=time.monotonic)
    told: bool = False
    """Whether somebody was told that it waits."""


class RayExecutor:
    """Segments on Ray actors: fractions of GPUs, custom resources, any number of machines.

    A place that dies with its machine loses the attempt, which starts again elsewhere from its last checkpoint. Nodes that
    do not see this machine's files get the checkpoint to start from, and send back checkpoints, logs and small files.
    Connects to the cluster that ``address`` or ``RAY_ADDRESS`` names, or that this process is connected to; else starts one
    of this machine alone, and ends it with itself.

    Args:
        target: The function; see ``function_launch``.
        metric_names: The study's metrics, the first of which a bare number stands for.
        address: Of the cluster; ``None``: as above.
        init: Further arguments of ``ray.init``.
        grace_s: See ``PoolExecutor``.
        say: Tells the person at the terminal something.

    Raises:
        UserError: The cluster cannot be reached, or ``ray.init`` refuses its arguments.
    """

    name = "ray"
    options = ("address", "init", "grace_s")
    """Those that people may give."""
    runs_ahead = False
    parks = False
    """A paused trial would hold what the cluster counts, and others might wait for that for ever: it leaves instead."""
    is_elsewhere = True

    def __init__(
        self,
        target: str | bytes,
        *,
        metric_names: Sequence[str] = (),
        address: str | None = None,
        init: Mapping[str, Any] | None = None,
        grace_s: float = 10.0,
        say: Callable[[str], None] = _log.warning,
    ) -> None:
        if isinstance(grace_s, bool) or not isinstance(grace_s, (int, float)) or not 0 <= grace_s < float("inf"):
            raise ConfigError(f"must be a number of seconds, 0 or more, not {grace_s!r}", path="executor.grace_s")
        self._say = say
        self._owns_cluster = connect(address, init or {})
        self._probe = Path(tempfile.mkdtemp(prefix="trialist-ray-"))
        token = uuid.uuid4().hex
        (self._probe / "token").write_text(token, encoding="utf-8")
        self._recipe = Recipe(
            target=target,
            metric_names=tuple(metric_names),
            path=[str(Path(entry).absolute()) for entry in sys.path],
            grace_s=float(grace_s),
            probe=(str(self._probe / "token"), token),
        )
        remote: Any = ray.remote  # its types know no concurrency groups
        self._actor_class = remote(concurrency_groups={"run": 1, "orders": 1})(Place)
        self._inbox: SimpleQueue[_Said | None] = SimpleQueue()
        self._running: dict[AttemptKey, _Running] = {}
        self._idle: list[_Place] = []
        self._places: set[_Place] = set()
        self._lock = threading.Lock()
        """Guards ``_places`` and ``_led_until``: ``lead_for`` comes from another thread."""
        self._led_until: float | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="trialist-ray", daemon=True)
        self._thread.start()
        self._is_closed = False

    def worker(self) -> str:
        return "ray"

    # --- orders ---

    def start(self, segment: Segment) -> None:
        running = self._running[segment.key] = _Running(segment, self._place_for(segment))
        self._begin(running)

    def _begin(self, running: _Running) -> None:
        segment, place, checkpoint = running.segment, running.place, None
        if isinstance(segment.state, FromCheckpoint) and not (place.name and place.shares_files):
            checkpoint = pack(Path(segment.state.path))
        asyncio.run_coroutine_threadsafe(self._follow(place, segment, checkpoint), self._loop)

    def _place_for(self, segment: Segment) -> _Place:
        options = resources_of(segment.resources)
        wanted = repr(sorted(options.items()))
        for place in self._idle:
            if place.options == wanted:
                self._idle.remove(place)
                return place
        for place in self._idle:  # of another kind: it holds what this one needs
            self._give_up(place)
        self._idle.clear()
        place = _Place(self._actor_class.options(max_restarts=0, **options).remote(self._recipe), wanted)
        with self._lock:
            self._places.add(place)
            led_until = self._led_until
        if led_until is not None:
            self._call(place, "lead_for", max(0.0, led_until - time.monotonic()))
        return place

    async def _follow(self, place: _Place, segment: Segment, checkpoint: bytes | None) -> None:
        """Hand on what a place says of an attempt; the last is its end, or the error that took the place."""
        run = place.actor.run.options(num_returns="streaming", concurrency_group="run")
        try:
            async for said in run.remote(segment, checkpoint):
                self._inbox.put(_Said(segment.key, place, await said))
        except Exception as error:  # noqa: BLE001  whatever took the place: the attempt is lost with it
            self._inbox.put(_Said(segment.key, place, error))
        else:
            self._inbox.put(_Said(segment.key, place, None))

    def go_on(self, key: AttemptKey, to_step: int | None) -> None:
        self._order("go_on", key, to_step)

    def evict(self, key: AttemptKey) -> None:
        self._order("evict", key)

    def stop(self, key: AttemptKey) -> None:
        self._order("stop", key)

    def kill(self, key: AttemptKey) -> None:
        self._order("kill", key)

    def _order(self, op: str, key: AttemptKey, to_step: int | None = None) -> None:
        running = self._running.get(key)
        if running is None:
            return
        if not running.place.name and op != "go_on":  # it waits for the cluster, perhaps for ever: nothing runs yet
            self._give_up(running.place)
            outcome = {"evict": OutcomeKind.EVICTED, "stop": OutcomeKind.STOPPED, "kill": OutcomeKind.KILLED}[op]
            self._inbox.put(_Said(key, running.place, ExitedSignal(key=key, outcome=outcome)))
            return
        self._call(running.place, "order", op, key, to_step)

    def _call(self, place: _Place, method: str, *args: Any) -> None:
        # A dead actor is heard of through the attempt that it ran.
        with suppress(RayError):
            getattr(place.actor, method).options(concurrency_group="orders").remote(*args)

    def _give_up(self, place: _Place) -> None:
        with self._lock:
            self._places.discard(place)
        with suppress(RayError, ValueError):
            ray.kill(place.actor)

    # --- signals ---

    def poll(self, timeout_s: float, sink: Callable[[Signal], None]) -> None:
        self._tell_waiting()
        with suppress(Empty):
            item = self._inbox.get(timeout=max(0.0, timeout_s))
            for _ in range(_MAX_SIGNALS):
                if item is not None:
                    self._hear(item, sink)
                item = self._inbox.get_nowait()

    def wake(self) -> None:
        self._inbox.put(None)

    def _tell_waiting(self) -> None:
        for key, running in self._running.items():
            if not running.place.name and not running.told and time.monotonic() - running.since > _TELL_AFTER_S:
                running.told = True
                needs = ", ".join(f"{value:g} {name}" for name, value in running.segment.resources.items()) or "1 cpu"
                self._say(f"trial {key.trial} waits for room on the cluster; it needs {needs}")

    def _hear(self, item: _Said, sink: Callable[[Signal], None]) -> None:
        key, place, said = item
        running = self._running.get(key)
        if running is None or running.place is not place:  # the last words of a place that it waited for
            return
        if isinstance(said, dict) and said["op"] not in _SIGNALS:
            self._take(running, said)
            return
        if isinstance(said, dict):
            signal: Signal = from_json(_SIGNALS[said["op"]], said["signal"])
        elif isinstance(said, ExitedSignal):
            signal = said
        else:
            signal = self._lost(key, running, said)
        if isinstance(signal, ExitedSignal | LostSignal):
            del self._running[key]
            if isinstance(said, dict):
                self._hand_over(place)
        sink(signal)

    def _hand_over(self, place: _Place) -> None:
        """A place is free: to a trial that waits for the cluster, since it may wait for what this one holds."""
        waiting = [running for running in self._running.values() if not running.place.name]
        for running in waiting:
            if running.place.options == place.options:
                self._give_up(running.place)
                running.place = place
                self._begin(running)
                return
        if waiting:
            self._give_up(place)
        else:
            self._idle.append(place)

    def _take(self, running: _Running, said: Mapping[str, Any]) -> None:
        """What a place says besides signals."""
        home = Path(running.segment.run_dir)
        match said["op"]:
            case "placed":
                running.place.name, running.place.shares_files = said["name"], said["shares_files"]
            case "say":
                self._say(said["text"])
            case "log":
                home.mkdir(parents=True, exist_ok=True)
                with (home / Path(said["name"]).name).open("ab") as file:
                    file.write(said["data"])
            case "files":
                _write(said["tar"], _below(home, said["to"]), whole=said["whole"])

    def _lost(self, key: AttemptKey, running: _Running, error: BaseException | None) -> Signal:
        """An actor that is gone, or that broke; its machine's death is not its trial's fault."""
        self._give_up(running.place)
        words = " ".join(str(error).split()) if error is not None else "it ended without a word"
        if isinstance(error, RayActorError) and error.actor_init_failed:
            message = f"no place for it could be made on the cluster: {words[-_LONGEST:]}"
            failure = Failure(reason=FailureReason.NOT_STARTED, message=message)
            return ExitedSignal(key=key, outcome=OutcomeKind.NOT_STARTED, error=failure)
        return LostSignal(
            worker=running.place.name or "ray",
            keys=(key,),
            message=f"its place on the cluster was lost: {words[:_LONGEST]}",
            is_blameless=isinstance(error, RayActorError) and (error.preempted or is_nodes_fault(words)),
        )

    def lead_for(self, seconds: float) -> None:
        with self._lock:
            self._led_until = time.monotonic() + seconds
            places = list(self._places)
        for place in places:
            self._call(place, "lead_for", seconds)

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        with self._lock:
            places, self._places = list(self._places), set()
        closing = [place.actor.close.remote() for place in places if place.name]
        if closing:
            ray.wait(closing, timeout=_CLOSING_S, num_returns=len(closing))
        for place in places:
            with suppress(RayError, ValueError):
                ray.kill(place.actor)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._running.clear()
        shutil.rmtree(self._probe, ignore_errors=True)
        if self._owns_cluster:
            ray.shutdown()


def is_nodes_fault(words: str) -> bool:
    """Whether an actor died of its node's death; one that was ended because the node ran low on memory may be the cause."""
    text = words.lower()
    return "node" in text and "low on memory" not in text


def connect(address: str | None, init: Mapping[str, Any]) -> bool:
    """Connect this process to a cluster; whether it had to start one, which ends with this process.

    Raises:
        UserError: It cannot be reached, or refuses the arguments.
    """
    if ray.is_initialized():
        return False
    given = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False, **init}
    where = address or init.get("address") or os.environ.get("RAY_ADDRESS") or None
    if where is None and " " in sys.executable:
        raise UserError(
            "Ray starts no workers where the path of Python holds a space, and waits for them for ever: make the environment "
            f"in another place than {sys.executable}, or use executor 'pool'"
        )
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(address=where, **{name: value for name, value in given.items() if name != "address"})
    except (ConnectionError, ValueError, RuntimeError, TypeError) as error:
        raise UserError(f"no Ray cluster can be used{f' at {where}' if where else ''}: {error}") from error
    return where is None


def _below(home: Path, name: str) -> Path:
    """A path that a place named, below the trial's directory."""
    path = (home / name).resolve()
    if not path.is_relative_to(home.resolve()):
        raise UserError(f"a place on the cluster sent files for {path}, outside of {home}")
    return path


def _write(data: bytes, folder: Path, *, whole: bool) -> None:
    """Files that a place sent; a whole directory appears at once."""
    if not whole:
        unpack(data, folder)
        return
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    unpack(data, part)
    for path in [*part.rglob("*"), part]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    part.rename(folder)
