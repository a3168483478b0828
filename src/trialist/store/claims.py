"""How a worker finds its next study, whatever the store: look along the line, take the first that is accepted and still free.

Looking costs no lock, so that many workers may look at once; taking is the store's own, one study at a time. Knows no SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from trialist.core import faults
from trialist.core.ports import StudyPage
from trialist.core.records import Lease, Study, Worker

_LOOKED_AT = 20
"""Studies a page: most often the first one is taken."""


class Line(Protocol):
    """The part of a store that is walked along."""

    def claimable(self, *, limit: int = 100, cursor: str | None = None) -> StudyPage:
        """See the port."""
        ...


def claim(
    line: Line, take: Callable[[Study], Lease | None], accepts: Callable[[Study], bool] | None = None
) -> Lease | None:
    """The lease of the first study in the line that is accepted and could be taken.

    Args:
        line: The store.
        take: Takes a study's lease in one transaction; ``None`` where it is not free any more.
        accepts: See ``Store.claim_study``.
    """
    cursor = None
    while True:
        page = line.claimable(limit=_LOOKED_AT, cursor=cursor)
        for study in page.studies:
            if accepts is None or accepts(study):
                faults.point("store.claim.picked")
                lease = take(study)
                if lease is not None:
                    faults.point("store.claim.taken")
                    return lease
        cursor = page.cursor
        if cursor is None:
            return None


def by_start(workers: Iterable[Worker]) -> list[Worker]:
    """Workers as they started."""
    return sorted(workers, key=lambda worker: (worker.started_at, worker.id))
