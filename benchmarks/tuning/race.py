"""Asynchronous workers in virtual time: who trains what, for how long, and what has been found by when.

Every epoch of a trial costs virtual time; workers report, wait for decisions (which cost nothing) and take new work, as an
engine's would. Trials that pause go on later from their checkpoint, on any worker, at no cost. Knows neither searchers nor
schedulers: a ``Racer`` stands for them.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from tasks.curves import Curve, CurveTask, Params


class Job(NamedTuple):
    """What a free worker does next."""

    trial: int
    params: Params
    from_step: int = 0


class Racer(Protocol):
    """A search with early stopping."""

    def job(self) -> Job | None:
        """What a free worker does now; ``None``: it waits until something changes."""

    def report(self, trial: int, step: int, value: float) -> bool:
        """A trial reports; whether it goes on. At the last step the answer does not matter."""


@dataclass(kw_only=True)
class Race:
    """A race to run.

    Args:
        task: What is trained.
        seed: Of the noise.
        workers: How many train at once.
        noise: Standard deviation of what is added to each report, in units of the task's scale.
        by_time: An epoch costs the seconds that the surrogate says; otherwise 1.
        budget: Virtual time of each worker, in full trainings of all of them together: 30 means that 30 trainings from
            the first epoch to the last would just fit. By time, of median length.
        batch: Params and curves that are known beforehand, by trial, where they are.
    """

    task: CurveTask
    seed: int
    workers: int = 4
    noise: float = 0.0
    by_time: bool = False
    budget: float = 30.0
    known: dict[int, Curve] = field(default_factory=dict)
    trace: list[tuple[float, float]] = field(default_factory=list)
    """(full trainings spent, noise-free loss of whatever has looked best so far), at each change."""
    steps: dict[int, int] = field(default_factory=dict)
    """By trial: epochs it trained."""

    def run(self, racer: Racer) -> Race:
        """From the start until the budget is spent, or nothing is left to do."""
        length = self._length()
        end = self.budget * length / self.workers
        free, now, best = self.workers, 0.0, float("inf")
        queue: list[tuple[float, int, Job]] = []
        """When which worker ends an epoch of what."""
        ticket = 0
        while True:
            while free and (job := racer.job()) is not None:
                heapq.heappush(queue, (now + self._cost(job, job.from_step + 1), ticket, job))
                free, ticket = free - 1, ticket + 1
            if not queue:
                return self
            now, _, job = heapq.heappop(queue)
            if now > end:
                return self
            step = job.from_step + 1
            self.steps[job.trial] = step
            value, seen = self._value(job, step)
            loss = self.task.sign * seen
            if loss < best:
                best = loss
                self.trace.append((now * self.workers / length, self.task.sign * value))
            goes_on = racer.report(job.trial, step, seen)
            if goes_on and step < self.task.steps:
                job = job._replace(from_step=step)
                heapq.heappush(queue, (now + self._cost(job, step + 1), ticket, job))
                ticket += 1
            else:
                free += 1

    def loss_after(self, trainings: float) -> float:
        """The noise-free loss of what had looked best once so many full trainings were spent; infinite before any."""
        return next((loss for at, loss in reversed(self.trace) if at <= trainings), float("inf"))

    def _length(self) -> float:
        if not self.by_time:
            return float(self.task.steps)
        _, curves = self.task.drawn(random.Random("length"), 101)
        return float(np.median([curve.seconds[-1] for curve in curves]))

    def curve(self, job: Job) -> Curve:
        """The trial's whole training."""
        if job.trial not in self.known:
            (self.known[job.trial],) = self.task.curves([job.params])
        return self.known[job.trial]

    def _cost(self, job: Job, step: int) -> float:
        if not self.by_time:
            return 1.0
        seconds = self.curve(job).seconds
        return float(seconds[step - 1] - (seconds[step - 2] if step > 1 else 0.0))

    def _value(self, job: Job, step: int) -> tuple[float, float]:
        value = float(self.curve(job).values[step - 1])
        return value, value + noise_of(self.task, self.seed, job.params, step, self.noise)


def noise_of(task: CurveTask, seed: int, params: Params, step: int, noise: float) -> float:
    """What is added to a report: the same for the same training under the same seed, whoever asked for it."""
    if not noise:
        return 0.0
    return random.Random(f"{task.name}/{seed}/{task.space.key(params)}/{step}").gauss(0.0, noise * task.unit)
