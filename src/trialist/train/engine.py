"""TrainingEngine: one way to train any registered kind of model from three sections of a config.

Checks the sections, resolves aliases and hands over to the model type. Knows no library, no study and no store: what it
reports goes to the callable it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from trialist import registry
from trialist.core.errors import ConfigError, UnknownName, nearest
from trialist.core.records import Metric, Mode
from trialist.train.model_type import ALIASES as ALIASES
from trialist.train.model_type import Checkpoints, Config, Declaration, Job, ModelType, Reporter

Trainer = Callable[[Config, Config, Config, Reporter, Checkpoints | None], Mapping[str, float]]
"""A plain function as a model type: ``train(model, data, training, report, checkpoint) -> metrics``."""

T = TypeVar("T", bound=type[ModelType] | Trainer)

LIBRARIES = {
    "sklearn": ("sklearn",),
    "mlp": ("torch",),
    "text_classifier": ("transformers", "torch"),
    "ppo": ("stable_baselines3", "gymnasium", "torch"),
}
"""What a built-in type cannot train without."""

WAYS_OUT = (
    "to run a script of your own give command: in the config, or a command after --; to make the directories and configs "
    "only, use --no-execute"
)
NO_DATA = (
    "there is no data to train on. Give data.dataset (a bundled data set such as 'digits'), or data.path with data.target "
    f"(a file of your own); {WAYS_OUT}"
)


class TrainingEngine:
    """Trains the model that a config describes.

        >>> engine = TrainingEngine()
        >>> metrics = engine.train(
        ...     {"type": "sklearn", "estimator": "LogisticRegression", "C": 0.1},
        ...     {"dataset": "iris"},
        ...     {},
        ... )  # doctest: +SKIP
        >>> sorted(metrics)  # doctest: +SKIP
        ['score', 'val_accuracy', 'val_loss']

    Model types are registered by name (``TrainingEngine.model_types()``); ``register`` adds one for this process, an
    entry point in the group ``trialist.model_types`` adds one for all. Stateless: may be shared between threads.
    """

    _added: ClassVar[dict[str, Callable[[], ModelType]]] = {}

    @classmethod
    def register(cls, name: str, *, metric: str = "score", mode: str = "max") -> Callable[[T], T]:
        """Add a model type under a name, for this process; a name given again replaces the earlier one.

        Takes a class (``trialist.train.model_type.ModelType``), or a function
        ``train(model_config, data_config, training_config, report, checkpoint) -> dict`` that may read any name.

        Args:
            name: What ``model.type`` says.
            metric: What a function optimises where nobody says otherwise; a class declares its own.
            mode: ``"min"`` or ``"max"``, for ``metric``.
        """
        primary = Metric(name=metric, mode=Mode(mode))

        def add(what: T) -> T:
            made: Any = what
            cls._added[name] = made if isinstance(what, type) else _of_function(made, primary)
            return what

        return add

    @classmethod
    def model_types(cls) -> list[str]:
        """The names that ``model.type`` may have."""
        return list({**dict.fromkeys(registry.names("model_type")), **cls._added})

    def describe(self, model_config: Config) -> Declaration:
        """What the model type of this config understands and tells.

        Raises:
            ConfigError: The section does not say which model is meant.
            UnknownName: Nobody registered that type; lists those that are there.
            MissingExtra: The type's library is not installed.
        """
        return self._type(model_config).describe(_hyperparameters(model_config)[0])

    @classmethod
    def check(cls, config: Config, *, file: str | None = None) -> str:
        """Whether a whole config (``model``, ``data``, ``training``) can be trained; loads no library, touches no data.

        Args:
            config: The config; in ``model.type`` a list of names is fine too, for a config that is yet to vary.
            file: Its file, for messages.

        Returns:
            Name of the model type (of several: separated by commas).

        Raises:
            ConfigError: A section is missing or is no mapping; no type is named and none can be told; no data.
            UnknownName: Nobody registered that type.
            MissingExtra: Its library is not installed.
        """
        for section in ("model", "data", "training"):
            value = config.get(section)
            if value is not None and not isinstance(value, Mapping):
                raise ConfigError(f"must be a mapping, not {_kind(value)}", file=file, path=section)
        if not config.get("model"):
            raise ConfigError(
                "there is no 'model' section, so there is nothing to train. Give model.type (one of: "
                f"{', '.join(cls.model_types())}); {WAYS_OUT}",
                file=file,
            )
        data = config.get("data") or {}
        if not any(data.get(name) for name in ("dataset", "path", "env")):
            raise ConfigError(NO_DATA, file=file, path="data")
        names = _type_names(config["model"], file)
        for name in names:
            cls._known(name)
            for library in () if name in cls._added else LIBRARIES.get(name, ()):
                registry.require(library, f"model type '{name}'")
        return ", ".join(names)

    def train(
        self,
        model_config: Config,
        data_config: Config,
        training_config: Config | None = None,
        report: Reporter | None = None,
        checkpoint: Checkpoints | None = None,
    ) -> dict[str, float]:
        """Train one model and score it on data it has not seen.

        Args:
            model_config: ``type`` and its hyperparameters, flat or under ``hyperparameters``.
            data_config: ``{"dataset": name}`` or ``{"path": file, "target": column}``; ``test_size``, ``seed``.
            training_config: ``epochs`` (= ``num_epochs``), ``batch_size``, ``lr`` (= ``learning_rate``), ``seed``, …
            report: Called as ``report(step=…, **metrics)`` after each epoch; what it raises ends the training.
            checkpoint: Where to save and what to start from; a trial handle fits.

        Returns:
            The last metrics by name, ``score`` among them (higher is better).

        Raises:
            ConfigError: A section or the data is wrong; names path and rule.
            UnknownName: Nobody registered that type.
            MissingExtra: The type's library is not installed.
        """
        model_type, job, _ = self._ready(model_config, data_config, {} if training_config is None else training_config)
        return model_type.train(replace(job, report=report or _silent, checkpoints=checkpoint))

    def inspect(self, model_config: Config, data_config: Config, training_config: Config | None = None) -> Declaration:
        """What ``train`` would refuse before it touches any data is refused here; says what the type understands.

        Raises:
            ConfigError, UnknownName, MissingExtra: As ``train``.
        """
        return self._ready(model_config, data_config, {} if training_config is None else training_config)[2]

    def _ready(self, model_config: Config, data_config: Config, given: Config) -> tuple[ModelType, Job, Declaration]:
        """The model type and its job, looked over."""
        self.check({"model": model_config, "data": data_config, "training": given})
        model_type = self._type(model_config)
        model, paths = _hyperparameters(model_config)
        training, training_paths = _canonical(given)
        job = Job(model=model, data=data_config, training=training, report=_silent, paths={**paths, **training_paths})
        declared = model_type.describe(model)
        _refuse_unknown(job, "model", model, declared.model)
        _refuse_unknown(job, "data", data_config, declared.data)
        _refuse_unknown(job, "training", training, declared.training)
        check: Callable[[Job], object] | None = getattr(model_type, "check", None)
        if check is not None:
            check(job)
        return model_type, job, declared

    @classmethod
    def added(cls, names: Iterable[str]) -> dict[str, Callable[[], ModelType]]:
        """Those of these types that ``register`` added in this process; ``adopt`` takes them in another one."""
        return {name: cls._added[name] for name in names if name in cls._added}

    @classmethod
    def adopt(cls, types: Mapping[str, Callable[[], ModelType]]) -> None:
        """Register what ``added`` gave in another process, where this one has no type of that name."""
        for name, made in types.items():
            cls._added.setdefault(name, made)

    @classmethod
    def _known(cls, name: str) -> None:
        if name not in cls.model_types():
            raise UnknownName("model type", name, cls.model_types())

    @classmethod
    def _type(cls, model_config: Config) -> ModelType:
        names = _type_names(model_config, None)
        if len(names) != 1:
            raise ConfigError("must be one name here, not a list", path="model.type")
        cls._known(names[0])
        make: Callable[[], ModelType] = cls._added.get(names[0]) or registry.load("model_type", names[0])
        return make()


def _type_names(model: Config, file: str | None) -> list[str]:
    """What ``model.type`` says, or what the rest of the section leaves no doubt about."""
    name = model.get("type")
    names = name if isinstance(name, list) else [name]
    if names and all(isinstance(one, str) and one for one in names):
        return list(names)
    if name is not None:
        raise ConfigError(f"must be the name of a model type, not {_kind(name)}", file=file, path="model.type")
    # A pretrained encoder plus a head made of layers can only be the text classifier.
    known = ", ".join(TrainingEngine.model_types())
    if "name" in model and "classification_head" in model:
        return ["text_classifier"]
    raise ConfigError(f"is missing. Give one of: {known}. Otherwise, {WAYS_OUT}", file=file, path="model.type")


def _hyperparameters(model: Config) -> tuple[dict[str, Any], dict[str, str]]:
    """The model section with ``hyperparameters`` laid flat, and where those were written."""
    inner = model.get("hyperparameters")
    if inner is not None and not isinstance(inner, Mapping):
        raise ConfigError(f"must be a mapping, not {_kind(inner)}", path="model.hyperparameters")
    flat = {name: value for name, value in model.items() if name not in ("type", "hyperparameters")}
    paths: dict[str, str] = {}
    for name, value in (inner or {}).items():
        path = f"model.hyperparameters.{name}"
        if name in flat:
            raise ConfigError(f"is given twice, also as model.{name}; keep one of them", path=path)
        flat[name], paths[f"model.{name}"] = value, path
    return flat, paths


def _canonical(training: Config) -> tuple[dict[str, Any], dict[str, str]]:
    """The training section under canonical names, and where those were written."""
    out: dict[str, Any] = {}
    paths: dict[str, str] = {}
    for written, value in training.items():
        name = ALIASES.get(written, written)
        if name in out:
            other = paths[f"training.{name}"]
            raise ConfigError(f"is the same setting as {other}; keep one of them", path=f"training.{written}")
        out[name], paths[f"training.{name}"] = value, f"training.{written}"
    return out, paths


def _refuse_unknown(job: Job, section: str, given: Config, known: frozenset[str] | None) -> None:
    for name in given:
        if known is not None and name not in known:
            raise ConfigError(
                f"nothing reads this name, so it would have no effect.{nearest(name, known)}",
                path=job.path(section, name),
            )


def _kind(value: object) -> str:
    names = {"list": "a list", "str": "a text", "int": "a number", "float": "a number", "bool": "true or false"}
    return names.get(type(value).__name__, "a mapping" if isinstance(value, Mapping) else f"a {type(value).__name__}")


def _silent(*, step: int, **metrics: float) -> None:
    """Where reports go when nobody listens."""


def _of_function(function: Trainer, primary: Metric) -> Callable[[], ModelType]:
    """A model type around a plain function: reads any name, declares one metric."""

    class FunctionModel:
        def describe(self, model: Config) -> Declaration:
            return Declaration(model=None, data=None, training=None, metrics=(primary.name,), primary=primary)

        def train(self, job: Job) -> dict[str, float]:
            # The function reads the names that its author wrote: both spellings are there.
            spelled = {alias: job.training[name] for alias, name in ALIASES.items() if name in job.training}
            return dict(function(job.model, job.data, {**job.training, **spelled}, job.report, job.checkpoints))

    FunctionModel.__module__ = function.__module__  # where another process finds what registers it
    return FunctionModel
