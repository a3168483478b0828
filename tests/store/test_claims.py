"""Claims of several processes at once, over both databases: each study goes to one, and none is left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trialist.store.holders import holder
from trialist.store.locate import open_store
from trialist.testing.store_claiming import queue

CLAIMER = """
import json, sys
from trialist.store.holders import holder
from trialist.store.locate import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
claimed = []
while (lease := store.claim_study(holder(), 1e6)) is not None:
    claimed.append(lease.study_id)
print(json.dumps(claimed), flush=True)
sys.stdin.readline()
store.close()
"""
STUDIES, CLAIMERS = 60, 4


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.extras)])
def test_of_many_claiming_processes_each_study_goes_to_one(kind: str, tmp_path: Path, request) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else f"sqlite:///{tmp_path}/a.db"
    store = open_store(url)
    made = {queue(store, f"s{number}").id for number in range(STUDIES)}
    claimers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for _ in range(CLAIMERS)
    ]
    try:
        for claimer in claimers:
            assert claimer.stdout.readline() == "ready\n"
        for claimer in claimers:
            claimer.stdin.write("go\n")
        claimed = [json.loads(claimer.stdout.readline()) for claimer in claimers]
        assert sorted(study for part in claimed for study in part) == sorted(made)
        assert store.claim_study(holder(), 1.0) is None
        assert {store.leader(study).pid for study in made} <= {claimer.pid for claimer in claimers}
    finally:
        for claimer in claimers:
            claimer.communicate("end\n")
    # All of them are dead by now, so everything can be claimed again.
    assert len(store.claimable(limit=STUDIES).studies) == STUDIES
    lease = store.claim_study(holder(), 1e6)
    assert lease is not None
    assert lease.epoch == 2
    store.close()
