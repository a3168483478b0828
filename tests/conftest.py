"""What holds for every test: it finds no settings of this machine's user, leaves nothing in their directories, and says the
same about the same code each time. Every store in memory folds each commit again, so that what runs on one has its arithmetic
checked.

The environment is set for the whole process as well as for each test, so that fixtures of wider scope and the processes
that tests start are covered too.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from trialist.store.memory import VERIFY
from trialist.testing.postgresql import PostgresServer

EXPLORES = bool(os.environ.get("TRIALIST_EXPLORE"))
"""Hypothesis draws the same examples in each run; ``TRIALIST_EXPLORE=1`` lets it draw others each time."""
FOREIGN = ("TRIALIST_DEBUG", "TRIALIST_TRIAL", "TRIALIST_SOCKET", "TRIALIST_WITHIN", "CUDA_VISIBLE_DEVICES")
"""Set where the suite runs inside a trial, or by somebody who debugs: no test may depend on them."""


# A deadline and the health check would fail where the machine is busy.
settings.register_profile(
    "trialist",
    deadline=None,
    derandomize=not EXPLORES,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    **({} if EXPLORES else {"database": None}),
)
settings.load_profile("trialist")


def pytest_configure(config: pytest.Config) -> None:
    home = tempfile.TemporaryDirectory(prefix="trialist-tests-home-")
    config.add_cleanup(home.cleanup)
    for name in FOREIGN:
        os.environ.pop(name, None)
    os.environ.update(_environment(Path(home.name)))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So it is for a job in the background; processes would inherit it, and never hear the Ctrl-C that tests send.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data directory and a default store for each test; neither is made before it is used."""
    for name, value in _environment(tmp_path).items():
        if name != "HOME":  # libraries may keep it from their first use on
            monkeypatch.setenv(name, value)


def _environment(folder: Path) -> dict[str, str]:
    store = folder / "default store" / "trials.db"
    return {
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder / "data home"),
        "TRIALIST_STORE": f"sqlite:///{store}",
        VERIFY: "1",
    }


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for all tests of this process; tests that use it are marked ``extras``."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a new empty database on it, removed after the test whoever is connected still."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop_database(url)
