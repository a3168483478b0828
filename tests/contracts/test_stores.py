"""Every registered store through the suites that ship."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from trialist.core.ports import Store
from trialist.registry import load, names
from trialist.testing.postgresql import PostgresServer
from trialist.testing.stores import StoreContract, store_state_machine

_count = itertools.count()

FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Random histories test what is stored, not that it is synced: a file system in memory does."""
HISTORIES = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"


def make(name: str, directory: Path) -> Store:
    url = "memory" if name == "memory" else f"sqlite:///{directory}/{next(_count)}.db"
    return load("store", name)(url)


def test_every_registered_store_is_tested_here() -> None:
    assert names("store") == ["memory", "sqlite", "postgresql"]


class TestMemory(StoreContract):
    def make_store(self, tmp_path: Path) -> Store:
        return make("memory", tmp_path)


class TestSqlite(StoreContract):
    @pytest.fixture(autouse=True)
    def _close(self):
        self.opened: list[Store] = []
        yield
        for store in self.opened:
            store.close()

    def make_store(self, tmp_path: Path) -> Store:
        return make("sqlite", tmp_path)

    def open_again(self, store: Store) -> Store:
        self.opened.append(load("store", "sqlite")(store.url))
        return self.opened[-1]


@pytest.mark.extras
class TestPostgresql(StoreContract):
    @pytest.fixture(autouse=True)
    def _databases(self, postgres_server: PostgresServer):
        self.server = postgres_server
        self.urls: list[str] = []
        self.opened: list[Store] = []
        yield
        for store in self.opened:
            store.close()
        for url in self.urls:
            postgres_server.drop_database(url)

    def make_store(self, tmp_path: Path) -> Store:
        self.urls.append(self.server.new_database())
        return load("store", "postgresql")(self.urls[-1])

    def open_again(self, store: Store) -> Store:
        self.opened.append(load("store", "postgresql")(store.url))
        return self.opened[-1]


@pytest.mark.parametrize("name", ["memory", "sqlite"])
def test_random_histories_leave_equal_stores(name: str) -> None:
    with tempfile.TemporaryDirectory(dir=FAST) as directory:
        run_state_machine_as_test(store_state_machine(lambda: make(name, Path(directory))), settings=HISTORIES)


@pytest.mark.extras
@pytest.mark.slow
def test_random_histories_leave_equal_stores_on_postgresql(postgres_server: PostgresServer, postgres_url: str) -> None:
    load("store", "postgresql")(postgres_url).close()
    tables = [name for (name,) in postgres_server.execute(TABLES, url=postgres_url)]

    def empty() -> Store:
        """The same database with nothing in it: sooner than a new one."""
        postgres_server.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY", url=postgres_url)
        return load("store", "postgresql")(postgres_url)

    run_state_machine_as_test(store_state_machine(empty), settings=HISTORIES)
