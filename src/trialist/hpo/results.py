"""``HPOResults``: what an optimisation found, and ``load_results``, which gives the same in another process.

A thin view of a study: nothing is copied, so it may be looked at while the study still runs. Knows no plot and no analysis.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trialist.api.exporting import export_text
from trialist.api.importing import import_studies
from trialist.api.opening import load_study
from trialist.api.study import Study
from trialist.api.trials import TrialHandle
from trialist.core.errors import ConfigError
from trialist.core.ports import Store
from trialist.core.records import Metric, Params, Trial
from trialist.core.states import StudyStatus, TrialStatus
from trialist.hpo.record import DOOR, HPORecord
from trialist.hpo.sections import Sections
from trialist.store.locate import open_store

if TYPE_CHECKING:
    import pandas as pd


class HPOResults:
    """The results of an optimisation, or of any other study.

    Made by ``HPOptimizer.optimize`` and ``load_results``.
    """

    def __init__(self, study: Study) -> None:
        self.study = study

    def __repr__(self) -> str:
        score = "no completed trial" if self.best_score is None else f"best {self.best_score:g}"
        return f"<HPOResults of '{self.study.name}': {self.study.row.num_trials} trials, {score}>"

    def __len__(self) -> int:
        return self.study.row.num_trials

    @property
    def name(self) -> str:
        """The study's name, by which every door and the command line find it."""
        return self.study.name

    @property
    def status(self) -> StudyStatus:
        return self.study.status

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What was optimised."""
        return self.study.row.spec.metrics

    @property
    def metric(self) -> Metric | None:
        """The one metric; ``None`` where there is none or more than one."""
        return self.study.row.metric

    @property
    def trials(self) -> list[TrialHandle]:
        """All trials by number, those that failed too."""
        return self.study.trials()

    @property
    def best_trial(self) -> TrialHandle | None:
        """The trial with the best score; ``None`` while there is none, and for several metrics (``pareto_front``)."""
        return self.study.best_trial

    @property
    def best_params(self) -> Params | None:
        """The best trial's params; ``None`` where there is no best trial."""
        return self.study.best_params

    @property
    def best_score(self) -> float | None:
        """The best trial's value of the metric; ``None`` where there is no best trial."""
        return self.study.best_value

    @property
    def pareto_front(self) -> list[TrialHandle]:
        """The trials that no other one beats in every metric."""
        return self.study.pareto_front()

    def best_configs(self) -> Sections:
        """The configs of the best trial, ``(model, data, training)``: what ``TrainingEngine.train`` takes.

        Raises:
            ConfigError: No trial has completed, or the study was not made by ``optimize``.
        """
        record = HPORecord.from_json(self.study.row.spec.config, self.study.name)
        return record.sections.laid(record.places, best_of(self).params)

    def dataframe(self) -> pd.DataFrame:
        """One row a trial: number, status, value, ``params.…``, ``metrics.…``, source, parent, step, seconds, error."""
        return self.study.dataframe()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything that is known of the study to one file, for ``load_results``; whole or not at all.

        The study itself stays in its store. The file may be brought into another store: ``trialist import FILE``.

        Raises:
            ConfigError: The file cannot be written.
        """
        file = Path(path).expanduser()
        temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8") as stream:
                stream.writelines(export_text(self.study, "study"))
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(file)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise ConfigError(f"the results cannot be written: {error.strerror or error}", file=str(file)) from error
        return file


def load_results(path_or_study: Any, *, store: str | Store | None = None) -> HPOResults:
    """The results of an earlier optimisation, in this process or another.

    Args:
        path_or_study: A file that ``HPOResults.save`` wrote, the name of a study, or a ``Study``.
        store: Where the study of that name is; as in ``create_study``.

    Raises:
        NotFound: There is no study of this name.
        ConfigError: The file is damaged, holds no study, or holds several.
    """
    if isinstance(path_or_study, HPOResults):
        return path_or_study
    if isinstance(path_or_study, Study):
        return HPOResults(path_or_study)
    if isinstance(path_or_study, os.PathLike) or _is_file(path_or_study):
        return HPOResults(_from_file(Path(path_or_study).expanduser()))
    if not isinstance(path_or_study, str):
        raise ConfigError(
            "give the file that results were saved to, the name of a study, or a Study, not a "
            f"{type(path_or_study).__name__}"
        )
    return HPOResults(load_study(path_or_study, store=store))


def _is_file(given: object) -> bool:
    if not isinstance(given, str):
        return False
    # A study's name never has a slash, so that is a file even where it is missing.
    return "/" in given or Path(given).is_file()


def _from_file(file: Path) -> Study:
    """The study of a file, in a store in memory that nobody else sees."""
    if not file.is_file():
        raise ConfigError("there is no such file", file=str(file))
    memory = open_store("memory")
    moved = import_studies(file, store=memory)
    if len(moved) != 1:
        names = ", ".join(one.name for one in moved)
        raise ConfigError(
            f"it holds {len(moved)} studies ({names}); bring them into a store: trialist import", file=str(file)
        )
    return load_study(moved[0].id, store=memory)


class Best(NamedTuple):
    """The best trial of some results."""

    number: int
    params: Params
    score: float


def best_of(results: HPOResults) -> Best:
    """The best trial.

    Raises:
        ConfigError: There is none; says why.
    """
    best = results.best_trial
    if best is not None and best.value is not None:
        return Best(best.number, best.params, best.value)
    if len(results.metrics) > 1:
        raise ConfigError(
            f"study '{results.name}' has {len(results.metrics)} metrics, so no trial is best in all: choose one of "
            "results.pareto_front"
        )
    raise ConfigError(f"study '{results.name}' has no completed trial, so there is no best one{_why(results)}")


def _why(results: HPOResults) -> str:
    row = results.study.row
    failed = row.count(TrialStatus.FAILED)
    if not row.num_trials:
        return ": none was started"
    if not failed:
        return f": of its {row.num_trials} trials none has ended"
    page = results.study.store.trials(results.study.id, status=(TrialStatus.FAILED,), limit=1)
    return f": {failed} failed, trial {page.trials[0].number} with: {_message(page.trials[0])}"


def _message(trial: Trial) -> str:
    return trial.error.message if trial.error is not None else trial.reason


__all__ = ["DOOR", "HPOResults", "best_of", "load_results"]
