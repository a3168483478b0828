"""What fits on a worker."""

from __future__ import annotations

import pytest

from trialist.core.errors import ConfigError
from trialist.core.records import Budget, StudySpec
from trialist.testing.event_script import study_spec
from trialist.worker.admission import Room, Share, fits, left_of, misfit, room_text, whole_room

WHOLE = Room({"cpu": 8.0, "gpu": 2.0, "memory_gb": 16.0}, ("0", "1"))


def spec(jobs: int = 1, **resources: float) -> StudySpec:
    return study_spec(budget=Budget(jobs=jobs), resources=resources)


@pytest.mark.parametrize(
    ("asked", "share"),
    [
        (spec(), {"cpu": 1}),
        (spec(3), {"cpu": 3}),
        (spec(3, cpu=2), {"cpu": 6}),
        (spec(5, cpu=2), {"cpu": 8}),  # the whole worker, and four trials at once
        (spec(2, cpu=0, memory_gb=4), {"memory_gb": 8}),
        (spec(1, gpu=1), {"cpu": 1, "gpu": 1}),
        (spec(3, gpu=0.5), {"cpu": 3, "gpu": 2}),
        (spec(2, gpu=0.5), {"cpu": 2, "gpu": 1}),
        (spec(4, gpu=2), {"cpu": 4, "gpu": 2}),
    ],
)
def test_a_study_takes_what_its_trials_take_together(asked, share):
    found = fits(asked, WHOLE, WHOLE)
    assert found is not None
    assert found.resources == share
    assert found.devices == ("0", "1")[: int(share.get("gpu", 0))]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (spec(gpu=4), "study 'study' needs 4 gpu for a trial; this worker has 2"),
        (spec(memory_gb=16.5), "study 'study' needs 16.5 memory_gb for a trial; this worker has 16"),
        (spec(tpu=1), "study 'study' needs 1 tpu for a trial; this worker has 0"),
    ],
)
def test_what_can_never_fit_is_said(asked, why):
    assert misfit(asked, WHOLE) == why
    assert fits(asked, WHOLE, WHOLE) is None


def test_two_studies_never_share_a_device():
    first = fits(spec(1, gpu=0.5), WHOLE, WHOLE)
    assert first is not None
    second = fits(spec(1, gpu=0.5), WHOLE, left_of(WHOLE, [first]))
    assert second is not None
    assert (first.devices, second.devices) == (("0",), ("1",))
    assert fits(spec(1, gpu=0.1), WHOLE, left_of(WHOLE, [first, second])) is None
    assert fits(spec(6), WHOLE, left_of(WHOLE, [first, second])) == Share({"cpu": 6.0})
    assert fits(spec(7), WHOLE, left_of(WHOLE, [first, second])) is None


def test_a_worker_has_what_it_is_told(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    assert whole_room(cpu=2, gpu=2, memory_gb=4, others={"tpu": 1}) == Room(
        {"cpu": 2, "gpu": 2.0, "memory_gb": 4, "tpu": 1}, ("3", "5")
    )
    machine = whole_room()
    assert machine.devices == ("3", "5", "7")
    assert machine.resources["memory_gb"] > 0
    assert room_text({"cpu": 2.0, "memory_gb": 7.64}) == "2 cpu, 7.6 memory_gb"


def test_more_accelerators_than_there_are_cannot_be_given(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    assert whole_room(gpu=2).devices == ("3", "5")
    with pytest.raises(ConfigError, match="gpu: is 4, and this process may use 3"):
        whole_room(gpu=4)


def test_the_memory_of_a_worker_is_what_its_container_has(monkeypatch):
    monkeypatch.setattr(
        "trialist.worker.admission.machine_resources", lambda: {"cpu": 2.0, "gpu": 0.0, "memory_gb": 1.5}
    )
    assert whole_room().resources["memory_gb"] == 1.5
