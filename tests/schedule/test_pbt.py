"""The population by hand, through miniature campaigns, and as real studies on every executor."""

from __future__ import annotations

import math

import pytest

import trialist
from trialist.api import fsck
from trialist.core.errors import ConfigError, SpaceError
from trialist.core.events import Decided
from trialist.core.records import Metric, Mode, Promotion
from trialist.core.states import TrialStatus
from trialist.schedule.lineage import lineage, params_at
from trialist.schedule.pbt import PbtScheduler
from trialist.testing.schedulers import SPACE, Campaign

LOSS = Metric(name="loss", mode=Mode.MIN)
LAST_STEP = 9


def pbt(**options):
    return PbtScheduler(SPACE, metrics=(LOSS,), seed=1, **{"max_steps": 12, "interval": 3, **options})


def campaign(scheduler=None, **settings):
    def curve(number):  # originals keep their order, and copies are better still
        return [(100 - number if number >= 8 else 1 + number) / step for step in range(1, 13)]

    settings = {"curve": curve, "trials": 8, "jobs": 3, **settings}
    return Campaign(scheduler=scheduler or pbt(), metric=LOSS, **settings)


def forks(campaign):
    return [one.answer for one in campaign.asked if isinstance(one.answer, Promotion) and one.answer.fork]


def test_the_worst_quarter_gives_way_to_copies_of_the_best_quarter():
    run = campaign(seed=3).run()
    first = forks(run)[:2]
    assert [one.trial for one in first] == [6, 7]
    for one in first:
        assert one.fork.parent in (0, 1)
        assert one.fork.warm_start_from.trial == one.fork.parent
        assert run.saved[one.fork.warm_start_from.checkpoint] == 3
        assert one.fork.params["curve"] == run.rows[one.fork.parent].params["curve"]
        assert one.fork.params["rate"] != run.rows[one.fork.parent].params["rate"]
    assert run.rows[6].status is TrialStatus.STOPPED
    assert len(forks(run)) == 2 * 3  # at steps 3, 6 and 9


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_every_member_trains_as_many_steps_with_any_number_of_jobs(jobs):
    run = campaign(jobs=jobs, seed=jobs).run()
    trained = sum(type(event.body).__name__ == "Reported" for event, _ in run.events)
    assert trained == 8 * 12
    assert {number: row.status for number, row in run.rows.items()} == {
        number: row.status for number, row in campaign(jobs=3, seed=99).run().rows.items()
    }


def test_what_is_not_finite_is_replaced_beyond_the_quantile_and_never_copied():
    def curve(number):
        return [math.nan if number in (0, 1, 2) else 1 + number / step for step in range(1, 13)]

    first = forks(campaign(curve=curve).run())[:3]
    assert {one.trial for one in first} >= {0, 1, 2}
    assert all(one.fork.parent not in (0, 1, 2) for one in first)


def test_a_population_of_nothing_finite_comes_to_rest():
    run = campaign(curve=lambda number: [math.nan] * 12).run()
    assert not forks(run)
    assert {row.status for row in run.rows.values()} == {TrialStatus.PAUSED}


def test_trials_without_checkpoints_run_to_their_end_and_are_not_copied():
    run = campaign(checkpoints=False, jobs=1).run()
    assert not forks(run)
    assert {row.status for row in run.rows.values()} == {TrialStatus.COMPLETED}
    attempts = [row.attempt for row in run.rows.values()]
    assert attempts == [2] + [1] * 7  # one taught that they save none


def test_more_trials_than_a_population_holds_make_further_ones():
    run = campaign(pbt(population=4)).run()
    for one in forks(run):
        replaced, parent = one.fork.note["replaces"], one.fork.parent
        root = {number: number // 4 for number in range(8)}
        for number in range(8, len(run.rows)):
            root[number] = run.rows[number].note["population"]
        assert root[replaced] == root[parent]
    assert {one.fork.note["population"] for one in forks(run)} == {0, 1}


def test_a_population_that_stays_small_is_compared_when_nobody_else_comes():
    run = campaign(pbt(population=50)).run()
    assert len(forks(run)) == 6
    assert {row.status for row in run.rows.values()} == {TrialStatus.COMPLETED, TrialStatus.STOPPED}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_steps": None}, "max_steps.*missing"),
        ({"interval": 12}, "below max_steps"),
        ({"quantile": 0.6}, "at most 0.5"),
        ({"population": 1}, "at least 2"),
        ({"resample": 2}, "probability"),
        ({"mutate": ["rat"]}, "'rate'"),
        ({"mutate": []}, "names of parameters"),
        ({"factors": [0]}, "above 0"),
        ({"intervall": 3}, "'interval'"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(ConfigError, match=words):
        pbt(**options)


# --- real studies ----------------------------------------------------------------------------------------------------


def objective(trial):
    """Learns at its rate, of which too much does harm; goes on from checkpoints."""
    done, reached = trial.resume_step or 0, 0.0
    if trial.checkpoint is not None:
        reached = float((trial.checkpoint / "reached").read_text())
    for step in range(done + 1, LAST_STEP + 1):
        rate = trial.params["rate"]
        reached += rate * (1 - reached) if rate < 0.5 else -0.01
        try:
            trial.report(step=step, loss=1 - reached)
        finally:
            trial.save_checkpoint(lambda folder, reached=reached: (folder / "reached").write_text(repr(reached)))
    return {"loss": 1 - reached}


def bare(trial):
    for step in range(1, LAST_STEP + 1):
        trial.report(step=step, loss=trial.params["rate"] + 1 / step)


def study_of(store, name="population"):
    return trialist.create_study(
        name,
        {"rate": {"type": "loguniform", "low": 1e-3, "high": 1.0}},
        metric="loss",
        mode="min",
        searcher="random",
        scheduler={"name": "pbt", "max_steps": LAST_STEP, "interval": 3},
        seed=5,
        store=store,
        resume=True,
    )


def rows(study):
    return [
        (t.number, t.params, t.record.status, t.record.value, t.record.parent, t.record.note, t.record.step)
        for t in study.trials()
    ]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    study = study_of(f"sqlite:///{tmp_path_factory.mktemp('plain')}/plain.db")
    study.run(objective, num_trials=6, progress=False)
    return study


def test_a_study_ends_when_its_population_is_done_and_counts_right(plain):
    assert plain.status == "completed"
    found = plain.trials()
    copies = [trial for trial in found if trial.record.source == "pbt"]
    assert len(found) == 6 + len(copies)
    assert len(copies) == 4
    assert not any(trial.record.counted for trial in copies)
    assert sum(len(trial.reports) for trial in found) == 6 * LAST_STEP
    assert {trial.record.status for trial in copies} <= {TrialStatus.COMPLETED, TrialStatus.STOPPED}
    decided = [event.body for event in plain.events(kinds=(Decided,)) if event.body.decision == "fork"]
    assert len(decided) == 4
    assert all("a copy of trial" in body.reason for body in decided)
    assert fsck(plain.name, store=plain.store, replay=True).findings == []


def test_a_lineage_trained_again_comes_to_the_same(plain):
    found = {trial.number: trial.record for trial in plain.trials()}
    for number, row in found.items():
        held, reached = lineage(number, found.__getitem__), 0.0
        for step in range(1, (row.step or 0) + 1):
            rate = params_at(held, step)["rate"]
            reached += rate * (1 - reached) if rate < 0.5 else -0.01
        assert row.value == 1 - reached


@pytest.mark.parametrize(("executor", "jobs"), [("pool", 3), ("command", 1)])
@pytest.mark.slow
def test_other_executors_and_several_jobs_come_to_the_same(plain, tmp_path, executor, jobs):
    study = study_of(f"sqlite:///{tmp_path}/other.db")
    study.run(objective, num_trials=6, jobs=jobs, executor=executor, progress=False)
    assert rows(study) == rows(plain)


def test_a_study_interrupted_on_the_way_comes_to_the_same(plain, tmp_path):
    study = study_of(f"sqlite:///{tmp_path}/other.db")
    reports = []

    def breaking(trial):
        report = trial.report

        def counted(*args, **kwargs):
            report(*args, **kwargs)
            reports.append(1)
            if len(reports) % 11 == 0:
                raise KeyboardInterrupt

        class Broken:
            def __getattr__(self, name):
                return counted if name == "report" else getattr(trial, name)

        return objective(Broken())

    for _ in range(30):
        try:
            study.run(breaking, num_trials=6, progress=False)
        except KeyboardInterrupt:
            continue
        break
    assert study.status == "completed"
    assert [row[:4] for row in rows(study)] == [row[:4] for row in rows(plain)]


def test_without_checkpoints_trials_run_through(tmp_path):
    study = study_of(f"sqlite:///{tmp_path}/bare.db")
    study.run(bare, num_trials=6, progress=False)
    assert [trial.record.status for trial in study.trials()] == [TrialStatus.COMPLETED] * 6
    assert study.status == "completed"


def test_what_it_may_not_move_is_said_when_the_study_is_made(tmp_path):
    with pytest.raises((ConfigError, SpaceError), match="'rate'"):
        trialist.create_study(
            "wrong",
            {"rate": {"type": "uniform", "low": 0, "high": 1}},
            metric="loss",
            mode="min",
            scheduler={"name": "pbt", "max_steps": 9, "mutate": ["rte"]},
            store=f"sqlite:///{tmp_path}/wrong.db",
        )
