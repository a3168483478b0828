"""``queue``, ``worker`` and ``workers`` as they are typed; what they do is the journeys' business."""

from __future__ import annotations

import time

from trialist.api import Study
from trialist.core.records import Worker
from trialist.core.states import StudyStatus
from trialist.store.holders import holder
from trialist.testing.stores import ELSEWHERE, dead_holder


def test_a_study_is_queued_by_its_name(cli, unled: Study) -> None:
    result = cli("queue", "digits", "--objective", "module:name", "--num-trials", "500", "--jobs", "2")
    assert result.out.startswith("Study 'digits' is queued; no worker is connected: start one with 'trialist worker")
    assert unled.status is StudyStatus.QUEUED
    assert (unled.row.spec.budget.num_trials, unled.row.spec.budget.jobs) == (500, 2)
    assert "waits for a worker (none is connected)" in cli("list").out
    assert "waits for a worker (none is connected)" in cli("status", "digits").out
    again = cli("queue", "digits", "--json").json
    assert (again["study"], again["status"]) == ("digits", "queued")
    assert "queued already" in again["message"]
    refused = cli("queue", "digits", "--objective", "nonsense")
    assert refused.code != 0
    assert "'nonsense' names no function" in refused.err


def test_workers_are_listed_with_what_they_lead(cli, unled: Study) -> None:
    assert cli("workers").out.startswith("No workers. Start one: trialist worker --store ")
    now = time.time()
    store = unled.store
    store.beat_worker(Worker(id="a" * 32, name="here", holder=holder(), seen_at=now, started_at=now - 90))
    store.beat_worker(Worker(id="b" * 32, name="dead", holder=dead_holder(), seen_at=now, started_at=now))
    silent = Worker(id="c" * 32, name="silent", holder=ELSEWHERE, seen_at=now - 60, started_at=now + 1)
    store.beat_worker(silent)
    found = cli("workers", "--json").json["workers"]
    assert [(one["name"], one["status"]) for one in found] == [
        ("here", "connected"),
        ("dead", "lost"),
        ("silent", "lost"),
    ]
    lines = cli("workers").out.splitlines()
    assert lines[0].split() == ["WORKER", "STATUS", "WHERE", "STARTED", "SEEN", "HAS", "LEADS"]
    assert len(lines) == 4
    unled.submit("module:name", num_trials=500)
    assert "waits for a worker (1 connected)" in cli("list").out


def test_a_resource_is_a_name_and_a_number(cli, unled: Study) -> None:
    for wrong in ("tpu", "tpu=many", "=4", "tpu=-1", "tpu=nan"):
        result = cli("worker", "--resource", wrong)
        assert result.code == 2
        assert f"--resource is given as NAME=NUMBER, such as tpu=4, not '{wrong}'" in result.err
