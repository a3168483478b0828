"""Plots of the parameters themselves: which mattered, where the good trials lie, and what they have in common."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from trialist.analysis.axes import fit
from trialist.analysis.plots.axes import empty_note, param_axis, told
from trialist.analysis.plots.record import Ink, Mark, Panel, Plot, Ramp, Ruler, Shape, Tick
from trialist.analysis.plots.values import MOST_PANELS, about, more
from trialist.analysis.series import Axis, Scale
from trialist.analysis.snapshot import Snapshot
from trialist.core.records import Metric, Mode

MOST_BARS = 20
MOST_LINES = 400
"""Lines of parallel coordinates that are told apart; more are a carpet."""
MOST_AXES = 10
GOOD = 0.1
"""The share of trials that count as the good ones."""


def importance_bars(shares: dict[str, float], *, subtitle: str = "", note: str = "") -> Plot:
    """Shares of the parameters as bars, the largest on top.

    Args:
        shares: Path to share.
        subtitle: By which method, from how many trials.
        note: What the reader should know.
    """
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    shown = ordered[:MOST_BARS]
    places = tuple(float(len(shown) - 1 - k) for k in range(len(shown)))
    values = tuple(share for _, share in shown)
    mark = Mark(
        shape=Shape.SPANS,
        ink=Ink.MAIN,
        x=values,
        y=places,
        base=(0.0,) * len(shown),
        thickness=0.62,
        tags=tuple(_percent(share) for share in values),
        text=tuple(f"{name}: {_percent(share)}" for name, share in shown),
    )
    names = tuple(name for name, _ in reversed(shown))
    return Plot(
        kind="importance",
        title="Parameter importance",
        subtitle=subtitle,
        panels=(
            Panel(
                x=Axis(label="share of importance"),
                y=Axis(label="", scale=Scale.CATEGORY, categories=names),
                marks=(mark,) if shown else (),
                note="" if shown else note or "no parameter varies",
            ),
        ),
        note=(note if shown else "") or more(len(shown), len(ordered), "parameter"),
    )


def parallel_coordinates(snapshot: Snapshot, metric: Metric, names: Sequence[str], top_k: int | None = None) -> Plot:
    """Each trial as a line over the axes of all parameters and of the metric; the best ones stand out.

    Args:
        snapshot: The study.
        metric: The last axis, and what lines are coloured by.
        names: Parameters, the most important first; at most ten of them are shown.
        top_k: Only so many of the best trials; ``None``: all, or the best and an even part of the others where there are
            too many.
    """
    ranked = snapshot.best_first(metric)
    rows = ranked[:top_k] if top_k is not None else _thinned(ranked, MOST_LINES)
    chosen = list(names[:MOST_AXES])
    values = snapshot.values(metric)
    axes = [_ruler(snapshot, name, rows, k) for k, name in enumerate(chosen)]
    own = [value for k in rows if (value := values[k]) is not None]
    extent = fit(Axis(label=metric.name), own, most=6, clip=metric.mode)
    flip = metric.mode is Mode.MIN  # better is higher, on this axis
    ends = [Tick((1 - tick.at) if flip else tick.at, tick.label) for tick in extent.ticks]
    rulers = (*(ruler for ruler, _ in axes), Ruler(x=float(len(chosen)), ticks=tuple(ends)))
    worst_first = list(reversed(rows))  # the best are drawn last
    xs: list[float] = []
    ys: list[float] = []
    starts: list[int] = []
    for row in worst_first:
        starts.append(len(xs))
        value = values[row]
        at = extent.place(value) if value is not None else math.nan
        points = [place.get(row, math.nan) for _, place in axes] + [1 - at if flip else at]
        for k, y in enumerate(points):
            if y == y:
                xs.append(float(k))
                ys.append(y)
    last = max(1, len(worst_first) - 1)
    mark = Mark(
        shape=Shape.LINE,
        ink=Ink.MAIN,
        x=tuple(xs),
        y=tuple(ys),
        starts=tuple(starts),
        shade=tuple(k / last if len(worst_first) > 1 else 1.0 for k in range(len(worst_first))),
        text=tuple(told(snapshot.trials[row], values[row], metric) for row in worst_first),
    )
    shown = f"the {len(rows)} best of {len(ranked):,}" if top_k is not None and len(rows) < len(ranked) else ""
    thin = f"{len(rows):,} of {len(ranked):,} trials shown" if not shown and len(rows) < len(ranked) else ""
    note = empty_note(snapshot, metric) or ("" if rows else "every trial breaks a constraint")
    return Plot(
        kind="parallel-coordinates",
        title="Parallel coordinates",
        subtitle=about(snapshot, metric) + (f" · {shown}" if shown else ""),
        panels=(
            Panel(
                x=Axis(label="", scale=Scale.CATEGORY, categories=(*chosen, metric.name)),
                y=Axis(label=""),
                marks=(mark,) if rows else (),
                rulers=rulers if rows else (),
                note=note,
            ),
        ),
        ramp=Ramp(label="rank of the trial", low="worst", high="best") if len(rows) > 1 else None,
        note="; ".join(filter(None, (thin, more(len(chosen), len(names), "parameter")))),
    )


def distributions(snapshot: Snapshot, metric: Metric, names: Sequence[str]) -> Plot:
    """How each parameter's values are spread: among all trials, and among the best tenth.

    Args:
        snapshot: The study.
        metric: By which trials are good.
        names: Parameters, the most important first; at most 12 of them are shown.
    """
    ranked = snapshot.best_first(metric)
    good = set(ranked[: max(1, math.ceil(GOOD * len(ranked)))]) if len(ranked) > 1 else set()
    panels = [_spread_of(snapshot, name, good) for name in names[:MOST_PANELS]]
    note = "no trials yet" if not snapshot.trials else "" if panels else "no parameter varies"
    return Plot(
        kind="distributions",
        title="Where trials lie",
        subtitle=f"{about(snapshot, metric)} · shares of trials",
        panels=tuple(panels) or (Panel(x=Axis(label=""), y=Axis(label="share of trials"), note=note),),
        note=more(len(panels), len(names), "parameter"),
    )


def _spread_of(snapshot: Snapshot, name: str, good: set[int]) -> Panel:
    axis, place = param_axis(snapshot, name)
    every = [place(params[name]) for params in snapshot.flat if name in params]
    best = [place(params[name]) for k, params in enumerate(snapshot.flat) if k in good and name in params]
    edges = _edges(axis, every)
    middle = axis.scale is Scale.CATEGORY
    label = f"best {GOOD:.0%}, {len(good)} trial{'' if len(good) == 1 else 's'}"
    marks = [_columns(edges, every, Ink.QUIET, "all trials", 0.0 if middle else None)]
    if best:
        marks.append(_columns(edges, best, Ink.MAIN, label, 1.0 if middle else None))
    return Panel(x=axis, y=Axis(label="share of trials"), marks=tuple(marks))


def _edges(axis: Axis, places: Sequence[float]) -> list[float]:
    """Ends of the bins, on the scale of the axis."""
    if axis.scale is Scale.CATEGORY:
        return [k - 0.5 for k in range(len(axis.categories) + 1)]
    forward, back = (math.log10, lambda u: 10.0**u) if axis.scale is Scale.LOG else (float, float)
    low, high = forward(min(places)), forward(max(places))
    count = max(6, min(24, round(len(places) ** 0.5)))
    step = (high - low) / count or 1.0
    return [back(low + k * step) for k in range(count + 1)]


def _columns(edges: list[float], places: Sequence[float], ink: Ink, label: str, side: float | None) -> Mark:
    """A histogram in shares. ``side``: 0.0 or 1.0 for the left or right half of each bin; ``None``: the whole bin."""
    bins: Counter[int] = Counter()
    for at in places:
        low, high = 0, len(edges) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if at >= edges[middle] else (low, middle)
        bins[low] += 1
    if side is None:
        starts, ends = edges[:-1], edges[1:]
    else:
        starts = [edge + 0.14 + 0.36 * side for edge in edges[:-1]]
        ends = [start + 0.36 for start in starts]
    shares = [bins[k] / max(1, len(places)) for k in range(len(edges) - 1)]
    return Mark(
        shape=Shape.COLUMNS,
        ink=ink,
        label=label,
        x=tuple(ends),
        y=tuple(shares),
        base=tuple(starts),
        text=tuple(f"{label}: {_percent(share)}" for share in shares),
        faint=ink is Ink.QUIET,
    )


def _ruler(snapshot: Snapshot, name: str, rows: Sequence[int], at: int) -> tuple[Ruler, dict[int, float]]:
    """A parameter's axis, 0 … 1, and where on it the rows lie that have the parameter."""
    axis, place = param_axis(snapshot, name)
    places = {row: place(snapshot.flat[row][name]) for row in rows if name in snapshot.flat[row]}
    extent = fit(axis, list(places.values()), most=6)
    if axis.scale is not Scale.CATEGORY:
        return Ruler(x=float(at), ticks=tuple(Tick(t.at, t.label) for t in extent.ticks)), {
            row: extent.place(value) for row, value in places.items()
        }
    ticks = tuple(Tick(tick.at, tick.label) for tick in extent.ticks)
    return Ruler(x=float(at), ticks=ticks), {row: extent.place(value) for row, value in places.items()}


def _thinned(ranked: list[int], most: int) -> list[int]:
    """The best fifth of what is shown, and an even part of the others, best first."""
    if len(ranked) <= most:
        return ranked
    head = most // 5
    rest = ranked[head:]
    return ranked[:head] + [rest[k * len(rest) // (most - head)] for k in range(most - head)]


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.0995 or share == 0 else f"{share:.1%}" if share >= 0.001 else "<0.1%"
