"""Statements read through indexes on SQLite, and exist for PostgreSQL too."""

import inspect
import sqlite3
from contextlib import closing
from itertools import product

import pytest
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from trialist.store import statements
from trialist.store.compiling import Statements
from trialist.store.schema import METADATA, create_statements
from trialist.store.sqlite import SqliteDialect

LITE = SqliteDialect(paramstyle="qmark")
POSTGRES = PGDialect_psycopg(paramstyle="format")
COLUMNS = {"study_by": ["name", "id"], "command_by": ["id", "key"], "bound_of": list(statements.REMAINS)}
COLUMNS["delete_up_to"] = COLUMNS["bound_of"]


def shapes():
    """Every statement in every shape."""
    for name, build in vars(statements).items():
        if name.startswith("_") or not inspect.isfunction(build) or build.__module__ != statements.__name__:
            continue
        choices = []
        for parameter in inspect.signature(build).parameters.values():
            if parameter.annotation == "int":
                choices.append([0, 1, 3] if name in ("trials_by_number", "events_after") else [1, 7])
            else:
                choices.append(COLUMNS[name] if parameter.annotation == "str" else [False, True])
        for args in product(*choices):
            yield pytest.param(build, args, id=f"{name}{list(args)}")


SHAPES = list(shapes())


@pytest.fixture(scope="module")
def database():
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in create_statements(LITE):
            connection.execute(statement)
        yield connection


@pytest.mark.parametrize(("build", "args"), SHAPES)
def test_no_statement_grows_with_history(database, build, args):
    sql = Statements(LITE)(build, *args)
    values = [sql.constants.get(name, 1) for name in sql.order]
    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql.text}", values)]
    allowed = build is statements.list_studies or (build is statements.checkpoints_of and args == (False,))
    for step in plan:
        if step == "SCAN line USING COVERING INDEX ix_line_since":
            continue  # the line holds no more than what is to do
        # Studies are walked from the newest; a study has few checkpoints at a time, since they are freed.
        assert allowed or not step.startswith("SCAN"), plan
        assert allowed or "TEMP B-TREE" not in step, plan


@pytest.mark.parametrize(("build", "args"), SHAPES)
def test_every_statement_exists_for_postgresql(build, args):
    lite, postgres = Statements(LITE)(build, *args), Statements(POSTGRES)(build, *args)
    assert set(postgres.order) <= set(lite.order)
    assert postgres.text.count("%s") == len(postgres.order)
    assert "?" not in postgres.text


@pytest.mark.parametrize(
    ("build", "order"),
    [
        (statements.insert_trial, "sid number status rank params origin state"),
        (statements.update_trial, "status rank state sid_ number_"),
        (statements.insert_event, "sid seq at kind body"),
        (statements.insert_attempt, "sid trial attempt start ending"),
        (statements.end_attempt, "ending sid_ trial_ attempt_"),
        (statements.insert_report, "sid trial attempt step at metrics"),
        (statements.insert_checkpoint, "sid id trial seq data"),
        (statements.delete_checkpoint, "sid_ id_"),
        (statements.answer_command, "status answer sid_ id_"),
    ],
)
def test_what_commits_write_in_bulk_has_the_order_they_rely_on(build, order):
    for dialect in (LITE, POSTGRES):
        assert Statements(dialect)(build).order == tuple(order.split())


@pytest.mark.parametrize(
    ("build", "args", "key"),
    [
        (statements.trials_by_number, (3, False, True), "ix_trials_status (sid=? AND status=? AND number>?)"),
        (statements.trials_by_rank, (7, False, True), "ix_trials_rank (sid=? AND status=? AND (rank,number)>(?,?))"),
        (statements.trials_without_rank, (7, True), "ix_trials_rank (sid=? AND status=? AND rank=? AND number>?)"),
        (statements.events_after, (3,), "ix_events_kind (sid=? AND kind=? AND seq>?)"),
        (statements.pending_commands, (), "ix_commands_pending (sid=?)"),
        (statements.checkpoints_of, (True,), "ix_checkpoints_trial (sid=? AND trial=?)"),
        (statements.list_studies, (True, False, True), "ix_studies_status (status=? AND sid<?)"),
        (statements.list_workers, (), "ix_workers_seen (seen_at>?)"),
        (statements.forget_workers, (), "ix_workers_seen (seen_at<?)"),
    ],
)
def test_pages_are_read_through_the_index_that_holds_them(database, build, args, key):
    sql = Statements(LITE)(build, *args)
    values = [sql.constants.get(name, 1) for name in sql.order]
    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql.text}", values)]
    steps = [step for step in plan if "specs" not in step and step.startswith("SEARCH")]
    assert steps
    assert all(step.endswith(key) for step in steps), plan


def test_every_table_of_a_study_is_cleared_when_it_is_deleted():
    assert [*statements.REMAINS][-1] == "events"
    assert {"studies", "workers", *statements.REMAINS} == set(METADATA.tables)


def test_a_lease_is_locked_where_the_database_can():
    assert "FOR UPDATE" in Statements(POSTGRES)(statements.lease_of, True).text
    assert "FOR UPDATE" not in Statements(POSTGRES)(statements.lease_of, False).text
