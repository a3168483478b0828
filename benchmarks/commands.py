"""What it costs to run programs as trials: 50 times ``python -c pass``, two at a time, beside a bare ``Popen`` of the same.

The floor starts and reaps the processes and does nothing else; Trialist's executor also keeps their logs, reads them for
metrics, and watches over everything they start. Medians of several interleaved rounds in one run; a table for people, JSON
with ``--json``.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from trialist.core.ports import ExitedSignal, Signal
from trialist.core.records import Segment
from trialist.execute.command import CommandExecutor, Launch

ROUNDS = 5
PROGRAMS = 50
AT_ONCE = 2
COMMAND = [sys.executable, "-c", "pass"]
TIMES_THE_FLOOR = 1.5


def bare(folder: Path) -> float:
    del folder
    began = time.perf_counter()
    running: dict[int, subprocess.Popen[bytes]] = {}
    for _ in range(PROGRAMS):
        if len(running) == AT_ONCE:
            _reap(running)
        process = subprocess.Popen(COMMAND, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        running[process.pid] = process
    while running:
        _reap(running)
    return time.perf_counter() - began


def _reap(running: dict[int, subprocess.Popen[bytes]]) -> None:
    """Wait for whichever ends first."""
    pid, status = os.wait()
    running.pop(pid).returncode = os.waitstatus_to_exitcode(status)


def executor(folder: Path) -> float:
    def prepare(segment: Segment) -> Launch:
        return Launch(argv=COMMAND, stdout=Path(segment.run_dir) / "stdout.log")

    began = time.perf_counter()
    runs = CommandExecutor(prepare)
    waiting = iter(range(PROGRAMS))
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
        while ended < PROGRAMS:
            runs.poll(60.0, hear)
    finally:
        runs.close()
    return time.perf_counter() - began


CASES: dict[str, Callable[[Path], float]] = {"bare Popen": bare, "CommandExecutor": executor}


def main() -> int:
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            for name, run in CASES.items():
                seconds[name].append(run(Path(folder) / str(number)))
    medians = {name: statistics.median(values) / PROGRAMS for name, values in seconds.items()}
    ratio = medians["CommandExecutor"] / medians["bare Popen"]
    if "--json" in sys.argv:
        told = {name: round(value, 5) for name, value in medians.items()}
        print(json.dumps({"question": "commands", "seconds_a_program": told, "times_the_floor": round(ratio, 3)}))
    else:
        for name, value in medians.items():
            print(f"{name:<16} {1e3 * value:7.1f} ms a program, {AT_ONCE} at a time")
        print(f"the executor takes {ratio:.2f} times as long as the floor")
    return int(ratio > TIMES_THE_FLOOR)


if __name__ == "__main__":
    sys.exit(main())
