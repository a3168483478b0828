"""The demo behind ``make demo``: plan a sweep, run it, look at the result, and learn what comes next."""

import subprocess
import sys
from pathlib import Path

from rich.console import Console

import trialist
from trialist.analysis.picture import save_picture
from trialist.analysis.series import heat_map, history, overview
from trialist.analysis.terminal import render
from trialist.core.records import Metric, Mode

METRIC = Metric(name="val_accuracy", mode=Mode.MAX)
SWEEP = ["sweep", "--config", "config/digits.yaml", "--run-prefix", "demo", "--metric", "val_accuracy", "--mode", "max"]
JOBS = ["--jobs", "2"]

console = Console()


def say(text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]", highlight=False, soft_wrap=True)


def run(*arguments: str) -> int:
    """Run the command line of Trialist, as a user would."""
    console.print(f"[cyan]$ trialist {' '.join(arguments)}[/cyan]\n", highlight=False, soft_wrap=True)
    return subprocess.run([sys.executable, "-m", "trialist", *arguments], check=False).returncode


def newest() -> str:
    """The name of the sweep that was just made: its leaderboard is called after it."""
    return max(Path("runs").glob("demo_*.csv"), key=lambda path: path.stat().st_mtime).stem


def main() -> int:
    say("1. The plan: what varies, over what, and how many runs that is. Nothing is made yet.")
    code = run(*SWEEP, *JOBS, "--plan")
    if code:
        return code

    say("2. The sweep: each run is a process of its own with a directory of its own.")
    code = run(*SWEEP, *JOBS)
    if code:
        return code

    name = newest()
    trials = [trial.record for trial in trialist.load_study(name).trials()]
    say("3. The picture.")
    width = min(console.width, 100)
    unicode = "utf" in (console.encoding or "").lower()
    for plot in (
        history(trials, METRIC),
        heat_map(trials, METRIC, "training.learning_rate", "training.batch_size"),
    ):
        console.print(render(plot, width, 10, ascii_only=not unicode))
    best = max((trial for trial in trials if trial.value is not None), key=lambda trial: trial.value or 0.0)
    picture = save_picture(
        overview(trials, METRIC),
        Path("runs") / f"{name}.png",
        title=f"{name}: {len(trials)} runs, best {METRIC.name} {best.value:.4f}",
        subtitle=f"trial {best.number}: " + ", ".join(f"{path} = {value}" for path, value in best.params.items()),
    )
    console.print(f"The same as a PNG: [bold]{picture}[/bold]", highlight=False)

    say("4. What next?")
    trialist_command = Path(sys.executable).with_name("trialist")
    shown = (
        trialist_command.relative_to(Path.cwd()) if trialist_command.is_relative_to(Path.cwd()) else trialist_command
    )
    quoted = f"'{shown}'" if " " in str(shown) else str(shown)
    for command, what in (
        (f"{quoted} trials {name}", "all runs as a table"),
        (f"{quoted} show {name} {best.number}", "everything about the best one"),
        (f"{quoted} logs {name} {best.number}", "what it printed"),
        (f"{quoted} {' '.join(SWEEP[:3])}", "the sweep again; stop it with Ctrl-C …"),
        (f"{quoted} sweep --resume", "… and go on where it stopped"),
        (f"{quoted} --help", "the rest"),
    ):
        console.print(f"  {command:<64} [dim]{what}[/dim]", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
