"""What a sweep prints around its runs: the plan, the directories, the end. Opens no store and runs nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trialist.store.locate import default_url, store_url
from trialist.sweep.options import SweepOptions
from trialist.sweep.plan import Plan
from trialist.sweep.render import plan_json, render, render_made
from trialist.sweep.summary import Ended, summary, summary_json
from trialist.telemetry.progress import Screen


def print_text(screen: Screen, text: str) -> None:
    """Text as it is: no markup, no colours guessed, no lines broken."""
    screen.print(text, markup=False, highlight=False, soft_wrap=True)


def print_json(screen: Screen, data: Any) -> None:
    print_text(screen, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def show_plan(plan: Plan, options: SweepOptions, screen: Screen, obstacle: str = "") -> None:
    """The plan, and why it cannot be executed, where it cannot."""
    if options.json:
        print_json(screen, {**plan_json(plan), "obstacle": obstacle})
    else:
        print_text(screen, render(plan, prefix=options.run_prefix, width=screen.width, obstacle=obstacle))


def show_directories(plan: Plan, directories: Sequence[Path], options: SweepOptions, screen: Screen, cwd: Path) -> None:
    """What ``--no-execute`` made, and of what."""
    if options.json:
        print_json(screen, {"directories": [str(path) for path in directories]})
    elif not options.quiet:
        shown = [str(path.relative_to(cwd)) for path in directories[:3]]
        more = [f"… and {len(directories) - 3} more"] if len(directories) > 3 else []
        print_text(screen, render_made(plan, width=screen.width))
        what = "1 directory" if len(directories) == 1 else f"{len(directories)} directories"
        print_text(screen, "\n".join([f"Made {what}, each with its config.yaml; nothing was executed.", *shown, *more]))


def show_queued(name: str, message: str, options: SweepOptions, screen: Screen) -> None:
    """That workers have it now."""
    if options.json:
        print_json(screen, {"study": name, "status": "queued", "message": message})
    else:
        print_text(screen, f"{message[:1].upper()}{message[1:]}.")


def show_end(ended: Ended, options: SweepOptions, screen: Screen, cwd: Path) -> None:
    """How it ended, and what comes next."""
    own = options.store is not None and store_url(options.store) != default_url()
    again = f"trialist sweep --resume {ended.files.stem}{f' --store {options.store}' if own else ''}"
    if options.json:
        print_json(screen, summary_json(ended, ended.leaderboard.metric))
    else:
        print_text(screen, summary(ended, width=screen.width, again=again, here=cwd))
