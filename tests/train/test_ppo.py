"""Model type ``ppo`` in CartPole: it learns, leaves and goes on exactly, and forks obey their own values."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trialist.core.errors import ConfigError
from trialist.core.records import Metric, Mode
from trialist.train.engine import TrainingEngine
from trialist.train.model_type import Job
from trialist.train.ppo import Agent

pytest.importorskip("stable_baselines3")
torch = pytest.importorskip("torch")
pytestmark = pytest.mark.extras

CARTPOLE = {"env": "CartPole-v1"}
QUICK = {"epochs": 4, "timesteps": 768, "n_envs": 4, "eval_episodes": 4, "lr": 0.002}


def ppo(**values: Any) -> dict[str, Any]:
    return {"type": "ppo", "n_steps": 32, "n_epochs": 4, **values}


def test_it_learns_to_balance() -> None:
    model = {"type": "ppo", "n_steps": 96, "n_epochs": 8}
    training = {"num_epochs": 4, "timesteps": 6144, "learning_rate": 0.003, "n_envs": 8, "batch_size": 256}
    rewards: list[float] = []
    metrics = TrainingEngine().train(
        model, CARTPOLE, training, report=lambda *, step, mean_reward, **_: rewards.append(mean_reward)
    )
    assert len(rewards) == 4
    assert metrics["score"] == metrics["mean_reward"] == metrics["mean_length"] == rewards[-1] > 100
    assert set(metrics) == set(TrainingEngine().describe(model).metrics)


def test_a_resumed_training_ends_like_a_whole_one_and_seeds_count(trainings: Any) -> None:
    sections = (ppo(), CARTPOLE, {**QUICK, "schedule": "linear"})
    steps, whole = trainings.whole(*sections)
    assert steps == [1, 2, 3, 4]
    kept: Path = trainings.left_at(2, *sections)
    assert trainings.resumed(kept, 2, *sections) == ([3, 4], whole)
    assert sorted(file.name for file in kept.iterdir()) == ["state.json", "state.npz"]
    assert trainings.whole(*sections[:2], {**sections[2], "seed": 1})[1] != whole


def test_training_leaves_the_random_numbers_of_others_alone() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(1))

    def sow() -> None:
        random.seed(3), np.random.seed(3), torch.manual_seed(3)

    sow()
    expected = draw()
    sow()
    TrainingEngine().train(ppo(), CARTPOLE, {**QUICK, "epochs": 1, "timesteps": 128})
    assert draw() == expected


def test_a_fork_trains_with_its_own_learning_rate(trainings: Any) -> None:
    data = {"dataset": "CartPole-v1"}
    quick = {**QUICK, "timesteps": 512, "eval_episodes": 2}
    sections = (ppo(), data, {**quick, "epochs": 2})
    _, before = trainings.whole(*sections)
    kept = trainings.left_at(2, *sections)

    def fork(what: str, lr: float) -> tuple[list[int], dict[str, float]]:
        more = (ppo(gamma=0.98), data, {**quick, "epochs": 3, "lr": lr})
        return trainings.resumed(kept, 2, *more) if what == "resume" else trainings.warm(kept, what, *more)

    for what, steps in (("weights", [1, 2, 3]), ("optimizer", [1, 2, 3]), ("resume", [3])):
        assert fork(what, 0.0) == (steps, before), "a rate of 0 changes no weight, and the episodes are the same"
        assert fork(what, 0.01)[1] != before


def test_a_checkpoint_of_another_shape_is_told(trainings: Any) -> None:
    kept = trainings.left_at(1, ppo(width=8), CARTPOLE, QUICK)
    with pytest.raises(ConfigError, match="the checkpoint to start from is of another model"):
        trainings.warm(kept, "weights", ppo(width=9), CARTPOLE, QUICK)


def test_a_diverged_agent_tells_it_and_ends() -> None:
    steps: list[int] = []
    training = {**QUICK, "lr": 1e30}
    metrics = TrainingEngine().train(
        ppo(max_grad_norm=1e30), CARTPOLE, training, report=lambda *, step, **_: steps.append(step)
    )
    assert math.isnan(metrics["score"])
    assert len(steps) < 4


@pytest.mark.parametrize("env", ["Pendulum-v1", "FrozenLake-v1"])
def test_other_kinds_of_spaces(env: str) -> None:
    metrics = TrainingEngine().train(ppo(), {"env": env}, {"epochs": 1, "timesteps": 64, "eval_episodes": 1})
    assert math.isfinite(metrics["mean_reward"])


@pytest.mark.parametrize(
    ("model", "data", "training", "message"),
    [
        (ppo(), {"env": "CartPole-v11"}, {}, r"^data\.env: gymnasium has no environment 'CartPole-v11'.*CartPole-v1"),
        (ppo(), {"env": "nowhere_at_all:Env-v0"}, {}, r"^data\.env: gymnasium has no environment"),
        (ppo(), {"env": "CartPole-v1", "dataset": "x"}, {}, r"^data\.env: is the environment, as data\.dataset is"),
        (ppo(), {"env": 3}, {}, r"^data\.env: must be the name of an environment"),
        (ppo(), {"path": "x.csv"}, {}, r"^data\.path: nothing reads this name"),
        (ppo(), {**CARTPOLE, "env_kwargs": {"colour": "red"}}, {}, r"^data\.env_kwargs: .*'colour'"),
        (ppo(), {**CARTPOLE, "env_kwargs": [1]}, {}, r"^data\.env_kwargs: must be a mapping"),
        (ppo(gamma=1.5), CARTPOLE, {}, r"^model\.gamma: must be a number from 0 to 1, not 1\.5"),
        (
            ppo(hyperparameters={"clip_range": 0}),
            CARTPOLE,
            {},
            r"^model\.hyperparameters\.clip_range: must be .* above 0",
        ),
        (ppo(), CARTPOLE, {"batch_size": 1}, r"^training\.batch_size: must be a whole number from 2"),
        (ppo(activation="gelu"), CARTPOLE, {}, r"^model\.activation: must be one of tanh, relu"),
        ({"type": "ppo", "n_step": 8}, CARTPOLE, {}, r"^model\.n_step: .*Did you mean .*'n_steps'"),
    ],
)
def test_a_mistake_is_named_where_it_was_made(
    model: dict[str, Any], data: dict[str, Any], training: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingEngine().train(model, data, training)


def test_rollouts_are_dealt_out_over_intervals_and_never_more_than_were_asked_for() -> None:
    def dealt(**training: Any) -> list[int]:
        agent = Agent.of(
            Job(model={"n_steps": 100}, data=CARTPOLE, training=training, report=lambda *, step, **_: None)
        )
        done = [agent.rollouts_until(interval) for interval in range(agent.epochs + 1)]
        return [after - before for before, after in pairwise(done)]

    assert dealt(timesteps=1000, epochs=5) == [2] * 5
    assert dealt(timesteps=1099, epochs=4) == [3, 2, 3, 2]
    assert dealt(timesteps=1000, epochs=4, n_envs=5) == [1, 0, 1, 0]
    assert dealt(timesteps=10, epochs=2) == [1, 0]


def test_what_it_declares() -> None:
    declared = TrainingEngine().describe(ppo())
    assert declared.primary == Metric(name="mean_reward", mode=Mode.MAX)
    named = [declared.section_of(name) for name in ("n_steps", "learning_rate", "timesteps", "env", "dropout")]
    assert named == ["model", "training", "training", "data", None]
