"""A check that cannot fail proves nothing: stores are damaged in every way that we can think of, and each must be found."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import trialist
from trialist.api import Severity, fsck
from trialist.core.events import Reported, TrialSuggested
from trialist.core.records import Command, CommandKind, Worker
from trialist.store.checks import check_study
from trialist.store.holders import holder
from trialist.store.inspecting import frozen
from trialist.store.locate import open_store
from trialist.store.memory import MemoryStore
from trialist.testing.event_script import EventScript, study_spec

SPACE = {"lr": {"type": "loguniform", "low": 1e-5, "high": 1e-1}, "kind": ["a", "b"]}


def objective(trial):
    for step in range(trial.resume_step or 0, 4):
        trial.report(step=step + 1, loss=trial.params["lr"] * (5 - step), odd=float("nan"))
        if step == 1:
            trial.save_checkpoint(lambda folder: (folder / "weights").write_text("w"))
        if step == 2 and trial.number == 2 and trial.attempt == 1:
            raise KeyboardInterrupt
    if trial.number == 3:
        raise ValueError("no luck")


def fill(store):
    """A study with everything in it: lost attempts, superseded reports, a failure, commands of each fate, a live trial."""
    study = trialist.create_study("rich", SPACE, metric="loss", mode="min", searcher="random", seed=3, store=store)
    study.enqueue({"lr": 0.01, "kind": "a"})
    with pytest.raises(KeyboardInterrupt):
        study.run(objective, num_trials=6)
    study.run(objective, num_trials=6)
    with pytest.raises(trialist.TrialistError):
        study.command(CommandKind.RESUME_TRIAL, {"trial": 77})
    asked = study.ask()
    study.store.send_command(study.id, Command(kind=CommandKind.PAUSE, key="later"))
    return study, asked


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checks")
    path = folder / "clean.db"
    store = open_store(path)
    study, _ = fill(store)
    other = trialist.create_study("other", {"x": [1, 2]}, metric="y", mode="max", searcher="grid", store=store)
    other.run(lambda trial: float(trial.params["x"]))
    assert study.row.num_trials == 7
    store.close()
    return path


def damaged(clean, folder, *statements) -> str:
    path = folder / "damaged.db"
    shutil.copy(clean, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        changed = 0
        for statement in statements:
            changed += max(0, connection.execute(statement).rowcount)
    assert changed or any(statement.startswith(("DROP", "CREATE")) for statement in statements)
    return f"sqlite:///{path}"


def wrong(found) -> list[str]:
    return [finding.problem for finding in found.findings if finding.severity is Severity.WRONG]


def test_a_clean_store_is_clean(clean):
    found = fsck(store=f"sqlite:///{clean}", replay=True)
    assert wrong(found) == []
    assert found.ok
    # 5 of the searcher's own and what was asked for; the enqueued one is a person's. The grid has two.
    assert (found.studies, found.replayed) == (2, 8)
    assert found.events > 60


def test_a_store_in_memory_is_clean_and_damage_in_it_is_found():
    store = MemoryStore()
    study, _ = fill(store)
    assert wrong(fsck(store=store, replay=True)) == []
    kept = store._studies[study.id]
    kept.trials[0] = replace(kept.trials[0], value=-1.0)
    assert any("trial 0: value" in problem for problem in wrong(fsck(store=store)))


def test_a_scripted_history_is_clean(tmp_path):
    store = open_store(tmp_path / "a.db")
    script = EventScript(study_spec())
    store.create_study(study_spec())
    for _ in range(5):
        script.run()
        store.commit(None, script.commit())
    assert list(check_study(store, study_spec().id)) == []
    store.close()


R = "(SELECT sid FROM studies WHERE name = 'rich')"
DAMAGE = {
    "an event is missing": (f"DELETE FROM events WHERE sid = {R} AND seq = 9", "event 9 is missing"),
    "the last event is missing": (
        f"DELETE FROM events WHERE sid = {R} AND seq = (SELECT max(seq) FROM events WHERE sid = {R})",
        "events happened, but there are",
    ),
    "an event cannot be read": (f"UPDATE events SET body = '{{' WHERE sid = {R} AND seq = 12", "event 12 cannot be read"),
    "an event tells other params": (
        f"UPDATE events SET body = replace(body, '\"kind\":\"b\"', '\"kind\":\"a\"') "
        f"WHERE sid = {R} AND kind = 'trial_suggested' AND body LIKE '%\"kind\":\"b\"%'",
        "params is",
    ),
    "a trial's row is missing": (f"DELETE FROM trials WHERE sid = {R} AND number = 4", "trial 4 has events and no row"),
    "a trial has no events": (
        "INSERT INTO trials SELECT sid, 99, status, rank, params, origin, state FROM trials "
        f"WHERE sid = {R} AND number = 1",
        "trial 99 has a row and no events",
    ),
    "a trial's status": (f"UPDATE trials SET status = 'failed' WHERE sid = {R} AND number = 1", "trial 1: status is"),
    "an ended trial lives": (f"UPDATE trials SET status = 'running' WHERE sid = {R} AND number = 1", "said to be live"),
    "a trial's params": (
        f"UPDATE trials SET params = '{{\"lr\":0.5,\"kind\":\"a\"}}' WHERE sid = {R} AND number = 5", "trial 5: params is"
    ),
    "a trial's value": (
        f"UPDATE trials SET state = json_set(state, '$.value', 0.0) WHERE sid = {R} AND number = 4", "trial 4: value is"
    ),
    "a trial's row cannot be read": (
        f"UPDATE trials SET state = substr(state, 1, 9) WHERE sid = {R} AND number = 4", "trial 4 cannot be read"
    ),
    "a trial's place in the order": (f"UPDATE trials SET rank = -5.0 WHERE sid = {R} AND number = 4", "trial 4 is sorted as"),
    "a trial's lineage": (
        f"UPDATE trials SET origin = json_set(origin, '$.parent', 2) WHERE sid = {R} AND number = 4", "trial 4: parent is"
    ),
    "a report is missing": (
        f"DELETE FROM reports WHERE sid = {R} AND trial = 1 AND step = 3",
        "trial 1: the report of attempt 1 at step 3 has an event and no row",
    ),
    "a report is doubled": (
        f"INSERT INTO reports SELECT sid, trial, attempt, 50, at, metrics FROM reports WHERE sid = {R} AND trial = 1 AND step = 3",
        "trial 1: the report of attempt 1 at step 50 has a row and no event",
    ),
    "a report says something else": (
        f"UPDATE reports SET metrics = '{{\"loss\":0.0}}' WHERE sid = {R} AND trial = 1 AND step = 3",
        "trial 1: the report of attempt 1 at step 3 says",
    ),
    "a report has another time": (
        f"UPDATE reports SET at = at + 1 WHERE sid = {R} AND trial = 1 AND step = 3", "trial 1: the report"
    ),
    "a report moved to another attempt": (
        f"UPDATE reports SET attempt = 3 WHERE sid = {R} AND trial = 2 AND attempt = 1 AND step = 3",
        "trial 2: the report of attempt 1 at step 3 has an event and no row",
    ),
    "a superseded report is gone": (
        f"DELETE FROM reports WHERE sid = {R} AND trial = 2 AND attempt = 1 AND step = 3", "trial 2: the report of attempt 1"
    ),
    "a report of no trial": (
        f"INSERT INTO reports SELECT sid, 400, attempt, step, at, metrics FROM reports WHERE sid = {R} AND trial = 1",
        "the table reports has",
    ),
    "an attempt is missing": (
        f"DELETE FROM attempts WHERE sid = {R} AND trial = 2 AND attempt = 1", "trial 2: attempt 1 has events and no row"
    ),
    "an attempt began elsewhere": (
        f"UPDATE attempts SET start = json_set(start, '$.from_step', 1) WHERE sid = {R} AND trial = 2 AND attempt = 2",
        "trial 2: the row of attempt 2 is not what its events add up to (from_step)",
    ),
    "an attempt runs on": (
        f"UPDATE attempts SET ending = NULL WHERE sid = {R} AND trial = 1", "trial 1: the row of attempt 1 is not"
    ),
    "an attempt of no trial": (
        f"INSERT INTO attempts SELECT sid, 400, attempt, start, ending FROM attempts WHERE sid = {R} AND trial = 1",
        "the table attempts has",
    ),
    "a checkpoint's row is missing": (
        f"DELETE FROM checkpoints WHERE sid = {R} AND trial = 4", "was taken and not freed, and has no row"
    ),
    "a checkpoint that was freed": (
        f"INSERT INTO checkpoints SELECT sid, 'old', trial, seq, data FROM checkpoints WHERE sid = {R} AND trial = 4",
        "checkpoint old has a row, and is freed or was never taken",
    ),
    "a checkpoint's path": (
        f"UPDATE checkpoints SET data = json_set(data, '$.path', '/') WHERE sid = {R} AND trial = 4",
        "is not what its event says",
    ),
    "a command's answer": (
        f"UPDATE commands SET answer = '{{\"result\":{{\"trial\":6}}}}' WHERE sid = {R} AND id = 1", "command 1 (enqueue)"
    ),
    "a command without its event": (
        f"UPDATE commands SET status = 'applied', answer = '{{\"result\":{{}}}}' WHERE sid = {R} AND id = 3",
        "command 3 (pause) is applied, and no event says so",
    ),
    "an answered command waits again": (
        f"UPDATE commands SET status = 'pending', answer = NULL WHERE sid = {R} AND id = 1", "command 1 (enqueue) is pending"
    ),
    "a command is missing": (f"DELETE FROM commands WHERE sid = {R} AND id = 1", "answers command 1, which is not there"),
    "the study's count": (
        f"UPDATE studies SET state = json_set(state, '$.num_trials', 8) WHERE sid = {R}", "the study's row: num_trials is 8"
    ),
    "the study's best": (
        f"UPDATE studies SET state = json_set(state, '$.best_value', 0.0) WHERE sid = {R}",
        "gives 0.0 as best value, but its trials' rows give",
    ),
    "the study's status": (f"UPDATE studies SET status = 'failed' WHERE sid = {R}", "the study's row: status is 'failed'"),
    "the study's number of events": (f"UPDATE studies SET seq = seq + 1 WHERE sid = {R}", "events happened, but there are"),
    "the study's spec": (
        f"UPDATE specs SET spec = json_set(spec, '$.seed', 4) WHERE sid = {R}", "the study's row: spec is"
    ),
    "the study's row cannot be read": (f"UPDATE specs SET spec = '{{' WHERE sid = {R}", "it cannot be read"),
    "the study has no spec": (f"DELETE FROM specs WHERE sid = {R}", "study 'rich' has no spec"),
    "the study's name for search": (f"UPDATE studies SET folded = 'poor' WHERE sid = {R}", "it is searched for as 'poor'"),
    "the lease went back": (f"UPDATE studies SET epoch = 1 WHERE sid = {R}", "its lease has epoch 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_found(clean, tmp_path, case):
    statement, told = DAMAGE[case]
    found = fsck(store=damaged(clean, tmp_path, statement))
    assert [problem for problem in wrong(found) if told in problem], wrong(found)
    assert not found.ok
    assert {finding.study for finding in found.findings if finding.severity is Severity.WRONG} <= {"rich", ""}


Q = "(SELECT sid FROM studies WHERE name = 'queued')"
LINE = {
    "a queued study is not in line": (f"DELETE FROM line WHERE sid = {Q}", "in the line of workers not at all, but"),
    "its place in line is another": (f"UPDATE line SET since = 7.5 WHERE sid = {Q}", "in the line of workers since 7.5, but"),
    "a study that nobody submitted": (f"INSERT INTO line SELECT sid, 1.0 FROM studies WHERE sid = {R}", "it should not at all"),
    "a worker's row cannot be read": ("UPDATE workers SET data = '{'", f"the row of worker {'a' * 32} cannot be read"),
    "a worker's row is another's": ("UPDATE workers SET id = 'b'", "the row of worker b, seen at 5.0, tells of"),
    "a worker was seen otherwise": ("UPDATE workers SET seen_at = 6.0", f"seen at 6.0, tells of {'a' * 32}, seen at 5.0"),
}  # fmt: skip


@pytest.mark.parametrize("case", LINE)
def test_damage_in_the_line_of_workers_and_in_their_table_is_found(clean, tmp_path, case):
    ours = tmp_path / "ours.db"
    shutil.copy(clean, ours)
    with closing(open_store(ours)) as store:
        trialist.create_study("queued", {"x": [1, 2]}, metric="y", mode="max", searcher="random", store=store).submit(
            ["true"], 2
        )
        store.beat_worker(Worker(id="a" * 32, name="w", holder=holder(), seen_at=5.0, started_at=4.0))
    assert fsck(store=f"sqlite:///{ours}").ok
    statement, told = LINE[case]
    found = fsck(store=damaged(ours, tmp_path, statement))
    assert [told in problem for problem in wrong(found)] == [True], wrong(found)


def test_a_suggestion_that_the_searcher_would_not_make_is_found_by_replay_alone(clean, tmp_path):
    """Event, row and columns say the same; only drawing it again tells that somebody changed it."""
    new = '"lr":0.02'
    with closing(sqlite3.connect(clean)) as connection:
        (params,) = connection.execute(f"SELECT params FROM trials WHERE sid = {R} AND number = 4").fetchone()
    old = params[params.index('"lr"') : params.index(",")] if params.startswith('{"lr"') else None
    assert old is not None
    url = damaged(
        clean,
        tmp_path,
        f"UPDATE events SET body = replace(body, '{old}', '{new}') WHERE sid = {R} AND kind = 'trial_suggested'",
        f"UPDATE trials SET params = replace(params, '{old}', '{new}') WHERE sid = {R} AND number = 4",
    )
    assert fsck(store=url).ok
    (told,) = wrong(fsck(store=url, replay=True))
    assert told.startswith("trial 4 (event ")
    assert '"lr": 0.02' in told


def test_a_seed_that_is_not_the_trials_own_is_found_by_replay(clean, tmp_path):
    url = damaged(
        clean,
        tmp_path,
        f"UPDATE events SET body = json_set(body, '$.seed', 1) WHERE sid = {R} AND kind = 'trial_suggested' "
        "AND json_extract(body, '$.trial') = 4",
        f"UPDATE trials SET origin = json_set(origin, '$.seed', 1) WHERE sid = {R} AND number = 4",
    )
    assert fsck(store=url).ok
    assert ["has seed 1" in problem for problem in wrong(fsck(store=url, replay=True))] == [True]


def test_a_damaged_file_is_found(clean, tmp_path):
    path = tmp_path / "damaged.db"
    data = bytearray(clean.read_bytes())
    with closing(sqlite3.connect(clean)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_trials_rank'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    data[(page - 1) * size + 8 : page * size] = bytes(size - 8)
    path.write_bytes(data)
    found = fsck(store=f"sqlite:///{path}")
    assert any("SQLite says of the file" in problem for problem in wrong(found))


def test_what_a_killed_delete_left_is_a_warning(clean, tmp_path):
    url = damaged(clean, tmp_path, f"DELETE FROM studies WHERE sid = {R}")
    found = fsck(store=url)
    assert found.ok
    assert any("rows of a deleted study" in finding.problem for finding in found.findings)


def test_a_checkpoint_without_its_files_and_files_without_a_checkpoint_are_warnings(tmp_path):
    store = open_store(tmp_path / "a.db")
    study, _ = fill(store)
    row = store.checkpoints(study.id, 4)[0]
    shutil.rmtree(row.path)
    beside = Path(row.path).parent
    (beside / ".tmp-1-77-abc").mkdir()
    (beside / "step-000099").mkdir()
    found = fsck("rich", store=store)
    assert found.ok
    text = "\n".join(finding.problem for finding in found.findings)
    for told in (f"{row.path} (checkpoint", "half-written", "step-000099 is a checkpoint that the study does not know"):
        assert told in text
    store.close()


def test_a_study_that_is_led_meanwhile_is_seen_at_one_instant(tmp_path):
    """Between two pages of the check its leader commits more: nothing of that is taken for a contradiction."""
    store = open_store(tmp_path / "a.db")
    study, asked = fill(store)
    with frozen(store) as view:
        before = view.find_study(study.id)
        check = check_study(view, study.id)
        writer = open_store(tmp_path / "a.db")
        trialist.load_study("rich", store=writer).tell(asked.number, 0.5)
        writer.close()
        assert list(check) == []
        assert view.find_study(study.id) == before
    assert store.find_study(study.id).seq > before.seq
    store.close()


def test_a_trial_that_reports_a_step_again_later_is_clean(tmp_path):
    """The union of both is stored; the quick sums cannot follow it, so the reports are looked at one by one."""
    for store in (open_store(tmp_path / "a.db"), MemoryStore()):
        study = trialist.create_study("again", SPACE, metric="loss", mode="min", searcher="random", store=store)

        def again(trial):
            for step in (1, 2, 1, 2, 2):
                trial.report(step=step, **{f"m{step}": 1.0, "loss": step / 2})

        study.run(again, num_trials=2)
        assert wrong(fsck(store=store)) == []


def test_events_about_trials_that_never_were_or_have_ended_are_found():
    store = MemoryStore()
    study, _ = fill(store)
    kept = store._studies[study.id]
    reported = next(event for event in kept.events if isinstance(event.body, Reported))
    last = kept.events[-1].seq
    for number, told in ((77, "which was never suggested"), (0, "which has ended")):
        body = replace(reported.body, trial=number)
        kept.events[last:] = [reported._replace(seq=last + 1, body=body)]
        kept.study = replace(kept.study, seq=last + 1)
        assert any(told in problem for problem in check_study(store, study.id))


def test_a_suggestion_from_events_that_come_later_is_found():
    store = MemoryStore()
    study, _ = fill(store)
    kept = store._studies[study.id]
    at, event = next((i, e) for i, e in enumerate(kept.events) if isinstance(e.body, TrialSuggested))
    kept.events[at] = event._replace(body=replace(event.body, seen_seq=event.seq))
    assert any("which come later" in problem for problem in check_study(store, study.id))
