"""The contract of stores, fourth part: the line of studies that workers have to do, and the workers themselves."""

from __future__ import annotations

from collections.abc import Iterator

from trialist.core.events import StudyClaimed, StudySubmitted, StudyWithdrawn
from trialist.core.ports import FORGET_WORKERS_S, Store
from trialist.core.records import Study, Worker, WorkOrder
from trialist.core.states import StudyStatus
from trialist.store.holders import holder
from trialist.testing.store_machine import ELSEWHERE
from trialist.testing.store_telling import LONG, StoreSuite, Told, dead_holder, in_threads, tell

ORDER = WorkOrder(run={"function": "module:name"}, cwd="/somewhere", path=("/lib", "/\udcff"), timeout_s=1.5)


def queue(store: Store, name: str = "study", order: WorkOrder = ORDER) -> Told:
    """A new study that was handed to workers."""
    told = tell(store, name)
    told.script.emit(StudySubmitted(order=order))
    told.status(StudyStatus.QUEUED).commit()
    return told


def line(store: Store, limit: int = 2) -> list[str]:
    """Names of all that a worker could take now, page by page."""
    return [study.name for study in _line(store, limit)]


def _line(store: Store, limit: int) -> Iterator[Study]:
    cursor = None
    while True:
        page = store.claimable(limit=limit, cursor=cursor)
        yield from page.studies
        cursor = page.cursor
        if cursor is None:
            return


class ClaimingContract(StoreSuite):
    """Claims, and who makes them."""

    def test_the_first_submitted_is_claimed_first(self, store: Store) -> None:
        for name in ("b", "a", "c"):
            queue(store, name)
        tell(store, "nobody's").status(StudyStatus.QUEUED).commit()
        tell(store, "a person's").status(StudyStatus.RUNNING).commit()
        assert line(self.open_again(store)) == ["b", "a", "c"]
        names = []
        while (lease := store.claim_study(ELSEWHERE, LONG)) is not None:
            study = store.find_study(lease.study_id)
            assert study is not None
            names.append(study.name)
            assert (lease.epoch, lease.holder, lease.ttl_s) == (1, ELSEWHERE, LONG)
            assert store.leader(study.id) == ELSEWHERE
        assert names == ["b", "a", "c"]
        assert line(store) == []

    def test_what_is_not_accepted_stays_for_others(self, store: Store) -> None:
        for number in range(30):
            queue(store, f"s{number}")
        seen: list[str] = []

        def accepts(study: Study) -> bool:
            seen.append(study.name)
            assert study.spec.order == ORDER
            return study.name == "s27"

        lease = store.claim_study(holder(), LONG, accepts=accepts)
        assert lease is not None
        assert lease.study_id == seen_id(store, "s27")
        assert seen == [f"s{number}" for number in range(28)]
        assert store.claim_study(holder(), LONG, accepts=lambda study: False) is None
        assert len(line(store)) == 29

    def test_a_study_stands_in_line_while_it_is_queued_or_running_for_workers(self, store: Store) -> None:
        told = queue(store)
        for status, stands in (
            (StudyStatus.RUNNING, True),
            (StudyStatus.PAUSED, False),
            (StudyStatus.QUEUED, True),
            (StudyStatus.CANCELLED, False),
            (StudyStatus.QUEUED, True),
            (StudyStatus.RUNNING, True),
            (StudyStatus.COMPLETED, False),
        ):
            told.status(status).commit()
            assert line(store) == (["study"] if stands else []), status
        told.status(StudyStatus.RUNNING)
        told.script.emit(StudyWithdrawn())
        told.commit()
        assert line(store) == []
        assert store.claim_study(holder(), LONG) is None
        found = store.find_study(told.id)
        assert found is not None
        assert found.spec.order is None

    def test_a_running_study_is_claimed_when_its_leader_is_dead_or_silent(self, store: Store) -> None:
        told = queue(store)
        for epoch, who, ttl_s in ((1, ELSEWHERE, 0.0), (2, dead_holder(), LONG), (3, holder(), 0.0)):
            lease = store.claim_study(who, ttl_s)
            assert lease is not None
            assert lease.epoch == epoch
            told.script.emit(StudyClaimed(worker="w", epoch=epoch))
            if epoch == 1:
                told.status(StudyStatus.RUNNING)
            store.commit(lease, told.script.commit())
        found = store.find_study(told.id)
        assert found is not None
        assert (found.claims, found.worker) == (3, "w")
        last = store.claim_study(holder(), LONG)
        assert last is not None
        assert store.claim_study(holder(), LONG) is None
        store.release_lease(last)
        assert line(store) == ["study"]

    def test_a_deleted_study_leaves_the_line(self, store: Store) -> None:
        told = queue(store)
        store.delete_study(told.id)
        assert line(store) == []
        assert store.claim_study(holder(), LONG) is None
        queue(store)
        assert line(store) == ["study"]

    def test_a_study_that_went_while_it_was_looked_at_is_not_taken(self, store: Store) -> None:
        told, kept = queue(store), queue(store, "kept")

        def accepts(study: Study) -> bool:
            if study.name == "study":
                told.status(StudyStatus.CANCELLED).commit()
            return True

        lease = store.claim_study(holder(), LONG, accepts=accepts)
        assert lease is not None
        assert lease.study_id == kept.id
        assert store.leader(told.id) is None

    def test_of_many_claimers_each_study_goes_to_one(self, store: Store) -> None:
        for number in range(24):
            queue(store, f"s{number}")
        claimed: list[str] = []

        def work(handle: Store) -> None:
            while (lease := handle.claim_study(ELSEWHERE, LONG)) is not None:
                claimed.append(lease.study_id)
            assert line(handle) == [], "a claimer left while there was work"

        handles = [self.open_again(store) for _ in range(4)]
        in_threads([lambda handle=handle: work(handle) for handle in handles])
        assert len(claimed) == len(set(claimed)) == 24

    # workers

    def test_workers_come_and_go(self, store: Store) -> None:
        first = _worker("a", seen_at=1e6, capacity={"cpu": 2.0}, max_studies=3, is_draining=True)
        second = _worker("b", seen_at=1e6 + 5, started_at=-1.0)
        for worker in (first, second):
            store.beat_worker(worker)
        again = self.open_again(store)
        assert again.workers() == [second, first]
        assert store.workers(seen_after=1e6) == [second]
        later = _worker("a", seen_at=1e6 + 10)
        store.beat_worker(later)
        assert store.workers() == [second, later]
        store.remove_worker(second.id)
        store.remove_worker(second.id)
        assert again.workers() == [later]

    def test_a_worker_long_silent_is_forgotten(self, store: Store) -> None:
        store.beat_worker(_worker("old", seen_at=1e6))
        fresh = _worker("fresh", seen_at=1e6 + FORGET_WORKERS_S)
        store.beat_worker(fresh)
        assert len(store.workers()) == 2
        fresh = _worker("fresh", seen_at=1e6 + FORGET_WORKERS_S + 1)
        store.beat_worker(fresh)
        assert store.workers() == [fresh]


def seen_id(store: Store, name: str) -> str:
    study = store.find_study(name)
    assert study is not None
    return study.id


def _worker(name: str, **fields: object) -> Worker:
    return Worker(id=name.ljust(32, "0"), name=name, holder=holder(), version="1", **fields)  # type: ignore[arg-type]
