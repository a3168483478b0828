"""Ctrl-C and TERM while an engine leads: once, it starts nothing more and waits; twice, it ends what runs.

A second Ctrl-C reaches an inline trial as ``KeyboardInterrupt``, but never the engine's own code, which could be half-way
through a commit. Knows nothing of studies.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from trialist.core.ports import Executor

_ONCE = "Ctrl-C: starting no more trials, waiting for the running ones. Once more ends them."
_TWICE = "Ctrl-C: ending the running trials. Everything acknowledged is kept."


class Interrupts:
    """Context manager that owns SIGINT and SIGTERM while it is open; does nothing outside the main thread.

    Args:
        say: Tells the person at the terminal.
        executor: Woken so that the loop notices; one that runs trials in this thread gets the second Ctrl-C raised.
    """

    def __init__(self, say: Callable[[str], None], executor: Executor) -> None:
        self._say = say
        self._executor = executor
        self._before: dict[signal.Signals, Any] = {}
        self._in_trial = False
        self._unsaid: list[str] = []
        self.count = 0
        """How often somebody interrupted; TERM counts as two."""

    @property
    def kills(self) -> bool:
        """Whether running trials are to be ended now."""
        return self.count > 1

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._on_signal)
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        before, self.count = self.count, self.count + (2 if number == signal.SIGTERM else 1)
        if self.count == 1:
            self._tell(_ONCE)
        elif before < 2:
            self._tell(_TWICE)
        self._executor.wake()
        if self.kills and self._in_trial and self._executor.runs_ahead:
            raise KeyboardInterrupt

    def _tell(self, text: str) -> None:
        """Say it now, or soon where the signal came in the middle of a write to the same stream."""
        try:
            self._say(text)
        except RuntimeError:  # "reentrant call inside" the stream
            self._unsaid.append(text)

    def _tell_rest(self) -> None:
        while self._unsaid:
            self._say(self._unsaid.pop(0))

    def by_trial(self) -> None:
        """A trial in this thread was interrupted, by a Ctrl-C that went past us or by an interrupt of its own.

        It ends the study's turn like one that we saw: the trial waits again, and would be started at once for ever.
        """
        if self._executor.runs_ahead and not self.kills:
            self.count = 2
            self._tell(_TWICE)

    def polling(self, poll: Callable[[], None]) -> bool:
        """Call ``poll``, in which an inline trial may be interrupted; returns whether that broke ``poll`` off.

        Then Ctrl-C met the executor's code beside the trial's: the trial has left this thread, and no signal says so.
        """
        try:
            self._in_trial = True
            poll()
        except KeyboardInterrupt:
            self._in_trial = False  # first of all: one more Ctrl-C must not come out of here
            self.count = max(self.count, 2)
            return True
        finally:
            self._in_trial = False
            self._tell_rest()
        return False

    @contextmanager
    def engine_code(self) -> Iterator[None]:
        """Around what the engine does on behalf of a trial in ``poll``: not to be interrupted."""
        before, self._in_trial = self._in_trial, False
        try:
            yield
        finally:
            self._in_trial = before
        if self.kills and before and self._executor.runs_ahead:
            raise KeyboardInterrupt

    @staticmethod
    def pause(seconds: float) -> None:
        """Wait for a store that is away; the one wait here that no event can end."""
        threading.Event().wait(seconds)
