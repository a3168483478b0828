"""A trial as its users see it: its row, what hangs on it, and what one may do to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from trialist.core.errors import Conflict
from trialist.core.ports import Store
from trialist.core.records import Attempt, Checkpoint, CommandKind, Failure, Params, Report, Trial
from trialist.core.states import TrialStatus
from trialist.core.wire import encode_metrics
from trialist.runtime.context import check_step, numbers

LOG_TAIL_BYTES = 1 << 20


class Commander(Protocol):
    """Carries commands to whoever leads the study."""

    def command(self, kind: CommandKind, args: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]: ...


def answered(result: Mapping[str, Any], name: str) -> Any:
    """What a command's result says by this name.

    Raises:
        Conflict: The leader is busy and has not answered yet; what it was sent stands.
    """
    if name not in result:
        raise Conflict(str(result.get("message", "the leader has not answered yet")))
    return result[name]


class TrialHandle:
    """One trial of a study: a snapshot of its row, read at the time of the call, and its controls.

    Fields are those of the row; ``reports``, ``attempts``, ``logs`` and ``checkpoint`` are read when asked for. Controls
    go to the study's leader, or are applied here where nobody leads; each returns a sentence that says what was done.
    """

    def __init__(self, record: Trial, store: Store, study_id: str, commander: Commander) -> None:
        self.record = record
        self._store = store
        self._study_id = study_id
        self._commander = commander

    def __repr__(self) -> str:
        value = "" if self.value is None else f", value={self.value:g}"
        return f"<Trial {self.number}: {self.status}{value}, params={dict(self.params)}>"

    @property
    def number(self) -> int:
        return self.record.number

    @property
    def params(self) -> Params:
        return self.record.params

    @property
    def seed(self) -> int:
        return self.record.seed

    @property
    def status(self) -> TrialStatus:
        return self.record.status

    @property
    def value(self) -> float | None:
        """The first of the study's metrics, at the step reached; ``None`` while unknown and for failed trials."""
        return self.record.value

    @property
    def metrics(self) -> Mapping[str, float]:
        return self.record.metrics

    @property
    def step(self) -> int | None:
        return self.record.step

    @property
    def parent(self) -> int | None:
        return self.record.parent

    @property
    def source(self) -> str:
        """Who suggested it: a searcher, a scheduler, ``enqueue``, ``clone`` or ``retry``."""
        return self.record.source

    @property
    def error(self) -> Failure | None:
        return self.record.error

    @property
    def reason(self) -> str:
        return self.record.reason

    @property
    def started_at(self) -> float | None:
        return self.record.started_at

    @property
    def seconds(self) -> float:
        """Time spent running, over all attempts."""
        return self.record.seconds

    @property
    def run_dir(self) -> Path | None:
        return Path(self.record.run_dir) if self.record.run_dir else None

    @property
    def reports(self) -> list[Report]:
        """Reports that count, by step; those a later attempt superseded are left out."""
        return [row for row in self._store.reports(self._study_id, self.number) if not row.superseded]

    @property
    def attempts(self) -> list[Attempt]:
        return self._store.attempts(self._study_id, self.number)

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Its last checkpoint that is kept."""
        return max(self._store.checkpoints(self._study_id, self.number), key=lambda row: row.at, default=None)

    @property
    def logs(self) -> str:
        """The end of what it printed (at most 1 MiB); empty where it ran inside the engine's process."""
        path = self.log_file
        if path is None:
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            return file.read().decode(errors="replace")

    @property
    def log_file(self) -> Path | None:
        """The file of what it printed; ``None`` where there is none (yet)."""
        if self.run_dir is None:
            return None
        path = self.run_dir / "stdout.log"
        return path if path.is_file() else None

    def stop(self) -> str:
        """End it early; its value at the step reached counts."""
        return self._tell(CommandKind.STOP_TRIAL)

    def cancel(self) -> str:
        """End it; nothing of it counts."""
        return self._tell(CommandKind.CANCEL_TRIAL)

    def pause(self) -> str:
        """Have it leave at its next report, to go on later from its last checkpoint."""
        return self._tell(CommandKind.PAUSE_TRIAL)

    def resume(self) -> str:
        """Let a paused one go on."""
        return self._tell(CommandKind.RESUME_TRIAL)

    def retry(self) -> TrialHandle:
        """Try an ended one again, as a new trial with this one as ``parent``."""
        return self._new(self._commander.command(CommandKind.RETRY, {"trial": self.number}))

    def clone(self, params: Params | None = None, *, warm_start: bool | str = False) -> TrialHandle:
        """Start a trial like this one, with some params changed.

        Args:
            params: What changes; checked against the space.
            warm_start: ``False``, ``"weights"`` (also ``True``) or ``"optimizer"``: what it takes over from this trial's
                last checkpoint. New values always win over restored ones.

        Raises:
            SpaceError: The changed params do not lie in the space.
            Conflict: There is no checkpoint to start from.
        """
        args = {"trial": self.number, "params": dict(params or {}), "warm_start": warm_start}
        return self._new(self._commander.command(CommandKind.CLONE, args))

    def _tell(self, kind: CommandKind) -> str:
        return str(self._commander.command(kind, {"trial": self.number}).get("message", ""))

    def _new(self, result: Mapping[str, Any]) -> TrialHandle:
        record = self._store.trial(self._study_id, answered(result, "trial"))
        return TrialHandle(record, self._store, self._study_id, self._commander)


class AskedTrial(TrialHandle):
    """A trial that its asker runs: ``report`` beside what every trial has."""

    def __init__(self, record: Trial, store: Store, study_id: str, commander: Commander) -> None:
        super().__init__(record, store, study_id, commander)
        self._step = -1

    def report(self, step: int | None = None, **metrics: float) -> str:
        """Report metrics at a step; returns what the scheduler decides: ``continue``, ``pause`` or ``stop``."""
        self._step = self._step + 1 if step is None else check_step(step)
        args = {"trial": self.number, "step": self._step, "metrics": encode_metrics(numbers(metrics))}
        return str(answered(self._commander.command(CommandKind.REPORT, args), "decision"))
