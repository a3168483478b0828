"""How long until Trialist is there: ``import trialist`` beside ``import optuna``, and ``trialist --help``.

Floors: a bare interpreter. Medians of several interleaved rounds in one run; a table for people, JSON with ``--json``.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

ROUNDS = 15
COMMANDS = {
    "python": [sys.executable, "-c", "pass"],
    "import trialist": [sys.executable, "-c", "import trialist"],
    "import optuna": [sys.executable, "-c", "import optuna"],
    "trialist --help": [sys.executable, "-m", "trialist", "--help"],
}
LIMITS = {"import trialist": 0.100, "trialist --help": 0.300}
SHARE_OF_OPTUNA = 0.25


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> int:
    for command in COMMANDS.values():  # the first run writes bytecode
        seconds(command)
    rounds = [{name: seconds(command) for name, command in COMMANDS.items()} for _ in range(ROUNDS)]
    medians = {name: statistics.median(one[name] for one in rounds) for name in COMMANDS}
    floor = medians["python"]
    share = (medians["import trialist"] - floor) / (medians["import optuna"] - floor)
    result = {
        "question": "startup",
        "seconds": {name: round(value, 4) for name, value in medians.items()},
        "import_share_of_optuna": round(share, 4),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("trialist", "optuna")},
        "rounds": ROUNDS,
    }
    if "--json" in sys.argv:
        print(json.dumps(result))
    else:
        for name, value in medians.items():
            over = f"   {1e3 * (value - floor):6.0f} ms over the interpreter" if name != "python" else ""
            print(f"{name:<16} {1e3 * value:6.0f} ms{over}")
        print(f"import trialist costs {share:.1%} of import optuna")
    slow = [name for name, limit in LIMITS.items() if medians[name] > limit]
    return int(bool(slow) or share > SHARE_OF_OPTUNA)


if __name__ == "__main__":
    sys.exit(main())
