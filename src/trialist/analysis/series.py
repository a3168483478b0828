"""What a plot shows, as data: frozen records that every renderer (terminal, PNG, others to come) draws in its own way.

Trials and a metric go in, axes and layers of points come out. Knows nothing of pixels, colours or columns, and accepts any
study: one trial, none that ended well, NaN, mixed types, ten thousand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from trialist.core.records import Metric, Trial
from trialist.core.states import TrialStatus

FEW = 12
"""Up to this many different numbers are shown each at its place, like categories."""
LOG_SPAN = 50.0
"""A positive axis that spans more than this factor is logarithmic."""


class Scale(StrEnum):
    LINEAR = "linear"
    LOG = "log"
    CATEGORY = "category"
    """Values are indices into ``Axis.categories``."""


class Role(StrEnum):
    """What a layer's points are; renderers choose marks and colours by it."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"
    """Has a place along x and no value: y is NaN."""
    BEST_SO_FAR = "best so far"
    """A staircase."""
    TYPICAL = "median"
    """One point a category."""
    BEST = "best"


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    label: str
    scale: Scale = Scale.LINEAR
    categories: tuple[str, ...] = ()
    whole: bool = False
    """Ticks at whole numbers only."""


class Point(NamedTuple):
    x: float
    y: float
    label: str
    """What it is, e.g. ``trial 7``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    role: Role
    points: tuple[Point, ...]


class Cell(NamedTuple):
    """The best value of the trials that share a pair of values."""

    column: int
    row: int
    value: float
    trials: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """A plot's data."""

    title: str
    x: Axis
    y: Axis
    layers: tuple[Layer, ...] = ()
    cells: tuple[Cell, ...] = ()
    """A heat map where there are any; both axes are categories then."""
    metric: Metric
    note: str = ""
    """What the reader should know, e.g. why it is empty."""

    def layer(self, role: Role) -> tuple[Point, ...]:
        """The points of a role; none where there is no such layer."""
        return next((layer.points for layer in self.layers if layer.role is role), ())


def history(trials: Sequence[Trial], metric: Metric) -> Series:
    """Value by trial number, with the best so far; failed trials have a place and no value."""
    ordered = sorted(trials, key=lambda trial: trial.number)
    valued = [trial for trial in ordered if _value(trial) is not None]
    staircase: list[Point] = []
    for trial in valued:
        value = _need(trial)
        if not staircase or metric.mode.better(value, staircase[-1].y):
            staircase.append(Point(trial.number, value, _name(trial)))
    best = staircase[-1:]
    if staircase and ordered[-1].number > staircase[-1].x:
        staircase.append(Point(ordered[-1].number, staircase[-1].y, staircase[-1].label))
    return Series(
        title=f"{metric.name} by trial",
        x=Axis(label="trial", whole=True),
        y=Axis(label=metric.name, scale=scale_of([_need(trial) for trial in valued])),
        layers=(
            *_by_status(valued, lambda trial: float(trial.number)),
            _layer(Role.FAILED, [Point(t.number, math.nan, _name(t)) for t in ordered if _is_failed(t)]),
            _layer(Role.BEST_SO_FAR, staircase),
            _layer(Role.BEST, best),
        ),
        metric=metric,
        note=_note(ordered, valued, metric),
    )


def by_parameter(trials: Sequence[Trial], metric: Metric, name: str) -> Series:
    """Value by one parameter; trials that do not have it are left out, and counted in the note.

    Args:
        trials: In any order.
        metric: What is shown.
        name: Dotted path of the parameter.
    """
    having = [(trial, flat(trial.params)[name]) for trial in trials if name in flat(trial.params)]
    valued = [(trial, given) for trial, given in having if _value(trial) is not None]
    axis, place = parameter_axis(name, [given for _, given in having])
    places = {trial.number: place(given) for trial, given in having}
    layers = [*_by_status([trial for trial, _ in valued], lambda trial: places[trial.number])]
    if axis.scale is Scale.CATEGORY:
        layers.append(_layer(Role.TYPICAL, _medians(valued, place)))
    layers.append(
        _layer(Role.FAILED, [Point(places[t.number], math.nan, _name(t)) for t, _ in having if _is_failed(t)])
    )
    best = _best([trial for trial, _ in valued], metric)
    layers.append(_layer(Role.BEST, [] if best is None else [Point(places[best.number], _need(best), _name(best))]))
    without = len(trials) - len(having)
    note = f"{without} trials do not have this parameter" if without and having else ""
    return Series(
        title=f"{metric.name} by {name}",
        x=axis,
        y=Axis(label=metric.name, scale=scale_of([_need(trial) for trial, _ in valued])),
        layers=tuple(layers),
        metric=metric,
        note=note or _note([trial for trial, _ in having], [trial for trial, _ in valued], metric),
    )


def heat_map(trials: Sequence[Trial], metric: Metric, column: str, row: str) -> Series:
    """The best value for each pair of values of two parameters that take few values each."""
    pairs = [(trial, flat(trial.params)) for trial in trials]
    pairs = [(trial, values) for trial, values in pairs if column in values and row in values]
    x, place_x = parameter_axis(column, [values[column] for _, values in pairs], categories=True)
    y, place_y = parameter_axis(row, [values[row] for _, values in pairs], categories=True)
    groups: dict[tuple[int, int], list[Trial]] = {}
    for trial, values in pairs:
        if _value(trial) is not None:
            groups.setdefault((int(place_x(values[column])), int(place_y(values[row]))), []).append(trial)
    cells: list[Cell] = []
    for (at_x, at_y), group in sorted(groups.items()):
        winner = _best(group, metric)
        if winner is not None:
            cells.append(Cell(at_x, at_y, _need(winner), len(group)))
    several = any(cell.trials > 1 for cell in cells)
    valued = [trial for trial, _ in pairs if _value(trial) is not None]
    return Series(
        title=f"{'best ' if several else ''}{metric.name} by {column} and {row}",
        x=x,
        y=y,
        cells=tuple(cells),
        metric=metric,
        note=_note([trial for trial, _ in pairs], valued, metric),
    )


def overview(trials: Sequence[Trial], metric: Metric, most: int = 4) -> list[Series]:
    """The plots that tell most about a study: its history, then a heat map or values by parameter.

    Args:
        trials: In any order.
        metric: What is shown.
        most: At most so many plots.
    """
    plots = [history(trials, metric)]
    names = varying(trials)
    few = [name for name in names if _is_few(trials, name)]
    if len(few) >= 2:
        plots.append(heat_map(trials, metric, few[0], few[1]))
    plots += [by_parameter(trials, metric, name) for name in names]
    return plots[:most]


def varying(trials: Iterable[Trial]) -> list[str]:
    """Dotted paths of the parameters that take more than one value, those that tell most values apart first."""
    seen: dict[str, dict[str, None]] = {}
    for trial in trials:
        for name, value in flat(trial.params).items():
            seen.setdefault(name, {})[_text(value)] = None
    return [name for name, values in seen.items() if len(values) > 1]


def flat(params: Mapping[str, Any]) -> dict[str, Any]:
    """Params with nested mappings laid flat under dotted paths."""
    out: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping) and value:
            out.update({f"{name}.{inner}": one for inner, one in flat(value).items()})
        else:
            out[name] = value
    return out


def parameter_axis(
    name: str, values: Sequence[Any], *, categories: bool = False
) -> tuple[Axis, Callable[[Any], float]]:
    """An axis for a parameter's values, and where on it each value lies.

    Args:
        name: The parameter.
        values: All its values, with repetitions.
        categories: Give each value a place of its own, however many there are.
    """
    numeric = bool(values) and all(_is_number(value) for value in values)
    if numeric and not categories and len(set(values)) > FEW:
        whole = all(isinstance(value, int) for value in values)
        return Axis(label=name, scale=scale_of(values), whole=whole), float
    if numeric:
        texts = list(dict.fromkeys(_text(value) for value in sorted(values)))
    else:
        texts = list(dict.fromkeys(_text(value) for value in values))
    index = {text: place for place, text in enumerate(texts)}
    return Axis(label=name, scale=Scale.CATEGORY, categories=tuple(texts)), lambda value: float(index[_text(value)])


def _by_status(trials: Sequence[Trial], place: Callable[[Trial], float]) -> Iterable[Layer]:
    for role, status in ((Role.COMPLETED, TrialStatus.COMPLETED), (Role.STOPPED, TrialStatus.STOPPED)):
        yield _layer(role, [Point(place(t), _need(t), _name(t)) for t in trials if t.status is status])


def _medians(valued: Sequence[tuple[Trial, Any]], place: Callable[[Any], float]) -> list[Point]:
    groups: dict[float, list[float]] = {}
    for trial, given in valued:
        groups.setdefault(place(given), []).append(_need(trial))
    return [Point(at, _median(values), "median") for at, values in sorted(groups.items()) if len(values) > 1]


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else ordered[middle - 1] / 2 + ordered[middle] / 2


def _best(trials: Iterable[Trial], metric: Metric) -> Trial | None:
    best: Trial | None = None
    for trial in trials:
        if best is None or metric.mode.better(_need(trial), _need(best)):
            best = trial
    return best


def _value(trial: Trial) -> float | None:
    """The trial's value where it counts and is finite: NaN and infinity have no place on any axis."""
    counts = trial.status.counts and trial.value is not None and math.isfinite(trial.value)
    return trial.value if counts else None


def _need(trial: Trial) -> float:
    assert trial.value is not None
    return trial.value


def _is_failed(trial: Trial) -> bool:
    unusable = trial.status.counts and trial.value is not None and not math.isfinite(trial.value)
    return trial.status is TrialStatus.FAILED or unusable


def _note(trials: Sequence[Trial], valued: Sequence[Trial], metric: Metric) -> str:
    if not trials:
        return "no trials yet"
    if not valued:
        failed = sum(map(_is_failed, trials))
        if failed == len(trials):
            return "the only trial failed" if failed == 1 else f"all {failed} trials failed"
        return f"no trial has told {metric.name} yet"
    return ""


def scale_of(values: Sequence[float]) -> Scale:
    """Logarithmic where that spreads the values more evenly: their median lies nearer to the middle; few outliers aside."""
    aside = len(values) // 20 + (len(values) >= 8)
    values = sorted(values)[aside : len(values) - aside]
    if not values or min(values) <= 0 or max(values) / min(values) <= LOG_SPAN:
        return Scale.LINEAR
    low, middle, high = min(values), _median(values), max(values)
    linear = (middle - low) / (high - low)
    logarithmic = math.log(middle / low) / math.log(high / low)
    return Scale.LOG if abs(logarithmic - 0.5) < abs(linear - 0.5) else Scale.LINEAR


def _is_few(trials: Sequence[Trial], name: str) -> bool:
    values = [flat(trial.params).get(name) for trial in trials]
    return len({_text(value) for value in values}) <= FEW


def _layer(role: Role, points: Iterable[Point]) -> Layer:
    return Layer(role=role, points=tuple(points))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and value == float(f"{value:g}") else str(value)


def _name(trial: Trial) -> str:
    return f"trial {trial.number}"
