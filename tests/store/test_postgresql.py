"""What only PostgreSQL can do to a store: cut connections, be away, be full, refuse, plan badly."""

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import psycopg
import psycopg.sql
import pytest

from trialist.core.errors import InternalError, LeaseLost, StoreBusy, StoreError, UserError
from trialist.core.events import Noted
from trialist.core.ports import TrialOrder
from trialist.core.states import TrialStatus
from trialist.store.checks import check_study
from trialist.store.holders import holder
from trialist.store.locate import public_url
from trialist.store.postgresql import PostgresBackend
from trialist.store.sql import SqlStore
from trialist.testing.event_script import EventScript, study_spec
from trialist.testing.postgresql import PostgresServer
from trialist.testing.stores import ELSEWHERE, command, tell

pytestmark = pytest.mark.extras


@pytest.fixture
def store(postgres_url):
    with closing(SqlStore(postgres_url)) as store:
        yield store


@pytest.fixture
def own_server():
    """A server of a test's own, to be stopped."""
    with PostgresServer() as server:
        yield server


def cut(server, url, *, but=()):
    """End every connection to a database, as an administrator does."""
    name = url.partition("?")[0].rpartition("/")[2]
    found = server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    assert found
    # They end by and by, and the server has no way to say when.
    while server.execute(f"SELECT 1 FROM pg_stat_activity WHERE datname = '{name}'"):
        time.sleep(0.005)


def session(store):
    return store._connections._writer


def run_one(store, script, lease):
    script.run(loss=0.5)
    store.commit(lease, script.commit())


def test_a_connection_cut_while_idle_is_replaced(store, postgres_server, postgres_url):
    told = tell(store)
    lease = store.take_lease(told.id, holder(), 3600)
    for _ in range(3):
        run_one(store, told.script, lease)
        cut(postgres_server, postgres_url)
    assert store.find_study("study").num_trials == 3
    cut(postgres_server, postgres_url)
    store.renew_lease(lease)
    assert list(check_study(store, told.id)) == []


def test_a_connection_cut_inside_a_transaction_takes_it_with_it(store, postgres_server, postgres_url):
    told = tell(store)

    def delete():
        with store._connections.write() as cursor:
            cursor.execute("DELETE FROM events")
            cut(postgres_server, postgres_url)
            cursor.execute("DELETE FROM studies")

    with pytest.raises(StoreBusy, match="Nothing of this call was written"):
        delete()
    assert [event.seq for event in store.events(told.id)] == [1]
    run_one(store, told.script, store.take_lease(told.id, holder(), 3600))


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_became_of_a_commit_whose_answer_was_lost_is_found_out(
    store, postgres_server, postgres_url, monkeypatch, when
):
    """Cut just before COMMIT nothing is there and the call says so; just after it all is, and the call returns."""
    told = tell(store)
    lease = store.take_lease(told.id, holder(), 3600)
    run_one(store, told.script, lease)
    told.script.run(loss=0.25)
    commit = told.script.commit()
    real = session(store)._connection
    execute = real.execute

    def torn(sql, *args, **options):
        if sql == "COMMIT":
            if when == "after":
                execute(sql, *args, **options)
            cut(postgres_server, postgres_url)
        return execute(sql, *args, **options)

    monkeypatch.setattr(real, "execute", torn)
    if when == "before":
        with pytest.raises(StoreBusy):
            store.commit(lease, commit)
        assert store.find_study("study").num_trials == 1
        store.commit(lease, commit)
    else:
        store.commit(lease, commit)
    assert store.find_study("study").num_trials == 2
    assert list(check_study(store, told.id)) == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("grown", [False, True])
def test_a_commit_in_doubt_is_made_again_with_what_happened_since(own_server, monkeypatch, when, grown):
    """The server is gone for longer than anybody waits; when it is back, the caller calls again, as it may."""
    with closing(SqlStore(own_server.new_database(), timeout_s=0.5)) as store:
        told = tell(store)
        lease = store.take_lease(told.id, holder(), 3600)
        run_one(store, told.script, lease)
        told.script.run(loss=0.25)
        told.script.report(told.start(), 1, loss=2.0)
        commit = told.script.commit()
        real = session(store)._connection
        execute = real.execute

        def torn(sql, *args, **options):
            if sql == "COMMIT":
                if when == "after":
                    execute(sql, *args, **options)
                own_server.stop(kill=True)
            return execute(sql, *args, **options)

        monkeypatch.setattr(real, "execute", torn)
        with pytest.raises(StoreBusy, match="has not come back"):
            store.commit(lease, commit)
        own_server.start()
        if grown:
            told.script.end(2)
            told.script.run(loss=0.125)
            more = told.script.commit()
            new = [*commit.new_trials, *more.new_trials]
            rows = {trial.number: trial for trial in (*new, *more.changed_trials)}
            commit = type(commit)(
                study=more.study,
                events=[*commit.events, *more.events],
                new_trials=[rows[trial.number] for trial in new],
                changed_trials=[],
            )
        store.commit(lease, commit)
        assert store.find_study("study") == commit.study
        assert list(check_study(store, told.id)) == []
        with pytest.raises(InternalError, match="continues from"):
            store.commit(lease, commit)


@pytest.mark.slow
def test_commits_go_on_through_cuts_at_any_moment(store, postgres_server, postgres_url):
    """Two hundred commits while connections are cut all the time: each is there once."""
    told = tell(store)
    lease = store.take_lease(told.id, holder(), 3600)
    done = threading.Event()

    def cut_on():
        name = postgres_url.partition("?")[0].rpartition("/")[2]
        kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        while not done.wait(0.003):
            postgres_server.execute(kill)

    lost = 0
    with ThreadPoolExecutor(1) as pool:
        cutting = pool.submit(cut_on)
        try:
            for _ in range(200):
                told.script.run(loss=0.5)
                commit = told.script.commit()
                while True:
                    try:
                        store.commit(lease, commit)
                        break
                    except StoreBusy:
                        lost += 1
        finally:
            done.set()
        cutting.result()
    assert lost > 0
    assert store.find_study("study").num_trials == 200
    assert list(check_study(store, told.id)) == []


def test_a_server_that_restarts_is_waited_for(own_server):
    with closing(SqlStore(own_server.new_database())) as store:
        told = tell(store)
        lease = store.take_lease(told.id, holder(), 3600)
        own_server.stop()
        with ThreadPoolExecutor(2) as pool:
            told.script.run(loss=1.0)
            waiting = [
                pool.submit(store.commit, lease, told.script.commit()),
                pool.submit(store.pending_commands, told.id),
            ]
            own_server.start()
            assert [call.result() for call in waiting] == [None, []]
        assert store.find_study("study").num_trials == 1


@pytest.mark.slow
def test_a_server_that_answers_nothing_is_given_up(own_server):
    with closing(SqlStore(own_server.new_database(), timeout_s=0.2)) as store:
        told = tell(store)
        own_server.pause()
        try:
            with pytest.raises(StoreBusy):
                store.find_study("study")
            with pytest.raises(StoreBusy):
                store.send_command(told.id, command("k"))
        finally:
            own_server.go_on()
        assert store.send_command(told.id, command("k")).id == 1


def test_a_lock_that_others_hold_is_waited_for_and_then_reported(store, postgres_url):
    told = tell(store)
    lease = store.take_lease(told.id, holder(), 3600)
    with closing(SqlStore(postgres_url, timeout_s=0.1)) as other:
        told.script.run()
        with store._connections.write() as cursor:
            cursor.execute("UPDATE studies SET seq = seq")
            with psycopg.connect(postgres_url, autocommit=True) as plain:
                assert plain.execute("SELECT count(*) FROM studies").fetchone() == (1,)
            other._connections._lock = type(other._connections._lock)()  # as in another process
            with pytest.raises(StoreBusy, match=r"locked for 0\.1 s"):
                other.commit(lease, told.script.commit())
            # Whom nobody keeps waiting goes on: a study of one's own is locked, not the database.
            tell(other, "another")


def test_whoever_stands_still_in_a_transaction_loses_its_locks(postgres_url):
    with closing(SqlStore(postgres_url, timeout_s=0.4)) as still, closing(SqlStore(postgres_url)) as other:
        told = tell(still)
        other._connections._lock = type(other._connections._lock)()

        def write():
            with still._connections.write() as cursor:
                cursor.execute("UPDATE studies SET seq = seq")
                other.take_lease(told.id, holder(), 3600)  # waits until the server has thrown the other out
                cursor.execute("UPDATE studies SET seq = seq + 1")

        with pytest.raises(StoreBusy, match="lost"):
            write()
        assert other.find_study("study").seq == 1


def test_of_two_commits_at_one_epoch_and_sequence_number_one_is_written(store, postgres_url):
    """The second waits for the row, then finds that its fence does not hold any more."""
    told = tell(store)
    with closing(SqlStore(postgres_url)) as other:
        other._connections._lock = type(other._connections._lock)()
        for _ in range(10):
            commits = []
            for handle in (store, other):
                script = EventScript.of(handle, told.id)
                script.run(loss=0.5)
                commits.append((handle, script.commit()))

            def outcome(handle, commit):
                try:
                    handle.commit(None, commit)
                except Exception as error:
                    return type(error).__name__
                return "written"

            with ThreadPoolExecutor(2) as pool:
                outcomes = [pool.submit(outcome, *each) for each in commits]
            assert sorted(found.result() for found in outcomes) == ["Conflict", "written"]
    assert list(check_study(store, told.id)) == []


def test_a_stale_leader_writes_nothing(store, postgres_url):
    told = tell(store)
    stale = store.take_lease(told.id, holder(), 0.0)
    with closing(SqlStore(postgres_url)) as other:
        other.take_lease(told.id, holder(), 3600)
        told.script.run()
        with pytest.raises(LeaseLost):
            store.commit(stale, told.script.commit())
        assert [event.seq for event in other.events(told.id)] == [1]


HELD = """
import os, signal, sys
from trialist.store.sql import SqlStore
store = SqlStore(sys.argv[1])
with store._connections.write() as cursor:
    cursor.execute("UPDATE studies SET seq = seq")
    if os.fork() == 0:
        sys.stdin.read()  # as long as the test wants
        os._exit(0)
    print("forked", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_leaders_death_is_noticed_though_its_children_live(store, postgres_url):
    """A child that kept its parent's socket open would keep the parent's locks."""
    told = tell(store)
    dead = subprocess.Popen(
        [sys.executable, "-c", HELD, postgres_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert dead.stdout.readline() == "forked\n"
        assert dead.wait() == -signal.SIGKILL
        with closing(SqlStore(postgres_url, timeout_s=4)) as other:  # less than a silent session is left its locks
            assert other.take_lease(told.id, holder(), 3600).epoch == 1
    finally:
        dead.communicate()


# opening


def test_processes_that_open_an_empty_database_together_make_it_once(postgres_server):
    for _ in range(3):
        url = postgres_server.new_database()
        with ThreadPoolExecutor(6) as pool:
            for store in [call.result() for call in [pool.submit(SqlStore, url) for _ in range(6)]]:
                store.close()
        postgres_server.drop_database(url)


def test_a_database_of_something_else_is_left_alone(postgres_server, postgres_url):
    postgres_server.execute("CREATE TABLE invoices (id int)", url=postgres_url)
    with pytest.raises(StoreError, match=r"belongs to something else \(its tables: invoices\)"):
        SqlStore(postgres_url)
    postgres_server.execute("CREATE SCHEMA ours", url=postgres_url)
    with closing(SqlStore(f"{postgres_url}&options=-csearch_path%3Dours")) as store:
        told = tell(store)
        assert store.find_study(told.id) is not None
    tables = {row[0] for row in postgres_server.execute("SELECT tablename FROM pg_tables", url=postgres_url)}
    assert {"invoices", "studies"} <= tables


def test_refusals_say_what_to_do(postgres_server, postgres_url):
    execute = postgres_server.execute
    execute("DROP ROLE IF EXISTS guest")
    execute("CREATE ROLE guest LOGIN CONNECTION LIMIT 1")
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    guest = postgres_server.url(name, user="guest")
    for url, words in {
        postgres_server.url("nowhere"): 'database "nowhere" does not exist. Make it',
        postgres_server.url(name, user="nobody_known"): "does not let this user in",
        guest: "this user may not do that: permission denied for schema public",
        "postgresql://localhost:1/x": "no server answers there",
        "postgresql://no-such-host.invalid/x": "no connection: failed to resolve host",
        "postgresql://h/db?nonsense=1": "cannot be read",
        f"{postgres_url}&options=-csearch_path%3Dmissing": "no schema of its search_path is there",
    }.items():
        with pytest.raises(StoreError) as caught:
            SqlStore(url, timeout_s=2)
        assert words in str(caught.value), url
        assert "\n" not in str(caught.value)
    SqlStore(postgres_url).close()
    with pytest.raises(StoreError, match="may not do that"), closing(SqlStore(guest)) as store:
        store.find_study("study")
    execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with closing(SqlStore(postgres_url)) as store:  # a database's own default is not for its owner's stores
        tell(store)
    execute("DROP ROLE guest")


def test_too_many_connections_are_named(postgres_url):
    backend = PostgresBackend(postgres_url, timeout_s=0.1)
    with contextlib.ExitStack() as stack:
        refused = None
        while refused is None:
            try:
                stack.enter_context(closing(backend.connect(writes=False)))
            except backend.errors as error:
                refused = backend.translate(error)
    assert type(refused) is StoreBusy
    assert "no free connection" in str(refused)


def test_a_full_disk_is_named(store, postgres_server, postgres_url):
    told = tell(store)
    fill = """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
              $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"""
    postgres_server.execute(fill, url=postgres_url)
    postgres_server.execute(
        "CREATE TRIGGER no_room BEFORE INSERT ON events EXECUTE FUNCTION full_disk()", url=postgres_url
    )
    told.script.run()
    commit = told.script.commit()
    with pytest.raises(StoreError, match="make room") as caught:
        store.commit(None, commit)
    assert type(caught.value).__name__ == "StoreFull"
    postgres_server.execute("DROP TRIGGER no_room ON events", url=postgres_url)
    store.commit(None, commit)
    assert list(check_study(store, told.id)) == []


def test_no_password_is_shown(postgres_server, postgres_url):
    url = postgres_url.replace("postgres@", "postgres:s3cret%21@")
    with closing(SqlStore(url)) as store:
        told = tell(store)
        assert store.url == public_url(url) == postgres_url
        assert "s3cret" not in repr(store) + repr(vars(store)) + store._backend.name
        with closing(SqlStore(store.url)) as again:
            assert again.find_study(told.id) is not None
    bad = url.partition("?")[0] + "?host=%2Fnowhere&password=s3cret%21"
    for broken in (bad, "postgresql://me:s3cret!@h:99999999/db", "postgresql://me:s3cret!@h/db?x=1"):
        with pytest.raises(StoreError) as caught:
            SqlStore(broken, timeout_s=1)
        assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_what_is_acknowledged_is_on_the_disk_whatever_the_default(postgres_server, postgres_url):
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    postgres_server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with closing(SqlStore(postgres_url)) as store:
        tell(store)
        with store._connections.write() as cursor:
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchone() == ("on",)


# what is kept


def test_texts_that_postgresql_cannot_keep_are_refused_or_kept_as_escapes(store):
    hard = {"nul": "a\x00b", "half": "\ud800", "deep": [{"\x00": "\udcff"}]}
    told = tell(store)
    number = told.script.suggest(hard)
    told.commit()
    assert store.trial(told.id, number).params == hard
    with pytest.raises(UserError, match="NUL"):
        store.create_study(study_spec("a\x00b", id="e" * 32))
    with pytest.raises(UserError, match="NUL"):
        store.send_command(told.id, command("k\x00"))
    with pytest.raises(StoreError, match="too long"):
        store.send_command(told.id, command(os.urandom(8000).hex()))


def test_names_are_compared_byte_by_byte(postgres_server, postgres_url):
    SqlStore(postgres_url).close()
    found = postgres_server.execute(
        """SELECT c.relname, a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indexrelid
           JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_collation l ON l.oid = a.attcollation
           JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public' WHERE l.collname <> 'C'""",
        url=postgres_url,
    )
    # An index in a language's order is damaged by an update of the server's C library.
    assert found == []


# speed that does not depend on history

WIDE = 3000


def test_no_page_reads_more_than_a_page(store, postgres_server, postgres_url, monkeypatch):
    """Every query that a page, a top ten, a look for commands or events makes, explained before any statistics exist."""
    told = tell(store)
    lease = store.take_lease(told.id, holder(), 3600)
    for number in range(WIDE):
        told.script.run(loss=float(number % 97))
    store.commit(lease, told.script.commit())
    store.send_command(told.id, command("k"))
    for number in range(200):
        tell(store, f"other {number}")
    seen: list[tuple[str, object]] = []
    reader = type(store)._run

    def noted(self, cursor, build, /, *args, **values):
        sql = self._sql(build, *args)
        seen.append((sql.text, sql.bind(**values)))
        return reader(self, cursor, build, *args, **values)

    monkeypatch.setattr(type(store), "_run", noted)

    def read_all():
        for order in [TrialOrder(by, down) for by in ("number", "value") for down in (False, True)]:
            for status in ((), (TrialStatus.COMPLETED,), tuple(TrialStatus)):
                page = store.trials(told.id, status=status, order=order, limit=10)
                store.trials(told.id, status=status, order=order, limit=10, cursor=page.cursor)
        store.events(told.id, after=WIDE, limit=10)
        store.events(told.id, after=WIDE, limit=10, kinds=[type(event.body) for event in store.events(told.id)[:4]])
        for call in (store.pending_commands, store.leader, store.live_trials, store.find_study):
            call(told.id)
        for call in (store.trial, store.reports, store.attempts, store.checkpoints, store.command):
            call(told.id, 1)
        store.list_studies(limit=5)
        store.claimable()
        store.workers()

    read_all()
    for analysed in (False, True):
        if analysed:
            postgres_server.execute("ANALYZE", url=postgres_url)
        with store._connections.read() as cursor:
            for text, values in seen:
                plan = explain(cursor, text, values)
                read = max(float(rows.split()[0]) for rows in plan.split("actual rows=")[1:])
                assert read <= 1001, plan
                assert not re.search(r"Seq Scan|Bitmap|Rows Removed by", plan), plan


def explain(cursor, text, values):
    """How the server carries out a statement, with the plan that is made without knowing the values."""
    numbers = itertools.count(1)
    prepared = re.sub("%s", lambda _: f"${next(numbers)}", text)
    cursor.execute(f"PREPARE explained AS {prepared}")
    given = ", ".join(psycopg.sql.Literal(value).as_string() for value in values)
    run = f"EXECUTE explained({given})" if values else "EXECUTE explained"
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS OFF, TIMING OFF, COSTS OFF, SUMMARY OFF) {run}")
    plan = "\n".join(row[0] for row in cursor.fetchall())
    cursor.execute("DEALLOCATE explained")
    return plan


def test_leases_run_by_the_servers_clock(store, postgres_url, monkeypatch):
    """A holder elsewhere whose clock is an hour off neither loses its lease at once nor keeps it for an hour."""
    told = tell(store)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    with closing(SqlStore(postgres_url)) as ahead:
        lease = ahead.take_lease(told.id, ELSEWHERE, 60)
        assert store.leader(told.id) == ELSEWHERE
        monkeypatch.setattr(time, "time", lambda: real() - 3600)
        assert ahead.leader(told.id) == store.leader(told.id) == ELSEWHERE
        ahead.renew_lease(replace(lease, ttl_s=0.0))
        assert store.leader(told.id) is None
        assert ahead.take_lease(told.id, ELSEWHERE, 60).epoch == 2


def test_a_commit_may_be_larger_than_any_buffer(store):
    """What the socket does not take at once must not wait for an answer that cannot come before it."""
    told = tell(store)
    lease = store.take_lease(told.id, holder(), 3600)
    for size in (100_000, 1_000_000, 10_000_000):
        told.script.emit(Noted(message="x" * size))
        for _ in range(6000):
            told.script.run(loss=0.5)
        told.script.emit(Noted(message="y" * size))
        store.commit(lease, told.script.commit())
    assert store.find_study("study").num_trials == 18_000
    assert [len(event.body.message) for event in store.events(told.id, kinds=[Noted])][-1] == 10_000_000
