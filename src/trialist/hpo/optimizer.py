"""``HPOptimizer``: tuning a training pipeline from Python.

An optimisation is a study like any other: it stands in the store, so every verb of the command line works on it, while it
runs and afterwards. Knows what is to be run; where trials run is ``hpo.engines``'.
"""

from __future__ import annotations

import copy
import inspect
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trialist import registry
from trialist.analysis.analyze import analyze
from trialist.api.assembling import as_metrics
from trialist.api.following import progress_bar, shows_progress
from trialist.api.opening import create_study
from trialist.api.study import Study
from trialist.api.trials import TrialHandle
from trialist.config import parse_path, set_path
from trialist.core.errors import ConfigError, StudyExists, StudyMismatch
from trialist.core.ports import Store
from trialist.core.records import Budget, Params, Spec, Trial
from trialist.engine.placement import Placement, machine_resources, visible_devices
from trialist.hpo.choosing import choose_scheduler, choose_searcher, epochs_of
from trialist.hpo.engines import LOCAL, HPOEngine, Request, choose_engine, objective_of
from trialist.hpo.narration import Narrator
from trialist.hpo.planning import Plan, make_plan
from trialist.hpo.record import DOOR, HPORecord
from trialist.hpo.results import HPOResults, best_of
from trialist.hpo.sections import Sections, placed
from trialist.space import SearchSpace
from trialist.train.engine import TrainingEngine

NUM_TRIALS = 20
"""Of an optimisation that is given neither a number nor a time."""
_log = logging.getLogger("HPOptimizer")


class HPOptimizer:
    """Searches the settings of a training.

        >>> hpo = HPOptimizer()
        >>> results = hpo.optimize(
        ...     model_config={"type": "sklearn", "estimator": "LogisticRegression"},
        ...     data_config={"dataset": "iris"},
        ...     param_space={"C": {"type": "loguniform", "low": 1e-3, "high": 1e2}},
        ...     num_trials=10,
        ... )  # doctest: +SKIP
        >>> hpo.get_best_model_config({"type": "sklearn", "estimator": "LogisticRegression"})  # doctest: +SKIP
        {'type': 'sklearn', 'estimator': 'LogisticRegression', 'C': 1.7}

    Args:
        training_engine: What trains; ``None``: a ``TrainingEngine``. One of your own needs ``train`` with the same arguments.
        ray_config: What ``ray.init`` is given where trials run on Ray, e.g. ``{"address": …, "include_dashboard": True}``.
    """

    def __init__(self, training_engine: Any = None, ray_config: Mapping[str, Any] | None = None) -> None:
        engine = TrainingEngine() if training_engine is None else training_engine
        if inspect.isclass(engine):
            engine = engine()
        if not callable(getattr(engine, "train", None)):
            raise ConfigError(
                f"needs a method train(model_config, data_config, training_config, report, checkpoint), which a "
                f"{type(engine).__name__} has not",
                path="training_engine",
            )
        if ray_config is not None and not isinstance(ray_config, Mapping):
            raise ConfigError(f"is a mapping of ray.init's arguments, not {ray_config!r}", path="ray_config")
        self.training_engine = engine
        self.ray_config: dict[str, Any] = dict(ray_config or {})
        self.results: HPOResults | None = None
        """Of the last ``optimize``."""

    def define_search_space(self, space: Any, *, constraints: Sequence[str] = ()) -> SearchSpace:
        """Check a space, and return it as ``optimize`` takes it.

        Args:
            space: Names to typed dicts (``{"type": "loguniform", "low": 1e-5, "high": 1e-2}``), lists, domain objects
                (``Float``, ``Int``, ``Choice``) or nested mappings of these; a choice of mappings is conditional.
            constraints: Expressions that params must fulfil, e.g. ``"batch_size * accumulate <= 256"``.

        Raises:
            SpaceError: Names the parameter and the rule that it breaks.
        """
        found = SearchSpace.of(space, constraints=constraints)
        if not found.leaves:
            raise ConfigError(
                "is empty, so there is nothing to search: give a parameter and its values", path="param_space"
            )
        return found

    def optimize(
        self,
        model_config: Mapping[str, Any],
        data_config: Mapping[str, Any] | None = None,
        training_config: Mapping[str, Any] | None = None,
        param_space: Any = None,
        num_trials: int | None = None,
        metric: str | Sequence[str] | None = None,
        mode: str | Sequence[str] | None = None,
        search_algorithm: Any = "random",
        scheduler: Any = None,
        param_mapping: Mapping[str, str] | None = None,
        resources_per_trial: Mapping[str, float] | None = None,
        max_concurrent_trials: int = 1,
        engine: str = "auto",
        seed: int = 0,
        time_budget_s: float | None = None,
        store: str | Store | None = None,
        study_name: str | None = None,
        resume: bool = False,
        *,
        constraints: Sequence[str] = (),
        outcome_constraints: Sequence[str] = (),
        initial_points: Sequence[Params] = (),
        warm_start: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] = (),
        max_failures: int | None = None,
        retries: int = 0,
        timeout_s: float | None = None,
        callbacks: Sequence[Callable[[Study, TrialHandle], None]] = (),
        progress: bool | None = None,
    ) -> HPOResults:
        """Run trials of the training engine, and return what they found.

        A failed trial (an exception, too little memory, NaN) is recorded with its traceback and never scored; it ends
        nothing else. What cannot work for any trial is an error before the first one.

        Args:
            model_config: ``type`` and what is not searched. Values that it has for searched parameters are the default
                configuration, which ``search_algorithm="auto"`` tries first.
            data_config: As ``TrainingEngine.train`` takes it.
            training_config: As ``TrainingEngine.train`` takes it.
            param_space: What is searched; see ``define_search_space``.
            num_trials: Total of the study; ``None``: what a resumed study was given, the whole of a grid, as many as there is
                time for with a time budget, else 20.
            metric: What to optimise; a list is multi-objective. ``None``: the model type's primary metric.
            mode: ``min`` or ``max``; ``None``: the model type's, else as the metric's name tells.
            search_algorithm: A searcher by name or as ``{"name": …, option: value}``; a searcher object; a sampler of Optuna.
            scheduler: Ends or pauses trials early, by what they report: by name, as ``{"name": "asha", "eta": 3}``, or an
                object. Its ``max_steps`` is the number of epochs, where you do not say.
            param_mapping: Where parameters are written: ``{"lr": "hyperparameters.learning_rate"}``, a path inside
                ``model_config``, or with the prefix ``data.`` or ``training.``. Without it the model type says who reads a name.
            resources_per_trial: ``{"cpu": 2, "gpu": 0.5, "memory_gb": 4}``; a trial that uses more memory is ended.
            max_concurrent_trials: How many run at once, as far as there is room.
            engine: ``local``, ``ray``, ``ray_tune``, or ``auto``: Ray where a cluster is connected or ``RAY_ADDRESS`` is set.
            seed: Equal seeds give equal suggestions.
            time_budget_s: Time during which the study runs, over all its runs.
            store: As in ``create_study``.
            study_name: ``None``: one that tells model and time.
            resume: Go on with the study of this name where there is one: ``num_trials`` is its total.
            constraints: Expressions over params that must hold.
            outcome_constraints: What results must keep to be the best, e.g. ``["val_loss <= 0.5"]``.
            initial_points: Params to try first.
            warm_start: Earlier studies to learn from; see ``create_study``.
            max_failures: The study fails when more trials than this have failed.
            retries: How often a failed trial is tried again, as a new trial.
            timeout_s: Limit of one attempt at a trial.
            callbacks: Called with the study and each ended trial.
            progress: Whether a bar is shown; ``None``: where standard error is a terminal.

        Raises:
            ConfigError, SpaceError: Something given is wrong; names it.
            UnknownName: No such searcher, scheduler, engine or model type; offers the nearest.
            MissingExtra: An optional library is needed; names the pip line.
            StudyExists, StudyMismatch, StudyLed: The name is taken, by another optimisation, or it runs elsewhere.
            KeyboardInterrupt: Ctrl-C; ``resume=True`` goes on. ``self.results`` holds what there is.
        """
        if param_space is None:
            raise ConfigError(
                "is missing: say what to search, as {name: {'type': 'loguniform', …}}", path="param_space"
            )
        if resume and study_name is None:
            raise ConfigError("say which study to go on with: resume=True needs study_name=…", path="study_name")
        _check_counts(num_trials=num_trials, max_concurrent_trials=max_concurrent_trials, retries=retries)
        plan = make_plan(
            self.training_engine,
            self.define_search_space(param_space, constraints=constraints),
            Sections.of(model_config, data_config, training_config),
            mapping=param_mapping or {},
            metric=metric,
            mode=mode,
            timeout_s=timeout_s,
            runs_on=choose_engine(engine, self.ray_config),
        )
        if plan.record.engine == LOCAL:  # a cluster may have more than this machine
            Placement(resources_per_trial or {}, machine_resources(), visible_devices())
            _check_file(plan)
        searching = choose_searcher(search_algorithm, plan.space, as_metrics(*plan.goals), seed)
        is_endless = num_trials is None and time_budget_s is None and (searching.spec or Spec(name="")).name != "grid"
        budget = Budget(
            num_trials=NUM_TRIALS if is_endless else num_trials,
            time_budget_s=time_budget_s,
            max_failures=max_failures,
            retries=retries,
            jobs=max_concurrent_trials,
        )
        record = plan.record
        deciding = choose_scheduler(scheduler, epochs_of(plan.space, record.training, record.places))
        study = self._study(
            plan,
            study_name,
            metric=plan.goals.metrics,
            mode=plan.goals.modes,
            searcher=searching.spec,
            scheduler=deciding.spec,
            seed=seed,
            store=store,
            resume=resume,
            budget=budget,
            resources=resources_per_trial,
            outcome_constraints=outcome_constraints,
            default=_heeded_default(search_algorithm, plan),
            warm_start=warm_start,
        )
        if num_trials is None:  # what a resumed study was given before
            budget = replace(budget, num_trials=study.row.spec.budget.num_trials)
        self.results = HPOResults(study)
        _enqueue(study, initial_points)
        request = Request(
            training=plan.training,
            budget=budget,
            resources=resources_per_trial or {},
            ray=self.ray_config,
            searcher=searching.object,
            scheduler=deciding.object,
        )
        return self._lead(study, plan, request, callbacks, progress)

    def _study(self, plan: Plan, name: str | None, **given: Any) -> Study:
        """The study, made or found again."""
        stem = name or f"hpo-{'-'.join(plan.model_types) or 'study'}-{time.strftime('%Y%m%d-%H%M%S')}"
        number = 1
        while True:
            try:
                study = create_study(
                    stem if number == 1 else f"{stem}-{number}",
                    plan.space,
                    door=DOOR,
                    config=plan.record.to_json(),
                    objective=objective_of(plan.record),
                    executor=Spec(name="pool"),
                    **given,
                )
                break
            except StudyExists:
                if name is not None:
                    raise
                number += 1  # two in one second
        stored = HPORecord.from_json(study.row.spec.config, study.name)
        differences = stored.differences(plan.record)
        if differences:
            raise StudyMismatch(study.name, differences)
        return study

    def _lead(
        self,
        study: Study,
        plan: Plan,
        request: Request,
        callbacks: Sequence[Callable[[Study, TrialHandle], None]],
        progress: bool | None,
    ) -> HPOResults:
        budget = request.budget or study.row.spec.budget
        narrator = Narrator(_log, study, budget)
        bar = progress_bar(study.row, budget, plan.space) if shows_progress(progress) else None

        def on_end(trial: Trial) -> None:
            narrator.trial_ended(trial)
            for callback in callbacks:
                callback(study, study.trial(trial.number))

        lead: HPOEngine = registry.load("hpo_engine", plan.record.engine)
        narrator.started(plan.record.engine)
        request = request._replace(
            sinks=[] if bar is None else [bar], on_end=on_end, say=_log.warning if bar is None else bar.say
        )
        end = lead(study, plan.record, request)
        narrator.ended(end.interrupted)
        if end.interrupted:
            raise KeyboardInterrupt(
                f"study '{study.name}' is {end.study.status} after {end.study.num_trials} trials: optimize(..., "
                f"study_name='{study.name}', resume=True) goes on"
            )
        return HPOResults(study)

    def get_best_model_config(
        self, model_config: Mapping[str, Any], results: HPOResults | None = None
    ) -> dict[str, Any]:
        """A deep copy of a model config with the best trial's values in their places.

        Parameters of the data or the training are not in it: ``results.best_configs()`` has all three.

        Args:
            model_config: As it was given to ``optimize``, or another one of the same shape.
            results: ``None``: those of the last ``optimize``.

        Raises:
            ConfigError: Nothing was optimised yet, or no trial has completed.
        """
        found = self._results(results)
        record = HPORecord.from_json(found.study.row.spec.config, found.name)
        tree: Any = copy.deepcopy(dict(model_config))
        for place, value in placed(record.places, best_of(found).params):
            section, *keys = parse_path(place)
            if section == "model":
                tree = set_path(tree, keys, value, create=True)
        best: dict[str, Any] = tree
        return best

    def analyze_results(
        self,
        results: HPOResults | None = None,
        *,
        method: str = "ped_anova",
        metric: str | None = None,
        top_k: int = 10,
    ) -> dict[str, Any]:
        """What the trials have shown, as a plain dict; any study will do, also one in which all failed.

        Args:
            results: ``None``: those of the last ``optimize``.
            method: How importance is measured: ``ped_anova``, or ``fanova`` (needs scikit-learn).
            metric: One of the study's; ``None``: the first.
            top_k: How many of the best trials are told.

        Returns:
            ``best_trial`` (``score``, ``params``, ``number``), ``parameter_importance`` (name to share), ``top_k_trials``,
            ``convergence``, ``failures``, ``duration``, ``early_stopping_savings``, and a few more.

        Raises:
            ConfigError: Nothing was optimised yet.
            UnknownName: There is no such method or metric.
        """
        return analyze(self._results(results), method=method, metric=metric, top_k=top_k)

    def _results(self, given: HPOResults | None) -> HPOResults:
        found = self.results if given is None else given
        if found is None:
            raise ConfigError("there are no results yet: call optimize first, or give results=load_results(…)")
        return found


def _check_counts(**counts: object) -> None:
    for name, value in counts.items():
        least = 0 if name == "retries" else 1
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ConfigError(f"must be a whole number of at least {least}, not {value!r}", path=name)


def _check_file(plan: Plan) -> None:
    """Raise ConfigError where the file to learn from is not there: no trial could run."""
    path = plan.record.data.get("path")
    is_searched = any(place.startswith("data.path") for place in plan.record.places.values())
    if isinstance(path, str) and not is_searched and not Path(path).expanduser().exists():
        raise ConfigError(f"there is no file '{path}'", path="data_config.path")


def _heeded_default(searcher: Any, plan: Plan) -> dict[str, Any] | None:
    """The default configuration, for a searcher that tries one."""
    name = searcher.get("name") if isinstance(searcher, Mapping) else getattr(searcher, "name", searcher)
    if plan.default is None or name not in registry.names("searcher"):
        return None
    return plan.default if "default" in getattr(registry.load("searcher", name), "heeds", ()) else None


def _enqueue(study: Study, points: Sequence[Params]) -> None:
    """Add params to try first, those that the study does not have yet: so it is the same when it is resumed."""
    if not points:
        return
    there = {study.space.key(trial.params) for trial in study.iter_trials()}
    for params in points:
        if study.space.key(params) not in there:
            study.enqueue(params)
