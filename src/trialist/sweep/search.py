"""``HyperParamSearch``: a sweep from Python."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trialist.config import load_yaml
from trialist.core.errors import ConfigError
from trialist.sweep.leaderboard import Leaderboard, Row
from trialist.sweep.options import SweepOptions
from trialist.sweep.plan import Plan
from trialist.sweep.run import RUNS, conclude, prepare
from trialist.sweep.run import execute as execute_sweep
from trialist.sweep.unexecuted import make_directories, params_of

if TYPE_CHECKING:
    import pandas as pd

Variations = Mapping[str, Any] | Sequence[str]


class HyperParamSearch:
    """Tries the values that a config lists.

        >>> search = HyperParamSearch("config/mlp.yaml")                                       # doctest: +SKIP
        >>> search.run_grid_search({"training.learning_rate": [1e-3, 1e-4]}, run_prefix="lr")  # doctest: +SKIP
        [PosixPath('runs/lr_123045_learning_rate_0.001'), PosixPath('runs/lr_123045_learning_rate_0.0001')]

    Args:
        config_path: The YAML file.
        store: URL of the store that remembers what is executed; ``None``: the user's own.
        cold: Start each run as a new process with its own imports, also where runs are Python scripts.
    """

    def __init__(self, config_path: str | os.PathLike[str], *, store: str | None = None, cold: bool = False) -> None:
        self.config_path = Path(config_path)
        self.store = store
        self.cold = cold
        self._leaderboard: Leaderboard | None = None
        if not self.config_path.is_file():
            load_yaml(self.config_path)  # says so, and offers the nearest name

    def run_grid_search(
        self,
        param_variations: Variations | None = None,
        *,
        run_prefix: str | None = None,
        execute: bool = False,
        jobs: int = 1,
        metric: str | None = None,
        mode: str | None = None,
        search: str | None = None,
        num_trials: int | None = None,
        scheduler: str | None = None,
        command: Sequence[str] = (),
        gpus_per_run: float | None = None,
        seed: int = 0,
        timeout_s: float | None = None,
        retries: int = 0,
        max_failures: int | None = None,
        quiet: bool = False,
    ) -> list[Path]:
        """Make a directory with a config for each run, and execute them where asked to.

        Args:
            param_variations: ``{"path": [v1, v2]}``: replaces what the file has there; ``"+path"`` adds one.
            run_prefix: What the directories' names begin with; ``None``: ``run``.
            execute: Run them too, here and now; else the other arguments but ``search``, ``num_trials`` and ``seed`` do
                nothing.
            jobs: How many runs at once.
            metric: What the leaderboard is sorted by; ``None``: the config's ``metric:``.
            mode: ``min`` or ``max``; ``None``: what the metric's name says.
            search: A searcher's name; ``None``: a grid.
            num_trials: How many runs, where it is no grid.
            scheduler: Ends runs early: ``median``, ``asha``.
            command: What to execute, as a list; empty: the config's ``command:``, else the TrainingEngine.
            gpus_per_run: What one run takes; 0.5 packs two on a GPU.
            seed: Equal seeds give equal runs.
            timeout_s: Limit of one run.
            retries: How often a failed run is tried again.
            max_failures: Give up when more runs than this have failed.
            quiet: Print nothing.

        Returns:
            The runs' directories, in the order of the runs. A run that failed is among them; ``results`` tells.

        Raises:
            TrialistError: What is asked for cannot be; nothing was made.
            KeyboardInterrupt: Ctrl-C; ``trialist sweep --resume`` goes on.
        """
        options = SweepOptions(
            config=self.config_path,
            run_prefix=run_prefix,
            param_variations=param_variations or (),
            command=tuple(command),
            execute=execute,
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
            quiet=quiet,
            store=self.store,
            cold=self.cold,
        )
        cwd = Path.cwd()
        prepared = prepare(options, cwd)
        if not execute:
            made = make_directories(prepared.plan, prepared.document, cwd / RUNS, options)
            self._leaderboard = _waiting(prepared.plan, made, seed)
            return [path.relative_to(cwd) for path in made]
        from rich.console import Console

        screen = Console()
        finished = execute_sweep(prepared, options, screen)
        self._leaderboard = finished.ended.leaderboard
        if not quiet:
            conclude(finished, options, screen, cwd)
        if finished.ended.interrupted:
            raise KeyboardInterrupt
        return [path.relative_to(cwd) for path in finished.directories]

    def results(self) -> pd.DataFrame:
        """The leaderboard of the last ``run_grid_search`` of this object, the best first: one row a run.

        Columns: ``run``, each parameter by its path, each metric, ``status``, ``seconds``, ``exit_code``, ``error``.

        Raises:
            ConfigError: Nothing was made yet.
        """
        if self._leaderboard is None:
            raise ConfigError(
                "there are no results yet: call run_grid_search first, or read a leaderboard 'runs/….csv'."
            )
        import pandas as pd

        records = self._leaderboard.records()
        return pd.DataFrame(records, columns=self._leaderboard.columns(records))


def _waiting(plan: Plan, directories: Sequence[Path], seed: int) -> Leaderboard:
    """The leaderboard of runs that were made and not executed."""
    board = Leaderboard([param.path for param in plan.params], plan.metric)
    for number, (directory, params) in enumerate(zip(directories, params_of(plan, seed), strict=True)):
        board.put(Row(number=number, run=directory.name, params=params))
    return board
