"""The contract of stores, third part: what is read, in which order, in which pieces."""

from __future__ import annotations

import math
from typing import Any

from trialist.core.errors import (
    NotFound,
    UserError,
)
from trialist.core.events import (
    Noted,
    Reported,
    TrialEnded,
    TrialSuggested,
)
from trialist.core.ports import Store, TrialOrder
from trialist.core.records import (
    Bound,
    Mode,
    OutcomeConstraint,
)
from trialist.core.states import TrialStatus
from trialist.testing.event_script import study_spec
from trialist.testing.libraries import pytest
from trialist.testing.store_telling import StoreSuite, numbers, tell

_BY_VALUE = TrialOrder("value")
_BY_VALUE_DOWN = TrialOrder("value", descending=True)


class ReadingContract(StoreSuite):
    """Pages of trials, events, and what events leave behind."""

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

    @pytest.mark.parametrize("mode", list(Mode))
    def test_infeasible_trials_come_last_by_value(self, store: Store, mode: Mode) -> None:
        small = OutcomeConstraint(metric="size", bound=Bound.AT_MOST, limit=2.0)
        told = tell(store, spec=study_spec(mode=mode, outcome_constraints=(small,)))
        for loss, size in ((3.0, 2.0), (1.0, 2.5), (2.0, 1.0), (0.0, None), (4.0, math.nan)):
            if size is None:
                told.script.run(loss=loss)
            else:
                told.script.run(loss=loss, size=size)
        told.commit()
        assert numbers(store, told.id, 2, _BY_VALUE) == [2, 0, 1, 3, 4]
        assert numbers(store, told.id, 2, _BY_VALUE_DOWN) == [0, 2, 1, 3, 4]
        study = store.find_study(told.id)
        assert study is not None
        assert study.best_number == (2 if mode is Mode.MIN else 0)

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
