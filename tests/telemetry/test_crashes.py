"""Writers that are killed, disks that are full, and leftovers of other studies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from trialist.core.events import Event
from trialist.core.ports import Store
from trialist.core.records import Trial
from trialist.telemetry import EventsJsonl, Follower, Ledger, Timeline, catch_up
from trialist.testing.sinks import Story, story

SINKS: dict[str, Callable[[Path], Follower]] = {"events": EventsJsonl, "ledger": Ledger, "timeline": Timeline}

WRITER = """
import itertools, sys
from trialist.telemetry import EventsJsonl, Ledger, Timeline
from trialist.testing.sinks import story

sink = {"events": EventsJsonl, "ledger": Ledger, "timeline": Timeline}[sys.argv[1]](sys.argv[2])
told = story(trials=int(sys.argv[4]))
if sys.argv[3].isdigit():
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
    try:
        for start in range(0, len(told.events), 7):
            sink.write(told.events[start : start + 7], told.rows)
    except OSError as error:
        sys.exit(error.errno)
events = iter(told.after(sink.last_seq))
for line in sys.stdin:
    for event in itertools.islice(events, int(line)):
        sink.write([event], told.rows)
    print("wrote", flush=True)
"""


def writer(kind: str, path: Path, how: str, trials: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, kind, str(path), how, str(trials)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finished(kind: str, path: Path, told: Story) -> bytes:
    sink = SINKS[kind](path)
    sink.write(told.after(sink.last_seq), told.rows)
    sink.close()
    return path.read_bytes()


@pytest.mark.parametrize("kind", SINKS)
def test_a_killed_writer_leaves_what_can_be_finished(kind: str, tmp_path: Path):
    trials = 280
    told = story(trials=trials)
    expected = finished(kind, tmp_path / "whole", told)
    path = tmp_path / "killed"
    for _ in range(3):
        with writer(kind, path, "kill", trials) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            print(300, file=process.stdin, flush=True)
            assert process.stdout.readline() == "wrote\n"
            size = path.stat().st_size
            print(600, file=process.stdin, flush=True)
            while path.stat().st_size == size and process.poll() is None:
                os.sched_yield()
            # It is in the middle of its 600 events, and does not go beyond them.
            process.send_signal(signal.SIGKILL)
        assert size < path.stat().st_size < len(expected)
        SINKS[kind](path).close()
    assert finished(kind, path, told) == expected


@pytest.mark.parametrize("kind", SINKS)
def test_a_full_disk_raises_and_spoils_nothing(kind: str, tmp_path: Path):
    trials, path, limit = 400, tmp_path / "full", 4001 if kind == "ledger" else 20_001
    with writer(kind, path, str(limit), trials) as process:
        process.communicate()
    assert process.returncode == 27, "EFBIG stands in for ENOSPC"
    assert limit // 2 < path.stat().st_size <= limit
    before = path.read_bytes()
    SINKS[kind](path).close()
    assert path.read_bytes() == before, "the failed write had left nothing to repair"
    told = story(trials=trials)
    assert finished(kind, path, told) == finished(kind, tmp_path / "whole", told)


class Shelf:
    """What ``catch_up`` needs of a store."""

    def __init__(self, told: Story) -> None:
        self.told = told

    def events(self, study_id: str, *, after: int = 0, limit: int = 1000, kinds: tuple[type, ...] = ()) -> list[Event]:
        return self.told.after(after, frozenset(kinds))[: min(limit, 50)]

    def trial(self, study_id: str, number: int) -> Trial:
        return self.told.rows[number]


@pytest.mark.parametrize("kind", SINKS)
def test_catching_up_writes_what_was_missed_once(kind: str, tmp_path: Path):
    told = story(trials=30)
    store = cast(Store, Shelf(told))
    sink = SINKS[kind](tmp_path / "out")
    sink.write(told.events[:40], told.rows)
    assert catch_up(sink, store, "s") > 0
    caught_up = (tmp_path / "out").read_bytes()
    catch_up(sink, store, "s")
    sink.close()
    assert (tmp_path / "out").read_bytes() == caught_up
    assert (tmp_path / "out").read_bytes() == finished(kind, tmp_path / "whole", told)


@pytest.mark.parametrize("kind", SINKS)
@pytest.mark.parametrize("trials", [2, 30], ids=["shorter", "longer"])
def test_leftovers_of_another_study_are_set_aside(kind: str, trials: int, tmp_path: Path):
    old, new = story(trials=10, seed=1), story(trials=trials, seed=2)
    new.events = [event._replace(at=event.at + 1000) for event in new.events]
    left = finished(kind, tmp_path / "out", old)
    sink = SINKS[kind](tmp_path / "out")
    catch_up(sink, cast(Store, Shelf(new)), "s")
    sink.close()
    assert (tmp_path / "out.old-1").read_bytes() == left
    assert (tmp_path / "out").read_bytes() == finished(kind, tmp_path / "whole", new)
