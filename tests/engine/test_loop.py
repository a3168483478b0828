"""The loop over real inline trials and a memory store that folds every commit again."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading

import pytest

from trialist.core.errors import LeaseLost, ObjectiveError, StoreBusy, StoreFull
from trialist.core.events import (
    CommandApplied,
    CommandRefused,
    Noted,
    ReplyReceived,
    ReplyRequested,
    Reported,
    TrialEnded,
    TrialSuggested,
)
from trialist.core.ports import Reply
from trialist.core.records import (
    AttemptKey,
    Command,
    CommandKind,
    FailureReason,
    Metric,
    Mode,
    NeedsReply,
    Suggestion,
)
from trialist.core.states import StudyStatus, TrialStatus
from trialist.engine.loop import Engine
from trialist.execute.inline import InlineExecutor
from trialist.testing.fakes import ScriptedExecutor, UniformSearcher


def test_runs_the_budget_and_knows_the_best(bench):
    bench.create(num_trials=25)
    end = bench.lead(lambda x: x)
    assert end.study.status is StudyStatus.COMPLETED
    assert end.study.counts == {TrialStatus.COMPLETED: 25}
    values = [trial.value for trial in bench.trials]
    assert values == [UniformSearcher().suggest(n).params["x"] for n in range(25)]
    assert end.study.best_value == min(values)
    assert end.study.best_number == values.index(min(values))
    seqs = [event.seq for event in bench.store.events(bench.study_id, limit=10_000)]
    assert seqs == list(range(1, len(seqs) + 1))


def test_a_second_run_goes_on_up_to_the_new_total(bench):
    bench.create(num_trials=3)
    bench.lead(lambda x: x)
    from trialist.core.records import Budget

    bench.lead(lambda x: x, budget=Budget(num_trials=5))
    assert [trial.number for trial in bench.trials] == [0, 1, 2, 3, 4]
    assert bench.study.spec.budget.num_trials == 5


def test_ends_when_the_searcher_is_exhausted(bench):
    bench.create()
    end = bench.lead(lambda x: x, searcher=UniformSearcher(limit=4))
    assert end.study.num_trials == 4
    assert end.study.status is StudyStatus.COMPLETED
    assert "exhausted" in end.study.reason


@pytest.mark.parametrize(
    ("result", "reason", "words"),
    [
        (math.nan, FailureReason.NOT_FINITE, "nan"),
        (math.inf, FailureReason.NOT_FINITE, "inf"),
        (None, FailureReason.NO_METRIC, "'loss'"),
        ("good", FailureReason.BAD_RESULT, "good"),
        ({"los": 1.0}, FailureReason.NO_METRIC, "Did you mean 'los'"),
        ([1.0], FailureReason.BAD_RESULT, "list"),
    ],
)
def test_what_is_no_result_fails_with_a_reason_and_no_value(bench, result, reason, words):
    bench.create(num_trials=1)
    end = bench.lead(lambda x: result)
    trial = bench.trials[0]
    assert trial.status is TrialStatus.FAILED
    assert trial.error.reason is reason
    assert words in trial.error.message
    assert trial.value is None
    assert end.study.best_value is None
    assert end.study.status is StudyStatus.FAILED
    assert trial.error.message in end.study.reason


def test_nothing_returned_counts_the_last_report(bench):
    bench.create(num_trials=1)

    def objective(trial):
        trial.report(step=1, loss=0.5, acc=0.1)
        trial.report(step=2, loss=0.25)

    bench.lead(objective)
    trial = bench.trials[0]
    assert trial.value == 0.25
    assert dict(trial.metrics) == {"loss": 0.25, "acc": 0.1}
    assert trial.step == 2


def test_several_metrics_need_all_of_them(bench):
    bench.create(num_trials=1, metrics=(Metric(name="loss", mode=Mode.MIN), Metric(name="size", mode=Mode.MAX)))
    bench.lead(lambda x: {"loss": 1.0})
    assert "'size'" in bench.trials[0].error.message


def test_without_metrics_a_trial_that_tells_nothing_completes(bench):
    bench.create(num_trials=1, metrics=())
    end = bench.lead(lambda x: None)
    assert bench.trials[0].status is TrialStatus.COMPLETED
    assert end.study.status is StudyStatus.COMPLETED


def test_failures_are_retried_as_new_trials_that_do_not_count(bench):
    bench.create(num_trials=2, retries=2)
    calls = []

    def objective(x):
        calls.append(x)
        if len(calls) < 3:
            raise ValueError("not yet")
        return x

    end = bench.lead(objective)
    first, retry1, retry2, second = bench.trials
    assert [t.source for t in bench.trials] == ["uniform", "retry", "retry", "uniform"]
    assert (retry1.parent, retry2.parent) == (0, 1)
    assert first.params == retry1.params == retry2.params != second.params
    assert retry2.status is TrialStatus.COMPLETED
    assert (end.study.num_trials, end.study.num_suggested) == (4, 2)
    assert first.seed != retry1.seed


def test_max_failures_fails_the_study(bench):
    bench.create(num_trials=50, max_failures=2)

    def objective(x):
        raise RuntimeError("broken")

    end = bench.lead(objective)
    assert end.study.status is StudyStatus.FAILED
    assert end.study.counts == {TrialStatus.FAILED: 3}
    assert "max_failures" in end.study.reason


def test_time_budget_spans_runs(bench):
    bench.create(time_budget_s=10.0)

    def objective(x):
        bench.clock.forward(3.0)
        return x

    end = bench.lead(objective)
    assert end.study.num_trials == 4
    assert end.study.status is StudyStatus.COMPLETED
    assert "time budget" in end.study.reason
    bench.clock.forward(1000.0)  # nobody leads meanwhile: this costs nothing
    assert bench.lead(objective).study.num_trials == 4


def test_callbacks_see_durable_trials(bench):
    bench.create(num_trials=5)
    seen = []

    def on_end(trial):
        assert bench.store.trial(bench.study_id, trial.number).status is TrialStatus.COMPLETED
        seen.append(trial.number)

    bench.lead(lambda x: x, on_end=on_end)
    assert seen == [0, 1, 2, 3, 4]


def test_a_sink_that_raises_is_switched_off_and_the_study_goes_on(bench):
    bench.create(num_trials=3)

    class Bad:
        closed = False

        def write(self, events, trials):
            raise OSError("disk full")

        def close(self):
            self.closed = True

    class Good(Bad):
        def __init__(self):
            self.seqs = []

        def write(self, events, trials):
            self.seqs += [event.seq for event in events]

    good = Good()
    end = bench.lead(lambda x: x, sinks=[Bad(), good])
    assert end.study.counts == {TrialStatus.COMPLETED: 3}
    assert good.seqs == list(range(2, end.study.seq + 1))
    assert good.closed
    assert any("Bad is switched off: disk full" in line for line in bench.said)


@pytest.mark.parametrize("error", [StoreBusy, StoreFull])
def test_a_store_that_is_away_costs_nothing_but_time(bench, error, monkeypatch):
    bench.create(num_trials=3)
    real, away = bench.store.commit, iter(range(4))

    def commit(lease, commit):
        if next(away, None) is not None:
            raise error("memory", "gone fishing")
        real(lease, commit)

    monkeypatch.setattr(bench.store, "commit", commit)
    monkeypatch.setattr("trialist.engine.interrupts.Interrupts.pause", lambda seconds: bench.clock.forward(seconds))
    end = bench.lead(lambda x: x)
    assert end.study.counts == {TrialStatus.COMPLETED: 3}
    assert any("store was away" in body.message for body in bench.bodies(Noted))
    assert any("nothing is lost" in line for line in bench.said)


def test_a_store_that_is_away_when_it_is_read_costs_nothing_but_time(bench, monkeypatch):
    """Its reads for a command, for a trial that goes on from a checkpoint, and for the reason of a failure."""
    bench.create(num_trials=1)
    monkeypatch.setattr("trialist.engine.interrupts.Interrupts.pause", lambda seconds: bench.clock.forward(seconds))
    away = []

    def often_away(name):
        real = getattr(bench.store, name)

        def call(*args, **options):
            away.append(name)
            if len(away) % 2:
                raise StoreBusy("memory", "gone fishing")
            return real(*args, **options)

        monkeypatch.setattr(bench.store, name, call)

    bench.lead(lambda x: float("nan"))
    for name in ("trial", "trials", "reports"):
        often_away(name)
    bench.send(CommandKind.RETRY, trial=0)
    end = bench.lead(lambda x: float("nan"))
    assert (end.study.status, end.study.reason) == (StudyStatus.FAILED, bench.study.reason)
    assert "no trial succeeded" in end.study.reason
    assert [body.command_kind for body in bench.bodies(CommandApplied)] == [CommandKind.RETRY]
    assert set(away) == {"trial", "trials"}


def test_a_store_that_is_away_pays_for_no_reply_twice(bench, monkeypatch):
    bench.create(num_trials=2)
    real, asked, away = bench.store.commit, [], []
    monkeypatch.setattr("trialist.engine.interrupts.Interrupts.pause", lambda seconds: bench.clock.forward(seconds))

    def commit(lease, commit):
        for event in commit.events:
            if isinstance(event.body, ReplyRequested | ReplyReceived) and event.seq not in away:
                away.append(event.seq)
                raise StoreBusy("memory", "gone fishing")
        real(lease, commit)

    def replier(request):
        asked.append(request["number"])
        return Reply({"x": 0.5})

    monkeypatch.setattr(bench.store, "commit", commit)
    assert bench.lead(lambda x: x, searcher=ChattySearcher(), replier=replier).study.count(TrialStatus.COMPLETED) == 2
    assert asked == [0, 1]


def test_a_callback_of_the_last_trial_may_give_the_study_more_to_do(bench, monkeypatch):
    bench.create(num_trials=1)
    engines, init = [], Engine.__init__
    monkeypatch.setattr(Engine, "__init__", lambda self, *given: (engines.append(self), init(self, *given))[1])

    def on_end(trial):
        if trial.number < 2:
            command = Command(kind=CommandKind.ENQUEUE, args={"params": {"x": 0.5}}, key=str(trial.number))
            engines[0].carry_out(bench.store.send_command(bench.study_id, command))

    end = bench.lead(lambda x: x, on_end=on_end)
    assert (end.study.status, end.study.counts) == (StudyStatus.COMPLETED, {TrialStatus.COMPLETED: 3})


def test_a_leader_that_is_fenced_while_it_answers_a_command_leaves_at_once(bench, monkeypatch):
    bench.create(num_trials=3)
    real = bench.store.commit

    def commit(lease, commit):
        if any(isinstance(event.body, CommandApplied) for event in commit.events):
            raise LeaseLost("bench", lease.epoch)
        real(lease, commit)

    monkeypatch.setattr(bench.store, "commit", commit)
    executor = bench.commanded(lambda segment: iter([{"loss": 1.0}] * 9), {2: [(CommandKind.PAUSE, {})]})
    with pytest.raises(LeaseLost, match="fenced"):
        bench.lead(executor)
    polls = 2
    assert len([key for call, key in executor.calls if call == "start"]) == 1
    assert bench.said == []  # nothing was paused
    assert len(bench.bodies(Reported)) <= polls


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        (CommandKind.STOP_TRIAL, {}),
        (CommandKind.CLONE, {"trial": 0, "params": [1]}),
        (CommandKind.RETRY, {"trial": "first"}),
        (CommandKind.ENQUEUE, {"params": 3}),
        (CommandKind.TELL, {"trial": None}),
        (CommandKind.REPORT, {"trial": 0, "step": 2**70, "metrics": {"loss": "low"}}),
        (CommandKind.SET_BUDGET, {"jobs": "many"}),
    ],
)
def test_what_makes_no_sense_is_refused_and_ends_no_leader(bench, kind, args):
    bench.create(num_trials=1)
    bench.send(kind, **args)
    assert bench.lead(lambda x: x).study.counts == {TrialStatus.COMPLETED: 1}
    assert [body.command_kind for body in bench.bodies(CommandRefused)] == [kind]


def test_a_study_that_is_given_more_to_do_while_its_cancelled_trials_leave_goes_on(bench):
    bench.create(num_trials=1)
    more = {2: [(CommandKind.CANCEL, {})], 3: [(CommandKind.ENQUEUE, {"params": {"x": 0.5}})]}
    executor = bench.commanded(lambda segment: iter([{"loss": 1.0}] * 2), more)
    kill, slow = executor.kill, []

    def kill_in_its_own_time(key):
        slow.append(key)
        if len(slow) > 3:
            kill(key)

    executor.kill = kill_in_its_own_time
    executor._script = lambda segment: iter([{"loss": 1.0}] * (2 if segment.trial else 100))
    bench.lead(executor)
    assert [trial.status for trial in bench.trials] == [TrialStatus.CANCELLED, TrialStatus.COMPLETED]
    assert bench.study.status is StudyStatus.COMPLETED


def test_ctrl_c_once_ends_the_running_trial_and_pauses(bench):
    bench.create(num_trials=10)

    def objective(x):
        if x == UniformSearcher().suggest(2).params["x"]:
            os.kill(os.getpid(), signal.SIGINT)
        return x

    end = bench.lead(objective)
    assert end.interrupted
    assert end.study.status is StudyStatus.PAUSED
    assert end.study.counts == {TrialStatus.COMPLETED: 3}
    assert bench.lead(lambda x: x).study.counts == {TrialStatus.COMPLETED: 10}


def test_an_interrupt_of_a_trials_own_pauses_the_study_instead_of_starting_the_trial_for_ever(bench):
    bench.create(num_trials=3)
    calls = []

    def objective(trial):
        calls.append(trial.number)
        if len(calls) == 2:
            raise KeyboardInterrupt  # no signal came to us: somebody else owns SIGINT, or it is a library's own
        assert len(calls) < 10
        return 1.0

    end = bench.lead(objective)
    assert (end.interrupted, end.study.status) == (True, StudyStatus.PAUSED)
    assert end.study.counts == {TrialStatus.COMPLETED: 1, TrialStatus.WAITING: 1}
    assert bench.lead(objective).study.counts == {TrialStatus.COMPLETED: 3}
    assert calls == [0, 1, 1, 2]


def test_ctrl_c_twice_ends_the_running_trial_now_and_it_runs_again(bench):
    bench.create(num_trials=4)
    before = signal.getsignal(signal.SIGINT)

    def objective(x):
        if x == UniformSearcher().suggest(1).params["x"]:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the second Ctrl-C did not end the trial")
        return x

    end = bench.lead(objective)
    assert end.interrupted
    assert end.study.counts == {TrialStatus.COMPLETED: 1, TrialStatus.WAITING: 1}
    assert signal.getsignal(signal.SIGINT) is before
    again = bench.lead(lambda x: x)
    assert again.study.counts == {TrialStatus.COMPLETED: 4}
    assert bench.trials[1].attempt == 2


class Interrupting:
    """A sink that is told to end the process while the engine works, as ``kill`` would."""

    def __init__(self, kind):
        self._kind = kind

    def write(self, events, trials):
        if any(isinstance(event.body, self._kind) for event in events):
            os.kill(os.getpid(), signal.SIGTERM)

    def close(self):
        pass


@pytest.mark.parametrize("kind", [Reported, TrialEnded])
def test_a_signal_that_meets_the_engine_inside_a_trials_report_ends_the_study_s_turn(bench, kind):
    bench.create(num_trials=3)

    def objective(trial):
        bench.clock.forward(1.0)  # so that each report is committed at once
        trial.report(loss=1.0)
        trial.report(loss=0.5)

    end = bench.lead(objective, sinks=[Interrupting(kind)])
    assert (end.interrupted, end.study.status) == (True, StudyStatus.PAUSED)
    done = int(kind is TrialEnded)
    assert end.study.counts[TrialStatus.COMPLETED if done else TrialStatus.WAITING] == 1
    assert bench.lead(objective).study.counts == {TrialStatus.COMPLETED: 3}


def test_a_signal_that_meets_the_executor_beside_the_trial_ends_the_study_s_turn(bench, monkeypatch):
    bench.create(num_trials=3)
    objective = InlineExecutor(lambda trial: 1.0, metric_names=("loss",))
    run = objective._objective.run

    def interrupted(trial):
        if trial.number == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return run(trial)

    monkeypatch.setattr(objective._objective, "run", interrupted)
    end = bench.lead(objective)
    assert (end.interrupted, end.study.status) == (True, StudyStatus.PAUSED)
    assert end.study.counts == {TrialStatus.COMPLETED: 1, TrialStatus.WAITING: 1}
    assert bench.lead(lambda trial: 1.0).study.counts == {TrialStatus.COMPLETED: 3}


def test_a_paused_study_waits_until_it_is_resumed(bench):
    bench.create(num_trials=4)
    polls = []

    def script(segment):
        yield {"loss": 1.0}
        return {"loss": 0.5}

    executor = ScriptedExecutor(script)
    real_poll = executor.poll

    def poll(timeout_s, sink):
        bench.clock.forward(0.2)
        polls.append(len(bench.trials))
        if len(polls) == 2:
            bench.send(CommandKind.PAUSE)
        if len(polls) == 20:
            assert bench.study.status is StudyStatus.PAUSED
            assert [t.status for t in bench.trials] == [TrialStatus.COMPLETED]
            bench.send(CommandKind.RESUME)
        real_poll(timeout_s, sink)

    executor.poll = poll
    end = bench.lead(executor)
    assert end.study.counts == {TrialStatus.COMPLETED: 4}
    assert polls[18] == polls[5] == 1
    assert [body.command_kind for body in bench.bodies(CommandApplied)] == ["pause", "resume"]


def test_stop_lets_running_trials_end_and_cancel_ends_them(bench):
    bench.create(num_trials=10, jobs=2)

    def script(segment):
        for _ in range(5):
            yield {"loss": 1.0}
        return {"loss": 0.5}

    end = bench.lead(bench.commanded(script, {3: [(CommandKind.STOP, {})]}))
    assert end.study.counts == {TrialStatus.COMPLETED: 2}
    assert (end.study.status, end.study.reason) == (StudyStatus.COMPLETED, "stopped by a person")


def test_cancel_kills_what_runs(bench):
    bench.create(num_trials=10, jobs=2)

    def script(segment):
        while True:
            yield {"loss": 1.0}

    end = bench.lead(bench.commanded(script, {3: [(CommandKind.CANCEL, {})]}))
    assert end.study.status is StudyStatus.CANCELLED
    assert end.study.counts == {TrialStatus.CANCELLED: 2}
    assert all(t.value is None and not t.metrics for t in bench.trials)


def test_commands_for_one_trial_and_for_the_budget_while_it_runs(bench):
    bench.create(num_trials=3)

    def script(segment):
        if segment.trial == 0:
            while True:
                yield {"loss": 0.3}
        yield {"loss": 0.5}
        return {}

    at_once = [
        (CommandKind.STOP_TRIAL, {"trial": 0}),
        (CommandKind.ENQUEUE, {"params": {"x": 0.125}}),
        (CommandKind.SET_BUDGET, {"num_trials": 4, "jobs": 2}),
        (CommandKind.CLONE, {"trial": 0, "params": {"x": 0.5}}),
        (CommandKind.CLONE, {"trial": 0, "params": {}, "warm_start": "weights"}),
    ]
    bench.lead(bench.commanded(script, {3: at_once}))
    trials = bench.trials
    assert trials[0].status is TrialStatus.STOPPED
    assert trials[0].value == 0.3
    assert [t.source for t in trials] == ["uniform", "enqueue", "clone", "uniform"]
    assert trials[1].params == {"x": 0.125}
    assert (trials[2].params, trials[2].parent) == ({"x": 0.5}, 0)
    refused = [c for c in (bench.store.command(bench.study_id, i) for i in range(1, 6)) if c.error]
    assert [c.kind for c in refused] == [CommandKind.CLONE]
    assert "no checkpoint" in refused[0].error


class ChattySearcher:
    """Asks for a reply before each suggestion; a fold over the replies."""

    name = "chatty"
    reads = frozenset({ReplyReceived, TrialSuggested})

    def __init__(self):
        self.replies = {}
        self.numbers = 0

    def suggest(self, number):
        needs = NeedsReply(request={"number": number})
        if needs.key not in self.replies:
            return needs
        return Suggestion(params={"x": self.replies[needs.key].get("x", -1.0)})

    def update(self, event, trial):
        if isinstance(event.body, ReplyReceived):
            self.replies[event.body.key] = event.body.reply


def test_a_searcher_that_needs_replies_gets_each_once(bench):
    bench.create(num_trials=3)
    asked = []

    def replier(request):
        assert bench.bodies(ReplyRequested)[-1].request == request  # committed before it is made
        asked.append(request["number"])
        if request["number"] == 1:
            raise ConnectionError("no line")
        return Reply({"x": request["number"] / 4}, cost_usd=0.5)

    bench.lead(lambda x: x, searcher=ChattySearcher(), replier=replier)
    assert asked == [0, 1, 2]
    assert [t.params["x"] for t in bench.trials] == [0.0, -1.0, 0.5]
    assert [body.cost_usd for body in bench.bodies(ReplyReceived)] == [0.5, 0.0, 0.5]
    from trialist.core.records import Budget

    bench.lead(lambda x: x, searcher=ChattySearcher(), replier=replier, budget=Budget(num_trials=4))
    assert asked == [0, 1, 2, 3]


@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_ends_the_wait_for_a_reply_and_the_request_is_made_again(bench, order):
    bench.create(num_trials=2)
    asked, go = threading.Event(), threading.Event()

    def never(request):
        asked.set()
        assert go.wait(60)
        return Reply({"x": 0.75}, cost_usd=1.0)

    executor = ScriptedExecutor(lambda segment: iter([{"loss": 1.0}]))
    poll, polls = executor.poll, []

    def interrupting(timeout_s, sink):
        assert asked.wait(20)
        os.kill(os.getpid(), order)
        polls.append(1)
        poll(timeout_s, sink)

    executor.poll = interrupting
    end = bench.lead(executor, searcher=ChattySearcher(), replier=never)
    assert len(polls) == (1 if order == signal.SIGTERM else 2)
    assert (end.interrupted, end.study.status, end.study.num_trials) == (True, StudyStatus.PAUSED, 0)
    go.set()  # the reply that comes too late
    again = bench.lead(
        lambda x: x, searcher=ChattySearcher(), replier=lambda request: Reply({"x": request["number"] / 4})
    )
    assert [trial.params["x"] for trial in bench.trials] == [0.0, 0.25]
    assert [body.request["number"] for body in bench.bodies(ReplyRequested)] == [0, 0, 1]
    assert again.study.status is StudyStatus.COMPLETED


WAITS_FOR_A_REPLY = """
import sys, threading
from trialist.core.ports import Reply
from trialist.engine.replies import Replies

class Lead:
    def emit(self, body): pass

class Needs:
    key, request = "k", {}

begun = threading.Event()

def replier(request):
    begun.set()
    threading.Event().wait()

replies = Replies(Lead(), replier, lambda: None, lambda: None)
replies.request(Needs())
assert begun.wait(20)
replies.drop()
"""


def test_a_process_ends_without_the_reply_that_it_gave_up():
    subprocess.run([sys.executable, "-c", WAITS_FOR_A_REPLY], check=True, timeout=60)


def test_a_searcher_that_needs_replies_without_anybody_to_ask_says_so(bench):
    bench.create(num_trials=1)
    with pytest.raises(ObjectiveError, match="chatty"):
        bench.lead(lambda x: x, searcher=ChattySearcher())


def test_attempts_that_ended_meanwhile_are_not_heard(bench):
    bench.create(num_trials=1)
    from trialist.core.ports import ReportedSignal

    def script(segment):
        yield {"loss": 1.0}
        return {"loss": 1.0}

    executor = ScriptedExecutor(script)
    real_poll = executor.poll

    def poll(timeout_s, sink):
        sink(ReportedSignal(key=AttemptKey(trial=0, attempt=7), step=9, metrics={"loss": -1.0}))
        sink(ReportedSignal(key=AttemptKey(trial=5, attempt=1), step=9, metrics={"loss": -1.0}))
        real_poll(timeout_s, sink)

    executor.poll = poll
    bench.lead(executor)
    assert bench.trials[0].value == 1.0
    assert len(bench.bodies(TrialEnded)) == 1


def test_a_study_paused_while_an_inline_trial_runs_sends_it_to_its_checkpoint(bench):
    bench.create(num_trials=1)
    steps = []

    def objective(trial):
        for step in range((trial.resume_step or 0) + 1, 6):
            bench.clock.forward(1.0)
            steps.append(step)
            trial.report(step=step, loss=1.0 / step)
            trial.save_checkpoint(lambda folder: (folder / "x").write_text("x"))
            if step == 2 and trial.attempt == 1:
                bench.send(CommandKind.PAUSE)
        return 0.1

    executor = InlineExecutor(objective, metric_names=("loss",))
    real_poll = executor.poll

    def poll(timeout_s, sink):
        bench.clock.forward(1.0)
        if bench.study.status is StudyStatus.PAUSED and bench.trials[0].status is TrialStatus.WAITING:
            bench.send(CommandKind.RESUME)
        real_poll(0, sink)

    executor.poll = poll
    end = bench.lead(executor)
    assert end.study.status is StudyStatus.COMPLETED
    assert steps == [1, 2, 3, 3, 4, 5]  # it left at its third report, back to the checkpoint of step 2
    assert bench.trials[0].attempt == 2
