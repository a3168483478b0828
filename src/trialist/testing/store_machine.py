"""Random histories on two stores at once: the one under test and the memory store, compared after every step.

The memory store folds each commit again, so the histories are legal as well as equal. Needs hypothesis.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from operator import methodcaller
from typing import Any

from trialist.core.errors import MissingExtra, TrialistError
from trialist.core.events import (
    BudgetChanged,
    CommandApplied,
    CommandRefused,
    Decided,
    Noted,
    ReplyReceived,
    StudyClaimed,
    StudyStatusChanged,
    StudySubmitted,
    StudyWithdrawn,
    TrialEnded,
    TrialSuggested,
)
from trialist.core.ports import Commit, Store, StudyPage, TrialOrder
from trialist.core.records import (
    Bound,
    Budget,
    Command,
    CommandKind,
    Holder,
    Lease,
    Metric,
    Mode,
    OutcomeConstraint,
    Study,
    WarmStartFrom,
    WorkOrder,
)
from trialist.core.states import STUDY_TRANSITIONS, StudyStatus, TrialStatus
from trialist.core.wire import event_to_json, to_json
from trialist.store.memory import MemoryStore
from trialist.testing.event_script import EventScript, study_spec

try:
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
except ModuleNotFoundError as error:
    raise MissingExtra("trialist.testing.store_machine", "dev", "hypothesis") from error

ELSEWHERE = Holder(host="elsewhere", machine="another boot", pid=4711, pid_started="1")
"""A process of another machine, which counts as alive until its lease runs out."""

_NAMES = ("one", "Two", "zwei %_")
_NUMBERS = st.floats() | st.sampled_from([0.0, -0.0, 1.0, 2.0])
_METRICS = st.dictionaries(st.sampled_from(["loss", "acc", "\N{SNOWMAN}"]), _NUMBERS, max_size=3)
_CONSTRAINTS = st.builds(
    OutcomeConstraint, metric=st.sampled_from(["loss", "acc"]), bound=st.sampled_from(Bound), limit=st.just(1.0)
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
_PARAMS = st.dictionaries(st.text(max_size=4), _JSON, max_size=3)
_ENDS = st.sampled_from([status for status in TrialStatus if status.is_terminal])
_ORDERS = [TrialOrder(by, descending) for by in ("number", "value") for descending in (False, True)]


def store_state_machine(make_store: Callable[[], Store]) -> type[RuleBasedStateMachine]:
    """A state machine over new stores of ``make_store``, which are closed at the end.

    TestMyStore = store_state_machine(lambda: MyStore(tempfile.mkdtemp())).TestCase
    """

    class StoreMachine(_StoreMachine):
        def make(self) -> Store:
            return make_store()

    return StoreMachine


class _StoreMachine(RuleBasedStateMachine):
    def make(self) -> Store:
        raise NotImplementedError

    @initialize()
    def open(self) -> None:
        self.tested, self.model = self.make(), MemoryStore(verify=True)
        self.leases: list[Lease] = []
        self.held_back: list[Commit] = []
        self.made = 0
        """Made and not committed yet, so others may be faster."""

    def teardown(self) -> None:
        if hasattr(self, "tested"):
            self.tested.close()

    def both(self, call: Callable[[Store], Any]) -> Any:
        """Do one thing to both, with one outcome; what it returned, or the error that it raised."""
        outcomes = []
        for store in (self.tested, self.model):
            try:
                outcomes.append(call(store))
            except TrialistError as error:
                outcomes.append(error)
        tested, model = outcomes
        if isinstance(model, Exception):
            assert type(tested) is type(model), (tested, model)
        else:
            assert _plain(tested) == _plain(model), (_plain(tested), _plain(model))
        return model

    def a_study(self, data: st.DataObject) -> str:
        ids = [study.id for study in self.model.list_studies().studies]
        return data.draw(st.sampled_from(sorted(ids)))

    def any_study(self) -> bool:
        return bool(self.model.list_studies().studies)

    @rule(
        name=st.sampled_from(_NAMES),
        mode=st.sampled_from(Mode),
        metrics=st.integers(0, 2),
        constraints=st.lists(_CONSTRAINTS, max_size=1),
    )
    def create(self, name: str, mode: Mode, metrics: int, constraints: list[OutcomeConstraint]) -> None:
        names = ("loss", "acc")[:metrics]
        # An id is never used twice, as in life: a study of a deleted one's name is another study.
        self.made += 1
        made = uuid.uuid5(uuid.NAMESPACE_URL, f"{name}/{self.made}").hex
        spec = study_spec(
            name,
            id=made,
            metrics=tuple(Metric(name=metric, mode=mode) for metric in names),
            outcome_constraints=tuple(constraints),
        )
        self.both(lambda store: store.create_study(spec))

    @precondition(any_study)
    @rule(data=st.data(), ttl_s=st.sampled_from([0.0, 1e6]))
    def take(self, data: st.DataObject, ttl_s: float) -> None:
        study = self.a_study(data)
        lease = self.both(lambda store: store.take_lease(study, ELSEWHERE, ttl_s))
        if isinstance(lease, Lease):
            self.leases.append(lease)

    @rule(ttl_s=st.sampled_from([0.0, 1e6]), part=st.sampled_from(["", "w"]))
    def claim(self, ttl_s: float, part: str) -> None:
        how: dict[str, Any] = {"accepts": lambda study: part in study.name}
        lease = self.both(lambda store: store.claim_study(ELSEWHERE, ttl_s, **how))
        if isinstance(lease, Lease):
            self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), ttl_s=st.sampled_from([0.0, 1e6]))
    def renew(self, data: st.DataObject, ttl_s: float) -> None:
        lease = replace(data.draw(st.sampled_from(self.leases)), ttl_s=ttl_s)
        self.both(lambda store: store.renew_lease(lease))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        self.both(lambda store: store.release_lease(lease))

    @precondition(any_study)
    @rule(data=st.data(), actions=st.integers(0, 12), held_back=st.booleans())
    def commit(self, data: st.DataObject, actions: int, held_back: bool) -> None:
        study = self.a_study(data)
        script = EventScript.of(self.model, study)
        for _ in range(actions):
            self.act(data, script)
        if held_back:
            self.held_back.append(script.commit())
        else:
            self.write(data, script.commit())

    @precondition(lambda self: self.held_back)
    @rule(data=st.data())
    def commit_late(self, data: st.DataObject) -> None:
        self.write(data, data.draw(st.sampled_from(self.held_back)))

    @precondition(any_study)
    @rule(data=st.data())
    def commit_what_changes_an_end(self, data: st.DataObject) -> None:
        study = self.a_study(data)
        ended = [trial for trial in self.model.iter_trials(study) if trial.status.is_terminal]
        if not ended:
            return
        script = EventScript.of(self.model, study)
        script.emit(Noted(message="nothing may change this"))
        row = replace(data.draw(st.sampled_from(ended)), value=-1.0, reason="changed")
        self.write(data, replace(script.commit(), changed_trials=[row]))

    def write(self, data: st.DataObject, commit: Commit) -> None:
        known = [lease for lease in self.leases if lease.study_id == commit.study.id]
        lease = data.draw(st.sampled_from([*known, None]))
        # A leader never commits what does not continue its own history: only a caller without a lease can be late.
        stored = self.model.find_study(commit.study.id)
        if stored is not None and lease is not None and commit.study.seq - len(commit.events) != stored.seq:
            lease = None
        self.both(lambda store: store.commit(lease, commit))

    def act(self, data: st.DataObject, script: EventScript) -> None:
        """One more legal thing happens."""
        draw = data.draw
        choices: list[Callable[[], Any]] = [
            lambda: self.suggest(draw, script),
            lambda: script.emit(Noted(message=draw(st.text(max_size=5)))),
            lambda: script.emit(
                BudgetChanged(budget=draw(st.builds(Budget, num_trials=st.none() | st.integers(0, 9))))
            ),
            lambda: script.emit(ReplyReceived(key="k", reply=draw(_PARAMS), cost_usd=0.5)),
            lambda: self.answer(draw, script),
            lambda: script.emit(StudySubmitted(order=WorkOrder(run=draw(_PARAMS), cwd=draw(st.text(max_size=3))))),
            lambda: script.emit(StudyWithdrawn()),
            lambda: script.emit(StudyClaimed(worker="w", epoch=1)),
        ]
        next_statuses = sorted(STUDY_TRANSITIONS[script.study.status])
        if next_statuses:
            choices.append(lambda: self.change_status(script, draw(st.sampled_from(next_statuses))))
        if script.trials:
            number = draw(st.sampled_from(sorted(script.trials)))
            choices += 4 * self.acts_on(draw, script, number)
        draw(st.sampled_from(choices))()

    def suggest(self, draw: Any, script: EventScript) -> None:
        start = WarmStartFrom(trial=0, checkpoint="c") if draw(st.booleans()) else None
        script.suggest(draw(_PARAMS), note=draw(_PARAMS), counted=draw(st.booleans()), warm_start_from=start)

    def change_status(self, script: EventScript, status: StudyStatus) -> None:
        script.emit(StudyStatusChanged(was=script.study.status, status=status, reason="so"))

    def answer(self, draw: Any, script: EventScript) -> None:
        number = draw(st.integers(0, 4))
        if draw(st.booleans()):
            script.emit(CommandApplied(command=number, command_kind="pause", result=draw(_PARAMS)))
        else:
            script.emit(CommandRefused(command=number, command_kind="pause", error=draw(st.text(max_size=5))))

    def acts_on(self, draw: Any, script: EventScript, number: int) -> list[Callable[[], Any]]:
        """What may happen to a trial now."""
        trial = script.trials[number]
        acts: list[Callable[[], Any]] = [
            lambda: script.emit(Decided(trial=number, attempt=trial.attempt, step=1, decision="stop", by="asha")),
            lambda: script.free(number, f"{number}-{draw(st.integers(0, 30))}"),
        ]
        if trial.status.is_terminal:
            return acts
        acts.append(lambda: self.end(draw, script, number))
        match trial.status:
            case TrialStatus.WAITING:
                acts += [lambda: self.start(draw, script, number), lambda: script.pause(number)]
            case TrialStatus.PAUSED:
                acts += [
                    lambda: self.start(draw, script, number),
                    lambda: script.resume(number, draw(st.integers(1, 9))),
                ]
                acts.append(lambda: script.go_on(number, 5))
            case TrialStatus.RUNNING:
                acts += 3 * [lambda: script.report(number, draw(st.integers(0, 4)), **draw(_METRICS))]
                acts += [lambda: script.pause(number, parked=True, by="asha"), lambda: script.lose(number)]
                acts.append(lambda: script.checkpoint(number, f"{number}-{script.study.seq}", draw(st.integers(0, 4))))
        return acts

    def start(self, draw: Any, script: EventScript, number: int) -> None:
        script.start(
            number, from_step=draw(st.integers(0, 3)), worker=draw(st.text(max_size=3)), metrics=draw(_METRICS)
        )

    def end(self, draw: Any, script: EventScript, number: int) -> None:
        status = draw(_ENDS)
        if script.trials[number].status is not TrialStatus.RUNNING and status is TrialStatus.COMPLETED:
            status = TrialStatus.STOPPED
        script.end(number, status, **draw(_METRICS))

    @precondition(any_study)
    @rule(data=st.data(), key=st.sampled_from("abcd"), args=_PARAMS)
    def send(self, data: st.DataObject, key: str, args: dict[str, Any]) -> None:
        study = self.a_study(data)
        command = Command(kind=CommandKind.PAUSE, key=key, args=args, created_at=1.0)
        self.both(lambda store: store.send_command(study, command))

    @precondition(any_study)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        study = self.a_study(data)
        self.both(lambda store: store.delete_study(study))

    @precondition(any_study)
    @rule(data=st.data())
    def page(self, data: st.DataObject) -> None:
        study = self.a_study(data)
        limit = data.draw(st.integers(1, 3))
        status = data.draw(st.lists(st.sampled_from(TrialStatus), max_size=3))
        for order in _ORDERS:
            cursor = None
            while True:
                how: dict[str, Any] = {"status": status, "order": order, "limit": limit, "cursor": cursor}
                page = self.both(lambda store: store.trials(study, **how))  # noqa: B023  called at once
                cursor = page.cursor
                if cursor is None:
                    break

    @invariant()
    def all_is_equal(self) -> None:
        if not hasattr(self, "tested"):
            return
        self.both(lambda store: _pages(store.list_studies, limit=2))
        self.both(lambda store: store.list_studies(search="TW", status=StudyStatus.RUNNING))
        self.both(lambda store: _pages(store.claimable, limit=1))
        for study in self.model.list_studies().studies:
            self.study_is_equal(study.id)

    def study_is_equal(self, study: str) -> None:
        for name in ("find_study", "leader", "live_trials", "events", "pending_commands", "checkpoints"):
            self.both(methodcaller(name, study))
        trials = self.both(lambda store: list(store.iter_trials(study)))
        self.both(lambda store: store.events(study, kinds=[TrialSuggested, TrialEnded], after=2, limit=3))
        for trial in trials:
            for name in ("trial", "reports", "attempts", "checkpoints"):
                self.both(methodcaller(name, study, trial.number))
        for number in (0, 1, 2, 99):
            self.both(methodcaller("command", study, number))
            self.both(methodcaller("trial", study, number))


def _pages(read: Callable[..., StudyPage], *, limit: int) -> list[list[Study]]:
    """All pages, each from where the store itself says that the last one ended: what a cursor holds is a store's own."""
    pages, cursor = [], None
    while True:
        page = read(limit=limit, cursor=cursor)
        pages.append(page.studies)
        cursor = page.cursor
        if cursor is None:
            return pages


def _plain(value: Any) -> Any:
    """The same as JSON, in which NaN equals itself."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, tuple):
        return event_to_json(value) if hasattr(value, "seq") else [_plain(item) for item in value]  # type: ignore[arg-type]
    return repr(to_json(value)) if hasattr(value, "__dataclass_fields__") else value
