"""Colours of plots on light and on dark paper.

The hues are those of Okabe and Ito ("Color Universal Design", 2008), lightened on dark paper; the ramp goes through one hue
and is told apart by its lightness alone. Every mark differs in shape or place too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trialist.analysis.plots.record import Ink


@dataclass(frozen=True, kw_only=True, slots=True)
class Theme:
    paper: str
    text: str
    quiet: str
    grid: str
    inks: Mapping[Ink, str]
    ramp: tuple[str, ...]
    """From low to high, evenly: pale to strong against the paper."""

    def shade(self, at: float) -> str:
        """The ramp's colour for 0 … 1, in as many steps as the ramp has."""
        return self.ramp[min(len(self.ramp) - 1, max(0, int(at * len(self.ramp))))]


LIGHT = Theme(
    paper="#ffffff",
    text="#1f2933",
    quiet="#5f6b77",
    grid="#e6eaee",
    inks={
        Ink.MAIN: "#0072b2",
        Ink.SECOND: "#4aa3d9",
        Ink.BAD: "#d55e00",
        Ink.BEST: "#e69f00",
        Ink.STRONG: "#1f2933",
        Ink.QUIET: "#a9b3bd",
    },
    ramp=("#d5dde5", "#bccfdf", "#9cbfda", "#74a9d0", "#4890c2", "#2176ae", "#0b5a94", "#083f73"),
)
DARK = Theme(
    paper="#14181d",
    text="#e7ebef",
    quiet="#9aa6b2",
    grid="#2a323a",
    inks={
        Ink.MAIN: "#4db2ea",
        Ink.SECOND: "#9ad4f3",
        Ink.BAD: "#ff8a4c",
        Ink.BEST: "#f6c244",
        Ink.STRONG: "#e7ebef",
        Ink.QUIET: "#5d6873",
    },
    ramp=("#313b45", "#35495b", "#385b75", "#3c7194", "#4289b3", "#57a5d2", "#86c6ea", "#c7e6f8"),
)
