"""Schemas of other ages on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from trialist.core.errors import SchemaMismatch, StoreError
from trialist.store import database
from trialist.store import upgrade as upgrade_module
from trialist.store.checks import check_study
from trialist.store.schema import METADATA, SCHEMA_VERSION
from trialist.store.sql import SqlStore, backend_of
from trialist.store.upgrade import Upgraded, run_scripts, upgrade
from trialist.testing.stores import ELSEWHERE, tell

pytestmark = pytest.mark.extras

COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), l.collname, a.attnotnull, a.attoptions
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 LEFT JOIN pg_collation l ON l.oid = a.attcollation
    WHERE c.relname NOT LIKE 'alembic_version%'
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"


def plain(url):
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))


def schema(server, url):
    """Columns and indexes, however they came about."""
    columns = {tuple(map(str, row)) for row in server.execute(COLUMNS, url=url)}
    return columns, {row[0] for row in server.execute(INDEXES, url=url)}


def test_the_scripts_lead_to_the_tables(postgres_server, postgres_url):
    made = postgres_server.new_database()
    engine = plain(postgres_url)
    with engine.begin() as connection:
        run_scripts(connection)
        found = compare_metadata(MigrationContext.configure(connection), METADATA)
        # Comments on columns are for readers of the code; no database has them.
        assert [each for each in found if not (isinstance(each, list) and each[0][0] == "modify_comment")] == []
    engine.dispose()
    SqlStore(made).close()
    assert schema(postgres_server, postgres_url) == schema(postgres_server, made)
    SqlStore(postgres_url).close()
    postgres_server.drop_database(made)


@pytest.fixture
def old(postgres_server, postgres_url):
    """A store that looks one schema older than it is: its studies are in place, the newest tables are not there."""
    with closing(SqlStore(postgres_url)) as store:
        told = tell(store)
        told.script.run(loss=0.5)
        told.commit()
    for sql in ("DROP TABLE line", "DROP TABLE workers", "UPDATE alembic_version SET version_num = '0001'"):
        postgres_server.execute(sql, url=postgres_url)
    return postgres_url


def test_an_older_store_names_the_way_and_an_upgrade_goes_it(old):
    with pytest.raises(SchemaMismatch, match=f"trialist db upgrade {old.partition('?')[0]}"):
        SqlStore(old)
    assert upgrade(old) == Upgraded("0001", SCHEMA_VERSION, None)
    assert upgrade(old) == Upgraded(SCHEMA_VERSION, SCHEMA_VERSION, None)
    with closing(SqlStore(old)) as store:
        study = store.find_study("study")
        assert study.num_trials == 1
        assert list(check_study(store, study.id)) == []
        assert store.claimable().studies == []


def test_of_two_upgrades_at_a_time_one_is_made(old):
    with ThreadPoolExecutor(3) as pool:
        done = [call.result() for call in [pool.submit(upgrade, old) for _ in range(3)]]
    assert {each.now for each in done} == {SCHEMA_VERSION}
    SqlStore(old).close()


def test_a_led_study_keeps_a_store_from_being_upgraded(postgres_server, postgres_url):
    with closing(SqlStore(postgres_url)) as store:
        lease = store.take_lease(tell(store).id, ELSEWHERE, 3600)
        postgres_server.execute("UPDATE alembic_version SET version_num = '0001'", url=postgres_url)
        with pytest.raises(StoreError, match=f"is led by {ELSEWHERE}"):
            upgrade(postgres_url)
        store.release_lease(lease)
    assert postgres_server.execute("SELECT version_num FROM alembic_version", url=postgres_url) == [("0001",)]


def test_a_step_that_fails_leaves_everything_as_it_was(old, postgres_server, monkeypatch):
    before = schema(postgres_server, old)

    def broken(connection):
        run_scripts(connection)
        connection.exec_driver_sql("SELECT 1 / 0")

    monkeypatch.setattr(upgrade_module, "run_scripts", broken)
    with pytest.raises(Exception, match="division by zero"):
        upgrade(old)
    assert schema(postgres_server, old) == before


def test_a_newer_store_is_left_alone(postgres_server, postgres_url, monkeypatch):
    SqlStore(postgres_url).close()
    postgres_server.execute("UPDATE alembic_version SET version_num = '9999'", url=postgres_url)
    with pytest.raises(SchemaMismatch, match="newer Trialist"):
        SqlStore(postgres_url)
    with pytest.raises(SchemaMismatch, match="newer Trialist"):
        upgrade(postgres_url)


def test_what_is_no_store_is_not_upgraded(postgres_server, postgres_url):
    with pytest.raises(StoreError, match="empty"):
        upgrade(postgres_url)
    postgres_server.execute("CREATE TABLE invoices (id int)", url=postgres_url)
    with pytest.raises(StoreError, match="something else"):
        upgrade(postgres_url)
    backend = backend_of(postgres_url)
    with closing(backend.connect(writes=False)) as session, pytest.raises(StoreError, match="something else"):
        database.schema_of(backend, session)
