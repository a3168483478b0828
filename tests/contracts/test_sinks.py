"""Every sink, through the contract suite."""

from __future__ import annotations

import json
from pathlib import Path

from trialist.telemetry import EventsJsonl, Follower, Ledger, Timeline, read_ledger
from trialist.testing.sinks import SinkContract


class TestEventsJsonl(SinkContract):
    def make(self, path: Path) -> Follower:
        return EventsJsonl(path)

    def check(self, path: Path) -> None:
        text = path.read_text()
        seqs = [json.loads(line)["seq"] for line in text.split("\n")[:-1]]
        assert seqs == list(range(1, len(seqs) + 1))
        assert text.endswith("\n") or not text


class TestLedger(SinkContract):
    def make(self, path: Path) -> Follower:
        return Ledger(path)

    def check(self, path: Path) -> None:
        text = path.read_text()
        assert text.endswith("\n")
        seqs = [int(row["seq"]) for row in read_ledger(text)]
        assert seqs == sorted(set(seqs))


class TestTimeline(SinkContract):
    def make(self, path: Path) -> Follower:
        return Timeline(path)

    def check(self, path: Path) -> None:
        with path.open() as file:
            seqs = [record["seq"] for record in json.load(file)]
        assert seqs == sorted(seqs)
