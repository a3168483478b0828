"""Finds the scikit-learn estimator that a config means, and which of its parameters our common names stand for.

Knows names and signatures; trains nothing.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from trialist import registry
from trialist.core.errors import ConfigError, nearest

MODULES = (
    "linear_model", "ensemble", "svm", "tree", "neighbors", "naive_bayes", "neural_network", "discriminant_analysis",
    "gaussian_process", "kernel_ridge", "dummy", "calibration", "multiclass", "cross_decomposition", "isotonic",
)  # fmt: skip
"""Modules of scikit-learn in which a bare class name is looked for."""


def estimator_class(name: object) -> type[Any]:
    """The class behind an import path (``sklearn.svm.SVC``), a class name (``SVC``) or a short name (``random_forest_classifier``).

    Raises:
        ConfigError: There is no such estimator, or it neither classifies nor regresses.
        MissingExtra: scikit-learn is not installed.
    """
    registry.optional("sklearn", "model type 'sklearn'")
    if not isinstance(name, str) or not name:
        raise ConfigError(
            "say which estimator, by class name or import path, such as RandomForestClassifier or "
            "sklearn.linear_model.LogisticRegression",
            path="model.estimator",
        )
    found = _by_path(name) if "." in name else _by_name(name)
    if not (inspect.isclass(found) and hasattr(found, "fit") and hasattr(found, "get_params")):
        raise ConfigError(f"{name} is no scikit-learn estimator (it has no fit and get_params)", path="model.estimator")
    if not _kind(found):
        raise ConfigError(
            f"{found.__name__} neither classifies nor regresses, so it has no score on new data", path="model.estimator"
        )
    classified: type[Any] = found
    return classified


def is_classifier(cls: type[Any]) -> bool:
    """Whether an estimator class predicts classes; else it predicts numbers."""
    return _kind(cls) == "classifier"


def parameters(cls: type[Any]) -> dict[str, Any]:
    """An estimator's parameters with their defaults; ``inspect.Parameter.empty`` where there is none."""
    signature = inspect.signature(cls.__init__)
    return {
        name: one.default
        for name, one in signature.parameters.items()
        if name != "self" and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    }


def trains_in_epochs(cls: type[Any], values: Mapping[str, Any]) -> bool:
    """Whether it learns pass by pass over the data, with these values."""
    try:
        return hasattr(cls(**values), "partial_fit")
    except TypeError:
        return False


def alias(cls: type[Any], name: str) -> str | None:
    """The parameter of an estimator that a common name (``lr``, ``batch_size``) stands for; ``None``: it has none."""
    known = parameters(cls)
    if name == "lr":
        if "learning_rate_init" in known:
            return "learning_rate_init"
        if "eta0" in known:
            return "eta0"
        return "learning_rate" if isinstance(known.get("learning_rate"), float) else None
    return name if name in known else None


def constant_rate(cls: type[Any], given: Mapping[str, Any]) -> dict[str, str]:
    """What makes ``eta0`` the learning rate, where the estimator's own schedule would ignore it."""
    known = parameters(cls)
    if "eta0" in known and isinstance(known.get("learning_rate"), str) and "learning_rate" not in given:
        return {"learning_rate": "constant"}
    return {}


def _by_path(path: str) -> Any:
    module, _, attribute = path.rpartition(".")
    try:
        namespace = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(f"there is no module '{error.name}' (of {path})", path="model.estimator") from error
    if not hasattr(namespace, attribute):
        hint = nearest(attribute, [name for name in dir(namespace) if name[0].isupper()])
        raise ConfigError(f"module '{module}' has no '{attribute}'.{hint}", path="model.estimator")
    return getattr(namespace, attribute)


def _by_name(name: str) -> Any:
    wanted = _plain(name)
    known: dict[str, Any] = {}
    for module in MODULES:
        namespace = importlib.import_module(f"sklearn.{module}")
        listed = getattr(namespace, "__all__", dir(namespace))
        here = {one: getattr(namespace, one) for one in listed if one[0].isupper()}
        for one, found in here.items():
            if _plain(one) == wanted:
                return found
        known.update(here)
    known = {one: found for one, found in known.items() if _kind(found)}
    both = [one for one in known if _plain(one) in (wanted + "classifier", wanted + "regressor")]
    if len(both) == 1:
        return known[both[0]]
    if both:
        raise ConfigError(f"'{name}' may be {' or '.join(sorted(both))}; say which", path="model.estimator")
    raise ConfigError(f"scikit-learn has no estimator '{name}'.{nearest(name, known)}", path="model.estimator")


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _kind(cls: Any) -> str:
    """``classifier``, ``regressor``, or empty; told by the class, as instances may need arguments."""
    base = registry.optional("sklearn.base", "model type 'sklearn'")
    if not inspect.isclass(cls):
        return ""
    for kind, mixin in (("classifier", base.ClassifierMixin), ("regressor", base.RegressorMixin)):
        if issubclass(cls, mixin) or getattr(cls, "_estimator_type", "") == kind:
            return kind
    return ""
