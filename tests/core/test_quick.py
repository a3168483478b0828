"""Quick records are the dataclasses they were: same keywords, same defaults, same errors, still frozen."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from trialist.core.quick import changer, quick
from trialist.core.records import Trial


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Plain:
    number: int
    name: str = "x"
    tags: list = field(default_factory=list)


@quick
@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Quick:
    number: int
    name: str = "x"
    tags: list = field(default_factory=list)


def test_it_is_the_same_record() -> None:
    assert repr(Quick(number=1)) == repr(Plain(number=1)).replace("Plain", "Quick")
    assert Quick(number=1) == Quick(number=1, name="x", tags=[]) != Quick(number=2)
    assert Quick(number=1) < Quick(number=2)
    assert Quick(number=1).tags is not Quick(number=1).tags
    assert replace(Quick(number=1), name="y") == Quick(number=1, name="y")
    assert pickle.loads(pickle.dumps(Quick(number=1, tags=[1]))) == Quick(number=1, tags=[1])
    assert copy.deepcopy(Quick(number=1, tags=[1])) == Quick(number=1, tags=[1])
    assert list(inspect.signature(Quick).parameters) == list(inspect.signature(Plain).parameters)


def test_it_stays_frozen() -> None:
    record = Quick(number=1)
    with pytest.raises(FrozenInstanceError):
        record.number = 2
    assert record.number == 1


@pytest.mark.parametrize("given", [{}, {"number": 1, "nmae": "y"}])
def test_it_raises_the_same_errors(given: dict) -> None:
    with pytest.raises(TypeError) as plain:
        Plain(**given)
    with pytest.raises(TypeError) as same:
        Quick(**given)
    assert str(same.value).removeprefix("Quick.") == str(plain.value).removeprefix("Plain.")


def test_a_changed_copy_leaves_the_record() -> None:
    changed = changer(Trial)
    trial = Trial(number=1, params={"lr": 0.1})
    assert changed(trial, step=3, value=0.5) == replace(trial, step=3, value=0.5)
    assert trial == Trial(number=1, params={"lr": 0.1})
    with pytest.raises(KeyError, match="vaule"):
        changed(trial, vaule=0.5)


def test_a_record_with_work_to_do_after_its_making_is_refused() -> None:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Works:
        number: int

        def __post_init__(self) -> None:
            raise AssertionError

    with pytest.raises(TypeError, match="__post_init__"):
        quick(Works)
