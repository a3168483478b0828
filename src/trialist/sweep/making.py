"""Makes runs: their directories, their configs, and what is started in them.

Everything about a run follows from the sweep's record and the trial's number and params, so a run that is made again after
a crash is the same run. Knows no study and no terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trialist.config.paths import as_path, get_path
from trialist.config.template import fill, program
from trialist.config.yaml import Document, load_yaml_text
from trialist.core.records import Segment, Trial
from trialist.execute.command import Launch
from trialist.execute.warm import warm_command
from trialist.sweep.layout import RunFiles, replacing
from trialist.sweep.names import RunNames
from trialist.sweep.record import SweepRecord


class RunMaker:
    """Makes the runs of one sweep. Not thread-safe; belongs to whoever leads the sweep."""

    def __init__(self, record: SweepRecord, document: Document | None = None) -> None:
        """A maker for a sweep, new or taken up again.

        Args:
            record: What is stored of it.
            document: The config, where it is read already.
        """
        self.record = record
        self._document = document or load_yaml_text(record.text, record.source)
        self._names = RunNames(record.stem, record.paths)

    def take_up(self, trials: Iterable[Trial]) -> None:
        """Learn the names that stored trials have: those with a directory first, for theirs are on the disk."""
        rows = list(trials)
        for trial in rows:
            if trial.run_dir:
                self._names.take(trial.number, Path(trial.run_dir).name)
        for trial in rows:
            self._names.name(trial.number, trial.params)

    def name(self, number: int, params: Mapping[str, Any]) -> str:
        """The name of a run's directory."""
        return self._names.name(number, params) if self.record.paths else self._single(number)

    def _single(self, number: int) -> str:
        return self.record.stem if number == 0 else f"{self.record.stem}_trial{number}"

    def files(self, trial: Trial) -> RunFiles:
        """The files of a run."""
        return self.record.files.run(self.name(trial.number, trial.params))

    def run_dir(self, trial: Trial) -> Path:
        """The directory of a run."""
        return self.files(trial).directory

    def config_text(self, params: Mapping[str, Any]) -> str:
        """The config of a run: only its own values, never a list of them; comments and order as in the sweep's."""
        return self._document.dumps(params)

    def make(self, files: RunFiles, params: Mapping[str, Any], *, new: bool = False) -> None:
        """Make a run's directory and its config.

        Args:
            files: Where.
            params: The run's.
            new: Whether the directory must not be there yet.

        Raises:
            OSError: They cannot be made.
        """
        files.directory.mkdir(parents=True, exist_ok=not new)
        text = self.config_text(params)
        # A second attempt finds its config as the first one left it, and a config is never half there.
        if not files.config.exists() or files.config.read_text(encoding="utf-8") != text:
            with replacing(files.config) as file:
                file.write(text)

    def launch(self, segment: Segment) -> Launch:
        """What an attempt at a run starts; its directory and config are there when this returns."""
        files = RunFiles(directory=Path(segment.run_dir))
        self.make(files, segment.params)
        tree: Any = self._document.data
        built_in = {"config": str(files.config), "run_dir": str(files.directory), "trial": segment.trial}

        def value_of(name: str) -> Any:
            if name in built_in:
                return built_in[name]
            if name in segment.params:
                return segment.params[name]
            for path, value in segment.params.items():
                keys, inside = as_path(path), as_path(name)
                if inside[: len(keys)] == keys:
                    return get_path(value, inside[len(keys) :])
            return get_path(tree, name)

        argv, cwd = program(fill(self.record.command, value_of)), Path(self.record.cwd)
        return Launch(
            argv=argv,
            warm=warm_command(argv, cwd),
            cwd=cwd,
            stdout=files.stdout,
            metrics_file=files.metrics,
        )
