"""The study handle: what a notebook does with it."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import trialist
from trialist.core.errors import (
    ConfigError,
    Conflict,
    NotFound,
    ObjectiveError,
    SpaceError,
    StoreBusy,
    StudyExists,
    StudyLed,
    StudyMismatch,
    UnknownName,
    UserError,
)
from trialist.core.events import RunConfigured, TrialEnded, TrialSuggested
from trialist.core.records import CommandKind
from trialist.store.holders import holder

SPACE = {
    "lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1},
    "depth": {"type": "randint", "low": 1, "high": 4},
}


def distance(lr, depth):
    return abs(math.log10(lr) + 3) + depth


@pytest.fixture
def store(tmp_path):
    return f"sqlite:///{tmp_path}/trials.db"


@pytest.fixture
def study(store):
    return trialist.create_study("digits", SPACE, metric="loss", mode="min", searcher="random", seed=3, store=store)


def test_run_then_read_everything(study):
    study.run(distance, num_trials=12)
    trials = study.trials()
    assert [t.number for t in trials] == list(range(12))
    assert study.status == "completed"
    assert study.best_value == min(t.value for t in trials)
    assert study.best_trial.value == study.best_value
    assert study.best_params == study.best_trial.params
    assert [t.value for t in study.top(3)] == sorted(t.value for t in trials)[:3]
    assert len(study.trials(status="completed")) == 12
    assert study.trials(status=["failed", "stopped"]) == []
    frame = study.dataframe()
    assert list(frame["number"]) == list(range(12))
    assert list(frame["params.lr"]) == [t.params["lr"] for t in trials]
    first = trials[0]
    assert (first.source, first.parent, first.error, first.logs) == ("random", None, None, "")
    assert first.seconds >= 0
    assert first.started_at is not None
    ends = list(study.events(kinds=[TrialEnded]))
    assert [event.body.trial for event in ends] == list(range(12))


def test_equal_seeds_give_equal_studies_and_other_seeds_do_not(tmp_path):
    params = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        study = trialist.create_study(
            name, SPACE, metric="loss", mode="min", searcher="random", seed=seed, store="memory"
        )
        study.run(distance, num_trials=5)
        params.append([t.params for t in study.trials()])
    assert params[0] == params[1] != params[2]


def test_resume_goes_on_up_to_the_total(study, store):
    study.run(distance, num_trials=4)
    again = trialist.create_study(
        "digits", SPACE, metric="loss", mode="min", searcher="random", seed=3, store=store, resume=True
    )
    again.run(distance, num_trials=7)
    assert len(study.trials()) == 7
    assert trialist.load_study("digits", store=store).id == study.id
    again.run(distance, num_trials=7)
    assert len(study.trials()) == 7


def test_a_name_is_taken_once(study, store):
    with pytest.raises(StudyExists, match="resume=True"):
        trialist.create_study("digits", SPACE, metric="loss", mode="min", searcher="random", store=store)


def test_resumed_with_other_settings_shows_the_difference(study, store):
    other = {**SPACE, "depth": {"type": "randint", "low": 1, "high": 8}}
    with pytest.raises(StudyMismatch) as caught:
        trialist.create_study(
            "digits", other, metric="acc", mode="max", seed=4, searcher="sobol", store=store, resume=True
        )
    text = str(caught.value)
    assert set(caught.value.differences) == {"space.depth", "metric", "seed", "searcher"}
    assert "1 … 4" in text
    assert "1 … 8" in text
    assert "loss (min)" in text
    assert "acc (max)" in text


def another(trial):
    return 0.0


def test_resumed_with_another_objective_is_refused(study):
    study.run(distance, num_trials=2)
    with pytest.raises(StudyMismatch, match="another"):
        study.run(another, num_trials=4)
    assert len(study.trials()) == 2


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"name": ""}, ConfigError, "name"),
        ({"name": "a/b"}, ConfigError, "'/'"),
        ({"mode": None}, ConfigError, "'min' or 'max'"),
        ({"mode": "minimise"}, ConfigError, "minimise"),
        ({"metric": None}, ConfigError, "metric"),
        ({"metric": ["a", "a"], "mode": ["min", "min"]}, ConfigError, "twice"),
        ({"searcher": "tpee"}, UnknownName, "searcher"),
        ({"searcher": "radom"}, UnknownName, "'random'"),
        ({"searcher": {"name": "random", "n": 3}}, UserError, "random"),
        ({"scheduler": "ahsa"}, UnknownName, "'asha'"),
        ({"scheduler": {"name": "asha", "eta": 0}}, UserError, "eta"),
        ({"seed": "x"}, ConfigError, "seed"),
        ({"space": {"lr": {"type": "loguniform", "low": 0, "high": 1}}}, SpaceError, "lr"),
        ({"space": 3}, SpaceError, "int"),
        ({"store": "sqlit:///x.db"}, UserError, "sqlite"),
    ],
)
def test_what_is_wrong_is_said_and_no_study_is_made(store, given, error, words):
    args = {"name": "x", "space": SPACE, "metric": "loss", "mode": "min", "store": store} | given
    with pytest.raises(error, match=words):
        trialist.create_study(args.pop("name"), args.pop("space"), **args)
    assert trialist.list_studies(store=store) == []


def test_unknown_study_offers_the_nearest(study, store):
    with pytest.raises(NotFound, match="'digits'"):
        trialist.load_study("digist", store=store)
    with pytest.raises(NotFound, match="99"):
        study.trial(99)


def test_list_and_delete(study, store):
    trialist.create_study("other", SPACE, metric="loss", mode="min", searcher="random", store=store)
    assert [s.name for s in trialist.list_studies(store=store)] == ["other", "digits"]
    assert [s.name for s in trialist.list_studies(store=store, search="DIG")] == ["digits"]
    trialist.delete_study("digits", store=store)
    assert [s.name for s in trialist.list_studies(store=store)] == ["other"]
    with pytest.raises(NotFound):
        study.trials() and study.row
    with pytest.raises(ConfigError, match="runing"):
        trialist.list_studies(store=store, status="runing")


def test_ask_and_tell(study):
    first, second = study.ask(), study.ask()
    assert (first.number, second.number) == (0, 1)
    assert first.params != second.params
    assert first.status == "running"
    assert first.report(step=1, loss=0.9) == "continue"
    study.tell(first, 0.3)
    study.tell(second, {"loss": 0.2, "acc": 0.9})
    third = study.ask()
    study.tell(third, error="CUDA out of memory")
    assert [t.status for t in study.trials()] == ["completed", "completed", "failed"]
    assert study.best_value == 0.2
    with pytest.raises(Conflict, match="never changes"):
        study.tell(first, 0.1)
    with pytest.raises(ObjectiveError, match="number"):
        study.tell(study.ask(), "good")
    study.tell(3, math.nan)
    assert study.trial(3).status == "failed"
    assert "finite" in study.trial(3).error.message


def test_enqueued_params_come_first(study):
    trial = study.enqueue({"lr": 1e-3, "depth": 2})
    assert trial.status == "waiting"
    study.run(distance, num_trials=3)
    assert study.trial(0).params == {"lr": 1e-3, "depth": 2}
    assert [t.source for t in study.trials()] == ["enqueue", "random", "random"]
    with pytest.raises(SpaceError, match="depth"):
        study.enqueue({"lr": 1e-3, "depth": 9})
    with pytest.raises(SpaceError, match="dept"):
        study.enqueue({"lr": 1e-3, "dept": 1})


def test_ask_hands_out_exactly_what_run_would_have(store):
    ran = trialist.create_study("ran", SPACE, metric="loss", mode="min", searcher="random", seed=9, store="memory")
    ran.run(distance, num_trials=6)
    asked = trialist.create_study("asked", SPACE, metric="loss", mode="min", searcher="random", seed=9, store=store)
    for _ in range(6):
        trial = asked.ask()
        asked.tell(trial, distance(**trial.params))
    assert [(t.params, t.value) for t in ran.trials()] == [(t.params, t.value) for t in asked.trials()]


ASK = """
import math, sys, trialist
study = trialist.load_study("digits", store=sys.argv[1])
for _ in range(10):
    trial = study.ask()
    study.tell(trial, abs(math.log10(trial.params["lr"]) + 3) + trial.params["depth"])
"""


def test_processes_that_ask_at_one_time_share_the_numbers(study, store):
    workers = [subprocess.Popen([sys.executable, "-c", ASK, store]) for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    trials = study.trials()
    assert [t.number for t in trials] == list(range(30))
    assert {t.status for t in trials} == {"completed"}
    again = trialist.create_study("again", SPACE, metric="loss", mode="min", searcher="random", seed=3, store="memory")
    again.run(distance, num_trials=30)
    assert [t.params for t in trials] == [t.params for t in again.trials()]


def test_threads_share_a_handle(study):
    def work():
        for _ in range(10):
            trial = study.ask()
            study.tell(trial, distance(**trial.params))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [t.number for t in study.trials(status="completed")] == list(range(40))


def test_asking_while_another_thread_runs_goes_through_the_leader(study):
    inside, go = threading.Event(), threading.Event()

    def objective(trial):
        inside.set()
        for step in range(200):
            trial.report(step=step, loss=1.0)
            if go.wait(0.02):
                break
        return 0.5

    runner = threading.Thread(target=lambda: study.run(objective, num_trials=1))
    runner.start()
    assert inside.wait(20)
    trial = study.ask()
    assert trial.number == 1
    study.tell(trial, 0.25)
    go.set()
    runner.join(30)
    assert study.best_value == 0.25
    assert study.status == "completed"


def test_a_second_leader_is_told_who_leads(study):
    inside, go = threading.Event(), threading.Event()

    def objective(lr, depth):
        inside.set()
        assert go.wait(20)
        return 1.0

    runner = threading.Thread(target=lambda: study.run(objective, num_trials=1))
    runner.start()
    assert inside.wait(20)
    with pytest.raises(StudyLed, match="pid"):
        study.run(objective, num_trials=5)
    assert "pid" in study.leader
    with pytest.raises(StudyLed):
        trialist.delete_study("digits", store=study.store)
    go.set()
    runner.join(30)
    assert study.leader is None
    assert len(study.trials()) == 1


def test_a_command_that_meets_a_new_leader_is_carried_out_once(study, monkeypatch):
    inside, go = threading.Event(), threading.Event()

    def objective(trial):
        inside.set()
        while not go.wait(0.02):
            trial.report(loss=1.0)
        return 0.5

    runner = threading.Thread(target=lambda: study.run(objective, num_trials=1))
    runner.start()
    assert inside.wait(20)
    real, asked = study.store.leader, []

    def leader(study_id):
        asked.append(study_id)
        return None if len(asked) == 1 else real(study_id)  # it began to lead right after we asked

    monkeypatch.setattr(study.store, "leader", leader)
    try:
        assert study.enqueue({"lr": 0.01, "depth": 2}).number == 1
    finally:
        go.set()
        runner.join(30)
    assert [trial.source for trial in study.trials()] == ["random", "enqueue"]


def test_a_command_that_a_leaving_leader_has_answered_is_carried_out_once(study, monkeypatch):
    other = trialist.load_study("digits", store=study.store)
    real, read = study.store.command, []

    def command(study_id, number):
        found = real(study_id, number)
        read.append(number)
        if len(read) == 1:
            other._steering._apply(found)  # answered after we looked, and before we see that nobody leads any more
        return found

    monkeypatch.setattr(study.store, "command", command)
    monkeypatch.setattr(study.store, "leader", lambda study_id: None if read else holder())
    assert study.enqueue({"lr": 0.01, "depth": 2}).number == 0
    assert len(study.trials()) == 1


def test_a_result_told_to_a_leader_that_leaves_is_kept(study, monkeypatch):
    trial = study.ask()
    leaders = iter([holder()])
    monkeypatch.setattr(study.store, "leader", lambda study_id: next(leaders, None))
    trialist.load_study("digits", store=study.store).tell(trial.number, 0.25)
    assert study.best_value == 0.25
    leaders = iter([holder()])
    monkeypatch.setattr(study.store, "leader", lambda study_id: next(leaders, None))
    assert trialist.load_study("digits", store=study.store).ask().number == 1


@pytest.mark.parametrize("led", [False, True])
def test_odd_numbers_of_clients_are_taken_or_refused_alike_with_and_without_a_leader(study, led):
    trial, other = study.ask(), study.ask()
    inside, go = threading.Event(), threading.Event()

    def objective(trial):
        inside.set()
        while not go.wait(0.02):
            trial.report(loss=1.0)
        return 0.5

    runner = threading.Thread(target=lambda: study.run(objective, num_trials=3))
    if led:
        runner.start()
        assert inside.wait(20)
    try:
        for step in (-1, 2**63, 1.5, "two", True):
            with pytest.raises(UserError, match="step is a whole number"):
                trial.report(step=step, loss=1.0)
        with pytest.raises(UserError, match="'loss'"):
            trial.report(step=1, loss="low")
        assert trial.report(step=2, loss=math.nan) == "continue"
        assert math.isnan(study.trial(trial.number).metrics["loss"])
        study.tell(trial, math.inf)
        assert study.trial(trial.number).error.reason == "not_finite"
        study.tell(other, -0.0)
        assert math.copysign(1, study.trial(other.number).value) == -1
        for params in ({"lr": math.nan, "depth": 1}, {"lr": object(), "depth": 1}):
            with pytest.raises(SpaceError, match="lr"):
                study.enqueue(params)
            with pytest.raises(UserError, match=r"lr|JSON"):
                study.trial(other.number).clone(params)
    finally:
        go.set()
        if led:
            runner.join(30)


def test_a_leader_that_is_too_busy_to_answer_is_named_as_the_reason(study, monkeypatch):
    asked = study.ask()
    study.store.take_lease(study.id, holder(), 60.0)  # and it never looks at its commands
    monkeypatch.setattr("trialist.api.steering.ANSWER_WITHIN_S", 0.0)
    for call in (
        study.ask,
        lambda: study.enqueue({"lr": 0.01, "depth": 2}),
        lambda: asked.clone({"depth": 2}),
        lambda: asked.report(loss=1.0),
    ):
        with pytest.raises(Conflict, match="has not answered within"):
            call()


LEADER = """
import sys, time
from pathlib import Path
import trialist

def objective(trial):
    Path(sys.argv[2]).touch()
    while not Path(sys.argv[3]).exists():
        time.sleep(0.01)
    return 1.0

trialist.load_study("digits", store=sys.argv[1]).run(objective, num_trials=1)
"""


def test_no_trial_is_made_for_a_client_that_no_longer_waits(study, store, tmp_path, monkeypatch):
    inside, go = tmp_path / "inside", tmp_path / "go"
    leader = subprocess.Popen([sys.executable, "-c", LEADER, store, str(inside), str(go)])
    try:
        deadline = time.monotonic() + 30
        while not inside.exists():  # another process: no event to wait for
            assert leader.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        monkeypatch.setattr("trialist.api.steering.ANSWER_WITHIN_S", 0.2)
        monkeypatch.setattr("trialist.api.steering.ASK_EXPIRES_S", 0.1)
        with pytest.raises(Conflict, match=rf"pid {leader.pid} .* ask again"):
            study.ask()
        go.touch()
        assert leader.wait(30) == 0
    finally:
        leader.kill()
        leader.wait()
    assert [trial.record.worker.startswith("client") for trial in study.trials()] == [False]
    command = study.store.command(study.id, 1)
    assert (command.status, "too late" in command.error) == ("refused", True)


@pytest.mark.parametrize(
    ("kind", "args", "error", "code", "status"),
    [
        ("enqueue", {"params": {"lr": 3.0, "depth": 2}}, SpaceError, 2, 422),
        ("clone", {"trial": 9}, NotFound, 2, 404),
        ("set_budget", {"num_trails": 2}, UnknownName, 2, 422),
        ("report", {"trial": 0, "step": "two"}, ObjectiveError, 2, 422),
        ("retry", {"trial": 0}, Conflict, 3, 409),
    ],
)
def test_a_leader_refuses_with_the_error_that_a_call_of_its_own_would_raise(study, kind, args, error, code, status):
    inside, go = threading.Event(), threading.Event()

    def objective(trial):
        inside.set()
        while not go.wait(0.02):
            trial.report(loss=1.0)
        return 0.5

    runner = threading.Thread(target=lambda: study.run(objective, num_trials=1))
    runner.start()
    try:
        assert inside.wait(20)
        with pytest.raises(error) as far:
            study.command(CommandKind(kind), args)
    finally:
        go.set()
        runner.join(30)
    assert (type(far.value), far.value.exit_code, far.value.http_status) == (error, code, status)
    if kind != "retry":  # which nothing refuses now that the trial has ended
        with pytest.raises(error) as near:
            study.command(CommandKind(kind), args)
        assert (str(far.value), vars(far.value)) == (str(near.value), vars(near.value))


def test_a_clients_result_is_taken_after_the_study_was_stopped(study):
    trial = study.ask()
    study.run(distance, num_trials=2, callbacks=[lambda study, trial: study.stop()])
    assert study.status == "completed"
    study.tell(trial, 0.25)
    assert (study.status, study.best_value) == ("completed", 0.25)


def train(trial):
    start = 0
    weights = 0.0
    if trial.checkpoint is not None:
        weights = float((trial.checkpoint / "weights.txt").read_text())
        start = trial.resume_step or 0
    for step in range(start + 1, 6):
        weights += trial.params["lr"]
        trial.report(step=step, loss=1.0 / (1 + weights))
        trial.save_checkpoint(lambda folder, w=weights: (folder / "weights.txt").write_text(repr(w)))
    return 1.0 / (1 + weights)


def test_clone_with_warm_start_begins_from_the_weights_and_keeps_its_own_values(study):
    study.run(train, num_trials=3)
    origin = study.trial(1)
    assert origin.checkpoint.step == 5
    cold = origin.clone({"depth": 4})
    warm = origin.clone({"lr": 1e-4}, warm_start="weights")
    assert warm.params == {**origin.params, "lr": 1e-4}
    assert (warm.parent, warm.source) == (1, "clone")
    assert study.status == "queued"
    study.run(train, num_trials=3)
    assert study.trial(cold.number).value == origin.value
    learned = 5 * origin.params["lr"] + 5 * 1e-4
    assert study.trial(warm.number).value == pytest.approx(1.0 / (1 + learned))


def test_dry_runs_say_and_change_nothing(study):
    study.run(distance, num_trials=2)
    before = study.row
    said = study.command("clone", {"trial": 0, "params": {"depth": 1}}, dry_run=True)
    assert said["dry_run"] is True
    assert "clone of trial 0" in said["message"]
    assert study.row == before
    with pytest.raises(SpaceError):
        study.command("clone", {"trial": 0, "params": {"depth": 99}}, dry_run=True)


def test_budget_changes_are_recorded(study):
    study.run(distance, num_trials=2)
    assert "num_trials=5" in study.set_budget(num_trials=5)
    assert study.row.spec.budget.num_trials == 5
    study.run(distance)
    assert len(study.trials()) == 5
    assert len(list(study.events(kinds=[RunConfigured]))) == 1


def test_several_metrics_have_a_front(store):
    study = trialist.create_study(
        "two", {"x": {"type": "uniform", "low": 0, "high": 1}}, metric=["a", "b"], mode=["min", "max"], store=store
    )
    study.run(lambda x: {"a": x, "b": x * x if x < 0.5 else 0.1}, num_trials=30)
    assert study.best_trial is None
    front = study.pareto_front()
    assert front
    for t in study.trials():
        dominated = any(
            o.metrics["a"] <= t.metrics["a"] and o.metrics["b"] >= t.metrics["b"] and o.metrics != t.metrics
            for o in study.trials()
        )
        assert dominated != (t.number in {f.number for f in front})


def test_ctrl_c_ends_a_callback_that_gives_the_study_more_to_do_each_time(study):
    told = []

    def one_more(study, trial):
        told.append(trial.number)
        assert len(told) < 30
        if len(told) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        if study.status == "running":
            study.tell(study.ask(), 1.0)

    with pytest.raises(KeyboardInterrupt):
        study.run(distance, num_trials=1, callbacks=[one_more])
    assert study.status == "paused"
    assert len(told) <= 5


def test_a_name_that_is_no_unicode_is_refused(store):
    with pytest.raises(ConfigError, match="valid Unicode"):
        trialist.create_study("a\ud800", SPACE, metric="loss", mode="min", searcher="random", store=store)


@pytest.mark.parametrize("aside", [False, True])
def test_an_inline_trial_finds_itself_and_what_it_did_in_its_study(study, aside):
    seen = []

    def look(trial):
        row = study.trial(trial.number)
        seen.append((row.status, row.number, len(row.reports), len(study.trials()), study.row.num_trials))
        assert [event.body.trial for event in study.events(kinds=[TrialSuggested])] == list(range(trial.number + 1))

    def objective(trial):
        trial.report(loss=0.5)
        if aside:
            reader = threading.Thread(target=look, args=(trial,))
            reader.start()
            reader.join(30)
        else:
            look(trial)
        return 0.25

    study.run(objective, num_trials=3)
    assert seen == [("running", number, 1, number + 1, number + 1) for number in range(3)]
    assert [trial.value for trial in study.trials()] == [0.25] * 3


def test_an_inline_trial_stops_its_own_study(study):
    def objective(trial):
        if trial.number == 1:
            study.stop()
        return 1.0

    study.run(objective, num_trials=5)
    assert [trial.status for trial in study.trials()] == ["completed"] * 2


def test_a_store_that_is_away_at_the_very_end_does_not_hide_how_the_run_ended(study, monkeypatch, caplog):
    def away(lease):
        raise StoreBusy("store", "busy")

    monkeypatch.setattr(study.store, "release_lease", away)
    study.run(distance, num_trials=2)
    assert study.status == "completed"
    assert "runs out in" in caplog.text


def test_callbacks_may_stop_the_study(study):
    def stop_early(study, trial):
        if trial.number == 3:
            study.stop()

    study.run(distance, num_trials=50, callbacks=[stop_early])
    assert len(study.trials()) == 4
    assert study.reason == "stopped by a person"


def test_a_callback_that_raises_leaves_the_study_paused_with_the_reason(study):
    def broken(study, trial):
        raise RuntimeError("no disk for my plots")

    with pytest.raises(RuntimeError, match="plots"):
        study.run(distance, num_trials=5, callbacks=[broken])
    assert (study.status, study.leader) == ("paused", None)
    assert study.reason == "interrupted by RuntimeError: no disk for my plots"
    study.run(distance, num_trials=5)
    assert (study.status, len(study.trials(status="completed"))) == ("completed", 5)


def test_command_executor_runs_functions_of_modules_in_processes(study, tmp_path, monkeypatch):
    (tmp_path / "my_objective.py").write_text(
        "import os\ndef f(trial):\n    trial.report(step=1, loss=0.5, pid=os.getpid())\n    return trial.params['lr']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import my_objective

    study.run(my_objective.f, num_trials=3, jobs=2)
    trials = study.trials()
    assert [t.status for t in trials] == ["completed"] * 3
    assert [t.value for t in trials] == [t.params["lr"] for t in trials]
    assert len({t.metrics["pid"] for t in trials}) == 3


def test_what_cannot_run_elsewhere_is_said(study):
    lock = threading.Lock()
    with pytest.raises(ObjectiveError, match=r"'lock'.*jobs=1"):
        study.run(lambda lr, depth: lock and lr, num_trials=2, jobs=2)
    with pytest.raises(ObjectiveError, match="function"):
        study.run(3, num_trials=2)
    with pytest.raises(UnknownName, match="inline"):
        study.run(distance, num_trials=2, executor="inlin")
    with pytest.raises(UserError, match="at least 1"):
        study.run(distance, num_trials=0)
    with pytest.raises(ConfigError, match="gpu"):
        study.run(distance, num_trials=1, resources={"gpu": 64})
    assert study.trials() == []


def test_asked_trials_obey_the_scheduler_and_move_from_rung_to_rung(store):
    study = trialist.create_study(
        "rungs",
        SPACE,
        metric="loss",
        mode="min",
        scheduler={"name": "asha", "eta": 2, "min_steps": 1, "max_steps": 4, "variant": "stop"},
        store=store,
    )
    good = study.ask()
    assert [good.report(step=step, loss=0.1) for step in (1, 2, 3)] == ["continue", "continue", "continue"]
    assert study.trial(good.number).record.to_step is None  # past the last rung: to the end
    bad = study.ask()
    assert bad.report(step=1, loss=9.0) == "stop"
    assert study.trial(bad.number).status == "stopped"
    assert study.trial(bad.number).value == 9.0


def test_telemetry_files_are_whole_after_a_second_run(study, tmp_path):
    from trialist.telemetry import EventsJsonl, Ledger, Timeline

    def sinks():
        return [EventsJsonl(tmp_path / "events.jsonl"), Ledger(tmp_path / "ledger.tsv"), Timeline(tmp_path / "t.json")]

    study.run(distance, num_trials=3, sinks=sinks())
    study.run(distance, num_trials=4)
    study.run(distance, num_trials=5, sinks=sinks())
    seqs = [json.loads(line)["seq"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert seqs == list(range(1, study.row.seq + 1))
    assert len((tmp_path / "ledger.tsv").read_text().splitlines()) == 1 + 5
    assert json.loads((tmp_path / "t.json").read_text())


class TestResources:
    def test_those_of_the_study_hold_where_run_names_none(self) -> None:
        study = trialist.create_study(
            "s", {"x": [1, 2]}, metric="v", mode="min", store="memory", resources={"memory_gb": 1e6}
        )
        with pytest.raises(ConfigError, match="memory_gb"):
            study.run(lambda x: float(x), num_trials=1)

    @pytest.mark.parametrize("name", ["memory", "memory_gbs", "gpus"])
    def test_a_name_that_is_nearly_one_is_refused_with_the_one_that_is_meant(self, name: str) -> None:
        with pytest.raises(ConfigError, match="Did you mean"):
            trialist.create_study("s", {"x": [1]}, store="memory", resources={name: 1})
        study = trialist.create_study("t", {"x": [1]}, metric="v", mode="min", searcher="random", store="memory")
        with pytest.raises(ConfigError, match="Did you mean"):
            study.run(lambda x: float(x), num_trials=1, resources={name: 1})


def test_a_run_without_an_end_says_so(caplog: pytest.LogCaptureFixture) -> None:
    study = trialist.create_study(
        "s", {"x": {"type": "uniform", "low": 0, "high": 1}}, metric="v", mode="min", store="memory"
    )
    ended = []

    def enough(its: trialist.Study, trial: object) -> None:
        ended.append(trial)
        if len(ended) == 3:
            its.stop()

    study.run(lambda x: x, callbacks=[enough])
    assert "no num_trials" in caplog.text
