"""Which checkpoints a study keeps: rows first, files after the commit that frees them.

Kept: the last one of every trial, for as long as the trial lives or a live trial starts from it; those of ended trials
while all together stay below ``artifact_budget_bytes``, the best three in any case. Knows no files: a callback removes
them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from trialist.core import faults
from trialist.core.events import Checkpointed, CheckpointFreed
from trialist.core.records import Checkpoint, Trial
from trialist.engine.lead import Lead

ARTIFACT_BUDGET_BYTES = 5 * 1024**3
"""What the checkpoints of ended trials may take, unless a study says otherwise."""
_BEST_KEPT = 3


class CheckpointKeeper:
    """The checkpoints of a led study.

    Args:
        lead: The study.
        kept: Rows that are there when the lead begins.
        ended: The ended trials among those that these rows belong to.
        remove: Removes a checkpoint's directory; called after the commit of its ``CheckpointFreed``.
        budget_bytes: What checkpoints of ended trials may take.
    """

    def __init__(
        self,
        lead: Lead,
        kept: Iterable[Checkpoint],
        ended: Iterable[Trial],
        remove: Callable[[str], None],
        budget_bytes: int = ARTIFACT_BUDGET_BYTES,
    ) -> None:
        self._lead = lead
        self._remove = remove
        self._budget_bytes = budget_bytes
        self._rows: dict[str, Checkpoint] = {row.id: row for row in kept}
        self._last: dict[int, str] = {row.trial: row.id for row in self._rows.values()}
        self._ended: dict[int, float | None] = {}
        for trial in ended:
            self._ended[trial.number] = trial.value
        self._doomed: list[str] = []

    def find(self, checkpoint_id: str | None) -> Checkpoint | None:
        """The row of a checkpoint that is kept."""
        return None if checkpoint_id is None else self._rows.get(checkpoint_id)

    def last_of(self, trial: int) -> Checkpoint | None:
        """The last checkpoint of a trial, if it is kept."""
        return self.find(self._last.get(trial))

    def took(self, body: Checkpointed, at: float) -> None:
        """A checkpoint was taken (its event is emitted): the one before it goes, unless somebody starts from it."""
        row = Checkpoint(
            id=body.checkpoint,
            trial=body.trial,
            attempt=body.attempt,
            step=body.step,
            path=body.path,
            num_bytes=body.num_bytes,
            at=at,
        )
        before = self._last.get(body.trial)
        self._rows[row.id], self._last[row.trial] = row, row.id
        if before is not None and before != row.id and before not in self._referred_to():
            # The same directory written again (a step reached twice, by two attempts) must survive its older row.
            self._free(before, files=self._rows[before].path != row.path)

    def trial_ended(self, trial: Trial) -> None:
        """A trial ended: within the budget its last checkpoint stays, for clones and exports."""
        if trial.warm_start_from is not None:
            self._free_left_behind()
        if trial.number not in self._last:
            return
        self._ended[trial.number] = trial.value
        total = sum(row.num_bytes for row in self._rows.values() if row.trial in self._ended)
        if total <= self._budget_bytes:
            return
        referred, best = self._referred_to(), self._best()
        for number in sorted(self._ended):
            checkpoint = self._last.get(number)
            if checkpoint is None or number in best or checkpoint in referred:
                continue
            total -= self._rows[checkpoint].num_bytes
            self._free(checkpoint)
            if total <= self._budget_bytes:
                return

    def sweep(self) -> None:
        """Remove the files of what was freed; call after a commit."""
        doomed, self._doomed = self._doomed, []
        for path in doomed:
            faults.point("engine.files.before")
            self._remove(path)
            faults.point("engine.files.after")

    def _free(self, checkpoint: str, files: bool = True) -> None:
        row = self._rows.pop(checkpoint)
        if self._last.get(row.trial) == checkpoint:
            del self._last[row.trial]
        self._lead.emit(CheckpointFreed(trial=row.trial, checkpoint=checkpoint))
        if files:
            self._doomed.append(row.path)

    def _free_left_behind(self) -> None:
        """What stayed for a trial to start from, is not its own trial's last one, and is needed no more."""
        referred, last = self._referred_to(), set(self._last.values())
        paths = {self._rows[checkpoint].path for checkpoint in last}
        for checkpoint in [one for one in self._rows if one not in last and one not in referred]:
            self._free(checkpoint, files=self._rows[checkpoint].path not in paths)

    def _referred_to(self) -> set[str]:
        """What live trials start from, or started from and may again."""
        live = (trial for trial in self._lead.trials.values() if not trial.status.is_terminal)
        return {trial.warm_start_from.checkpoint for trial in live if trial.warm_start_from is not None}

    def _best(self) -> set[int]:
        metric = self._lead.fold.metric
        scored = [(v, n) for n, v in self._ended.items() if v is not None and math.isfinite(v)]
        scored.sort(reverse=metric is not None and metric.mode == "max")
        return {number for _, number in scored[:_BEST_KEPT]}
