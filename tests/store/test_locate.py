"""Which store is meant."""

from pathlib import Path

import pytest

from trialist.core.errors import StoreError, UnknownName, UserError
from trialist.store import files
from trialist.store.locate import default_url, open_store, store_url
from trialist.store.memory import MemoryStore
from trialist.store.sql import SqlStore


def test_a_user_has_a_store_of_their_own(monkeypatch, tmp_path):
    monkeypatch.delenv("TRIALIST_STORE", raising=False)
    monkeypatch.setattr(files.sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    assert default_url() == f"sqlite:///{tmp_path}/.local/share/trialist/trialist.db"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_url() == f"sqlite:///{tmp_path}/data/trialist/trialist.db"
    monkeypatch.setattr(files.sys, "platform", "darwin")
    assert default_url() == f"sqlite:///{tmp_path}/Library/Application Support/trialist/trialist.db"
    assert list(tmp_path.iterdir()) == []


def test_the_default_store_is_private(monkeypatch, tmp_path):
    monkeypatch.delenv("TRIALIST_STORE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(files.sys, "platform", "linux")
    store = open_store()
    made = tmp_path / "data" / "trialist"
    assert made.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in made.iterdir()} == {0o600}
    store.close()


def test_the_environment_names_another(monkeypatch, tmp_path):
    monkeypatch.setenv("TRIALIST_STORE", str(tmp_path / "a.db"))
    assert default_url() == store_url(None) == f"sqlite:///{tmp_path}/a.db"
    monkeypatch.setenv("TRIALIST_STORE", "memory")
    assert isinstance(open_store(), MemoryStore)


@pytest.mark.parametrize("suffix", [".db", ".sqlite", ".sqlite3"])
def test_paths_are_stores(monkeypatch, tmp_path, suffix):
    monkeypatch.chdir(tmp_path)
    store = open_store(f"sub dir/a?b%20#{suffix}")
    assert isinstance(store, SqlStore)
    assert (tmp_path / "sub dir" / f"a?b%20#{suffix}").is_file()
    assert store.url == f"sqlite:///{tmp_path}/sub dir/a?b%20#{suffix}"
    store.close()
    store = open_store(store.url)
    store.close()
    assert store_url(Path("x.db")) == f"sqlite:///{tmp_path}/x.db"
    assert store_url("sqlite:///x.db") == "sqlite:///x.db"


def test_a_store_that_must_be_there_is_not_made(tmp_path):
    with pytest.raises(StoreError, match="no such file"):
        open_store(tmp_path / "typo.db", create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("sqllite:///a.db", "Did you mean 'sqlite'"),
        ("http://example.org/a.db", "no store is called 'http'"),
        ("results", "ends in .db, .sqlite or .sqlite3"),
        ("", "names no store"),
        ("sqlite", "say where"),
    ],
)
def test_what_is_no_store_is_named(where, says):
    with pytest.raises(UserError, match=says):
        store_url(where)


def test_a_scheme_that_nobody_knows_is_an_unknown_name():
    with pytest.raises(UnknownName):
        open_store("redis://localhost")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:a.db", "sqlite:a.db"])
def test_sqlite_without_a_file_is_refused(url):
    with pytest.raises(StoreError, match="names no file"):
        SqlStore(url)
