"""Random histories of every kind go to another store and back, and come out byte for byte."""

from __future__ import annotations

import io
import itertools
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trialist
from trialist.api.moving import study_lines
from trialist.core.records import Command, CommandKind, Metric, Mode
from trialist.store.checks import check_study
from trialist.store.locate import open_store
from trialist.testing.event_script import EventScript, study_spec
from trialist.testing.store_machine import store_state_machine

FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
_count = itertools.count()
_TEXTS = st.text(max_size=4) | st.just("\x00\ud800\N{SNOWMAN}")
Acts = store_state_machine(lambda: open_store("memory"))
"""Knows all that may happen to a study."""


def a_history(data, store, name):
    """A study with commands, and events of all kinds."""
    metrics = tuple(Metric(name=metric, mode=data.draw(st.sampled_from(Mode))) for metric in ("loss", "acc")[: data.draw(st.integers(0, 2))])  # fmt: skip
    config = data.draw(st.dictionaries(_TEXTS, _TEXTS, max_size=2))
    spec = study_spec(name, metrics=metrics, config=config)
    store.create_study(spec)
    for number in range(data.draw(st.integers(0, 3))):
        asked = Command(kind=CommandKind.PAUSE, key=f"k{number}", args=config, sender=name, created_at=number / 7)
        store.send_command(spec.id, asked)
    acts = Acts()
    script = EventScript.of(store, spec.id)
    for _ in range(data.draw(st.integers(0, 40))):
        acts.act(data, script)
        if data.draw(st.booleans()):
            store.commit(None, script.commit())
    if script._events:
        store.commit(None, script.commit())
    return spec.id


def text_of(store, *ids):
    return "".join(study_lines(store, [store.find_study(study_id) for study_id in ids]))


def moved(data, make):
    with tempfile.TemporaryDirectory(dir=FAST) as folder, closing(open_store(f"sqlite:///{folder}/a.db")) as first:
        ids = [a_history(data, first, f"study {number} \N{SNOWMAN}") for number in range(data.draw(st.integers(1, 2)))]
        text = text_of(first, *ids)
        with closing(make(folder)) as second:
            trialist.import_studies(io.BytesIO(text.encode()), store=second)
            assert text_of(second, *ids) == text
            for study_id in ids:
                if (
                    second.url != "memory"
                ):  # what cannot happen, such as a report of no attempt, it keeps in its own way
                    assert list(check_study(second, study_id)) == list(check_study(first, study_id))
                assert second.checkpoints(study_id) == first.checkpoints(study_id)
                assert second.pending_commands(study_id) == first.pending_commands(study_id)


@given(data=st.data())
@settings(max_examples=40)
def test_through_sqlite(data) -> None:
    moved(data, lambda folder: open_store(f"sqlite:///{folder}/b.db"))


@given(data=st.data())
@settings(max_examples=20)
def test_through_memory(data) -> None:
    moved(data, lambda _: open_store("memory"))


@pytest.mark.extras
@pytest.mark.slow
def test_through_postgresql(postgres_server, postgres_url) -> None:
    open_store(postgres_url).close()
    names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    tables = ", ".join(name for (name,) in postgres_server.execute(names, url=postgres_url))

    def empty(_):
        postgres_server.execute(f"TRUNCATE {tables} RESTART IDENTITY", url=postgres_url)
        return open_store(postgres_url)

    @given(data=st.data())
    @settings(max_examples=25)
    def check(data) -> None:
        moved(data, empty)

    check()
