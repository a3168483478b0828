"""Places: slots, named resources, fractions of devices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialist.core.errors import ConfigError
from trialist.engine.placement import Placement, visible_devices


def test_fractions_pack_and_whole_devices_wait_for_each_other():
    half = Placement({"gpu": 0.5}, {"gpu": 2}, ["a", "b"])
    assert [half.take(n) for n in range(4)] == [("a",), ("a",), ("b",), ("b",)]
    assert not half.has_room(99)
    half.give_back(2)
    assert half.take(9) == ("b",)
    pair = Placement({"gpu": 2}, {"gpu": 3}, ["a", "b", "c"])
    assert pair.take(0) == ("a", "b")
    assert not pair.has_room(99)
    assert pair.give_back(0) == ("a", "b")
    assert pair.has_room(99)


def test_a_parked_trial_goes_on_where_it_sits():
    place = Placement({"gpu": 1}, {"gpu": 2}, ["a", "b"])
    assert (place.take(0), place.take(1)) == (("a",), ("b",))
    sat_on = place.give_back(1)
    assert place.take(2) == ("b",)
    place.give_back(0)
    assert place.has_room(99)
    assert not place.has_room(99, sat_on)
    place.give_back(2)
    assert place.take(1, sat_on) == ("b",)


@pytest.mark.parametrize(
    ("needs", "words"),
    [({"gpu": 1}, "none"), ({"cpu": 99}, "needs 99"), ({"gpu": -1}, "at least 0"), ({"gpu": 1.5}, "whole number")],
)
def test_what_can_never_run_is_said_at_once(needs, words):
    with pytest.raises(ConfigError, match=words):
        Placement(needs, {"cpu": 2, "gpu": 2 if needs.get("gpu") == 1.5 else 0}, [])


def test_the_environment_names_devices(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-ab")
    assert visible_devices() == ["3", "GPU-ab"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_devices() == []


@given(
    st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    st.integers(2, 4),
    st.integers(1, 6),
    st.lists(st.booleans(), max_size=60),
)
def test_no_device_is_ever_over_full(gpus, devices, jobs, moves):
    names = [f"d{i}" for i in range(devices)]
    place = Placement({"gpu": gpus, "cpu": 1}, {"gpu": devices, "cpu": 5}, names)
    held: dict[int, tuple[str, ...]] = {}
    for number, arrives in enumerate(moves):
        if arrives and place.has_room(jobs):
            held[number] = place.take(number)
        elif held:
            place.give_back(held.popitem()[0])
        load = {name: sum(min(gpus, 1) for taken in held.values() if name in taken) for name in names}
        assert max(load.values()) <= 1
        assert place.taken == len(held) <= min(jobs, 5)
    if len(held) < min(jobs, 5, int(devices / gpus)):
        assert place.has_room(jobs) or gpus == 2.0
