"""``trialist sweep``: the options of a sweep, handed to its front door."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from trialist.cli.options import StoreOption
from trialist.cli.sweep_arguments import COMMAND
from trialist.core.errors import UserError
from trialist.sweep import run_sweep
from trialist.sweep.options import SweepOptions


def sweep(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="The YAML config. Without it, the first one in config/."),
    ] = None,
    run_prefix: Annotated[
        str | None,
        typer.Option("--run-prefix", metavar="TEXT", help="What the run directories' names begin with; else 'run'."),
    ] = None,
    param_variations: Annotated[
        list[str] | None,
        typer.Option(
            "--param-variations",
            metavar="PATH=V1,V2 ...",
            help="Vary what is at this path over these values, whatever the file says; +PATH adds a new one. Several may "
            "follow, and the option may be repeated.",
        ),
    ] = None,
    no_execute: Annotated[
        bool, typer.Option("--no-execute", help="Only make the run directories and their configs.")
    ] = False,
    queue: Annotated[
        bool, typer.Option("--queue", help="Hand it to workers ('trialist worker') instead of running it here.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what would vary and how many runs; make nothing.")
    ] = False,
    search: Annotated[
        str | None,
        typer.Option("--search", metavar="NAME", help="How to choose values: grid, random, sobol, …; else grid."),
    ] = None,
    num_trials: Annotated[
        int | None, typer.Option("--num-trials", metavar="N", help="How many runs in all; a grid needs no number.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", help="How many runs at once; else 1.", show_default=False)
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="NAME", help="What to compare runs by; else the config's metric.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", metavar="min|max", help="Which way the metric is better.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="NAME", help="Who ends bad runs early: median, asha, …; else nobody."),
    ] = None,
    gpus_per_run: Annotated[
        float | None, typer.Option("--gpus-per-run", metavar="N", help="GPUs of one run; 0.5 packs two runs on one.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Equal seeds give equal values.")] = 0,
    timeout_s: Annotated[
        float | None, typer.Option("--timeout-s", metavar="SECONDS", help="A run that takes longer is ended.")
    ] = None,
    retries: Annotated[int, typer.Option("--retries", metavar="N", help="How often a failed run is tried again.")] = 0,
    max_failures: Annotated[
        int | None, typer.Option("--max-failures", metavar="N", help="Give up when more runs than this fail.")
    ] = None,
    cold: Annotated[
        bool,
        typer.Option(
            "--cold", help="Start each run as a new process with its own imports, also where it is a Python script."
        ),
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume", metavar="[NAME]", help="Go on with an interrupted sweep; without a name, with the last one."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, only the summary.")] = False,
    store: StoreOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> None:
    """Try several values of a config, one run each.

    Lists of values and distributions in the config vary; each run gets a directory of its own under runs/. What is
    executed: the command after --, else the config's 'command:', else the built-in training. In the command, {config},
    {run_dir}, {trial} and any {dotted.path} of the config are replaced.

    Example: trialist sweep --config c.yaml --jobs 4 -- python train.py --config {config} --out {run_dir}
    """
    if context.args:
        word = context.args[0]
        raise UserError(
            f"what is '{word}'? A config is given as --config {word}, and the command to execute stands after '--'."
        )
    options = SweepOptions(
        config=config,
        run_prefix=run_prefix,
        param_variations=tuple(param_variations or ()),
        command=context.meta.get(COMMAND, ()),
        execute=not no_execute,
        queue=queue,
        plan=plan,
        search=search,
        num_trials=num_trials,
        jobs=jobs,
        metric=metric,
        mode=mode,
        scheduler=scheduler,
        gpus_per_run=gpus_per_run,
        seed=seed,
        timeout_s=timeout_s,
        retries=retries,
        max_failures=max_failures,
        cold=cold,
        resume=resume,
        quiet=quiet,
        store=store,
        json=as_json,
    )
    raise typer.Exit(run_sweep(options, Console(highlight=False)))
