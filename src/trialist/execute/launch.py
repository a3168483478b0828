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
class Launch:
    """A process to start."""

    argv: Sequence[str]
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
    outer = [os.environ[name] for name in (protocol.ENV_WITHIN, protocol.ENV_TRIAL) if name in os.environ]
    if outer:
        found[protocol.ENV_WITHIN] = ":".join(outer)
    return found
