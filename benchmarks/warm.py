"""How soon a script runs whose imports take long: forked warm from a template, beside a new interpreter."""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from measuring import Result, Sizes, main

from trialist.core.ports import ExitedSignal, Signal
from trialist.core.records import Segment
from trialist.execute.command import CommandExecutor
from trialist.execute.launch import Launch
from trialist.execute.pool import PoolExecutor
from trialist.execute.warm import warm_command

ABOUT = """
Milliseconds from giving a trial to the executor until its script has done its imports and a line of work, and until it has
ended, one trial at a time. Cold, each is a new interpreter (`--cold`); warm, each is a fork of a template that has the
script's imports behind it, as a sweep and the pool start Python scripts by themselves. The first trial, with which the
template learns what to import, is left out: it costs what a cold one does.
"""
SCRIPTS = {
    "scikit-learn": """
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
LogisticRegression()
""",
    "torch": """
import torch
from torch import nn
nn.Linear(2, 2)(torch.zeros(1, 2))
""",
}
STAMP = """
import sys, time
open(sys.argv[1], "w").write(str(time.time()))
"""


class Runs:
    """An executor that runs one script again and again."""

    def __init__(self, kind: type[CommandExecutor], script: Path, folder: Path) -> None:
        self._folder = folder
        self._script = script
        self._executor = kind(self._prepare)
        self._count = itertools.count()
        self.ends: list[float] = []
        """Milliseconds until each trial had ended."""

    def _prepare(self, segment: Segment) -> Launch:
        folder = Path(segment.run_dir)
        folder.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, str(self._script), str(folder / "stamp")]
        return Launch(argv=argv, stdout=folder / "stdout.log", warm=warm_command(argv))

    def __call__(self) -> float:
        """Milliseconds until the script's own first line of work."""
        number = next(self._count)
        folder = self._folder / str(number)
        ended: list[ExitedSignal] = []

        def hear(signal: Signal) -> None:
            if isinstance(signal, ExitedSignal):
                ended.append(signal)

        began, stamp = time.perf_counter(), time.time()
        given = {"study_id": "0" * 32, "study": "bench", "params": {}, "seed": number}
        self._executor.start(Segment(trial=number, attempt=1, run_dir=str(folder), **given))
        while not ended:
            self._executor.poll(60.0, hear)
        if ended[0].error is not None:
            raise RuntimeError(ended[0].error.message)
        self.ends.append(1e3 * (time.perf_counter() - began))
        return 1e3 * (float((folder / "stamp").read_text()) - stamp)

    def close(self) -> None:
        self._executor.close()


def ask(result: Result, sizes: Sizes) -> None:
    kinds = {"cold": partial(Runs, CommandExecutor), "warm": partial(Runs, PoolExecutor)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for library, text in SCRIPTS.items():
            script = folder / f"needs-{library}.py"  # no module of the library's name
            script.write_text(text + STAMP, "utf-8")
            runs = {how: make(script, folder / f"{library}-{how}") for how, make in kinds.items()}
            try:
                runs["warm"]()  # with this the template learns
                took = sizes.take_turns(runs, 10)
            finally:
                for one in runs.values():
                    one.close()
            _tell(result, library, took, {how: one.ends[-len(took[how]) :] for how, one in runs.items()})


def _tell(result: Result, library: str, begun: dict[str, list[float]], ended: dict[str, list[float]]) -> None:
    for how in begun:
        result.add(f"a script that imports {library}, {how}: works after", "ms", begun[how])
        result.add(f"a script that imports {library}, {how}: has ended after", "ms", ended[how])
    result.compare(f"times sooner at work: {library}", begun["cold"], begun["warm"], at_least=10)
    result.compare(f"times sooner at its end: {library}", ended["cold"], ended["warm"])


if __name__ == "__main__":
    sys.exit(main(ask, question="warm", about=ABOUT, packages=["scikit-learn", "torch"]))
