"""How far a study still goes: what keeps its leader from starting more.

State of one leading, shared by those who give work, take commands and find the end. Knows nothing of how trials run.
"""

from __future__ import annotations

from trialist.engine import guards
from trialist.engine.lead import Lead


class Course:
    """Why there is no more to start, as far as it is known.

    Args:
        lead: The study.
    """

    def __init__(self, lead: Lead) -> None:
        self._lead = lead
        self.interrupted = ""
        """Ctrl-C or TERM: no trial starts any more, not even one that ran before."""
        self.exhausted = ""
        """The searcher has nothing left to suggest."""

    @property
    def stopping(self) -> str:
        """Why no new trial starts: an interrupt, or a person's stop, which outlives the engine that was told."""
        return self.interrupted or self._lead.fold.stopping

    def guard(self) -> str:
        """Why no more trials may be suggested."""
        fold = self._lead.fold
        now = self._lead.now()
        active_s = fold.active_before_s + (max(0.0, now - fold.led_since) if fold.led_since is not None else 0.0)
        for guard in guards.GUARDS:
            why = guard(fold, active_s)
            if why:
                return why
        return ""
