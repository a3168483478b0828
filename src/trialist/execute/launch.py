"""How a segment becomes a process: what to run, in which environment.

Knows records and the protocol's names; starts nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    "from trialist.runtime.call import main;sys.exit(main(sys.argv[1:]))"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A worker process that runs many trials, and the function that it is to call for this one.

    Trials with equal workers, devices and directories share them.
    """

    target: str
    """``module:function``, ``path/to/file.py:function`` or the path of a pickle that ends in ``.pkl``."""
    metric_names: Sequence[str] = ()
    places: int = 1
    """How many trials it may hold at once: 1 runs each on its main thread, more runs each on a thread of its own."""
    path: Sequence[str] = ()
    """Its ``sys.path``."""
    spare: int = 1
    """How many of its kind may wait for work; more of them leave."""
    recycle_after: int | None = 100
    """Trials after which it is replaced, as soon as it is empty; ``None``: never."""
    recycle_growth_bytes: int | None = 1 << 30
    """Growth since its first trial above which it is replaced, as soon as it is empty; ``None``: never."""


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
    worker: Worker | None = None
    """Runs the trial instead of ``argv``."""


Prepare = Callable[[Segment], Launch]
"""Makes ready what a trial needs (directories, config files) and says what to run. Called on the engine's thread."""


def function_launch(target: str, *, metric_names: Sequence[str] = ()) -> Prepare:
    """A ``Prepare`` that runs an importable function as a trial, in a Python process of its own.

    The process has this one's interpreter and ``sys.path``, writes ``<run_dir>/stdout.log``, and sends what the function
    returned over the channel.

    Args:
        target: ``module:function`` or ``path/to/file.py:function``; dots behind the colon reach into classes.
        metric_names: The study's metrics, the first of which a bare number stands for.
    """
    names = [argument for name in metric_names for argument in ("--metric", name)]
    path = json.dumps([str(Path(entry).absolute()) for entry in sys.path])

    def prepare(segment: Segment) -> Launch:
        return Launch(
            argv=[sys.executable, "-c", _BOOT, *names, target],
            stdout=Path(segment.run_dir) / "stdout.log",
            env={protocol.ENV_SYS_PATH: path},
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


def worker_order(segment: Segment, launch: Launch, worker: Worker, folder: str) -> dict[str, Any]:
    """What the warden is told of a trial's worker."""
    devices = ",".join(segment.devices) if segment.resources.get("gpu", 0) > 0 else ""
    return {
        "host": {
            "places": worker.places,
            "spare": worker.spare,
            "cwd": folder,
            "env": {
                protocol.ENV_SYS_PATH: json.dumps(list(worker.path)),
                **(launch.env if worker.places > 1 else {}),
                **(dict.fromkeys(_DEVICES, devices) if devices else {}),
                **within(),
            },
            "log": str(Path(segment.run_dir).absolute().parent / "workers.log"),
            "recycle_after": worker.recycle_after,
            "recycle_growth_bytes": worker.recycle_growth_bytes,
        },
        "call": {"target": worker.target, "metrics": list(worker.metric_names)},
    }


def within() -> dict[str, str]:
    """The marks of the trials and workers around this process, for those that it starts."""
    names = (protocol.ENV_WITHIN, protocol.ENV_TRIAL, protocol.ENV_HOST)
    outer = [os.environ[name] for name in names if name in os.environ]
    return {protocol.ENV_WITHIN: ":".join(outer)} if outer else {}
