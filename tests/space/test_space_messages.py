"""What people write for a space, what it means, and what they are told when it is wrong."""

import json
import random
import subprocess
import sys

import pytest

from trialist.core.errors import SpaceError
from trialist.space import Choice, Fixed, Float, Group, Int, SearchSpace, describe, distributions

U = {"type": "uniform", "low": 0, "high": 1}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "uniform", "low": 0, "high": 1}, Float(0, 1)),
        ({"type": "uniform", "min": 0, "max": 1}, Float(0, 1)),
        ({"type": "loguniform", "min": 1e-5, "high": 0.1}, Float(1e-5, 0.1, log=True)),
        ({"type": "quniform", "low": 0, "high": 1, "q": 0.1}, Float(0, 1, q=0.1)),
        ({"type": "qloguniform", "low": 1, "high": 9, "q": 2}, Float(1, 9, log=True, q=2)),
        ({"type": "randint", "low": 1, "high": 4}, Int(1, 4)),
        ({"type": "randint", "low": 1.0, "high": 1e3}, Int(1, 1000)),
        ({"type": "qrandint", "low": 8, "high": 64, "q": 8}, Int(8, 64, step=8)),
        ({"type": "lograndint", "low": 1, "high": 1024}, Int(1, 1024, log=True)),
        ({"type": "qlograndint", "low": 8, "high": 64, "q": 8}, Int(8, 64, log=True, step=8)),
        ({"type": "choice", "values": ["a", None, [1, 2]]}, Choice(("a", None, [1, 2]))),
        ({"type": "fixed", "value": [0.9, 0.99]}, Fixed([0.9, 0.99])),
        ([16, 32], Choice((16, 32))),
        ((16, 32), Choice((16, 32))),
        (7, Fixed(7)),
        ({"a": U}, Group({"a": Float(0, 1)})),
        (distributions.quniform(0, 1, 0.5), Float(0, 1, q=0.5)),
    ],
)
def test_each_dialect_is_understood(given, expected):
    assert SearchSpace.of({"x": given}).root.params["x"] == expected


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"type": "uniform", "low": 2, "high": 1}, "x: low must not be above high; got low=2.0, high=1.0."),
        (
            {"type": "uniform", "low": "1e-3", "high": 1},
            "x: low must be a number; got '1e-3' (text: remove the quotes).",
        ),
        (
            {"type": "uniform", "low": True, "high": 1},
            "x: low must be a number; got true (true and false are no numbers).",
        ),
        ({"type": "uniform", "low": 0, "high": float("inf")}, "x: high must be finite; got inf."),
        ({"type": "uniform", "low": float("nan"), "high": 1}, "x: low must be finite; got nan."),
        ({"type": "loguniform", "low": 0, "high": 1}, "x: low must be above 0 on a log scale; got 0.0."),
        ({"type": "lograndint", "low": 0, "high": 4}, "x: low must be at least 1 on a log scale; got 0."),
        ({"type": "quniform", "low": 0, "high": 1, "q": 0}, "x: q must be above 0; got 0.0."),
        ({"type": "quniform", "low": 0, "high": 1}, "x: 'quniform' needs 'q'."),
        ({"type": "quniform", "low": 1e16, "high": 2e16, "q": 0.5}, "do not tell such steps apart"),
        ({"type": "quniform", "low": 0, "high": 1, "step": 0.1}, "x: 'quniform' calls the step 'q'."),
        ({"type": "uniform", "low": 0, "high": 1, "q": 0.1}, "for steps the type is 'quniform', with 'q'."),
        ({"type": "uniform", "low": 0, "high": 1, "log": True}, "for a log scale the type is one of 'loguniform'"),
        ({"type": "uniform", "low": 0, "min": 0, "high": 1}, "x: 'low' and 'min' are one thing: give one of them."),
        ({"type": "uniform"}, "x: 'uniform' needs 'low' and 'high'."),
        (
            {"type": "uniform", "low": 0, "hi": 1},
            "x: 'uniform' has no 'hi'; it takes 'low', 'high'. Did you mean 'high'?",
        ),
        ({"type": "randint", "low": 1.5, "high": 3}, "x: low must be an integer; got 1.5."),
        ({"type": "qrandint", "low": 1, "high": 3, "q": 0}, "x: the step (q) must be at least 1; got 0."),
        ({"type": "randint", "low": 1, "high": 10**400}, "integers must stay below 2**1000"),
        ({"type": "uniform", "low": 1, "high": 10**400}, "high is too large for a float; got an integer of 1329 bits."),
        ([], "x: a choice needs at least one value."),
        ({"type": "choice", "values": "abc"}, "x: values must be a list; got 'abc'."),
        ({"type": "choice", "values": {"a": 1}}, "x: values must be a list"),
        ({"type": "choice", "choices": [1]}, "x: 'choice' has no 'choices'; it takes 'values'."),
        ([1, 2, 1.0], "x: the value 1.0 stands twice, as number 0 and 2."),
        ([1, float("nan")], "x: value number 1: nan is no JSON: values must be finite."),
        ([1, object], "is a type, and values must be JSON"),
        ({"type": "log_uniform_values", "min": 1, "max": 2}, "x: 'log_uniform_values' is called 'loguniform' here."),
        ({"type": "int_uniform", "min": 1, "max": 2}, "is called 'randint' (both ends included) here."),
        ({"type": "tune.uniform", "low": 1, "high": 2}, "x: 'tune.uniform' is called 'uniform' here."),
        ({"type": "tune.randint", "low": 1, "high": 2}, "is called 'randint' here (here the upper end is included)."),
        ({"type": "Uniform", "low": 1, "high": 2}, "x: 'Uniform' is called 'uniform' here."),
        ({"type": "suggest_float", "low": 1, "high": 2}, "is called 'uniform', or 'loguniform' for log=True"),
        ({"type": "categorical", "choices": [1, 2]}, "x: 'categorical' is called 'choice' with values here."),
        ({"type": "normal", "mu": 0, "sigma": 1}, "x: there is no distribution 'normal': use one of uniform,"),
        ({"type": "unifrom", "low": 1, "high": 2}, "x: there is no distribution 'unifrom'. Did you mean 'uniform'"),
        ({"low": 1, "high": 2}, "x: this looks like a distribution without its type: add 'type'"),
        ({"values": [1, 2]}, "x: this looks like a choice without its type"),
        ({"distribution": "uniform", "min": 0, "max": 1}, "the key for the kind of distribution is 'type'"),
        ({"type": "choice", "values": [U, None]}, "x: value number 0: a distribution cannot be a value by itself"),
        ({"type": "choice", "values": [{"a": U}, {"a": U}]}, "x: the branches number 0 and 1 can be the same"),
        ({"type": "choice", "values": [{"a": U}, {"a": 0.5}]}, "x: value number 1 is also one of branch number 0."),
        ({"y": {"z": {"type": "uniform", "low": 3, "high": 1}}}, "x.y.z: low must not be above high"),
        (
            {"type": "choice", "values": [{"k": 1, "m": {"type": "uniform", "low": 3, "high": 1}}]},
            "x.m: low must not be above",
        ),
        ({1: U}, "x: the name 1 is not text: quote it."),
        ({"": U}, "x: a parameter has an empty name."),
    ],
)
def test_a_wrong_domain_is_told_with_its_path_and_rule(given, told):
    with pytest.raises(SpaceError) as caught:
        SearchSpace.of({"x": given})
    assert told in str(caught.value)
    assert caught.value.path.startswith("x")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (3, "a space is a mapping of names to domains; got 3 (a int)."),
        ([1, 2], "a space is a mapping of names to domains"),
        (U, "give the domain a name"),
        (Float(0, 1), "give the domain a name"),
        ("{", "the text is no JSON"),
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": 1, "a": 2}', "a: the name stands twice"),
        ({"trialist_space": 2}, "stored in format 2; this Trialist reads 1"),
        ({"a": {"b": U}, "a.b": U}, "a.b: two parameters have this path"),
    ],
)
def test_what_is_no_space_is_refused(given, told):
    with pytest.raises(SpaceError) as caught:
        SearchSpace.of(given)
    assert told in str(caught.value)


def test_nesting_without_end_is_refused():
    deep = U
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(SpaceError, match="levels deep"):
        SearchSpace.of(deep)
    loop: dict = {}
    loop["a"] = loop
    with pytest.raises(SpaceError, match="levels deep"):
        SearchSpace.of(loop)


OPTIMIZER = {
    "type": "choice",
    "values": [
        {"name": "sgd", "momentum": U},
        {"name": "adam", "betas": [0.9, 0.99], "eps": Choice((1e-8, 1e-6))},
        None,
    ],
}


def test_a_branch_has_its_own_parameters():
    space = SearchSpace.of({"optimizer": OPTIMIZER})
    assert [leaf.path for leaf in space.leaves] == [
        "optimizer", "optimizer.name", "optimizer.momentum", "optimizer.name", "optimizer.betas", "optimizer.eps",
    ]  # fmt: skip
    assert space.leaves[2].condition == (("optimizer", 0),)
    assert space.check({"optimizer": {"momentum": 1}}) == {"optimizer": {"name": "sgd", "momentum": 1.0}}
    assert space.flatten(space.check({"optimizer.name": "adam", "optimizer.eps": 1e-6})) == {
        "optimizer.name": "adam", "optimizer.betas": [0.9, 0.99], "optimizer.eps": 1e-6,
    }  # fmt: skip
    assert SearchSpace.of({"o": [{"name": "adam", "eps": Choice((1e-8, 1e-6))}, None, 3]}).count() == 4
    drawn = [space.sample(random.Random(seed))["optimizer"] for seed in range(60)]
    assert {None if value is None else value["name"] for value in drawn} == {None, "sgd", "adam"}


def test_lists_inside_the_values_of_a_choice_are_values():
    space = SearchSpace.of({"arch": [{"widths": [1, 2]}, {"widths": [3]}]})
    assert space.count() == 2
    assert space.check({"arch": {"widths": [1, 2]}}) == {"arch": {"widths": [1, 2]}}


NESTED = SearchSpace.of(
    {"training": {"lr": {"type": "loguniform", "low": 1e-5, "high": 0.1}, "batch_size": [16, 32]}, "seed": 3}
)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"training": {"lr": 1.0, "batch_size": 16}}, "training.lr: must be from 1e-05 to 0.1; got 1.0."),
        ({"training": {"lr": "x", "batch_size": 16}}, "training.lr: the value must be a number; got 'x' (text)."),
        ({"training": {"lr": 0.1, "batch_size": 17}}, "training.batch_size: must be one of 16, 32; got 17."),
        ({"training": {"lr": 0.1, "batch_size": True}}, "training.batch_size: must be one of 16, 32; got true."),
        ({"training": {"lr": 0.1}}, "training: no value is given for 'batch_size'."),
        ({"training": {}}, "training: no value is given for 'lr', 'batch_size'."),
        (
            {"training": {"lr": 0.1, "batchsize": 16}},
            "training.batchsize: no parameter has this name. Did you mean 'batch_size'?",
        ),
        ({"lr": 0.1}, "lr: no parameter has this name. Did you mean 'training.lr'?"),
        ({"training": {"lr": 0.1, "batch_size": 16}, "training.lr": 0.1}, "training.lr: it is given twice"),
        ({"training": 3, "training.lr": 0.1}, "'training' is given as the value 3 too"),
        ({"training": 3}, "training: must be a mapping with 'lr', 'batch_size'; got 3."),
        ({"training": {"lr": 0.1, "batch_size": 16}, "seed": 4}, "seed: is fixed to 3; got 4."),
        ([], "params are a mapping of names to values; got []."),
    ],
)
def test_wrong_params_are_told_with_their_path_and_rule(params, told):
    with pytest.raises(SpaceError) as caught:
        NESTED.check(params)
    assert told in str(caught.value)
    assert not NESTED.contains(params)
    assert isinstance(NESTED.key(params), str)


def test_params_are_spelled_as_the_space_spells_them():
    space = SearchSpace.of(
        {
            "a": {"type": "quniform", "low": 0, "high": 1, "q": 0.1},
            "b": U,
            "c": {"type": "randint", "low": 1, "high": 4},
        }
    )
    checked = space.check({"a": 0.1 * 3, "b": 1, "c": 2.0})
    assert json.dumps(checked) == '{"a": 0.3, "b": 1.0, "c": 2}'
    assert space.key({"c": 2, "b": 1.0, "a": 0.3}) == space.key({"a": 0.1 * 3, "b": 1, "c": 2.0})
    assert space.key({"a": 0.3}) != space.key({"a": 0.4})


def test_numpy_scalars_are_numbers():
    numpy = pytest.importorskip("numpy")
    space = SearchSpace.of({"a": U, "b": [numpy.int64(1), 2], "c": [True, False]})
    checked = space.check({"a": numpy.float32(0.5), "b": numpy.int64(1), "c": numpy.bool_(True)})
    assert checked == {"a": 0.5, "b": 1, "c": True}
    assert [type(value) for value in checked.values()] == [float, int, bool]


def test_a_continuous_space_has_no_grid():
    with pytest.raises(SpaceError, match=r"training\.lr: 1e-05 … 0\.1, log is continuous"):
        NESTED.grid()
    assert NESTED.count() is None
    with pytest.raises(IndexError, match=r"points 0 … 1"):
        SearchSpace.of({"a": [1, 2]}).grid_point(2)


def test_huge_and_tiny_domains():
    space = SearchSpace.of(
        {
            "wide": {"type": "randint", "low": 0, "high": 2**70},
            "tiny": {"type": "loguniform", "low": 1e-300, "high": 1e-299},
            "subnormal": {"type": "uniform", "low": 5e-324, "high": 1e-320},
            "all": {"type": "uniform", "low": -1.7e308, "high": 1.7e308},
            "one": {"type": "uniform", "low": 0.5, "high": 0.5},
        }
    )
    drawn = [space.sample(random.Random(seed)) for seed in range(50)]
    assert all(space.contains(params) for params in drawn)
    assert any(params["wide"] % 2 for params in drawn)
    assert len({params["wide"] for params in drawn}) == 50
    big = SearchSpace.of({"a": {"type": "randint", "low": 0, "high": 2**70}, "b": [1, 2, 3]})
    assert big.grid_size() == (2**70 + 1) * 3
    assert big.grid_point(3 * 2**69 + 1) == {"a": 2**69, "b": 2}


def test_draws_spread_as_the_distribution_says():
    space = SearchSpace.of(
        {"log": {"type": "loguniform", "low": 1e-4, "high": 1}, "int": {"type": "randint", "low": 1, "high": 4}}
    )
    rng = random.Random(0)
    drawn = [space.sample(rng) for _ in range(4000)]
    assert 0.45 < sum(params["log"] < 1e-2 for params in drawn) / 4000 < 0.55
    for value in range(1, 5):
        assert 0.22 < sum(params["int"] == value for params in drawn) / 4000 < 0.28


def test_difference_tells_a_person_what_changed():
    old = SearchSpace.of({"lr": {"type": "loguniform", "low": 1e-5, "high": 0.1}, "depth": [1, 2]}, ["depth < 3"])
    new = SearchSpace.of({"lr": {"type": "loguniform", "low": 1e-5, "high": 0.2}, "width": [1, 2]})
    assert old.difference(new) == {
        "lr": ("1e-05 … 0.1, log", "1e-05 … 0.2, log"),
        "depth": ("1, 2", "not there"),
        "constraints": ("depth < 3", "not there"),
        "width": ("not there", "1, 2"),
    }
    assert SearchSpace.of({"a": [1], "b": [2]}).difference(SearchSpace.of({"b": [2], "a": [1]})) == {}
    long = SearchSpace.of({"a": list(range(100))}).difference(SearchSpace.of({"a": [*range(99), 100]}))
    assert long["a"][0] != long["a"][1]


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        (Float(1e-5, 0.1, log=True), "1e-05 … 0.1, log"),
        (Float(0, 1, q=0.1), "0.0 … 1.0, step 0.1"),
        (Int(1, 8), "1 … 8"),
        (Int(8, 64, step=8, log=True), "8 … 64, step 8, log"),
        (Choice((16, 32, "relu", None, "a b")), "16, 32, relu, null, 'a b'"),
        (
            Choice(tuple(range(1000, 1100))),
            "1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, … (100 values)",
        ),
        (Fixed([1, 2]), "[1, 2] (fixed)"),
        (Choice(({"name": "sgd", "lr": Float(0, 1)}, "x")), "{name=sgd, lr}, x"),
    ],
)
def test_domains_in_words(domain, words):
    assert describe(domain) == words


def test_a_space_cannot_be_changed():
    space = SearchSpace.of({"a": [1, 2]})
    with pytest.raises(AttributeError, match="cannot be changed"):
        space.constraints = ("a > 1",)
    with pytest.raises(AttributeError):
        space.leaves[0].domain.values = (3,)


def test_stored_dictionaries_that_look_like_domains_stay_values():
    odd = {"type": "uniform", "low": 0, "high": 1}
    space = SearchSpace.of({"x": Choice((Fixed(odd), None))})
    assert SearchSpace.from_json(space.to_json()) == space
    assert space.check({"x": odd}) == {"x": odd}


def test_importing_the_space_loads_nothing_heavy():
    code = "import sys, trialist.space, trialist.config; print([m for m in ('numpy', 'ruamel.yaml', 'scipy') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
