"""What a led study has in its store: written by commits, and looked up again, however long the store is away.

Knows the store, and which files a commit frees; nothing of what runs.
"""

from __future__ import annotations

from trialist.core.ports import Store
from trialist.core.records import Metrics, Trial
from trialist.core.states import TrialStatus
from trialist.engine.context import check_not_found
from trialist.engine.keeping import CheckpointKeeper
from trialist.engine.lead import Lead
from trialist.engine.publisher import Publisher

_FAILURES_READ = 500


class Archive:
    """The store as a leading engine sees it.

    Args:
        store: Where it is.
        lead: The study.
        publisher: Commits, and waits for a store that is away.
        keeper: Removes the files that a commit has freed.
    """

    def __init__(self, store: Store, lead: Lead, publisher: Publisher, keeper: CheckpointKeeper) -> None:
        self._store = store
        self._lead = lead
        self._publisher = publisher
        self._keeper = keeper
        self._study_id = lead.fold.spec.id

    def commit(self) -> None:
        """Make durable what was emitted.

        Raises:
            LeaseLost: Another process took over; nothing was written.
            StoreError: The store was away for longer than ``STORE_PATIENCE_S``.
        """
        self._publisher.commit(self._lead)
        self._keeper.sweep()

    def trial(self, number: object) -> Trial:
        """Any trial of the study, live or ended.

        Raises:
            NotFound: There is none of this number.
        """
        known = check_not_found(number)
        return self._lead.trials.get(known) or self._publisher.patiently(
            self._lead, lambda: self._store.trial(self._study_id, known)
        )

    def metrics_at(self, number: int, step: int) -> Metrics:
        """What a trial's reports up to a step add up to."""
        self.commit()
        known: dict[str, float] = {}
        for report in self._publisher.patiently(self._lead, lambda: self._store.reports(self._study_id, number)):
            if not report.superseded and report.step <= step:
                known.update(report.metrics)
        return known

    def failures(self) -> list[Trial]:
        """The first failed trials, as many as are enough to say what went wrong."""
        self.commit()
        failed = (TrialStatus.FAILED,)
        page = self._publisher.patiently(
            self._lead, lambda: self._store.trials(self._study_id, status=failed, limit=_FAILURES_READ)
        )
        return page.trials
