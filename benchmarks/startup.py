"""How long until Trialist is there: ``import trialist`` beside ``import optuna``, and ``trialist --help``."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial

from measuring import Result, Sizes, main

ABOUT = """
Milliseconds until a new interpreter has imported Trialist, or has printed the command line's help, beside `import optuna`
and a bare interpreter, which is the floor. Bytecode is there already.
"""
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import trialist": ["-c", "import trialist"],
    "import optuna": ["-c", "import optuna"],
    "trialist --help": ["-m", "trialist", "--help"],
}


def milliseconds(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return 1e3 * (time.perf_counter() - began)


def ask(result: Result, sizes: Sizes) -> None:
    took = sizes.take_turns({name: partial(milliseconds, argv) for name, argv in COMMANDS.items()}, 15)
    for name, values in took.items():
        result.add(name, "ms", values)
    over = {name: [a - b for a, b in zip(took[name], took["python -c pass"], strict=True)] for name in COMMANDS}
    share = "of what import optuna costs, over the bare interpreter"
    result.compare(share, over["import trialist"], over["import optuna"], at_most=0.25)


if __name__ == "__main__":
    sys.exit(main(ask, question="startup", about=ABOUT, packages=["optuna"]))
