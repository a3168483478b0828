"""The contract suite of the ``Store`` port. Subclass it, say how a store is made, and pytest does the rest.

    class TestMyStore(StoreContract):
        def make_store(self, tmp_path):
            return MyStore(tmp_path)

``store_state_machine`` (``trialist.testing.store_machine``, offered here too) goes on where examples end: random histories,
compared step by step with the memory store. Needs pytest and hypothesis.
"""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trialist.core.errors import (
    Conflict,
    InternalError,
    LeaseLost,
    NotFound,
    StudyExists,
    StudyLed,
    UserError,
)
from trialist.core.events import (
    BudgetChanged,
    CommandApplied,
    CommandRefused,
    Noted,
    Reported,
    StudyCreated,
    TrialEnded,
    TrialSuggested,
)
from trialist.core.ports import Commit, Store, TrialOrder
from trialist.core.records import (
    Budget,
    Command,
    CommandKind,
    CommandStatus,
    Holder,
    Lease,
    Mode,
    StudySpec,
    Trial,
    WarmStartFrom,
)
from trialist.core.states import StudyStatus, TrialStatus
from trialist.core.wire import event_to_json, to_json
from trialist.store.holders import holder
from trialist.testing.event_script import EventScript, study_spec
from trialist.testing.store_machine import ELSEWHERE, store_state_machine

__all__ = ["ELSEWHERE", "StoreContract", "dead_holder", "store_state_machine"]

LONG = 3600.0
HARD_PARAMS = {
    "none": None,
    "bool": True,
    "big": 2**200,
    "float": 0.1 + 0.2,
    "tiny": 5e-324,
    "text": "naïve \N{SNOWMAN} \x00 \ud800 'quoted' \"twice\" \\ %s ?",
    "": [1, [2.5, {"deep": []}], {}],
}
_BY_VALUE = TrialOrder("value")
_BY_VALUE_DOWN = TrialOrder("value", descending=True)


def dead_holder() -> Holder:
    """A process of this machine that is no more."""
    code = "from trialist.store.holders import holder; h = holder(); print(h.pid, h.pid_started, sep='|')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid, started = done.stdout.strip().split("|")
    return replace(holder(), pid=int(pid), pid_started=started)


class StoreContract:
    """Every guarantee of the ``Store`` port, over a store of your own."""

    def make_store(self, tmp_path: Path) -> Store:
        """A new, empty store."""
        raise NotImplementedError

    def open_again(self, store: Store) -> Store:
        """Another handle on what ``store`` points at, as another process would open it; itself where there is none."""
        return store

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        made = self.make_store(tmp_path)
        yield made
        made.close()

    # studies

    def test_a_study_comes_back_as_it_was_made(self, store: Store) -> None:
        spec = study_spec(
            "naïve \N{SNOWMAN}",
            config=HARD_PARAMS,
            resources={"gpu": 0.5},
            budget=Budget(num_trials=5, time_budget_s=1.5),
            seed=2**40,
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

    # leading

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

    # trials

    @pytest.mark.parametrize("mode", list(Mode))
    @pytest.mark.parametrize("limit", [1, 2, 3, 50])
    def test_pages_hold_every_trial_once_in_order(self, store: Store, mode: Mode, limit: int) -> None:
        told = tell(store, spec=study_spec(mode=mode))
        values = [3.0, math.nan, 1.0, None, 2.0, 2.0, -math.inf, math.inf, 1.0, 2.0, None]
        for value in values:
            number = told.start()
            if value is not None:
                told.script.report(number, 1, loss=value)
            if number % 3 == 0:
                told.script.end(number, TrialStatus.STOPPED)
        told.commit()
        assert numbers(store, told.id, limit) == list(range(len(values)))
        assert numbers(store, told.id, limit, TrialOrder(descending=True)) == list(reversed(range(len(values))))
        last = [1, 3, 6, 7, 10]
        up, down = [2, 8, 4, 5, 9, 0], [0, 9, 5, 4, 8, 2]
        if mode is Mode.MAX:  # ties go by number from the best on
            up, down = [8, 2, 9, 5, 4, 0], [0, 4, 5, 9, 2, 8]
        assert numbers(store, told.id, limit, _BY_VALUE) == up + last
        assert numbers(store, told.id, limit, _BY_VALUE_DOWN) == down + last
        ended = [number for number in up + last if number % 3 == 0]
        assert numbers(store, told.id, limit, _BY_VALUE, [TrialStatus.STOPPED]) == ended
        assert numbers(store, told.id, limit, status=[TrialStatus.STOPPED, TrialStatus.PAUSED]) == [0, 3, 6, 9]
        both = [TrialStatus.STOPPED, TrialStatus.RUNNING, TrialStatus.RUNNING]
        assert numbers(store, told.id, limit, _BY_VALUE_DOWN, both) == down + last

    def test_pages_stay_put_while_trials_come(self, store: Store) -> None:
        told = tell(store)
        for value in (1.0, 2.0, 3.0):
            told.script.run(loss=value)
        told.commit()
        page = store.trials(told.id, order=_BY_VALUE, limit=2)
        told.script.run(loss=0.0)
        told.commit()
        rest = store.trials(told.id, order=_BY_VALUE, limit=2, cursor=page.cursor)
        assert [trial.number for trial in page.trials + rest.trials] == [0, 1, 2]
        assert rest.cursor is None

    def test_a_strange_cursor_or_order_is_refused(self, store: Store) -> None:
        told = tell(store)
        for cursor in ("x", "-1", "9" * 40, "\N{SUPERSCRIPT TWO}", "1@2@3", "@", "nan@1", "inf@1", "0x1p99999@1", ""):
            for order in (TrialOrder(), _BY_VALUE):
                with pytest.raises(UserError, match="cursor"):
                    store.trials(told.id, order=order, cursor=cursor)
            with pytest.raises(UserError, match="cursor"):
                store.list_studies(cursor=cursor)
        with pytest.raises(UserError, match="speed"):
            store.trials(told.id, order=TrialOrder("speed"))

    def test_trials_are_found_by_number_status_and_life(self, store: Store) -> None:
        told = tell(store)
        for status in (None, *[status for status in TrialStatus if status.is_terminal]):
            number = told.start()
            if status is not None:
                told.script.end(number, status)
        paused = told.start()
        told.script.pause(paused)
        told.script.suggest()
        told.commit()
        assert [trial.number for trial in store.live_trials(told.id)] == [0, 5, 6]
        assert list(store.iter_trials(told.id)) == list(told.script.trials.values())
        stopped = store.iter_trials(told.id, status=[TrialStatus.STOPPED, TrialStatus.FAILED])
        assert [trial.status for trial in stopped] == [TrialStatus.STOPPED, TrialStatus.FAILED]
        for absent in (-1, 7, 2**70):
            with pytest.raises(NotFound, match="no trial"):
                store.trial(told.id, absent)

    # events and what they leave behind

    def test_events_are_read_on_from_anywhere_and_by_kind(self, store: Store) -> None:
        told = tell(store)
        for _ in range(4):
            told.script.run(loss=1.0)
        told.commit()

        def seqs(**how: Any) -> list[int]:
            return [event.seq for event in store.events(told.id, **how)]

        assert seqs() == list(range(1, 14))
        assert seqs(after=5, limit=3) == [6, 7, 8]
        assert seqs(after=13) == seqs(after=2**70) == []
        assert seqs(kinds=[TrialEnded, TrialSuggested]) == [2, 4, 5, 7, 8, 10, 11, 13]
        assert seqs(kinds=[TrialEnded], after=4, limit=2) == [7, 10]
        assert seqs(kinds=[Reported, Noted]) == []

    def test_reports_of_one_step_are_united(self, store: Store) -> None:
        told = tell(store)
        number = told.start()
        told.script.report(number, 1, loss=1.0)
        told.script.report(number, 2, loss=2.0)
        told.script.report(number, 2, acc=0.5)
        told.commit()
        told.script.report(number, 2, loss=3.0, f1=math.nan)
        told.script.report(number, 3, loss=4.0)
        told.commit()
        found = [(report.step, repr(dict(report.metrics)), report.at) for report in store.reports(told.id, number)]
        united = {"loss": 3.0, "acc": 0.5, "f1": math.nan}
        assert found == [(1, "{'loss': 1.0}", 1004.0), (2, repr(united), 1007.0), (3, "{'loss': 4.0}", 1008.0)]
        assert store.reports(told.id, number + 1) == []

    def test_reports_above_a_later_start_are_superseded(self, store: Store) -> None:
        told = tell(store)
        number = told.script.suggest()
        for from_step, steps in ((0, (0, 1, 2, 3)), (1, (2, 3, 4)), (3, (4,))):
            told.script.start(number, from_step=from_step)
            for step in steps:
                told.script.report(number, step, loss=float(step))
            told.script.lose(number)
            told.commit()

        def good() -> list[tuple[int, int]]:
            return [(row.attempt, row.step) for row in store.reports(told.id, number) if not row.superseded]

        assert len(store.reports(told.id, number)) == 8
        assert good() == [(1, 0), (1, 1), (2, 2), (2, 3), (3, 4)]
        told.script.start(number)
        told.commit()
        assert good() == []

    def test_attempts_begin_and_end_once(self, store: Store) -> None:
        told = tell(store)
        number = told.start(worker="w1", devices=("0", "1"))
        told.commit()
        assert [attempt.outcome for attempt in store.attempts(told.id, number)] == [None]
        told.script.lose(number, "gone")
        told.script.start(number, from_step=2)
        told.script.pause(number, parked=True)
        told.commit()
        told.script.go_on(number)
        told.script.lose(number, "gone again")
        told.script.end(number, TrialStatus.CANCELLED)
        told.commit()
        found = store.attempts(told.id, number)
        assert [(a.attempt, a.from_step, a.started_at, a.ended_at, a.outcome, a.message) for a in found] == [
            (1, 0, 1003.0, 1004.0, "lost", "gone"),
            (2, 2, 1005.0, 1008.0, "lost", "gone again"),
        ]
        assert (found[0].worker, found[0].devices) == ("w1", ("0", "1"))
        failed = told.start()
        told.script.end(failed, TrialStatus.FAILED)
        told.commit()
        assert [(a.outcome, a.message) for a in store.attempts(told.id, failed)] == [("raised", "ValueError: no")]

    def test_checkpoints_come_and_go(self, store: Store) -> None:
        told = tell(store)
        first, second = told.start(), told.start()
        told.script.checkpoint(second, "b", step=4)
        told.script.checkpoint(first, "a")
        told.script.checkpoint(first, "brief")
        told.script.free(first, "brief")
        told.commit()
        told.script.checkpoint(first, "c", step=2)
        told.commit()

        def ids(trial: int | None = None) -> list[str]:
            return [row.id for row in store.checkpoints(told.id, trial)]

        assert (ids(), ids(first), ids(9)) == (["b", "a", "c"], ["a", "c"], [])
        row = store.checkpoint(told.id, "b")
        assert (row.trial, row.attempt, row.step, row.num_bytes) == (second, 1, 4, 10)
        assert row.path.endswith("/b")
        told.script.end(first)
        told.script.free(first, "a")
        told.commit()
        assert ids() == ["b", "c"]
        for absent in ("a", "brief", "\x00\ud800"):
            with pytest.raises(NotFound, match="no checkpoint"):
                store.checkpoint(told.id, absent)

    # commands

    def test_commands_with_one_key_are_one(self, store: Store) -> None:
        told = tell(store)
        first = store.send_command(told.id, command("k1", args=HARD_PARAMS, id=77, status=CommandStatus.APPLIED))
        assert (first.id, first.status, first.args) == (1, CommandStatus.PENDING, HARD_PARAMS)
        second = store.send_command(told.id, command("k2"))
        assert self.open_again(store).send_command(told.id, command("k1", kind=CommandKind.STOP)) == first
        assert store.pending_commands(told.id) == [first, second]
        told.script.emit(CommandApplied(command=1, command_kind="pause", result={"message": "done"}))
        told.commit()
        told.script.emit(CommandRefused(command=1, command_kind="pause", error="too late"))
        told.script.emit(CommandRefused(command=2, command_kind="pause", error="no"))
        told.script.emit(CommandApplied(command=99, command_kind="pause"))
        told.commit()
        assert store.pending_commands(told.id) == []
        applied = store.send_command(told.id, command("k1"))
        assert (applied.status, applied.result, applied.error) == (CommandStatus.APPLIED, {"message": "done"}, "")
        refused = store.command(told.id, 2)
        assert (refused.status, refused.error) == (CommandStatus.REFUSED, "no")
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


class Told:
    """A study in a store, and the script that goes on with it."""

    def __init__(self, store: Store, script: EventScript) -> None:
        self.store = store
        self.script = script
        self.id = script.study.id

    def start(self, **fields: Any) -> int:
        """A new trial that runs."""
        number = self.script.suggest()
        self.script.start(number, **fields)
        return number

    def status(self, status: StudyStatus) -> Told:
        self.script.status(status)
        return self

    def commit(self) -> None:
        """Commit without a lease."""
        self.store.commit(None, self.script.commit())


def tell(store: Store, name: str = "study", spec: StudySpec | None = None) -> Told:
    """A study to tell on; created if it is not there."""
    found = store.find_study(name)
    return Told(store, EventScript(found or store.create_study(spec or study_spec(name))))


def command(key: str, **fields: Any) -> Command:
    """A command with this key."""
    return Command(key=key, **{"kind": CommandKind.PAUSE, **fields})


def names_of(store: Store, **how: Any) -> list[str]:
    """Names of listed studies."""
    return [study.name for study in store.list_studies(**how).studies]


def numbers(
    store: Store,
    study_id: str,
    limit: int,
    order: TrialOrder | None = None,
    status: Sequence[TrialStatus] = (),
) -> list[int]:
    """Numbers of all trials in an order, page by page."""
    found: list[int] = []
    cursor = None
    while True:
        page = store.trials(study_id, status=status, order=order or TrialOrder(), limit=limit, cursor=cursor)
        assert len(page.trials) == limit or page.cursor is None
        found += [trial.number for trial in page.trials]
        cursor = page.cursor
        if cursor is None:
            return found


def plain(trial: Trial) -> dict[str, Any]:
    """A trial that can be compared although it holds NaN."""
    return to_json(trial)


class Checked:
    """A thread whose exception is raised where its result is wanted."""

    def __init__(self, work: Any) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,))
        self._thread.start()

    def _run(self, work: Any) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  handed on by result()
            self._error = error

    def result(self) -> None:
        """Wait for the end, and raise what the work raised."""
        self._thread.join(60)
        assert not self._thread.is_alive(), "a thread hangs"
        if self._error is not None:
            raise self._error


def in_threads(work: Sequence[Any]) -> None:
    """Do everything at once."""
    for thread in [Checked(one) for one in work]:
        thread.result()
