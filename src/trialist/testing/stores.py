"""The contract suite of the ``Store`` port. Subclass it, say how a store is made, and pytest does the rest.

    class TestMyStore(StoreContract):
        def make_store(self, tmp_path):
            return MyStore(tmp_path)

``store_state_machine`` (``trialist.testing.store_machine``, offered here too) goes on where examples end: random histories,
compared step by step with the memory store. Needs pytest and hypothesis.
"""

from __future__ import annotations

import threading
from pathlib import Path

from trialist.core.errors import (
    NotFound,
    StudyExists,
    StudyLed,
)
from trialist.core.events import (
    CommandApplied,
    CommandRefused,
    StudyCreated,
)
from trialist.core.ports import Commit, Store
from trialist.core.records import (
    Bound,
    Budget,
    CommandKind,
    CommandStatus,
    EarlierStudy,
    EarlierTrial,
    OutcomeConstraint,
)
from trialist.core.states import StudyStatus, TrialStatus
from trialist.store.holders import holder
from trialist.testing.event_script import study_spec
from trialist.testing.libraries import pytest
from trialist.testing.store_claiming import ClaimingContract
from trialist.testing.store_leading import LeadingContract
from trialist.testing.store_machine import ELSEWHERE, store_state_machine
from trialist.testing.store_reading import ReadingContract
from trialist.testing.store_telling import HARD_PARAMS, LONG, Checked, command, dead_holder, in_threads, names_of, tell

__all__ = ["ELSEWHERE", "StoreContract", "command", "dead_holder", "store_state_machine", "tell"]


class StoreContract(LeadingContract, ClaimingContract, ReadingContract):
    """Every guarantee of the ``Store`` port, over a store of your own: override ``make_store``."""

    # studies

    def test_a_study_comes_back_as_it_was_made(self, store: Store) -> None:
        spec = study_spec(
            "naïve \N{SNOWMAN}",
            config=HARD_PARAMS,
            resources={"gpu": 0.5},
            budget=Budget(num_trials=5, time_budget_s=1.5),
            seed=2**40,
            outcome_constraints=(OutcomeConstraint(metric="memory_gb", bound=Bound.AT_MOST, limit=8.5),),
            warm_start=(EarlierStudy(name="old", trials=(EarlierTrial(params={"x": 0.5}, metrics={"loss": 1.0}),)),),
            default={"x": 0.25},
        )
        made = store.create_study(spec)
        assert made.seq == 1
        assert made.status is StudyStatus.CREATED
        again = self.open_again(store)
        assert again.find_study(spec.name) == made
        assert again.find_study(spec.id) == made
        assert store.events(spec.id) == [(1, spec.created_at, StudyCreated(spec=spec))]
        assert store.find_study("nothing") is None
        assert store.find_study("\x00\ud800") is None

    def test_a_name_is_taken_once(self, store: Store) -> None:
        made = store.create_study(study_spec())
        with pytest.raises(StudyExists, match="study"):
            store.create_study(study_spec(id="f" * 32))
        assert store.list_studies().studies == [made]

    def test_a_name_goes_before_an_id(self, store: Store) -> None:
        first = store.create_study(study_spec())
        second = store.create_study(study_spec(first.id, id="e" * 32))
        assert store.find_study(first.id) == second

    def test_studies_are_listed_newest_first_in_pages(self, store: Store) -> None:
        made = [store.create_study(study_spec(f"Study_{number:02}")) for number in range(7)]
        page = store.list_studies(limit=3)
        names = [study.name for study in page.studies]
        store.create_study(study_spec("later"))
        while page.cursor is not None:
            page = store.list_studies(limit=3, cursor=page.cursor)
            names += [study.name for study in page.studies]
        assert names == [study.name for study in reversed(made)]

    def test_studies_are_picked_by_name_and_status(self, store: Store) -> None:
        for name in ("Straße 1", "strasse%2", "other_", "othex"):
            store.create_study(study_spec(name))
        tell(store, "othex").status(StudyStatus.QUEUED).commit()
        found = {text: names_of(store, search=text) for text in ("STRASSE", "%", "r_", "r", "\x00\ud800", "zz")}
        assert found == {
            "STRASSE": ["strasse%2", "Straße 1"],
            "%": ["strasse%2"],
            "r_": ["other_"],
            "r": ["other_", "strasse%2", "Straße 1"],
            "\x00\ud800": [],
            "zz": [],
        }
        assert names_of(store, status=StudyStatus.QUEUED) == ["othex"]
        assert names_of(store, status=StudyStatus.CREATED, search="oth") == ["other_"]

    def test_a_deleted_study_is_gone_whole(self, store: Store) -> None:
        told = tell(store)
        number = told.script.run(loss=1.0)
        told.script.checkpoint(told.start(), "c1")
        told.commit()
        store.send_command(told.id, command("k"))
        keep = tell(store, "other")
        keep.script.run()
        keep.commit()
        store.delete_study(told.id)
        assert store.find_study("study") is None
        for call in (
            lambda: store.delete_study(told.id),
            lambda: store.trial(told.id, number),
            lambda: store.events(told.id),
            lambda: store.trials(told.id),
            lambda: store.leader(told.id),
            lambda: store.commit(None, Commit(study=told.script.study, events=())),
            lambda: store.take_lease(told.id, ELSEWHERE, LONG),
            lambda: store.send_command(told.id, command("k")),
        ):
            with pytest.raises(NotFound, match="no study"):
                call()
        assert store.trial(keep.id, 0) == keep.script.trials[0]
        told = tell(store)
        assert store.trials(told.id).trials == []
        assert store.pending_commands(told.id) == []
        assert store.checkpoints(told.id) == []
        assert [event.seq for event in store.events(told.id)] == [1]

    def test_a_led_study_is_not_deleted(self, store: Store) -> None:
        told = tell(store)
        lease = store.take_lease(told.id, ELSEWHERE, LONG)
        with pytest.raises(StudyLed, match=str(ELSEWHERE.pid)):
            store.delete_study(told.id)
        store.release_lease(lease)
        store.delete_study(told.id)

    # commands

    def test_commands_with_one_key_are_one(self, store: Store) -> None:
        told = tell(store)
        first = store.send_command(told.id, command("k1", args=HARD_PARAMS, id=77, status=CommandStatus.APPLIED))
        assert (first.id, first.status, first.args) == (1, CommandStatus.PENDING, HARD_PARAMS)
        second = store.send_command(told.id, command("k2", expires_at=7.5))
        assert self.open_again(store).send_command(told.id, command("k1", kind=CommandKind.STOP)) == first
        assert store.pending_commands(told.id) == [first, second]
        told.script.emit(CommandApplied(command=1, command_kind="pause", result={"message": "done"}))
        told.commit()
        told.script.emit(CommandRefused(command=1, command_kind="pause", error="too late"))
        told.script.emit(CommandRefused(command=2, command_kind="pause", error="no", refusal={"class": "NotFound"}))
        told.script.emit(CommandApplied(command=99, command_kind="pause"))
        told.commit()
        assert store.pending_commands(told.id) == []
        applied = store.send_command(told.id, command("k1"))
        assert (applied.status, applied.result, applied.error) == (CommandStatus.APPLIED, {"message": "done"}, "")
        refused = store.command(told.id, 2)
        assert (refused.status, refused.error, refused.expires_at) == (CommandStatus.REFUSED, "no", 7.5)
        assert refused.refusal == {"class": "NotFound"}
        for absent in (0, 3, -1, 2**70):
            with pytest.raises(NotFound, match="no command"):
                store.command(told.id, absent)

    def test_commands_are_dated_by_the_store_where_the_sender_does_not(self, store: Store) -> None:
        told = tell(store)
        assert store.send_command(told.id, command("dated", created_at=5.0)).created_at == 5.0
        assert store.send_command(told.id, command("undated")).created_at > 1.7e9

    # living together

    def test_threads_share_a_store(self, store: Store) -> None:
        """Eight write to studies of their own and send commands to a common one, while two read."""
        common = tell(store, "common")
        done = threading.Event()

        def write(name: str) -> None:
            told = tell(store, name)
            lease = store.take_lease(told.id, holder(), LONG)
            for number in range(15):
                told.script.run(loss=float(number))
                store.commit(lease, told.script.commit())
                store.renew_lease(lease)
                store.send_command(common.id, command(f"{number}"))
            store.release_lease(lease)

        def read() -> None:
            while not done.is_set():
                for study in store.list_studies().studies:
                    rows = list(store.iter_trials(study.id))
                    assert len(rows) >= study.num_trials
                    assert all(row.status is TrialStatus.COMPLETED for row in rows)

        readers = [Checked(read) for _ in range(2)]
        try:
            in_threads([lambda name=f"study {number}": write(name) for number in range(8)])
        finally:
            done.set()
        for reader in readers:
            reader.result()
        for number in range(8):
            study = store.find_study(f"study {number}")
            assert study is not None
            assert [event.seq for event in store.events(study.id)] == list(range(1, 47))
        assert len(store.pending_commands(common.id)) == 15

    def test_closing_twice_is_closing(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.create_study(study_spec())
        store.close()
        store.close()
