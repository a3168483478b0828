"""What it costs to run programs as trials: ``python -c pass``, two at a time, beside a bare ``Popen`` of the same."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import Result, Sizes, main

from trialist.core.ports import ExitedSignal, Signal
from trialist.core.records import Segment
from trialist.execute.command import CommandExecutor, Launch

ABOUT = """
Milliseconds a program, two running at a time. The floor starts and reaps the same processes with `subprocess.Popen` and does
nothing else; Trialist's executor also keeps their logs, reads them for metrics, and watches over everything they start.
Starting the executor counts; the store does not take part.
"""
AT_ONCE = 2
COMMAND = [sys.executable, "-c", "pass"]


def bare(programs: int) -> float:
    began = time.perf_counter()
    running: dict[int, subprocess.Popen[bytes]] = {}
    for _ in range(programs):
        if len(running) == AT_ONCE:
            _reap(running)
        process = subprocess.Popen(COMMAND, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        running[process.pid] = process
    while running:
        _reap(running)
    return 1e3 * (time.perf_counter() - began) / programs


def _reap(running: dict[int, subprocess.Popen[bytes]]) -> None:
    """Wait for whichever ends first."""
    pid, status = os.wait()
    running.pop(pid).returncode = os.waitstatus_to_exitcode(status)


def executor(folder: Path, programs: int) -> float:
    def prepare(segment: Segment) -> Launch:
        return Launch(argv=COMMAND, stdout=Path(segment.run_dir) / "stdout.log")

    began = time.perf_counter()
    runs = CommandExecutor(prepare)
    waiting = iter(range(programs))
    ended = 0

    def start_next() -> None:
        number = next(waiting, None)
        if number is not None:
            given = {"study_id": "0" * 32, "study": "bench", "params": {}, "seed": number}
            runs.start(Segment(trial=number, attempt=1, run_dir=str(folder / str(number)), **given))

    def hear(signal: Signal) -> None:
        nonlocal ended
        if isinstance(signal, ExitedSignal):
            if signal.error is not None:
                raise RuntimeError(signal.error.message)
            ended += 1
            start_next()

    try:
        for _ in range(AT_ONCE):
            start_next()
        while ended < programs:
            runs.poll(60.0, hear)
    finally:
        runs.close()
    return 1e3 * (time.perf_counter() - began) / programs


def ask(result: Result, sizes: Sizes) -> None:
    programs = sizes.of(100, 2)
    rounds = itertools.count()
    with tempfile.TemporaryDirectory() as folder:
        cases = {
            "bare Popen": lambda: bare(programs),
            "CommandExecutor": lambda: executor(Path(folder) / str(next(rounds)), programs),
        }
        took = sizes.take_turns(cases, 7)
    for name, values in took.items():
        result.add(name, "ms a program", values)
    result.compare("times the floor", took["CommandExecutor"], took["bare Popen"], at_most=1.5)


if __name__ == "__main__":
    sys.exit(main(ask, question="commands", about=ABOUT))
