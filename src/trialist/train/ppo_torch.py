"""The agent of model type ``ppo``: Stable-Baselines3's PPO, interval by interval. Knows its conventions and no config."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trialist import registry
from trialist.core.errors import ConfigError, nearest
from trialist.train.model_type import Job
from trialist.train.ppo import WHAT, Agent
from trialist.train.torch_fit import STATE, fitting_threads, own_randomness, take_weights
from trialist.train.trees import load_tree, save_tree

torch = registry.optional("torch", WHAT)
gymnasium = registry.optional("gymnasium", WHAT)
baselines = registry.optional("stable_baselines3", WHAT)
make_vec_env = registry.optional("stable_baselines3.common.env_util", WHAT).make_vec_env
evaluate_policy = registry.optional("stable_baselines3.common.evaluation", WHAT).evaluate_policy
set_random_seed = registry.optional("stable_baselines3.common.utils", WHAT).set_random_seed

_ACTIVATIONS = {"tanh": "Tanh", "relu": "ReLU"}
_JUDGES = 16
"""Environments at most in which the policy is judged at once."""
_TRAIN, _EVALUATE = 0, 1
"""What a seed is for."""


@dataclass(kw_only=True, slots=True)
class _Progress:
    intervals: int = 0
    timesteps: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


def train(job: Job, agent: Agent) -> dict[str, float]:
    """Train the agent; checkpoints hold weights, the optimizer's moments and counters, and no pickle."""
    with (
        _own_randomness(agent.seed),
        _environments(agent, agent.n_envs) as env,
        _environments(agent, min(agent.eval_episodes, _JUDGES)) as judge,
    ):
        model = _model(agent, env)
        progress = _start(job, model)
        with fitting_threads(model.policy):
            while progress.intervals < agent.epochs and not _diverged(model):
                _interval(agent, model, env, progress)
                progress.metrics = _evaluate(agent, model, judge)
                try:
                    job.report(step=progress.intervals, **progress.metrics)
                finally:
                    # Also where the report told the trial to leave: it goes on from here.
                    _save(job, model, progress)
    return progress.metrics


def _interval(agent: Agent, model: Any, env: Any, progress: _Progress) -> None:
    """Rollouts up to the end of the next interval, in environments reset and with random numbers of its own."""
    done, until = agent.rollouts_until(progress.intervals), agent.rollouts_until(progress.intervals + 1)
    share = 1.0 if agent.schedule == "constant" else 1.0 - progress.intervals / agent.epochs
    model.lr_schedule = lambda _: agent.lr * share
    if until > done:
        seed = _seed(agent, _TRAIN, progress.intervals)
        set_random_seed(seed)
        env.seed(seed)
        model.set_env(env)  # makes it reset the environments
        model.num_timesteps = progress.timesteps
        try:
            model.learn((until - done) * model.n_steps * agent.n_envs, reset_num_timesteps=False)
        except ValueError:
            # Torch refuses to draw actions from a distribution that is no number; any other ValueError is real.
            if not _diverged(model):
                raise
        progress.timesteps = model.num_timesteps
    progress.intervals += 1


def _evaluate(agent: Agent, model: Any, judge: Any) -> dict[str, float]:
    if _diverged(model):
        return dict.fromkeys(("mean_reward", "std_reward", "mean_length", "score"), float("nan"))
    judge.seed(_seed(agent, _EVALUATE, 0))
    rewards, lengths = evaluate_policy(
        model, judge, n_eval_episodes=agent.eval_episodes, deterministic=True, return_episode_rewards=True
    )
    mean = float(np.mean(rewards))
    return {
        "mean_reward": mean,
        "std_reward": float(np.std(rewards)),
        "mean_length": float(np.mean(lengths)),
        "score": mean,
    }


def _diverged(model: Any) -> bool:
    return not all(bool(torch.isfinite(one).all()) for one in model.policy.parameters())


def _seed(agent: Agent, purpose: int, interval: int) -> int:
    return int(np.random.SeedSequence([agent.seed, purpose, interval]).generate_state(1)[0] >> 1)


# --- the agent and its environments ----------------------------------------------------------------------------------


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Random numbers inside come from the seed; Python's, numpy's and torch's go on outside as if none had been drawn."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        with own_randomness(seed, torch.device("cpu")):
            set_random_seed(seed)
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


@contextmanager
def _environments(agent: Agent, count: int) -> Iterator[Any]:
    try:
        env = make_vec_env(agent.env, n_envs=count, env_kwargs=dict(agent.env_kwargs))
    except gymnasium.error.DependencyNotInstalled as error:
        raise ConfigError(f"'{agent.env}' needs a library that is not installed: {error}", path="data.env") from error
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        hint = nearest(agent.env, gymnasium.registry)
        raise ConfigError(f"gymnasium has no environment '{agent.env}'.{hint}", path="data.env") from error
    except TypeError as error:
        raise ConfigError(f"'{agent.env}' does not take these: {error}", path="data.env_kwargs") from error
    try:
        yield env
    finally:
        env.close()


def _model(agent: Agent, env: Any) -> Any:
    several = isinstance(env.observation_space, gymnasium.spaces.Dict)
    layers = {"net_arch": list(agent.hidden), "activation_fn": getattr(torch.nn, _ACTIVATIONS[agent.activation])}
    with warnings.catch_warnings():
        # A last minibatch that is smaller is no reason to say something in each trial.
        warnings.filterwarnings("ignore", message="You have specified a mini-batch size", category=UserWarning)
        try:
            return baselines.PPO(
                "MultiInputPolicy" if several else "MlpPolicy",
                env,
                learning_rate=agent.lr,
                policy_kwargs=layers,
                seed=agent.seed,
                device=agent.device,
                **agent.algorithm,
            )
        except AssertionError as error:
            raise ConfigError(f"PPO cannot act in '{agent.env}': {error}", path="data.env") from error


# --- checkpoints -----------------------------------------------------------------------------------------------------


def _save(job: Job, model: Any, progress: _Progress) -> None:
    if job.checkpoints is None:
        return
    tree = {
        "intervals": progress.intervals,
        "timesteps": progress.timesteps,
        "metrics": progress.metrics,
        "weights": dict(model.policy.state_dict()),
        "optimizer": model.policy.optimizer.state_dict()["state"],
    }
    job.checkpoints.save_checkpoint(lambda folder: save_tree(folder, STATE, tree))


def _start(job: Job, model: Any) -> _Progress:
    """From nothing, from the weights of another trial, or where this one left: always with this trial's own values."""
    given = job.checkpoints
    if given is None or given.checkpoint is None:
        return _Progress()
    tree = load_tree(Path(given.checkpoint), STATE)
    take_weights(model.policy, tree["weights"])
    goes_on = given.resume_step is not None
    if goes_on or given.warm_start in ("optimizer", "resume"):
        optimizer = model.policy.optimizer
        state = {
            index: {name: torch.from_numpy(value) for name, value in one.items()}
            for index, one in tree["optimizer"].items()
        }
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    if not goes_on:
        return _Progress()
    return _Progress(intervals=tree["intervals"], timesteps=tree["timesteps"], metrics=tree["metrics"])
