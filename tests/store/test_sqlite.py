"""SQLite files in every condition."""

import os
import sqlite3
import subprocess
import threading
from contextlib import closing, contextmanager

import pytest

from trialist.core.errors import InternalError, NotFound, SchemaMismatch, StoreBusy, StoreError, StoreFull
from trialist.store import sqlite as sqlite_module
from trialist.store import staging
from trialist.store.checks import check_file, check_study
from trialist.store.files import network_filesystem
from trialist.store.schema import METADATA
from trialist.store.sql import SqlStore
from trialist.store.sqlite import SqliteBackend
from trialist.testing.event_script import EventScript, study_spec
from trialist.testing.stores import command, tell


@contextmanager
def opened(path, **how):
    store = SqlStore(f"sqlite:///{path}", **how)
    try:
        yield store
    finally:
        store.close()


def fill(path, trials=3):
    with opened(path) as store:
        told = tell(store)
        for number in range(trials):
            told.script.run({"x": "x" * 500}, loss=float(number))
            told.commit()


def test_a_file_is_durable_and_waits(tmp_path):
    path = tmp_path / "new" / "deep" / "a.db"
    with opened(path) as store, store._connections.write() as writer, store._connections.read() as reader:
        pragma = lambda cursor, name: cursor.execute(f"PRAGMA {name}").fetchone()[0]
        assert [pragma(cursor, "journal_mode") for cursor in (writer, reader)] == ["wal", "wal"]
        assert pragma(writer, "synchronous") == 2
        assert pragma(writer, "busy_timeout") == 30_000
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM studies")
    assert check_file(store.url) == []


def test_a_directory_is_no_store(tmp_path):
    with pytest.raises(StoreError, match="is a directory"):
        SqlStore(f"sqlite:///{tmp_path}")


def test_a_path_through_a_file_is_no_store(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="not a directory"):
        SqlStore(f"sqlite:///{tmp_path}/file/a.db")
    with pytest.raises(StoreError, match="name too long"):
        SqlStore(f"sqlite:///{tmp_path}/{'x' * 300}.db")


def test_a_file_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "a.db"
    path.write_text("dear diary, " * 100)
    with pytest.raises(StoreError, match="not an SQLite database"):
        SqlStore(f"sqlite:///{path}")
    assert path.read_text() == "dear diary, " * 100
    with closing(sqlite3.connect(tmp_path / "b.db")) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    before = (tmp_path / "b.db").read_bytes()
    with pytest.raises(StoreError, match=r"something else.*bookmarks"):
        SqlStore(f"sqlite:///{tmp_path}/b.db")
    assert (tmp_path / "b.db").read_bytes() == before


@pytest.mark.parametrize(
    ("version", "says"), [("0000", "trialist db upgrade"), ("9999", "newer.*pip install --upgrade")]
)
def test_another_schema_is_left_alone(tmp_path, version, says):
    path = tmp_path / "a.db"
    fill(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch, match=says):
        SqlStore(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_an_event_of_a_newer_version_is_named(tmp_path):
    path = tmp_path / "a.db"
    fill(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE events SET kind = 'trial_cloned' WHERE seq = 3")
    with opened(path) as store, pytest.raises(SchemaMismatch, match="trial_cloned"):
        store.events(study_spec().id)


def contents(path):
    with opened(path) as store:
        study = study_spec().id
        trials = list(store.iter_trials(study))
        rest = [(store.reports(study, 0), store.attempts(study, trial.number)) for trial in trials]
        return store.find_study(study), trials, store.events(study), rest


def test_damage_is_named_or_can_be_found_and_is_never_a_traceback(tmp_path):
    """SQLite has no checksums: a damaged page may hide rows. What cannot be read is an error, the rest is found."""
    path = tmp_path / "a.db"
    fill(path, trials=30)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sound, before = path.read_bytes(), contents(path)
    errors = []
    for offset in range(0, len(sound), 1024):
        path.write_bytes(sound[:offset] + b"\xa5" * 1024 + sound[offset + 1024 :])
        try:
            if contents(path) != before:
                assert check_file(f"sqlite:///{path}") != []
        except (StoreError, NotFound) as error:
            assert str(path) in str(error)  # noqa: PT017
            errors.append(offset)
    assert errors[0] == 0
    assert len(errors) > len(sound) / 1024 / 4


def test_a_schema_that_damage_made_no_text_is_named(tmp_path):
    path = tmp_path / "a.db"
    fill(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE alembic_version")
        connection.execute("CREATE TABLE alembic_version (version_num)")
        connection.execute("INSERT INTO alembic_version VALUES (NULL)")
    with pytest.raises(StoreError, match="belongs to something else"):
        SqlStore(f"sqlite:///{path}")


def test_damage_inside_a_row_is_named(tmp_path):
    path = tmp_path / "a.db"
    fill(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE trials SET state = substr(state, 1, 20)")
    with opened(path) as store, pytest.raises(StoreError, match=r"row of a trial .* damaged"):
        store.trial(study_spec().id, 0)
    with opened(path) as store:
        found = list(check_study(store, study_spec().id))
        assert [problem for problem in found if problem.startswith("trial 0 cannot be read") and "damaged" in problem]


def test_a_truncated_file_is_an_error(tmp_path):
    path = tmp_path / "a.db"
    fill(path, trials=30)
    with path.open("r+b") as file:
        file.truncate(20_000)
    with pytest.raises(StoreError, match="damaged"):
        contents(path)
    assert check_file(f"sqlite:///{path}") != []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_is_read_only_is_an_error(tmp_path, what):
    path = tmp_path / "sub" / "a.db"
    fill(path)
    target = path if what == "file" else path.parent
    target.chmod(0o400 if what == "file" else 0o500)
    try:
        with pytest.raises(StoreError, match=r"read-only|permission"), opened(path) as store:
            store.create_study(study_spec("other"))
    finally:
        target.chmod(0o700)


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (sqlite3.SQLITE_READONLY, StoreError, "read-only"),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreError, "read-only"),
        (sqlite3.SQLITE_CANTOPEN, StoreError, "is gone"),
        (sqlite3.SQLITE_IOERR_FSYNC, StoreError, "failed"),
        (sqlite3.SQLITE_CORRUPT, StoreError, "damaged"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusy, "locked"),
        (sqlite3.SQLITE_FULL, StoreFull, "no space"),
        (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, InternalError, "contradict"),
    ],
)
def test_every_error_says_what_it_means(tmp_path, code, kind, says):
    backend = SqliteBackend(f"sqlite:///{tmp_path}/a.db")
    (tmp_path / "a.db").unlink()
    error = sqlite3.OperationalError("whatever")
    error.sqlite_errorcode = code
    translated = backend.translate(error)
    assert type(translated) is kind
    assert says in str(translated)


def test_a_failed_write_on_a_full_disk_is_a_full_disk(tmp_path, monkeypatch):
    backend = SqliteBackend(f"sqlite:///{tmp_path}/a.db")
    usage = sqlite_module.shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(sqlite_module.shutil, "disk_usage", lambda path: usage)
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    assert isinstance(backend.translate(error), StoreFull)


def test_a_deleted_file_is_not_made_again(tmp_path):
    path = tmp_path / "a.db"
    fill(path)
    with opened(path) as store:
        for file in tmp_path.iterdir():
            file.unlink()
        with pytest.raises(StoreError, match="is gone"):
            store.list_studies()
    assert not path.exists()


@pytest.mark.parametrize(("replaced", "words"), [(False, "is gone"), (True, "was replaced by another one")])
def test_nothing_is_acknowledged_into_a_file_that_nobody_will_find(tmp_path, replaced, words):
    path = tmp_path / "a.db"
    with opened(path) as store:
        store.create_study(study_spec())  # its writing connection is open now, and SQLite would go on with the old file
        for file in list(tmp_path.iterdir()):
            file.unlink()
        if replaced:
            (tmp_path / "other.db").touch()
            (tmp_path / "other.db").rename(path)
        with pytest.raises(StoreError, match=f"{words} while it was in use"):
            store.create_study(study_spec("other"))


def test_a_closed_store_says_so(tmp_path):
    with opened(tmp_path / "a.db") as store:
        store.create_study(study_spec())
    for call in (store.list_studies, lambda: store.create_study(study_spec("other"))):
        with pytest.raises(StoreError, match="was closed"):
            call()


def test_waiting_for_another_writer_ends(tmp_path):
    path = tmp_path / "a.db"
    fill(path)
    with opened(path, timeout_s=0.05) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusy, match=r"0\.05 s"):
                store.create_study(study_spec("other"))
            assert len(store.list_studies().studies) == 1
            other.execute("ROLLBACK")
        store.create_study(study_spec("other"))


def test_waiting_for_another_thread_ends(tmp_path):
    with opened(tmp_path / "a.db", timeout_s=0.05) as store:
        inside, leave = threading.Event(), threading.Event()

        def hold():
            with store._connections.write():
                inside.set()
                leave.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        inside.wait(30)
        with pytest.raises(StoreBusy, match="another thread"):
            store.create_study(study_spec())
        leave.set()
        thread.join()
        store.create_study(study_spec())


def test_readers_see_neither_waits_nor_halves(tmp_path):
    with opened(tmp_path / "a.db") as store:
        told = tell(store)
        told.script.run()
        with store._connections.write() as cursor:
            cursor.execute("UPDATE studies SET seq = 99")
            assert store.find_study("study").seq == 1
            assert store.trials(told.id).trials == []
            cursor.execute("UPDATE studies SET seq = 1")
        told.commit()


@contextmanager
def small_disk(path):
    """A file system of 2 MiB, where we may mount one."""
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_read_only_file_system_is_an_error(tmp_path):
    with small_disk(tmp_path / "small") as directory:
        fill(directory / "a.db")
        subprocess.run(["mount", "-o", "remount,ro", str(directory)], check=True)
        with pytest.raises(StoreError, match=r"read-only|permission"):
            fill(directory / "a.db")
        with pytest.raises(StoreError, match="read-only"):
            fill(directory / "b.db")


def fill_up(store):
    """Commit until there is no room; how many commits were acknowledged."""
    study = tell(store).script.study
    for acknowledged in range(10_000):
        script = EventScript(study)
        script.run({"x": "x" * 2000})
        try:
            store.commit(None, script.commit())
        except StoreFull as error:
            assert "make room" in str(error)  # noqa: PT017
            assert acknowledged > 10
            return acknowledged
        study = script.study
    raise AssertionError("it never filled up")


def check_full(store, acknowledged):
    assert [trial.number for trial in store.iter_trials(study_spec().id)] == list(range(acknowledged))
    with pytest.raises(StoreFull):
        store.send_command(study_spec().id, command("big", args={"x": "x" * 1_000_000}))
    assert list(check_study(store, study_spec().id)) == []


def test_a_full_disk_loses_nothing(tmp_path):
    with small_disk(tmp_path / "small") as directory, opened(directory / "a.db") as store:
        ballast = directory / "ballast"
        ballast.write_bytes(bytes(300_000))
        acknowledged = fill_up(store)
        check_full(store, acknowledged)
        ballast.unlink()
        script = EventScript.of(store, study_spec().id)
        script.run()
        store.commit(None, script.commit())
        assert len(list(store.iter_trials(study_spec().id))) == acknowledged + 1
        assert check_file(store.url) == []


def test_a_full_database_loses_nothing(tmp_path, monkeypatch):
    """The same without a disk to fill: SQLite gives the same error at its own limit of pages."""
    limit = [100]
    connect = SqliteBackend.connect

    def limited(self, *, writes):
        connection = connect(self, writes=writes)
        connection.execute(f"PRAGMA max_page_count={limit[0]}")
        return connection

    monkeypatch.setattr(SqliteBackend, "connect", limited)
    with opened(tmp_path / "a.db") as store:
        check_full(store, fill_up(store))
    limit[0] = 10_000
    with opened(tmp_path / "a.db") as store:
        script = EventScript.of(store, study_spec().id)
        script.run()
        store.commit(None, script.commit())
        assert list(check_study(store, study_spec().id)) == []


def parts(store):
    """How many rows each table has."""
    with store._connections.read() as cursor:
        return {table: cursor.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in METADATA.tables}


def test_a_deleted_study_leaves_no_rows_in_whatever_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "_PIECE", 2)
    with opened(tmp_path / "a.db") as store:
        empty = parts(store)
        told = tell(store)
        for number in range(7):
            told.start()
            for step in range(number):
                told.script.report(number, step, loss=0.5)
            told.script.checkpoint(number, f"c{number}")
            store.send_command(told.id, command(f"{number}"))
        told.commit()
        keep = tell(store, "keep")
        keep.script.run()
        keep.commit()
        before = parts(store)
        assert before["reports"] == 21
        # As if killed in the middle of a delete: the study is gone, its parts are not.
        with store._connections.write() as cursor:
            cursor.execute("DELETE FROM studies WHERE name = 'study'")
        assert store.find_study("study") is None
        tell(store)
        store.delete_study(study_spec().id)
        assert list(check_study(store, keep.id)) == []
        store.delete_study(keep.id)
        assert parts(store) == empty


MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 22 0:27 / /mnt/home rw shared:1 - nfs4 server:/home rw
32 31 254:1 / /mnt/home/local\\040disk rw - xfs /dev/vdb rw
33 22 0:28 / /mnt/s3 rw - fuse.s3fs s3fs rw
34 22 0:29 / /mnt/usb rw - fuseblk /dev/sdb rw
35 22 0:30 / /mnt/twice rw - ext4 /dev/vdc rw
36 35 0:31 / /mnt/twice rw - cifs //server/share rw
37 22 0:32 / /run rw - tmpfs tmpfs rw
nonsense
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/a.db", None),
        ("/mnt/home/me/a.db", "nfs4"),
        ("/mnt/home", "nfs4"),
        ("/mnt/homework/a.db", None),
        ("/mnt/home/local disk/a.db", None),
        ("/mnt/s3/a.db", "fuse.s3fs"),
        ("/mnt/usb/a.db", None),
        ("/mnt/twice/a.db", "cifs"),
        ("/run/a.db", None),
    ],
)
def test_network_file_systems_are_known(path, kind):
    assert network_filesystem(path, MOUNTS) == kind


def test_a_link_leads_to_where_it_leads(tmp_path):
    (tmp_path / "link").symlink_to("/mnt/home/me")
    assert network_filesystem(tmp_path / "link" / "a.db", MOUNTS) == "nfs4"


def test_a_network_file_system_is_refused_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_module, "network_filesystem", lambda path: "nfs4")
    with pytest.raises(StoreError, match=r"network file system.*nfs4.*PostgreSQL"):
        SqlStore(f"sqlite:///{tmp_path}/a.db")
    assert list(tmp_path.iterdir()) == []
