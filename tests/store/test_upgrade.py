"""Schemas of other ages."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from trialist.core.errors import SchemaMismatch, StoreError
from trialist.store import database
from trialist.store import upgrade as upgrade_module
from trialist.store.schema import METADATA, SCHEMA_VERSION
from trialist.store.sql import SqlStore
from trialist.store.upgrade import run_scripts, upgrade
from trialist.testing.stores import ELSEWHERE, tell

NEXT = """
import os, signal
import sqlalchemy as sa
from alembic import op
revision = "0003"
down_revision = "0002"
def upgrade():
    op.add_column("studies", sa.Column("colour", sa.Text()))
    op.execute("UPDATE studies SET colour = 'blue'")
    {then}
"""


def schema(path):
    """Everything in the database's catalogue, however it is laid out in lines."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT type, name, sql FROM sqlite_master")
        return {(kind, name): "".join((sql or "").split()) for kind, name, sql in found}


def test_the_scripts_lead_to_the_tables(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/scripts.db")
    with engine.connect() as connection:
        run_scripts(connection)
        connection.commit()
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()
    SqlStore(f"sqlite:///{tmp_path}/tables.db").close()
    assert schema(tmp_path / "scripts.db") == schema(tmp_path / "tables.db")


@pytest.fixture
def old(tmp_path):
    """A store that the present schema is old for, once ``next_schema`` is at work."""
    path = tmp_path / "a.db"
    store = SqlStore(f"sqlite:///{path}")
    told = tell(store)
    told.script.run()
    told.commit()
    store.close()
    return path


@pytest.fixture
def next_schema(tmp_path, monkeypatch):
    """A Trialist whose schema is one step further; what happens at the end of that step."""

    def install(then="pass"):
        versions = tmp_path / "migrations" / "versions"
        versions.mkdir(parents=True)
        for script in (upgrade_module.SCRIPTS / "versions").glob("0*.py"):
            (versions / script.name).write_text(script.read_text())
        (versions / "0003_next.py").write_text(NEXT.format(then=then))
        monkeypatch.setattr(upgrade_module, "SCRIPTS", tmp_path / "migrations")
        for module in (upgrade_module, database):
            monkeypatch.setattr(module, "SCHEMA_VERSION", "0003")

    return install


def test_an_old_store_is_upgraded_after_a_backup(old, next_schema):
    next_schema()
    url = f"sqlite:///{old}"
    with pytest.raises(SchemaMismatch, match=r"trialist db upgrade .*a\.db"):
        SqlStore(url)
    done = upgrade(url)
    assert (done.was, done.now) == ("0002", "0003")
    assert "colour" not in schema(done.backup)["table", "studies"]
    assert done.backup.stat().st_mode == old.stat().st_mode
    store = SqlStore(url)
    assert len(store.trials(store.find_study("study").id).trials) == 1
    store.close()
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT colour FROM studies").fetchall() == [("blue",)]
    assert upgrade(url).backup is None
    assert sorted(path.suffix for path in old.parent.glob("a.db*")) == [".backup", ".db"]


@pytest.mark.parametrize("then", ["raise ValueError('broken script')", "raise KeyboardInterrupt"])
def test_a_failed_upgrade_changes_nothing(old, next_schema, then):
    next_schema(then)
    before = schema(old)
    with pytest.raises((ValueError, KeyboardInterrupt)):
        upgrade(f"sqlite:///{old}")
    assert schema(old) == before
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0002",)]


def test_a_killed_upgrade_changes_nothing(old, next_schema):
    next_schema("os.kill(os.getpid(), signal.SIGKILL)")
    before = schema(old)
    code = (
        "from pathlib import Path; from trialist.store import upgrade, database\n"
        f"upgrade.SCRIPTS = Path({str(upgrade_module.SCRIPTS)!r})\n"
        "upgrade.SCHEMA_VERSION = database.SCHEMA_VERSION = '0003'\n"
        f"upgrade.upgrade('sqlite:///{old}')\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert schema(old) == before
    (backup,) = old.parent.glob("*.backup")
    assert schema(backup) == before


def test_a_led_study_is_not_upgraded_under_its_leader(old, next_schema):
    url = f"sqlite:///{old}"
    store = SqlStore(url)
    store.take_lease(store.find_study("study").id, ELSEWHERE, 3600)
    store.close()
    next_schema()
    before = schema(old)
    with pytest.raises(StoreError, match="study 'study' is led by pid 4711"):
        upgrade(url)
    assert schema(old) == before
    assert list(old.parent.glob("*.backup*")) == []


def test_no_place_for_a_backup_is_no_upgrade(old, next_schema, monkeypatch):
    next_schema()
    before = schema(old)

    def full(path):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(upgrade_module, "_sync", full)
    with pytest.raises(StoreError, match=r"cannot make a backup.*No space.*nothing was altered"):
        upgrade(f"sqlite:///{old}")
    assert schema(old) == before
    assert list(old.parent.glob("*.backup*")) == []


def test_a_newer_store_is_not_touched(old):
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0009'")
    with pytest.raises(SchemaMismatch, match="newer"):
        upgrade(f"sqlite:///{old}")


def test_a_present_store_needs_nothing(old):
    assert upgrade(f"sqlite:///{old}") == (SCHEMA_VERSION, SCHEMA_VERSION, None)
    with pytest.raises(StoreError, match="no such file"):
        upgrade(f"sqlite:///{old.parent}/absent.db")


def test_alembic_is_loaded_for_nothing_but_upgrades(tmp_path):
    code = f"import sys; from trialist.store.locate import open_store; open_store({str(tmp_path / 'x.db')!r}).close(); "
    code += "assert 'sqlalchemy' in sys.modules and 'alembic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
