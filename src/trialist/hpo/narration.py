"""What an optimisation says in the log: start, each trial, each improvement, end. Knows records only."""

from __future__ import annotations

import logging

from trialist.api.study import Study
from trialist.core.records import Budget, Trial
from trialist.core.states import TrialStatus


class Narrator:
    """Writes log records of one optimisation. Used by the thread that leads it."""

    def __init__(self, log: logging.Logger, study: Study, budget: Budget) -> None:
        self._log = log
        self._study = study
        self._budget = budget
        row = study.row
        self._metric = row.metric
        self._best = row.best_value

    def started(self, engine: str) -> None:
        spec = self._study.row.spec
        budget = self._budget
        much = "until Ctrl-C" if budget.num_trials is None else f"{budget.num_trials} trials"
        much = much if budget.time_budget_s is None else f"{much}, at most {budget.time_budget_s:g} s"
        goals = ", ".join(f"{metric.mode} {metric.name}" for metric in spec.metrics)
        self._log.info(
            "study '%s': %s, %s; searcher %s, scheduler %s, %d at a time, engine %s",
            self._study.name, goals, much, spec.searcher.name,
            spec.scheduler.name if spec.scheduler else "none", budget.jobs, engine,
        )  # fmt: skip

    def trial_ended(self, trial: Trial) -> None:
        if trial.status is TrialStatus.FAILED:
            message = trial.error.message if trial.error is not None else trial.reason
            self._log.warning("trial %d failed: %s", trial.number, message)
            return
        told = ", ".join(f"{name}={value:.6g}" for name, value in trial.metrics.items())
        self._log.info("trial %d %s in %.3g s: %s", trial.number, trial.status, trial.seconds, told or "no metrics")
        value, metric = trial.value, self._metric
        if metric is None or value is None or not trial.status.counts:
            return
        if (
            self._best is None or metric.mode.better(value, self._best)
        ) and self._study.row.best_number == trial.number:
            self._best = value
            self._log.info("trial %d is the best so far: %s=%.6g", trial.number, metric.name, value)

    def ended(self, interrupted: bool) -> None:
        row = self._study.row
        best = (
            "no completed trial" if row.best_value is None else f"best {row.best_value:.6g} (trial {row.best_number})"
        )
        if len(row.spec.metrics) > 1:
            best = "see results.pareto_front"
        why = f" ({row.reason})" if row.reason else ""
        failed = row.count(TrialStatus.FAILED)
        self._log.log(
            logging.WARNING if interrupted or (row.best_value is None and row.metric is not None) else logging.INFO,
            "study '%s' %s%s after %d trials, %d failed: %s",
            self._study.name, "was interrupted" if interrupted else f"is {row.status}", why, row.num_trials, failed, best,
        )  # fmt: skip
