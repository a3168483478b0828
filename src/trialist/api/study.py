"""The study handle: what every front door and every notebook holds.

Reads come from the store, controls go through ``Steering``, and ``run``/``lead`` hand the study to the engine. Holds no
state of the study itself, so that many handles, threads and processes may look at one study.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trialist.analysis.pareto import pareto_front
from trialist.api.assembling import make_scheduler, make_searcher, objective_executor, told_metrics
from trialist.api.documents import broken_by
from trialist.api.following import progress_bar, shows_progress
from trialist.api.leading import LeadRequest, Turn, lead_study
from trialist.api.naming import artifacts_dir, describe_objective, trial_dir
from trialist.api.queueing import Objective, Submission, submit
from trialist.api.steering import Steering, SystemClock
from trialist.api.trials import AskedTrial, TrialHandle, answered
from trialist.core.errors import ConfigError, NotFound, StudyMismatch
from trialist.core.events import Body, Event, RunConfigured
from trialist.core.ports import Executor, Replier, Scheduler, Searcher, Sink, Store, TrialOrder
from trialist.core.records import Broken, Budget, CommandKind, Params, StudySpec, Trial
from trialist.core.records import Study as StudyRow
from trialist.core.states import StudyStatus, TrialStatus
from trialist.core.wire import encode_metrics
from trialist.engine.assembly import RunEnd
from trialist.space import SearchSpace

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger("trialist")


class Study:
    """A study in a store.

    Threads may share a handle. Of several processes that run one study one leads, and the others say who does.

    Made by ``create_study`` and ``load_study``.
    """

    def __init__(self, store: Store, row: StudyRow) -> None:
        self.store = store
        self.id = row.id
        self.name = row.name
        self.space = SearchSpace.from_json(row.spec.space)
        self._clock = SystemClock()
        self._steering = Steering(
            store,
            row.id,
            make_searcher=lambda: make_searcher(self.row.spec, self.space),
            make_scheduler=lambda: make_scheduler(self.row.spec),
            check_params=self.space.check,
            clock=self._clock,
        )

    def __repr__(self) -> str:
        row = self.row
        best = "" if row.best_value is None else f", best {row.best_value:g} (trial {row.best_number})"
        return f"<Study '{self.name}': {row.status}, {row.num_trials} trials{best}>"

    # --- reading ---

    @property
    def row(self) -> StudyRow:
        """The study's row as it is now.

        Raises:
            NotFound: It was deleted.
        """
        row = self._settled.find_study(self.id)
        if row is None:
            raise NotFound("study", self.name, self.store.url)
        return row

    @property
    def status(self) -> StudyStatus:
        return self.row.status

    @property
    def reason(self) -> str:
        """Why it has this status, as a sentence; empty where the status says it all."""
        return self.row.reason

    @property
    def counts(self) -> Mapping[TrialStatus, int]:
        """How many trials have each status."""
        return self.row.counts

    @property
    def best_trial(self) -> TrialHandle | None:
        """The trial with the best value; ``None`` while there is none, and for several metrics (``pareto_front``)."""
        number = self.row.best_number
        return None if number is None else self.trial(number)

    @property
    def best_params(self) -> Params | None:
        best = self.best_trial
        return None if best is None else best.params

    @property
    def best_value(self) -> float | None:
        return self.row.best_value

    @property
    def leader(self) -> str | None:
        """Who leads the study now, e.g. ``pid 4711 on gpu-box``."""
        holder = self.store.leader(self.id)
        return None if holder is None else str(holder)

    def trial(self, number: int) -> TrialHandle:
        """One trial.

        Raises:
            NotFound: There is none of this number.
        """
        return self._handle(self._settled.trial(self.id, number))

    def iter_trials(self, *, status: str | Sequence[str] | None = None) -> Iterator[TrialHandle]:
        """All trials by number, a page at a time; ``status`` picks some."""
        for record in self._settled.iter_trials(self.id, status=trial_statuses(status)):
            yield self._handle(record)

    def trials(self, *, status: str | Sequence[str] | None = None) -> list[TrialHandle]:
        """All trials by number; ``status`` picks some."""
        return list(self.iter_trials(status=status))

    def top(self, count: int = 10) -> list[TrialHandle]:
        """The best trials first; none that breaks an outcome constraint."""
        row = self.row
        order = TrialOrder("value", descending=row.metric is not None and row.metric.mode == "max")
        counting = (TrialStatus.COMPLETED, TrialStatus.STOPPED)
        page = self._settled.trials(self.id, status=counting, order=order, limit=count)
        return [self._handle(record) for record in page.trials if row.spec.is_feasible(record.metrics)]

    def pareto_front(self) -> list[TrialHandle]:
        """The trials that no other one beats in every metric, by number; none that breaks an outcome constraint."""
        spec = self.row.spec
        counting = self._settled.iter_trials(self.id, status=(TrialStatus.COMPLETED, TrialStatus.STOPPED))
        feasible = (trial for trial in counting if spec.is_feasible(trial.metrics))
        return [self._handle(trial) for trial in pareto_front(feasible, spec.metrics)]

    def broken(self, trial: TrialHandle | int) -> list[Broken]:
        """The outcome constraints that a trial's result breaks, and by how much; empty: it is feasible, or has no result.

        Raises:
            NotFound: There is no such trial.
        """
        record = self.trial(trial).record if isinstance(trial, int) else trial.record
        return broken_by(record, self.row.spec)

    def events(self, after: int = 0, *, kinds: Sequence[type[Body]] = ()) -> Iterator[Event]:
        """Everything that happened after event number ``after``, in order."""
        while True:
            page = self._settled.events(self.id, after=after, limit=1000, kinds=kinds)
            if not page:
                return
            yield from page
            after = page[-1].seq

    def dataframe(self) -> pd.DataFrame:
        """One row a trial: number, status, value, ``params.…``, ``metrics.…``, source, parent, seconds, error.

        Where there are outcome constraints, ``broken`` says which of them a trial breaks, and by how much.
        """
        import pandas as pd

        spec = self.row.spec
        return pd.DataFrame([self._table_row(trial, spec) for trial in self._settled.iter_trials(self.id)])

    def _table_row(self, trial: Trial, spec: StudySpec) -> dict[str, Any]:
        broken = {"broken": "; ".join(map(str, broken_by(trial, spec)))} if spec.outcome_constraints else {}
        return {
            "number": trial.number,
            "status": str(trial.status),
            "value": trial.value,
            **broken,
            **{f"params.{name}": value for name, value in self.space.flatten(trial.params).items()},
            **{f"metrics.{name}": value for name, value in trial.metrics.items()},
            "source": trial.source,
            "parent": trial.parent,
            "step": trial.step,
            "seconds": trial.seconds,
            "error": trial.error.message if trial.error else None,
        }

    # --- running ---

    def run(
        self,
        objective: Callable[..., Any],
        num_trials: int | None = None,
        *,
        jobs: int = 1,
        executor: str | Mapping[str, Any] | None = None,
        resources: Mapping[str, float] | None = None,
        time_budget_s: float | None = None,
        max_failures: int | None = None,
        retries: int = 0,
        timeout_s: float | None = None,
        callbacks: Sequence[Callable[[Study, TrialHandle], None]] = (),
        sinks: Sequence[Sink] = (),
        progress: bool | None = None,
    ) -> Study:
        """Run the objective until the budget or the space is used up; returns this study.

        Goes on where an earlier run of the study was interrupted or killed.

        Args:
            objective: ``f(trial)``, ``f(**params)``, or a generator that yields metrics.
            num_trials: Total of the study, over all its runs; ``None``: what it was given before, else until the space is
                exhausted.
            jobs: How many trials run at once.
            executor: ``inline`` (in this thread; the default for one job), ``pool`` (a process a trial, forked from one that
                has imported what it needs; the default for several) or ``command`` (a new Python a trial). With options:
                ``{"name": "pool", "start": "spawn"}`` runs trials one after the other in workers that are kept, and
                ``{"name": "pool", "residents": 8}`` up to 8 at once in one, each on a thread of its own.
            resources: What one trial takes, e.g. ``{"cpu": 1, "gpu": 0.5, "memory_gb": 4}``. A trial that uses more memory
                than that is ended.
            time_budget_s: Time during which the study runs, over all its runs.
            max_failures: The study fails when more trials than this have failed.
            retries: How often a failed trial is tried again, as a new trial.
            timeout_s: Limit of one attempt; a process that takes longer is ended.
            callbacks: Called with the study and each ended trial, after it is durable.
            sinks: Readers of the events as they are committed.
            progress: Whether a progress bar is shown on standard error; ``None``: where that is a terminal.

        Raises:
            StudyLed: Another process leads the study.
            StudyMismatch: The study ran another objective before.
            KeyboardInterrupt: Ctrl-C; the study is paused and complete up to there.
        """
        described = describe_objective(objective)
        row = self.row
        recorded = row.spec.objective
        if recorded is not None and recorded != described:
            raise StudyMismatch(self.name, {"objective": (_said(recorded), _said(described))})
        budget = replace(
            row.spec.budget,
            num_trials=row.spec.budget.num_trials if num_trials is None else num_trials,
            time_budget_s=time_budget_s,
            max_failures=max_failures,
            retries=retries,
            jobs=jobs,
        )
        made = objective_executor(executor, objective, row.spec, jobs)
        needs = row.spec.resources if resources is None else resources
        configured = RunConfigured(objective=described, executor=made.spec, resources=needs)
        if budget.num_trials is None and time_budget_s is None and self.space.count() is None:
            _log.warning(
                "study '%s' has no num_trials and no time_budget_s: it runs until its searcher knows no more, or Ctrl-C",
                self.name,
            )

        def on_end(record: Trial) -> None:
            for callback in callbacks:
                callback(self, self._handle(record))

        root = artifacts_dir(self.store.url, self.id, self.name)
        bar = progress_bar(row, budget, self.space) if shows_progress(progress) else None
        end = self.lead(
            made.executor,
            run_dir=lambda trial: trial_dir(root, trial.number),
            sinks=sinks if bar is None else [*sinks, bar],
            say=None if bar is None else bar.say,
            budget=budget,
            configured=configured,
            timeout_s=timeout_s,
            on_end=on_end if callbacks else None,
        )
        if end.interrupted:
            raise KeyboardInterrupt(
                f"study '{self.name}' is {end.study.status} after {end.study.num_trials} trials: run it again to go on"
            )
        return self

    def submit(
        self,
        objective: Objective | None = None,
        num_trials: int | None = None,
        *,
        jobs: int | None = None,
        executor: str | Mapping[str, Any] | None = None,
        resources: Mapping[str, float] | None = None,
        time_budget_s: float | None = None,
        max_failures: int | None = None,
        retries: int | None = None,
        timeout_s: float | None = None,
        path: Sequence[str] = (),
    ) -> str:
        """Hand the study to workers (``trialist worker``) and return at once; says what became of it.

        From then on workers lead it, whoever of them is free, until it has ended; ``run`` takes it back. Submitting it again
        as it is changes nothing; with a larger ``num_trials`` a study that has ended is queued again.

        Args:
            objective: A function at the top level of a module or script, or its path as text (``module:function``,
                ``file.py:function``); a command as a list, in which ``{run_dir}``, ``{trial}``, ``{config}`` (a JSON file of
                the params) and ``{dotted.path}`` of a param are replaced; or the config of a trainer (``model``, ``data``,
                ``training``), over which a trial's params are laid. ``None``: what the study ran before.
            num_trials: As for ``run``. This and the others: ``None`` leaves what the study has.
            jobs: As for ``run``.
            executor: As for ``run``, with options or without, for functions; ``None``: each trial in a process of its own.
            resources: What one trial takes; a worker takes the study where that fits.
            time_budget_s: As for ``run``.
            max_failures: As for ``run``.
            retries: As for ``run``.
            timeout_s: As for ``run``.
            path: Directories from which workers import modules, beside the present one.

        Raises:
            ObjectiveError, ConfigError, UnknownName: No other process could run it so; nothing was changed.
            StudyMismatch: The study ran another objective before.
            StudyLed: A person's process leads it.
        """
        budget = {
            "num_trials": num_trials,
            "jobs": jobs,
            "time_budget_s": time_budget_s,
            "max_failures": max_failures,
            "retries": retries,
        }
        given = Submission(objective, budget, executor, resources, timeout_s, path)
        return submit(self.store, self.id, self.space, given, self._clock, lambda new: self.set_budget(**new))

    def lead(
        self,
        executor: Executor,
        *,
        run_dir: Callable[[Trial], Path],
        sinks: Sequence[Sink] = (),
        budget: Budget | None = None,
        configured: RunConfigured | None = None,
        timeout_s: float | None = None,
        on_end: Callable[[Trial], None] | None = None,
        replier: Replier | None = None,
        say: Callable[[str], None] | None = None,
        lease_s: float | None = None,
        turn: Turn | None = None,
        searcher: Searcher | None = None,
        scheduler: Scheduler | None = None,
    ) -> RunEnd:
        """Lead the study in this process until it ends or is interrupted: what front doors call.

        Args:
            executor: Where trials run; closed at the end.
            run_dir: A trial's own directory; a function of what is stored, so that it is the same after a crash.
            sinks: Readers of the events; closed at the end.
            budget: Replaces the study's where given.
            configured: What to record of objective, executor and resources, where given.
            timeout_s: Limit of one attempt.
            on_end: Called with each ended trial, after its commit.
            replier: Performs the requests of searchers that ask for replies.
            say: Tells the person at the terminal something.
            lease_s: How many seconds this process may be silent before another one may take over; ``None``: what
                ``TRIALIST_LEASE_S`` says, else 30.
            turn: A worker's, which holds the lease already.
            searcher: One that a person gave as an object (``api.given``), new; ``None``: as the study's spec says.
            scheduler: As ``searcher``.

        Raises:
            StudyLed, LeaseLost, StoreError
        """
        return lead_study(
            self.store,
            self.row,
            self.space,
            LeadRequest(
                executor,
                run_dir,
                sinks,
                budget,
                configured,
                timeout_s,
                on_end,
                replier,
                say,
                lease_s,
                turn,
                searcher,
                scheduler,
            ),
            self._clock,
        )

    # --- asking and telling ---

    def ask(self) -> AskedTrial:
        """A trial to run yourself; ``tell`` its result.

        Raises:
            Conflict: The budget or the space is used up.
        """
        number = answered(self._steering.command(CommandKind.ASK, {}), "trial")
        return AskedTrial(self.store.trial(self.id, number), self.store, self.id, self._steering)

    def tell(
        self, trial: TrialHandle | int, result: float | Mapping[str, float] | None = None, *, error: str | None = None
    ) -> None:
        """Give the result of an asked trial: a number, metrics by name, nothing (then its last report counts), or an error.

        Raises:
            Conflict: The trial has ended already, or was not asked for.
            ObjectiveError: The result is none.
        """
        number = trial if isinstance(trial, int) else trial.number
        metrics = told_metrics(result, self.row.spec.metrics)
        args = {"trial": number, "metrics": encode_metrics(metrics), "error": error}
        self._steering.command(CommandKind.TELL, args)

    def enqueue(self, params: Params) -> TrialHandle:
        """Add a trial with these params; it comes before the searcher's next suggestion.

        Raises:
            SpaceError: The params do not lie in the space.
        """
        result = self._steering.command(CommandKind.ENQUEUE, {"params": self.space.check(params)})
        return self.trial(answered(result, "trial"))

    # --- steering ---

    def command(
        self, kind: CommandKind, args: Mapping[str, Any] | None = None, *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Any control command; ``dry_run`` says what it would do and changes nothing."""
        return self._steering.command(kind, args or {}, dry_run=dry_run)

    def pause(self) -> str:
        """Start no more trials until ``resume``; running ones with a checkpoint leave at their next report."""
        return self._say(CommandKind.PAUSE)

    def resume(self) -> str:
        """Go on after ``pause``."""
        return self._say(CommandKind.RESUME)

    def stop(self) -> str:
        """Start no more trials, let the running ones end, and complete the study."""
        return self._say(CommandKind.STOP)

    def cancel(self) -> str:
        """End the running trials too."""
        return self._say(CommandKind.CANCEL)

    def set_budget(self, **changes: Any) -> str:
        """Change ``num_trials``, ``time_budget_s``, ``max_failures``, ``retries`` or ``jobs``, also while it runs."""
        return str(self._steering.command(CommandKind.SET_BUDGET, changes).get("message", ""))

    def _say(self, kind: CommandKind) -> str:
        return str(self._steering.command(kind, {}).get("message", ""))

    @property
    def _settled(self) -> Store:
        """The store, for a read that sees what trials in this process did."""
        self._steering.settle()
        return self.store

    def _handle(self, record: Trial) -> TrialHandle:
        return TrialHandle(record, self.store, self.id, self._steering)


def trial_statuses(status: str | Sequence[str] | None) -> tuple[TrialStatus, ...]:
    """One status, several or none, as the store takes them.

    Raises:
        ConfigError: A word that is no trial status.
    """
    words = () if status is None else (status,) if isinstance(status, str) else tuple(status)
    for word in words:
        if word not in set(TrialStatus):
            raise ConfigError(f"must be one of {', '.join(TrialStatus)}, not {word!r}", path="status")
    return tuple(TrialStatus(word) for word in words)


def _said(objective: Mapping[str, Any]) -> str:
    return str(objective.get("function") or objective.get("command") or dict(objective))
