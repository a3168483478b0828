"""What is seen of a study while it runs: a bar on a terminal, a line a trial elsewhere, nothing where quiet is asked for.

A reader of events. Knows no store and no file; rich is loaded with the first bar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from trialist.core.events import Event, TrialEnded
from trialist.core.records import Metric, Metrics, Trial
from trialist.core.states import TrialStatus

FAILURES_SHOWN = 3
"""Of how many failed runs the bar says why; the summary names them all."""


class Screen(Protocol):
    """Where lines go: a rich ``Console``, or anything that prints a line."""

    @property
    def is_terminal(self) -> bool: ...

    @property
    def width(self) -> int: ...

    def print(self, *text: Any, **options: Any) -> None: ...


class Tally:
    """Counts trials as they end: how many, how many failed, the best so far, and when the last one will be done."""

    def __init__(
        self,
        total: int | None,
        metric: Metric | None,
        jobs: int,
        is_feasible: Callable[[Metrics], bool] = lambda metrics: True,
    ) -> None:
        self._is_feasible = is_feasible
        self.total = total
        """How many there will be; ``None`` where nobody knows."""
        self.metric = metric
        self.jobs = jobs
        self.ended = 0
        self.failed = 0
        self.best: float | None = None
        self._instead: dict[str, None] | None = None
        """What a completed trial told in place of the metric; ``None`` while none did without."""
        self._seconds = 0.0
        """Time that ended runs took, added up."""

    def restore(self, trials: Sequence[Trial]) -> None:
        """Count what ended before the sweep was taken up again."""
        for trial in trials:
            if trial.status.is_terminal:
                self.add(trial)

    def resume(self, ended: int, best: float | None, seconds: float) -> None:
        """Count what ended before, where only the sums are known."""
        self.ended, self.best, self._seconds = ended, best, seconds * self.jobs

    def add(self, trial: Trial) -> None:
        self.ended += 1
        if self.total is not None:
            self.total += trial.source == "retry"
        self._seconds += trial.seconds
        self.failed += trial.status is TrialStatus.FAILED
        if self.metric is None or not trial.status.counts:
            return
        if trial.value is None:
            if trial.status is TrialStatus.COMPLETED:
                self._instead = {**(self._instead or {}), **dict.fromkeys(trial.metrics)}
            return
        if self._is_feasible(trial.metrics) and (self.best is None or self.metric.mode.better(trial.value, self.best)):
            self.best = trial.value

    def left_s(self) -> float | None:
        """Seconds until the last run ends, if the rest take as long as those so far; ``None`` before the first has ended."""
        if not self.ended or self.total is None:
            return None
        return max(0, self.total - self.ended) * self._seconds / self.ended / self.jobs

    def words(self) -> str:
        """The state in a few words, for the bar and for lines."""
        parts = []
        if self.metric is not None and self.best is not None:
            parts.append(f"best {self.metric.name} {self.best:.6g}")
        elif self.metric is not None and self._instead is not None:
            # A mistyped metric is better seen after one run than after all of them.
            told = " and ".join(f"'{name}'" for name in list(self._instead)[:2])
            parts.append(f"no run told '{self.metric.name}'{f' but {told}' if told else ''}")
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join(parts)


class Lines:
    """Plain lines: one for each run that ends. A sink."""

    def __init__(self, tally: Tally, screen: Screen, name_of: Callable[[Trial], str]) -> None:
        self._tally = tally
        self._screen = screen
        self._name_of = name_of

    def say(self, text: str) -> None:
        """Print something else in between."""
        self._screen.print(text, markup=False, highlight=False, soft_wrap=True)

    def write(self, events: Sequence[Event], trials: Mapping[int, Trial]) -> None:
        for event in events:
            if isinstance(event.body, TrialEnded):
                trial = trials[event.body.trial]
                self._tally.add(trial)
                self.say(self._line(trial))

    def _line(self, trial: Trial) -> str:
        tally, total = self._tally, self._tally.total
        parts = [
            f"[{tally.ended}]" if total is None else f"[{tally.ended:>{len(str(total))}}/{total}]",
            f"{trial.status.value:<9}",
            f"{duration(trial.seconds):>7}",
        ]
        if tally.metric is not None and trial.value is not None:
            parts.append(f"{tally.metric.name}={trial.value:.6g}")
        parts.append(self._name_of(trial))
        state = tally.words()
        left = tally.left_s()
        if left is not None and total is not None and tally.ended < total:
            state = ", ".join(filter(None, [state, f"about {duration(left)} left"]))
        return "  ".join([*parts, f"({state})"]) if state else "  ".join(parts)

    def close(self) -> None:
        """Nothing to release."""


class Bar:
    """A progress bar over the runs. A sink, and a context: the bar is there while it is open."""

    def __init__(self, tally: Tally, screen: Any, name_of: Callable[[Trial], str]) -> None:
        """A bar on a rich console."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._tally = tally
        self._name_of = name_of
        self._shown = 0
        self._progress = Progress(
            SpinnerColumn(),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=screen,
            expand=True,
            transient=True,
        )
        self._task = self._progress.add_task("runs", total=tally.total, completed=tally.ended, state="", left="")
        self._show()
        self._progress.start()

    def say(self, text: str) -> None:
        """Print something above the bar."""
        self._progress.console.print(text, markup=False, highlight=False)

    def write(self, events: Sequence[Event], trials: Mapping[int, Trial]) -> None:
        for event in events:
            if isinstance(event.body, TrialEnded):
                trial = trials[event.body.trial]
                self._tally.add(trial)
                self._tell_failure(trial)
        self._show()

    def _tell_failure(self, trial: Trial) -> None:
        """The first failures are worth a line at once: they may be a reason to press Ctrl-C."""
        if trial.error is None or self._shown >= FAILURES_SHOWN:
            return
        self._shown += 1
        self.say(f"failed: {self._name_of(trial)}\n        {trial.error.message}")

    def _show(self) -> None:
        tally = self._tally
        left = tally.left_s()
        self._progress.update(
            self._task,
            completed=tally.ended,
            total=None if tally.total is None else max(tally.total, tally.ended),
            state=tally.words(),
            left="" if left is None else f"{duration(left)} left",
        )

    def close(self) -> None:
        self._show()
        self._progress.stop()


class Silent:
    """Shows nothing; says only what a person must know, such as what a Ctrl-C does. A sink."""

    def __init__(self, tally: Tally, say: Callable[[str], None]) -> None:
        self._tally = tally
        self.say = say

    def write(self, events: Sequence[Event], trials: Mapping[int, Trial]) -> None:
        for event in events:
            if isinstance(event.body, TrialEnded):
                self._tally.add(trials[event.body.trial])

    def close(self) -> None:
        """Nothing to release."""


def duration(seconds: float) -> str:
    """A time span for people: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``, ``3 d 4 h``.

    >>> duration(185.2)
    '3 min 05 s'
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
