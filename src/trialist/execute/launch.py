"""How a segment becomes a process: what to run, in which environment.

Knows records and the protocol's names; starts nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from trialist.core.records import Segment
from trialist.execute.segments import start_of
from trialist.runtime import protocol

_MAX_VARIABLE = 64 * 1024
"""Bytes of params in the environment; the system's limit for one variable is twice that."""
_DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
_BOOT = (
    "import json,os,sys;sys.path[:]=json.loads(os.environ['TRIALIST_SYS_PATH']);"
    "from trialist.runtime.call import main;sys.exit(main(*sys.argv[1:]))"
)


class WarmKind(StrEnum):
    """What a Python process runs."""

    SCRIPT = "script"
    MODULE = "module"
    FUNCTION = "function"


@dataclass(frozen=True, kw_only=True, slots=True)
class Warm:
    """How the process of a ``Launch`` can be forked from one that has its imports behind it; the same as ``argv`` says."""

    python: Sequence[str]
    """The interpreter and its options."""
    kind: WarmKind
    name: str
    """The script as ``argv`` names it, the module behind ``-m``, or the function."""
    args: Sequence[str] = ()
    """What follows."""


PICKLED = "{pickled}"
"""Stands for the path of ``Launch.pickled`` where a function is named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """How a worker process that runs many trials can run a ``Launch``; the same as ``argv`` says."""

    target: str
    """``module:function``, ``path/to/file.py:function`` or ``PICKLED``."""
    metric_names: Sequence[str] = ()
    path: Sequence[str] = ()
    """``sys.path``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workers:
    """Worker processes that run many trials. Trials with equal ``Launch.env``, devices and directories share them."""

    places: int = 1
    """How many trials one may hold at once: 1 runs each on its main thread, more run each on a thread of its own."""
    spare: int = 1
    """How many of a kind may wait for work; more of them leave."""
    recycle_after: int | None = 100
    """Trials after which one is replaced, as soon as it is empty; ``None``: never."""
    recycle_growth_bytes: int | None = 1 << 30
    """Growth since its first trial above which one is replaced, as soon as it is empty; ``None``: never."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """A process to start."""

    argv: Sequence[str] = ()
    """Program and arguments; never a shell string."""
    stdout: Path
    """Appended to, and capped."""
    stderr: Path | None = None
    """``None``: into ``stdout``."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment that this process had when the executor was made."""
    cwd: Path | None = None
    """``None``: this process's."""
    metrics_file: Path | None = None
    """Read when the process has ended, if the process wrote it: numbers by name, as a JSON object."""
    call: Call | None = None
    """How a pool's worker may run it; ``None``: it needs a process of its own."""
    warm: Warm | None = None
    """How a pool may start it; ``None``: as a plain process."""
    pickled: bytes | None = None
    """A function by value, for a private file that goes with the executor; its path takes the place of ``PICKLED``."""

    def at(self, path: str) -> Launch:
        """The launch with the path of its pickled function filled in."""
        return replace(
            self,
            argv=[path if word == PICKLED else word for word in self.argv],
            call=self.call and replace(self.call, target=path),
            warm=self.warm
            and replace(self.warm, name=path, args=[path if word == PICKLED else word for word in self.warm.args]),
        )


Prepare = Callable[[Segment], Launch]
"""Makes ready what a trial needs (directories, config files) and says what to run. Called on the engine's thread."""


def function_launch(target: str | bytes, *, metric_names: Sequence[str] = ()) -> Prepare:
    """A ``Prepare`` that runs a function as a trial, in a Python process of its own, warm where the executor can.

    The process has this one's interpreter and ``sys.path``, writes ``<run_dir>/stdout.log``, and sends what the function
    returned over the channel.

    Args:
        target: ``module:function`` or ``path/to/file.py:function``, where dots behind the colon reach into classes; or
            the function itself, pickled.
        metric_names: The study's metrics, the first of which a bare number stands for.
    """
    pickled, name = (target, PICKLED) if isinstance(target, bytes) else (None, target)
    args = [name, *metric_names]
    places = [str(Path(entry).absolute()) for entry in sys.path]
    path = json.dumps(places)

    def prepare(segment: Segment) -> Launch:
        return Launch(
            argv=[sys.executable, "-c", _BOOT, *args],
            stdout=Path(segment.run_dir) / "stdout.log",
            env={protocol.ENV_SYS_PATH: path},
            warm=Warm(python=[sys.executable], kind=WarmKind.FUNCTION, name=name, args=args),
            call=Call(target=name, metric_names=metric_names, path=places),
            pickled=pickled,
        )

    return prepare


def environment(segment: Segment, token: str, address: str) -> dict[str, str]:
    """What the trial's side finds its trial by. Writes params to a file where they are too long.

    Raises:
        OSError: That file cannot be written.
    """
    resume_step, checkpoint, warm_start = start_of(segment)
    run_dir = Path(segment.run_dir).absolute()
    found = {
        protocol.ENV_TRIAL: token,
        protocol.ENV_SOCKET: address,
        protocol.ENV_RUN_DIR: str(run_dir),
        protocol.ENV_NUMBER: str(segment.trial),
        protocol.ENV_ATTEMPT: str(segment.attempt),
        protocol.ENV_SEED: str(segment.seed),
    }
    params = json.dumps(dict(segment.params), separators=(",", ":"))
    if len(params) <= _MAX_VARIABLE:
        found[protocol.ENV_PARAMS] = params
    else:
        file = run_dir / "params.json"
        file.write_text(params, encoding="utf-8")
        found[protocol.ENV_PARAMS_FILE] = str(file)
    if resume_step is not None:
        found[protocol.ENV_RESUME_STEP] = str(resume_step)
    if checkpoint is not None and warm_start is not None:
        found[protocol.ENV_CHECKPOINT] = str(checkpoint.absolute())
        found[protocol.ENV_WARM_START] = warm_start
    if segment.devices:
        devices = ",".join(segment.devices)
        found[protocol.ENV_DEVICES] = devices
        if segment.resources.get("gpu", 0) > 0:
            found |= dict.fromkeys(_DEVICES, devices)
    return found | within()


def worker_order(segment: Segment, launch: Launch, call: Call, workers: Workers, folder: str) -> dict[str, Any]:
    """What the warden is told of a trial's worker."""
    devices = ",".join(segment.devices) if segment.resources.get("gpu", 0) > 0 else ""
    return {
        "host": {
            "places": workers.places,
            "spare": workers.spare,
            "cwd": folder,
            "env": {
                **launch.env,
                protocol.ENV_SYS_PATH: json.dumps(list(call.path)),
                **(dict.fromkeys(_DEVICES, devices) if devices else {}),
                **within(),
            },
            "log": str(Path(segment.run_dir).absolute().parent / "workers.log"),
            "recycle_after": workers.recycle_after,
            "recycle_growth_bytes": workers.recycle_growth_bytes,
        },
        "call": {"target": call.target, "metrics": list(call.metric_names)},
    }


def within() -> dict[str, str]:
    """The marks of the trials and workers around this process, for those that it starts."""
    names = (protocol.ENV_WITHIN, protocol.ENV_TRIAL, protocol.ENV_HOST)
    outer = [os.environ[name] for name in names if name in os.environ]
    return {protocol.ENV_WITHIN: ":".join(outer)} if outer else {}
