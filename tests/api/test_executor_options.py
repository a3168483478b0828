"""What ``executor=`` takes: a name, or a name with options; each mistake is one sentence."""

import pytest

from trialist import ConfigError, Float, UnknownName, create_study


def doubles(x):
    return 2 * x


def study():
    return create_study("s", {"x": Float(0, 1)}, metric="loss", mode="min", searcher="random")


@pytest.mark.parametrize(
    "given", [{"start": "spawn"}, {"residents": 4, "recycle_after": None}, {"start": "fork", "grace_s": 2.5}]
)
def test_options_reach_the_pool_and_are_recorded(given):
    mine = study()
    mine.run(doubles, num_trials=4, jobs=2, executor={"name": "pool", **given}, resources={"memory_gb": 0.5})
    assert [trial.value for trial in mine.trials()] == [2 * trial.params["x"] for trial in mine.trials()]
    assert mine.row.spec.executor.name == "pool"
    assert {name: mine.row.spec.executor.options[name] for name in given} == given


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "pool", "resident": 4}, "'pool' has no option 'resident'. Did you mean 'residents'?"),
        ({"name": "inline", "start": "spawn"}, "'inline' has no option 'start'. It takes no options."),
        ({"name": "pool", "function": "m:f"}, "'pool' has no option 'function'"),
        ({"name": "pool", "residents": 0}, "executor.residents: must be a whole number of at least 1, not 0"),
        ({"name": "pool", "residents": True}, "executor.residents: must be a whole number of at least 1, not True"),
        ({"name": "pool", "recycle_after": 0.5}, "executor.recycle_after: must be a whole number of at least 1"),
        ({"name": "pool", "start": "spwan"}, "executor.start: must be one of 'auto', 'fork', 'spawn', not 'spwan'"),
        ({"name": "command", "grace_s": -1}, "executor.grace_s: must be a number of seconds, 0 or more, not -1"),
        ({"residents": 4}, "give the executor by name"),
        (4, "give the executor by name"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_runs_nothing(given, words):
    mine = study()
    with pytest.raises(ConfigError) as told:
        mine.run(doubles, num_trials=2, executor=given)
    assert words in str(told.value)
    assert mine.row.num_trials == 0


def test_an_unknown_executor_offers_the_nearest_name():
    with pytest.raises(UnknownName, match="pool"):
        study().run(doubles, num_trials=2, executor={"name": "pol"})


def test_more_memory_than_the_machine_has_is_refused_before_anything_runs():
    mine = study()
    with pytest.raises(ConfigError, match=r"resources\.memory_gb: a trial needs 1e\+06"):
        mine.run(doubles, num_trials=2, jobs=2, resources={"memory_gb": 1e6})
    assert mine.row.num_trials == 0
