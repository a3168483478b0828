"""The contract of stores, second part: who may write, and what a commit is."""

from __future__ import annotations

import math
from dataclasses import replace

from trialist.core.errors import (
    Conflict,
    InternalError,
    LeaseLost,
    StudyLed,
)
from trialist.core.events import (
    BudgetChanged,
    Noted,
)
from trialist.core.ports import Store
from trialist.core.records import (
    Budget,
    Holder,
    Lease,
    WarmStartFrom,
)
from trialist.core.states import StudyStatus, TrialStatus
from trialist.core.wire import event_to_json
from trialist.store.holders import holder
from trialist.testing.event_script import EventScript
from trialist.testing.libraries import pytest
from trialist.testing.store_machine import ELSEWHERE
from trialist.testing.store_telling import HARD_PARAMS, LONG, StoreSuite, dead_holder, in_threads, plain, tell


class LeadingContract(StoreSuite):
    """Leases, fences and commits."""

    def test_one_leads_at_a_time(self, store: Store) -> None:
        told = tell(store)
        assert store.leader(told.id) is None
        first = store.take_lease(told.id, ELSEWHERE, LONG)
        assert first == Lease(study_id=told.id, epoch=1, holder=ELSEWHERE, ttl_s=LONG)
        assert self.open_again(store).leader(told.id) == ELSEWHERE
        with pytest.raises(StudyLed):
            store.take_lease(told.id, holder(), LONG)
        with pytest.raises(StudyLed):
            store.take_lease(told.id, ELSEWHERE, LONG)
        store.release_lease(first)
        assert store.leader(told.id) is None
        assert store.take_lease(told.id, holder(), LONG).epoch == 2

    @pytest.mark.parametrize("who", [holder(), ELSEWHERE], ids=["this machine", "another machine"])
    def test_an_expired_lease_can_be_taken_or_renewed(self, store: Store, who: Holder) -> None:
        told = tell(store)
        first = store.take_lease(told.id, who, 0.0)
        assert store.leader(told.id) is None
        store.renew_lease(replace(first, ttl_s=LONG))
        assert store.leader(told.id) == who
        store.renew_lease(first)
        second = store.take_lease(told.id, who, LONG)
        assert second.epoch == 2
        with pytest.raises(LeaseLost):
            store.renew_lease(first)
        store.release_lease(first)
        assert store.leader(told.id) == who

    def test_a_dead_process_leads_nothing(self, store: Store) -> None:
        told = tell(store)
        store.take_lease(told.id, dead_holder(), LONG)
        assert store.leader(told.id) is None
        assert store.take_lease(told.id, holder(), LONG).epoch == 2

    def test_a_released_or_deleted_lease_is_lost(self, store: Store) -> None:
        told = tell(store)
        lease = store.take_lease(told.id, ELSEWHERE, LONG)
        store.release_lease(lease)
        told.script.run()
        left = told.script.commit()
        for _ in range(2):
            with pytest.raises(LeaseLost):
                store.renew_lease(lease)
            with pytest.raises(LeaseLost):
                store.commit(lease, left)
            if store.find_study(told.id) is not None:
                store.delete_study(told.id)
        store.release_lease(lease)

    def test_of_many_takers_one_wins(self, store: Store) -> None:
        told = tell(store)
        for epoch in range(1, 6):
            won: list[Lease] = []
            refused: list[StudyLed] = []

            def take(handle: Store, won: list[Lease] = won, refused: list[StudyLed] = refused) -> None:
                try:
                    won.append(handle.take_lease(told.id, ELSEWHERE, LONG))
                except StudyLed as error:
                    refused.append(error)

            handles = [store, self.open_again(store), store, self.open_again(store)]
            in_threads([lambda handle=handle: take(handle) for handle in handles])
            assert [lease.epoch for lease in won] == [epoch]
            assert len(refused) == 3
            store.release_lease(won[0])

    # committing

    def test_a_commit_comes_back_whole(self, store: Store) -> None:
        told = tell(store)
        script, lease = told.script, store.take_lease(told.id, holder(), LONG)
        script.status(StudyStatus.RUNNING)
        first = script.suggest(HARD_PARAMS, note=HARD_PARAMS, to_step=3)
        start = WarmStartFrom(trial=0, checkpoint="c")
        script.suggest(
            {}, parent=first, repeat_of=first, warm_start_from=start, counted=False, seed=2**31 - 1, source="x" * 2000
        )
        script.start(first, worker="pid 1 on \udcff", run_dir="/runs/\udcff", devices=("0", "1"))
        script.report(first, 1, loss=math.nan, acc=math.inf, low=-math.inf, exact=0.1 + 0.2)
        commits = [script.commit()]
        script.end(first, TrialStatus.COMPLETED, loss=math.nan)
        script.start(1)
        script.end(1, TrialStatus.FAILED)
        script.emit(BudgetChanged(budget=Budget(num_trials=7)))
        script.emit(Noted(message="disk full \x00"))
        commits.append(script.commit())
        for commit in commits:
            store.commit(lease, commit)
            again = self.open_again(store)
            assert again.find_study(told.id) == commit.study
            for trial in (*commit.new_trials, *commit.changed_trials):
                assert plain(again.trial(told.id, trial.number)) == plain(trial)
        told_events = [event_to_json(event) for commit in commits for event in commit.events]
        assert [event_to_json(event) for event in store.events(told.id, after=1)] == told_events

    def test_a_stale_lease_writes_nothing(self, store: Store) -> None:
        told = tell(store)
        old = store.take_lease(told.id, holder(), 0.0)
        new = store.take_lease(told.id, holder(), LONG)
        told.script.run()
        commit = told.script.commit()
        with pytest.raises(LeaseLost, match="epoch 1"):
            store.commit(old, commit)
        assert store.trials(told.id).trials == []
        assert len(store.events(told.id)) == 1
        store.commit(new, commit)
        assert len(store.trials(told.id).trials) == 1

    def test_an_expired_lease_that_nobody_took_still_writes(self, store: Store) -> None:
        told = tell(store)
        lease = store.take_lease(told.id, holder(), 0.0)
        told.script.run()
        store.commit(lease, told.script.commit())
        assert len(store.trials(told.id).trials) == 1

    def test_one_call_may_write_where_nobody_leads(self, store: Store) -> None:
        told = tell(store)
        told.script.run()
        commit = told.script.commit()
        lease = store.take_lease(told.id, ELSEWHERE, LONG)
        with pytest.raises(StudyLed):
            store.commit(None, commit)
        store.release_lease(lease)
        rival = EventScript.of(store, told.id)
        rival.run()
        store.commit(None, commit)
        with pytest.raises(Conflict, match="again"):
            store.commit(None, rival.commit())
        assert len(store.trials(told.id).trials) == 1

    def test_one_call_fences_a_leader_that_ran_out(self, store: Store) -> None:
        told = tell(store)
        lease = store.take_lease(told.id, ELSEWHERE, 0.0)
        told.script.run()
        store.commit(None, told.script.commit())
        told.script.run()
        with pytest.raises(LeaseLost):
            store.commit(lease, told.script.commit())
        with pytest.raises(LeaseLost):
            store.renew_lease(lease)

    def test_ends_are_immutable(self, store: Store) -> None:
        told = tell(store)
        number = told.script.run(loss=1.0)
        told.commit()
        before = told.script.trials[number]
        told.script.run()
        good = told.script.commit()
        with pytest.raises(InternalError):
            store.commit(None, replace(good, changed_trials=[replace(before, value=0.0)]))
        assert store.trial(told.id, number) == before
        assert len(store.trials(told.id).trials) == 1
        assert len(store.events(told.id)) == 4
        store.commit(None, good)

    def test_params_are_immutable(self, store: Store) -> None:
        told = tell(store)
        number = told.start()
        told.commit()
        told.script.report(number, 1, loss=1.0)
        commit = told.script.commit()
        row = replace(commit.changed_trials[0], params={"x": -1})
        try:
            store.commit(None, replace(commit, changed_trials=[row]))
        except InternalError:
            assert len(store.reports(told.id, number)) == 0
        assert store.trial(told.id, number).params == told.script.trials[number].params

    def test_a_gap_in_the_events_is_refused(self, store: Store) -> None:
        told = tell(store)
        told.script.run()
        commit = told.script.commit()
        first, second, third = commit.events
        for events in ((first, third), (third, second, first), (first, first, first)):
            with pytest.raises((InternalError, Conflict)):
                store.commit(None, replace(commit, events=events))
        assert store.trials(told.id).trials == []
        store.commit(None, commit)
        assert [event.seq for event in store.events(told.id)] == [1, 2, 3, 4]
