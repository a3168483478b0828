"""What all benchmarks share: rounds of interleaved cases, ratios with their spread, a table, JSON, and facts of the machine.

Each script asks one question. A case is a function that does its work once and returns what it measured: seconds a trial,
MiB, whatever its unit says. The cases of a question take turns in every round, so that a machine that is busy for a while
is so for all of them; a round before the first only warms up. Knows nothing of Trialist.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"
"""Where a full run leaves its JSON; ``page.py`` makes ``docs/benchmarks.md`` from it."""

Case = Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One line of a table."""

    name: str
    unit: str
    """What the numbers are: ``ms a trial``, ``MiB``."""
    values: tuple[float, ...]
    """One a round."""

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """How two cases compare: of each round a ratio, of these the median and the spread."""

    name: str
    """A sentence without its number: ``times faster than Optuna, SQLite``."""
    values: tuple[float, ...]
    at_least: float | None = None
    at_most: float | None = None
    """What it should be; neither: it is only told."""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def holds(self) -> bool | None:
        """Whether the median is where it should be; ``None`` where nothing was asked of it."""
        if self.at_least is not None:
            return self.median >= self.at_least
        return None if self.at_most is None else self.median <= self.at_most


@dataclass(kw_only=True, slots=True)
class Result:
    """The answer to one question."""

    question: str
    """Name of the script."""
    about: str
    """What is measured, against what, and what is not: the first lines of the page's section."""
    measured: list[Measured] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)
    taken: str = ""
    seconds: float = 0.0
    quick: bool = False

    def add(self, name: str, unit: str, values: Sequence[float]) -> None:
        """A line of the table."""
        self.measured.append(Measured(name=name, unit=unit, values=tuple(values)))

    def compare(
        self,
        name: str,
        above: Sequence[float],
        below: Sequence[float],
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        """A ratio of two cases, round by round."""
        values = tuple(a / b for a, b in zip(above, below, strict=True))
        self.ratios.append(Ratio(name=name, values=values, at_least=at_least, at_most=at_most))


class Spent(NamedTuple):
    """What a process took."""

    seconds: float
    peak_mib: float
    """Its greatest resident memory."""


def process(argv: Sequence[str], *, output: Path | None = None, **environment: str) -> Spent:
    """Run a program to its end.

    The caller should be small: a new process counts the memory that its parent had when it began.

    Raises:
        RuntimeError: It failed; shows what it said.
    """
    with tempfile.TemporaryFile() as said, (output or Path(os.devnull)).open("wb") as out:
        began = time.perf_counter()
        child = subprocess.Popen(argv, stdout=out, stderr=said, env={**os.environ, **environment})
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            said.seek(0)
            raise RuntimeError(f"{' '.join(argv[:4])} … ended with {child.returncode}: {said.read().decode()[-2000:]}")
    return Spent(seconds, usage.ru_maxrss / 1024)


def elsewhere(script: str, function: str, *arguments: Any) -> Any:
    """What a function of a script returns, called in a process of its own; arguments and result are JSON.

    Args:
        script: The script's ``__file__``.
        function: A name at its top level.
        *arguments: What it is given.

    Raises:
        RuntimeError: It failed; shows what it said.
    """
    module = Path(script).stem
    code = f"import json, sys, {module} as m; print(json.dumps(m.{function}(*json.loads(sys.argv[1]))))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(script).parent), *sys.path[1:]])}
    argv = [sys.executable, "-c", code, json.dumps(arguments)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{module}.{function} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def peak_mib() -> float:
    """The greatest resident memory of this process so far, that of its parent when it began included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rss_mib() -> float:
    """The resident memory of this process now."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell a process's memory in /proc/self/status")


# --- a script ---


class Sizes(NamedTuple):
    """How much a script does."""

    quick: bool

    def of(self, full: int, quick: int) -> int:
        """A size for a full run, and one that only shows that the script works."""
        return quick if self.quick else full

    def take_turns(self, cases: Mapping[str, Case], rounds: int) -> dict[str, list[float]]:
        """What each case measured in each round; all cases take turns, once more beforehand to warm up."""
        values: dict[str, list[float]] = {name: [] for name in cases}
        first = 1 if self.quick else 0
        for number in range(first, self.of(rounds, 1) + 1):
            for name, case in cases.items():
                value = case()
                if number:
                    values[name].append(value)
        return values


def main(ask: Callable[[Result, Sizes], None], *, question: str, about: str, packages: Sequence[str] = ()) -> int:
    """Ask a script's question: the table on standard output, JSON in ``results/`` or where ``--json`` says.

    Args:
        ask: Fills the result.
        question: The script's name.
        about: See ``Result.about``.
        packages: Whose versions matter.
    """
    parser = argparse.ArgumentParser(description=" ".join(about.split()))
    parser.add_argument("--quick", action="store_true", help="tiny sizes: whether it works, no figures worth keeping")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go; '-' prints them alone")
    given = parser.parse_args()
    result = Result(question=question, about=" ".join(about.split()), quick=given.quick)
    result.machine = machine()
    result.versions = {name: _version(name) for name in ("trialist", *packages)}
    result.taken = time.strftime("%Y-%m-%d", time.gmtime())
    began = time.perf_counter()
    ask(result, Sizes(given.quick))
    result.seconds = round(time.perf_counter() - began, 1)
    if given.json == Path("-"):
        print(json.dumps(as_json(result)))
        return 0
    print(as_text(result))
    target = given.json or (None if given.quick else RESULTS / f"{question}.json")
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(as_json(result), indent=1) + "\n", "utf-8")
        print(f"written to {target}")
    return 0


def as_json(result: Result) -> dict[str, Any]:
    """A result as data; numbers keep four significant digits, which is more than they are good for."""
    data = asdict(result)
    for entry in (*data["measured"], *data["ratios"]):
        entry["values"] = [float(f"{value:.4g}") for value in entry["values"]]
    return data


def from_json(data: Mapping[str, Any]) -> Result:
    """The result that ``as_json`` was given."""
    fields = dict(data)
    fields["measured"] = [Measured(**{**one, "values": tuple(one["values"])}) for one in data["measured"]]
    fields["ratios"] = [Ratio(**{**one, "values": tuple(one["values"])}) for one in data["ratios"]]
    return Result(**fields)


def as_text(result: Result) -> str:
    """A table for people."""
    rows = [(one.name, figure(one.median), one.unit, spread(one.values)) for one in result.measured]
    rows += [(one.name, figure(one.median), verdict(one), spread(one.values)) for one in result.ratios]
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}} {c:<{widths[2]}}  {d}".rstrip() for a, b, c, d in rows]
    told = ", ".join(f"{name} {number}" for name, number in result.versions.items())
    quick = ["(--quick: it works; these are no figures)"] if result.quick else []
    return "\n".join([*lines, *result.notes, f"({told}; {result.seconds:.0f} s)", *quick])


def verdict(ratio: Ratio) -> str:
    """What was asked of a ratio, and whether it is so."""
    if ratio.holds is None:
        return "×"
    asked = f"at least {ratio.at_least:g}" if ratio.at_least is not None else f"at most {ratio.at_most:g}"
    return f"× ({asked}: {'yes' if ratio.holds else 'NO'})"


def figure(value: float) -> str:
    """Three significant digits, and all digits of a large number's whole part."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """Least and greatest of several rounds; nothing for one."""
    return f"{figure(min(values))} to {figure(max(values))}" if len(values) > 1 else ""


# --- the machine ---


def machine() -> dict[str, str]:
    """What the figures depend on, without a name that tells whose machine it is."""
    facts = {
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "processor": _line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "memory": f"{int((_line('/proc/meminfo', 'MemTotal') or '0').split()[0]) / 2**20:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}, {platform.machine()}",
        "python": platform.python_version(),
        "file system": _file_system(Path(tempfile.gettempdir())),
        "fsync of 4 KiB": f"{1e3 * _fsync():.2f} ms",
    }
    if hasattr(os, "getloadavg"):
        facts["load before"] = f"{os.getloadavg()[0]:.1f}"
    return facts


def _line(path: str, name: str) -> str:
    """What a line ``name : value`` of a file of the kernel's says; empty where there is none."""
    try:
        text = Path(path).read_text("utf-8")
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(name)), "")


def _file_system(folder: Path) -> str:
    """The kind of file system that temporary files lie on."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    except OSError:
        return "unknown"
    inside = [(len(mount[1]), mount[2]) for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    return max(inside)[1] if inside else "unknown"


def _fsync(times: int = 20) -> float:
    """Seconds until 4 KiB more of a file are on the disk: the floor of every durable commit."""
    seconds = []
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            began = time.perf_counter()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit("this is what the benchmarks share: run one of them, or 'make bench'")
