"""Plans: what is given beside the file, how many runs there are, and what is refused."""

from __future__ import annotations

import pytest

from trialist.config import load_yaml_text
from trialist.core.errors import ConfigError, TrialistError
from trialist.sweep.options import SweepOptions
from trialist.sweep.plan import MANY_RUNS, make_plan
from trialist.sweep.render import plan_json, render

CONFIG = """\
metric: val_loss
model: {name: bert, layers: [{type: linear}, {type: dropout, p: [0.1, 0.2]}]}
training:
  learning_rate: [1e-3, 1e-4]
  batch_size: 16
  betas: !fixed [0.9, 0.999]
"""


def plan(text=CONFIG, **options):
    document = load_yaml_text(text, "config/mlp.yaml")
    return make_plan(document.marked, SweepOptions(**options), source=document.file, line_of=document.line_of)


def paths(made):
    return [param.path for param in made.params]


def combinations(made):
    return [made.values_at(made.space.grid_point(index)) for index in range(made.num_runs)]


def test_a_plan_has_paths_values_and_the_number_of_runs():
    made = plan()
    assert paths(made) == ["model.layers.1.p", "training.learning_rate"]
    assert made.num_runs == 4
    text = render(made)
    assert "config/mlp.yaml: 4 runs, a grid of 2 × 2" in text
    assert "model.layers.1.p        0.1, 0.2" in text
    assert "training.learning_rate  0.001, 0.0001" in text
    assert "by val_loss, the smallest first" in text


def test_a_variation_replaces_the_list_and_others_still_vary():
    made = plan(param_variations=["training.learning_rate=1e-2,1e-5,1e-6"])
    assert paths(made) == ["training.learning_rate", "model.layers.1.p"]
    assert made.num_runs == 6
    assert {values["training"]["learning_rate"] for values in combinations(made)} == {1e-2, 1e-5, 1e-6}
    assert "the file has [0.001, 0.0001]" in render(made)


def test_a_variation_replaces_a_single_value_and_a_fixed_list():
    made = plan(param_variations=["training.batch_size=16,32", "training.betas=[0.9,0.99],[0.8,0.9]"])
    assert paths(made) == ["training.batch_size", "training.betas", "model.layers.1.p", "training.learning_rate"]
    assert combinations(made)[0]["training"]["betas"] == [0.9, 0.99]
    assert "the file has 16" in render(made)


def test_a_single_value_is_set_and_counts_as_one():
    made = plan(param_variations=["training.batch_size=32"])
    assert made.num_runs == 4
    assert {values["training"]["batch_size"] for values in combinations(made)} == {32}


def test_a_new_path_is_added_with_a_plus():
    made = plan(param_variations=["+training.weight_decay=0,0.1", "+extra.deep.name=a,b"])
    assert combinations(made)[0]["training"]["weight_decay"] == 0
    assert combinations(made)[0]["extra"] == {"deep": {"name": "a"}}
    assert "(new, given)" in render(made)


def test_a_variation_may_be_a_distribution():
    made = plan(param_variations=["training.learning_rate={type: loguniform, min: 1e-5, max: 1e-2}"], num_trials=7)
    assert (made.searcher, made.num_runs) == ("random", 7)


def test_python_gives_variations_as_a_mapping():
    made = plan(param_variations={"training.learning_rate": (1e-2, 1e-5), "training.batch_size": 8, "+x": ["a"]})
    assert [value["training"]["learning_rate"] for value in combinations(made)] == [1e-2, 1e-2, 1e-5, 1e-5]
    assert combinations(made)[0]["training"]["batch_size"] == 8


def test_values_are_yaml_and_commas_inside_brackets_or_quotes_do_not_split():
    made = plan("x: 1\ny: 1", param_variations=["x=1e-7,no,true,'a,b',[1,2]"])
    assert [values["x"] for values in combinations(made)] == [1e-7, "no", True, "a,b", [1, 2]]


def test_one_list_as_the_only_value_gets_a_note():
    assert "To vary over its elements: x=1,2" in " ".join(render(plan("x: 1", param_variations=["x=[1,2]"])).split())


@pytest.mark.parametrize(
    ("variation", "message"),
    [
        (
            "training.lerning_rate=1,2",
            r"has no such path.*Did you mean 'training\.learning_rate'.*\+training\.lerning_rate",
        ),
        ("learning_rate=1,2", r"Did you mean 'training\.learning_rate'"),
        ("training=1,2", r"is a section.*training\.learning_rate"),
        ("training.learning_rate.0=1,2", r"lies within 'training\.learning_rate', which varies as a whole"),
        ("+training.batch_size=1,2", r"'\+' adds a path.*write 'training\.batch_size=…'"),
        ("+training.batch_size.x=1,2", "training.batch_size"),
        ("x", "not of the form path=value"),
        ("=1,2", "not of the form path=value"),
        ("training.batch_size=", "no value"),
        ("training.batch_size=[1,2", "no list of values"),
        ("training.batch_size='a", "no list of values"),
        ("command=a,b", "does not vary"),
        ("metric=a,b", "does not vary"),
        ("+command.0=a,b", "does not vary"),
        ("training.batch_size=.nan,1", "no number"),
    ],
)
def test_a_variation_that_does_not_fit_is_refused(variation, message):
    with pytest.raises(ConfigError, match=message):
        plan(param_variations=[variation])


@pytest.mark.parametrize(
    ("variations", "message"),
    [
        (["training.batch_size=1", "training.batch_size=2"], "varied twice"),
        (["model.layers.0=a,b", "model.layers.0.type=a,b"], "lies within"),
        ({"training.batch_size": []}, "no values"),
        ({3: [1]}, "must be a text"),
        ({"training.batch_size": [object()]}, "must be JSON"),
    ],
)
def test_variations_that_contradict_each_other_are_refused(variations, message):
    with pytest.raises(TrialistError, match=message):
        plan(param_variations=variations)


def test_errors_in_the_file_name_file_and_line():
    with pytest.raises(ConfigError, match=r"^config/mlp\.yaml:2: a\.lr: type 'uniforn' is no distribution"):
        plan("a:\n  lr: {type: uniforn, low: 0, high: 1}\n")


def test_a_mapping_that_only_says_the_word_of_a_distribution_learns_the_way_out():
    with pytest.raises(ConfigError, match="keep it as it is with !fixed"):
        plan("init: {type: uniform, gain: 2}\n")


def test_with_no_grid_a_number_of_runs_is_needed():
    with pytest.raises(ConfigError, match=r"lr .*continuous, so there is no grid.*--num-trials"):
        plan("lr: {type: loguniform, low: 1e-5, high: 1e-2}\n")
    assert plan("lr: {type: loguniform, low: 1e-5, high: 1e-2}\n", num_trials=9).num_runs == 9
    with pytest.raises(ConfigError, match="--search grid needs values that can be counted"):
        plan("lr: {type: uniform, low: 0, high: 1}\n", num_trials=9, search="grid")


def test_integers_and_steps_make_a_grid_both_ends_included():
    made = plan("a: {type: randint, low: 1, high: 4}\nb: {type: quniform, low: 0, high: 1, q: 0.5}\n")
    assert made.num_runs == 12
    assert {values["a"] for values in combinations(made)} == {1, 2, 3, 4}


def test_a_search_that_is_no_grid_needs_a_number_of_runs():
    with pytest.raises(ConfigError, match="--search random makes as many runs as it is told"):
        plan(search="random")
    assert plan(search="random", num_trials=3).num_runs == 3
    assert plan(search="random", num_trials=100).num_runs == 4


def test_num_trials_cuts_a_grid_and_the_plan_says_so():
    made = plan(num_trials=3)
    assert made.num_runs == 3
    assert "the first 3 of the grid's 4" in render(made, width=200)


def test_nothing_varies():
    made = plan("a: 1\n")
    assert made.num_runs == 1
    assert "nothing varies, so there is 1 run" in render(made)
    assert "runs/<YYYY-MM-DD>_<HHMMSS>" in render(made)
    assert "runs/base_<HHMMSS>" in render(made, prefix="base")


def test_a_huge_grid_is_counted_and_not_expanded():
    text = "".join(f"p{index}: {list(range(10))}\n" for index in range(30))
    with pytest.raises(ConfigError, match=r"1,000,000,000,000,000,000,000,000,000,000 combinations.*--num-trials"):
        plan(text)
    assert plan(text, num_trials=MANY_RUNS + 1).num_runs == MANY_RUNS + 1


@pytest.mark.parametrize(
    ("text", "options", "metric", "mode"),
    [
        ("x: [1, 2]", {}, None, None),
        ("metric: val_loss", {}, "val_loss", "min"),
        ("metric: val_accuracy", {}, "val_accuracy", "max"),
        ("metric: foo\nmode: max", {}, "foo", "max"),
        ("metric: val_loss", {"metric": "f1"}, "f1", "max"),
        ("metric: foo\nmode: max", {"metric": "bar", "mode": "min"}, "bar", "min"),
        ("metric: foo\nmode: max", {"mode": "min"}, "foo", "min"),
        ("mode: [train, eval]", {"metric": "val_loss"}, "val_loss", "min"),
    ],
)
def test_the_metric_and_its_mode(text, options, metric, mode):
    made = plan_json(plan(text, **options))
    assert (made["metric"], made["mode"]) == (metric, mode)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("metric: foo", {}, "say --mode min or --mode max"),
        ("metric: neg_log_loss", {}, "say --mode"),
        ("metric: [a, b]", {}, "one word and does not vary"),
        ("metric: foo\nmode: up", {}, "is min or max, not 'up'"),
        ("x: 1", {"mode": "min"}, "give --metric NAME"),
        ("x: 1", {"metric": "loss", "mode": "up"}, "--mode is min or max"),
        ("x: 1", {"metric": " "}, "needs the name"),
        ("x: [1, 2]", {"scheduler": "asha"}, "give --metric NAME"),
    ],
)
def test_a_metric_that_is_unclear_is_refused(text, options, message):
    with pytest.raises(ConfigError, match=message):
        plan(text, **options)


def test_a_scheduler_that_pauses_runs_says_what_that_means_without_checkpoints():
    assert "one that saves none starts again from step 0" in " ".join(render(plan(scheduler="asha")).split())
    assert "step 0" not in render(plan(scheduler="median"))


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("x: 1", {}, "python -m trialist.train --config {config}"),
        ("command: [python, a.py, '{config}', 3]", {}, "python a.py {config} 3"),
        ("command: !fixed [python, a.py]", {}, "python a.py"),
        ("command: [python, a.py]", {"command": ("python", "b.py", "a b")}, "python b.py 'a b'"),
    ],
)
def test_what_is_executed_in_this_order(text, options, expected):
    assert expected in render(plan(text, **options))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("command: python train.py", "never one line for a shell"),
        ("command: []", "is a list of words"),
        ("command: [python, {config}]", r"command\.1.*Quote words with braces"),
        ("command: [python, [a]]", r"command\.1"),
        ("command: {a: b}", "is a list of words"),
    ],
)
def test_a_command_that_is_no_list_of_words_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        plan(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "--jobs must be at least 1"),
        ({"num_trials": 0}, "--num-trials must be at least 1"),
        ({"retries": -1}, "--retries"),
        ({"gpus_per_run": 0.0}, "--gpus-per-run must be above 0"),
        ({"timeout_s": float("nan")}, "--timeout-s must be above 0"),
        ({"resume": "", "metric": "x", "search": "tpe"}, "--search and --metric cannot be given with it"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        plan(**options)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_plan_keeps_to_the_width(width):
    text = "".join(f"section_{index}: {{value: {list(range(20))}}}\n" for index in range(3)) + "metric: loss\n"
    for line in render(plan(text, scheduler="asha"), width=width).splitlines():
        assert len(line) <= width, line
