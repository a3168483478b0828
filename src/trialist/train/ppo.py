"""Model type ``ppo``: an agent that learns by proximal policy optimisation in a gymnasium environment.

Reads and checks what a config says; the agent is Stable-Baselines3's, in ``ppo_torch``, loaded when training starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trialist import registry
from trialist.core.errors import ConfigError
from trialist.core.records import Metric, Mode
from trialist.train.data import seed_of
from trialist.train.learning import DEVICES
from trialist.train.model_type import Config, Declaration, Job
from trialist.train.values import number, one_of, optional_number, switch, whole

MODEL = frozenset(
    {
        "activation", "clip_range", "depth", "ent_coef", "gae_lambda", "gamma", "max_grad_norm", "n_epochs", "n_steps",
        "normalize_advantage", "target_kl", "vf_coef", "width",
    }
)  # fmt: skip
DATA = frozenset({"dataset", "env", "env_kwargs"})
TRAINING = frozenset(
    {"batch_size", "device", "epochs", "eval_episodes", "lr", "n_envs", "schedule", "seed", "timesteps"}
)
METRICS = ("mean_reward", "std_reward", "mean_length", "score")
ACTIVATIONS = ("tanh", "relu")
WHAT = "model type 'ppo'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """All three sections, read and checked."""

    env: str
    env_kwargs: Mapping[str, Any]
    hidden: tuple[int, ...]
    """Widths of the layers of policy and value network, each."""
    activation: str
    algorithm: Mapping[str, Any]
    """Parameters of PPO under its own names."""
    epochs: int
    """Intervals; a report at the end of each."""
    timesteps: int
    """Steps in the environment, over all intervals; rounded down to whole rollouts."""
    n_envs: int
    eval_episodes: int
    lr: float
    schedule: str
    seed: int
    device: str

    @classmethod
    def of(cls, job: Job) -> Agent:
        """What a job says.

        Raises:
            ConfigError: A value is wrong; names path and rule.
        """
        return cls(
            env=_env(job),
            env_kwargs=_env_kwargs(job),
            hidden=(whole(job, "model", "width", 64),) * whole(job, "model", "depth", 2, least=0),
            activation=one_of(job, "model", "activation", ACTIVATIONS, "tanh"),
            algorithm={
                "n_steps": whole(job, "model", "n_steps", 512, least=2),
                "n_epochs": whole(job, "model", "n_epochs", 10),
                "batch_size": whole(job, "training", "batch_size", 64, least=2),
                "gamma": number(job, "model", "gamma", 0.99, high=1.0),
                "gae_lambda": number(job, "model", "gae_lambda", 0.95, high=1.0),
                "clip_range": number(job, "model", "clip_range", 0.2, above=True),
                "ent_coef": number(job, "model", "ent_coef", 0.0),
                "vf_coef": number(job, "model", "vf_coef", 0.5),
                "max_grad_norm": number(job, "model", "max_grad_norm", 0.5, above=True),
                "target_kl": optional_number(job, "model", "target_kl"),
                "normalize_advantage": switch(job, "model", "normalize_advantage", default=True),
            },
            epochs=whole(job, "training", "epochs", 10),
            timesteps=whole(job, "training", "timesteps", 50_000),
            n_envs=whole(job, "training", "n_envs", 1),
            eval_episodes=whole(job, "training", "eval_episodes", 10),
            lr=number(job, "training", "lr", 3e-4),
            schedule=one_of(job, "training", "schedule", ("constant", "linear"), "constant"),
            seed=seed_of(job.training, job.path("training", "seed")),
            device=one_of(job, "training", "device", DEVICES, "cpu"),
        )

    @property
    def rollouts(self) -> int:
        """How often experience is collected and learned from, over all intervals; at least once."""
        return max(1, self.timesteps // (int(self.algorithm["n_steps"]) * self.n_envs))

    def rollouts_until(self, interval: int) -> int:
        """How many of them are done at the end of an interval, which counts from 1; the last one ends with all."""
        return -(-self.rollouts * interval // self.epochs)


class PpoModel:
    """Proximal policy optimisation on the environment that ``data.env`` (or ``data.dataset``) names, e.g. CartPole-v1.

    ``training.epochs`` is the number of intervals; at the end of each the policy plays ``eval_episodes`` episodes without
    exploring, the same ones each time, and ``mean_reward`` (= ``score``), ``std_reward`` and ``mean_length`` are told.
    An interval starts with environments reset, so what came before it can be gone on from exactly.
    """

    def describe(self, model: Config) -> Declaration:
        registry.require("stable_baselines3", WHAT)
        return Declaration(
            model=MODEL,
            data=DATA,
            training=TRAINING,
            metrics=METRICS,
            primary=Metric(name="mean_reward", mode=Mode.MAX),
        )

    def check(self, job: Job) -> None:
        Agent.of(job)

    def train(self, job: Job) -> dict[str, float]:
        metrics: dict[str, float] = registry.resolve("trialist.train.ppo_torch:train", WHAT)(job, Agent.of(job))
        return metrics


def _env(job: Job) -> str:
    given = [name for name in ("env", "dataset") if job.data.get(name)]
    if len(given) == 2:
        raise ConfigError("is the environment, as data.dataset is; keep one of them", path=job.path("data", "env"))
    if not given:
        raise ConfigError("say which environment, such as data.env: CartPole-v1", path="data.env")
    value = job.data[given[0]]
    if not isinstance(value, str):
        raise ConfigError(f"must be the name of an environment, not {value!r}", path=job.path("data", given[0]))
    return value


def _env_kwargs(job: Job) -> Mapping[str, Any]:
    value = job.data.get("env_kwargs") or {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"must be a mapping, not {value!r}", path=job.path("data", "env_kwargs"))
    return value
