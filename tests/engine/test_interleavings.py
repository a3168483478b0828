"""Any interleaving of reports, exits, losses, commands, stores that are away and crashes leaves a study that adds up.

Hypothesis draws what happens at each poll of the executor; afterwards the study is led to its end without trouble, and
what is stored is held against the rules that hold whatever happened.
"""

from __future__ import annotations

import errno
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from trialist.core.errors import StoreBusy, TrialistError
from trialist.core.events import AttemptEnded, AttemptStarted, CommandApplied, TrialEnded, TrialSuggested
from trialist.core.ports import ExitedSignal, LostSignal
from trialist.core.records import (
    Budget,
    Command,
    CommandKind,
    Failure,
    FailureReason,
    Metric,
    Mode,
    OutcomeKind,
    Spec,
    StudySpec,
)
from trialist.core.states import StudyStatus, TrialStatus
from trialist.engine.assembly import Assembly
from trialist.engine.context import Context
from trialist.engine.control import apply
from trialist.engine.interrupts import Interrupts
from trialist.engine.loop import Engine
from trialist.engine.placement import Placement
from trialist.engine.recover import CLIENT, take_up
from trialist.schedule.asha import AshaScheduler
from trialist.schedule.fifo import FifoScheduler
from trialist.store.checks import check_study
from trialist.store.holders import holder
from trialist.store.memory import MemoryStore
from trialist.store.sql import SqlStore
from trialist.testing.fakes import FakeClock, ScriptedExecutor, UniformSearcher

LOSS = Metric(name="loss", mode=Mode.MIN)
STUDY = "a" * 32
JOBS = 2
TRIALS = 5
STEPS = 4


class Crash(BaseException):
    """The engine dies: what was not committed is gone."""


def script(segment):
    """Reports that depend on the trial and the step alone, like those of a deterministic objective."""
    for step in range(segment.from_step + 1, STEPS + 1):
        yield {"loss": value_at(segment.trial, step)}
    return {}


def value_at(trial, step):
    return (trial * 7 % 5) + 1.0 / step


@dataclass
class Driven(ScriptedExecutor):
    """Each poll does what is drawn for it."""

    todo: list[Any]
    world: World

    def __post_init__(self):
        ScriptedExecutor.__init__(self, script, parks=self.world.parks, checkpoints=self.world.checkpoints)

    def start(self, segment):
        if self.world.full:
            self.world.full -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        super().start(segment)
        self._check_jobs()

    def go_on(self, key, to_step):
        super().go_on(key, to_step)
        self._check_jobs()

    def _check_jobs(self):
        computing = [key for key, moving in self._running.items() if not moving.parked]
        assert len(computing) <= JOBS, f"{computing} compute at once"
        assert len({key.trial for key in self._running}) == len(self._running), "a trial runs twice at once"

    def poll(self, timeout_s, sink):
        self.world.clock.forward(0.2)
        if not self.todo:
            raise Crash
        what, which = self.todo.pop(0)
        for one in [what] if isinstance(what, str) else what:
            event(one)
        if what == "crash":
            raise Crash  # also before it is heard who has left
        while self._signals:
            sink(self._signals.popleft())
        running = sorted(self._running)
        key = running[which % len(running)] if running else None
        if what == "busy":
            self.world.busy = which % 3 + 1
        elif what == "full":
            self.world.full = which % 3 + 1
        elif what == "lose" and running:
            keys = tuple(running[: which % len(running) + 1])
            for lost in keys:
                del self._running[lost]
            self._signals.append(LostSignal(worker="scripted", keys=keys))
        elif what == "raise" and key is not None:
            del self._running[key]
            error = Failure(reason=FailureReason.EXCEPTION, message="drawn")
            self._signals.append(ExitedSignal(key=key, outcome=OutcomeKind.RAISED, error=error))
        elif isinstance(what, tuple):
            for kind in what:
                self.world.send(kind, which)
        elif key is not None:
            self._move(key)
        while self._signals:
            sink(self._signals.popleft())


@dataclass
class World:
    """A study, and what is around it."""

    store: Any
    checkpoints: str | None
    parks: bool
    asha: bool
    clock: FakeClock = field(default_factory=FakeClock)
    busy: int = 0
    full: int = 0
    sent: int = 0

    def __post_init__(self):
        self.store.create_study(
            StudySpec(
                id=STUDY,
                name="interleaved",
                space={},
                metrics=(LOSS,),
                searcher=Spec(name="uniform"),
                executor=Spec(name="scripted"),
                budget=Budget(num_trials=TRIALS, jobs=JOBS, retries=1),
            )
        )
        real = self.store.commit

        def commit(lease, commit):
            if self.busy and lease is not None:
                self.busy -= 1
                raise StoreBusy("store", "drawn")
            real(lease, commit)

        self.store.commit = commit

    @property
    def study(self):
        return self.store.find_study(STUDY)

    @property
    def trials(self):
        return list(self.store.iter_trials(STUDY))

    def lead(self, executor):
        lease = self.store.take_lease(STUDY, holder(), 30.0)
        parts = Assembly(
            store=self.store,
            searcher=UniformSearcher(),
            scheduler=self.scheduler(),
            executor=executor,
            placement=Placement(needs={}, capacity={}, devices=()),
            clock=self.clock,
            workspace=lambda trial: Path(f"/trial-{trial.number}"),
            check_params=dict,
            remove_files=lambda path: None,
            say=lambda text: None,
        )
        try:
            return Engine(parts, lease, self.study).run()
        finally:
            self.store.release_lease(lease)

    def scheduler(self):
        if self.asha:
            return AshaScheduler(metrics=(LOSS,), eta=2, min_steps=1, max_steps=STEPS)
        return FifoScheduler(metrics=(LOSS,))

    def command(self, kind, which):
        number = which % max(1, self.study.num_trials)
        args: dict[str, Any] = {"trial": number}
        if kind is CommandKind.ENQUEUE:
            args = {"params": {"x": 0.5}}
        elif kind in (CommandKind.ASK, CommandKind.STOP, CommandKind.CANCEL, CommandKind.PAUSE, CommandKind.RESUME):
            args = {}
        elif kind is CommandKind.TELL:
            args = {"trial": number, "metrics": {"loss": 0.5}}
        elif kind is CommandKind.SET_BUDGET:
            args = {"num_trials": which}
        self.sent += 1
        return Command(kind=kind, args=args, key=str(self.sent), sender="drawn")

    def send(self, kind, which):
        self.store.send_command(STUDY, self.command(kind, which))

    def carry_out(self, kind, which):
        """Where nobody leads."""
        lead = take_up(
            store=self.store,
            lease=None,
            study=self.study,
            searcher=UniformSearcher(),
            scheduler=self.scheduler(),
            clock=self.clock,
        )
        context = Context(
            lead, None, dict, lambda number: lead.trials.get(number) or self.store.trial(STUDY, number), lambda _: None
        )
        try:
            apply(context, self.store.send_command(STUDY, self.command(kind, which)))
        except TrialistError:
            pass
        lead.commit()

    def go_through(self, drawn):
        """What was drawn, over as many engines as it takes."""
        todo = list(drawn)
        while todo:
            if self.study.status.is_ended:
                self.carry_out(CommandKind.ENQUEUE, 0)
            try:
                self.lead(Driven(todo, self))
            except Crash:
                self.busy = self.full = 0
                assert list(check_study(self.store, STUDY)) == []
            if todo:
                todo.pop(0)  # an engine that ends at once must not keep us here

    def bring_home(self):
        """Lead the study to its end, with nothing in the way: paused trials go on, clients' trials are given up."""
        for _ in range(20):
            for trial in self.store.live_trials(STUDY):
                if trial.worker.startswith(CLIENT) and trial.status is TrialStatus.RUNNING:
                    self.carry_out(CommandKind.CANCEL_TRIAL, trial.number)
                elif trial.status is TrialStatus.PAUSED:
                    self.carry_out(CommandKind.RESUME_TRIAL, trial.number)
            self.lead(Patient(script, parks=self.parks, checkpoints=self.checkpoints))
            if self.study.status.is_ended and not self.store.live_trials(STUDY):
                return
        raise AssertionError(f"no end: {self.study}, {self.trials}")


class Patient(ScriptedExecutor):
    """Moves all, and not for ever."""

    polls = 0

    def poll(self, timeout_s, sink):
        self.polls += 1
        assert self.polls < 500, "the engine finds no end"
        super().poll(timeout_s, sink)


COMMANDS = st.lists(
    st.sampled_from(
        [
            CommandKind.PAUSE,
            CommandKind.RESUME,
            CommandKind.STOP,
            CommandKind.CANCEL,
            CommandKind.ENQUEUE,
            CommandKind.CLONE,
            CommandKind.RETRY,
            CommandKind.PAUSE_TRIAL,
            CommandKind.RESUME_TRIAL,
            CommandKind.STOP_TRIAL,
            CommandKind.CANCEL_TRIAL,
            CommandKind.ASK,
            CommandKind.TELL,
        ]
    ),
    min_size=1,
    max_size=3,
).map(tuple)
"""What people and clients say at one time."""
HAPPENINGS = st.one_of(*[st.just("move")] * 6, st.sampled_from(["crash", "lose", "raise", "busy", "full"]), COMMANDS)
STORIES = st.lists(st.tuples(HAPPENINGS, st.integers(0, 11)), min_size=20, max_size=80)


def events(world):
    return world.store.events(STUDY, limit=100_000)


def check_attempts(world):
    """Every attempt that began ended once, and none began while another one of its trial ran or after its trial's end."""
    running: dict[int, int] = {}
    ended: set[int] = set()
    for one in events(world):
        match one.body:
            case AttemptStarted() as body:
                assert body.trial not in ended, f"trial {body.trial} began again after its end"
                assert body.trial not in running, f"trial {body.trial} has two attempts at once"
                running[body.trial] = body.attempt
            case AttemptEnded() as body:
                assert running.pop(body.trial) == body.attempt
            case TrialEnded() as body:
                assert body.trial not in ended, f"trial {body.trial} ended twice"
                ended.add(body.trial)
                running.pop(body.trial, None)
    assert running == {}


def check_counts(world):
    """Nothing is counted twice, and the searcher never has more than its budget."""
    trials = world.trials
    study = world.study
    assert [trial.number for trial in trials] == list(range(study.num_trials))
    assert study.num_suggested == sum(trial.counted for trial in trials)
    assert {status: count for status, count in study.counts.items() if count} == Counter(t.status for t in trials)
    by_searcher = [trial for trial in trials if trial.source == "uniform" and not trial.worker.startswith(CLIENT)]
    assert len(by_searcher) <= study.spec.budget.num_trials
    retried = Counter(trial.parent for trial in trials if trial.source == "retry" and trial.note.get("retry"))
    assert all(count == 1 for count in retried.values())
    assert all(trial.note.get("retry", 0) <= study.spec.budget.retries for trial in trials)
    for trial in trials:
        assert trial.status.is_terminal
        if trial.source == "uniform":
            assert trial.params == UniformSearcher().suggest(trial.number).params
        if trial.status is TrialStatus.COMPLETED and not trial.worker.startswith(CLIENT):
            assert trial.value == value_at(trial.number, STEPS)


def check_words(world):
    """What a person said holds: nothing new begins in a stopped study, and a cancelled trial never counts."""
    stopping = False
    cancelled: set[int] = set()
    for one in events(world):
        match one.body:
            case CommandApplied(command_kind=CommandKind.STOP) as body:
                stopping = stopping or "starts no more" in str(body.result["message"])
            case CommandApplied(command_kind=CommandKind.RESUME | CommandKind.CANCEL):
                stopping = False
            case CommandApplied(command_kind=CommandKind.CANCEL_TRIAL) as body:
                if "told to leave" in str(body.result["message"]):
                    cancelled.add(body.args["trial"])
            case TrialEnded() as body if body.trial in cancelled:
                assert body.status is TrialStatus.CANCELLED
            case AttemptStarted(attempt=1) | TrialSuggested(source="uniform"):
                assert not stopping, "something new began in a stopped study"
        if getattr(one.body, "status", None) in (StudyStatus.COMPLETED, StudyStatus.FAILED, StudyStatus.QUEUED):
            stopping = False
    assert world.store.pending_commands(STUDY) == []


def check(world):
    world.bring_home()
    more = max(world.study.num_suggested, TRIALS) + 3
    world.carry_out(CommandKind.SET_BUDGET, more)
    world.bring_home()
    assert world.study.num_suggested == more, "a study that has room for more trials does not go on"
    assert list(check_study(world.store, STUDY)) == []
    check_attempts(world)
    check_counts(world)
    check_words(world)


@pytest.fixture(autouse=True, scope="module")
def no_waits():
    before, Interrupts.pause = Interrupts.pause, staticmethod(lambda seconds: None)
    yield
    Interrupts.pause = before


@settings(max_examples=300, deadline=None)
@given(STORIES, st.booleans(), st.booleans(), st.booleans())
def test_any_interleaving_adds_up(tmp_path_factory, story, asha, parks, checkpointed):
    folder = str(tmp_path_factory.getbasetemp()) if checkpointed else None
    world = World(MemoryStore(verify=True), folder, parks, asha)
    world.go_through(story)
    check(world)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(STORIES, st.booleans(), st.booleans(), st.booleans())
def test_any_interleaving_adds_up_in_a_file(tmp_path_factory, story, asha, parks, checkpointed):
    place = tmp_path_factory.mktemp("interleaved")
    world = World(SqlStore(f"sqlite:///{place / 'trialist.db'}"), str(place) if checkpointed else None, parks, asha)
    try:
        world.go_through(story)
        check(world)
    finally:
        world.store.close()
