"""What the tests of all model types share: a training that is left at a step, and gone on with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trialist.train.engine import TrainingEngine

Section = dict[str, Any]


class Keeper:
    """Keeps the last checkpoint in a directory, as a study does for a trial."""

    def __init__(
        self, folder: Path, start: Path | None = None, resume_step: int | None = None, warm_start: str | None = None
    ) -> None:
        self.folder, self.checkpoint, self.resume_step, self.warm_start = folder, start, resume_step, warm_start

    def save_checkpoint(self, write: Callable[[Path], object]) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        write(self.folder)


class Enough(SystemExit):
    """As ``Stopped`` and ``Paused`` are: nothing in a training may catch it."""


class Trainings:
    """Trains the same three sections whole, up to a step, and from a checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.engine, self.folder = TrainingEngine(), folder

    def whole(self, *sections: Section) -> tuple[list[int], Section]:
        return self._train(sections, None)

    def left_at(self, step: int, *sections: Section) -> Path:
        """The checkpoint of a training that is told to leave by its report at ``step``."""
        kept = self.folder / f"left-at-{step}"

        def leave(*, step: int, **_: float) -> None:
            if step == last:
                raise Enough

        last = step
        with pytest.raises(Enough):
            self.engine.train(*sections, report=leave, checkpoint=Keeper(kept))
        return kept

    def resumed(self, start: Path, step: int, *sections: Section) -> tuple[list[int], Section]:
        return self._train(sections, Keeper(self.folder / "resumed", start, step, "resume"))

    def warm(self, start: Path, what: str, *sections: Section) -> tuple[list[int], Section]:
        return self._train(sections, Keeper(self.folder / "warm", start, None, what))

    def _train(self, sections: tuple[Section, ...], keeper: Keeper | None) -> tuple[list[int], Section]:
        steps: list[int] = []
        metrics = self.engine.train(*sections, report=lambda *, step, **_: steps.append(step), checkpoint=keeper)
        return steps, metrics


@pytest.fixture
def trainings(tmp_path: Path) -> Trainings:
    return Trainings(tmp_path)
