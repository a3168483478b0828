r"""Metrics that a program prints: what counts as one, and what does not.

A line (ended by a newline or a carriage return, at most 64 KiB, colours removed) is read in one of two ways:

1. A JSON object: its numbers count under their keys; anything else in it, booleans included, is left out.
2. Tokens anywhere on the line: ``name=0.21``, ``name = 0.21``, ``name: 0.21`` and ``'name': 0.21``.
   The name begins with a letter and goes on with letters, digits and ``_ . / @ -``; a colon must be followed by a space
   unless the name is quoted. The number is a plain decimal, ``nan`` or ``inf``, and must end where it ends: before a space,
   a bracket, a quote, ``%``, ``;``, ``|``, a comma that no digit follows, or a full stop or colon at the end of a word. So
   ``12:30:01``, ``1.2.3``, ``3.2it/s``, ``0.5s``, ``1,5``, ``10/200`` and ``2026-01-02`` are no numbers, and levels of a
   log (``ERROR: 5``) no metrics.

A line that holds ``step``, ``global_step``, ``iteration``, ``iter`` or ``epoch`` with a whole number (``step=3``,
``Epoch 3/10``, ``Epoch [3/10]``, ``"step": 3``; the first of these words wins, in this order) says its other numbers at that
step. Knows no process and no trial.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_LINE = 64 * 1024
MAX_METRICS = 1000
"""Of one line, and of all lines of a trial."""

_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[@-Z\\-_])")
_NAME = r"[^\W\d][\w./@-]{0,99}"
_TOKEN = re.compile(
    rf"""(?<![^\s,;|(\[{{'"<>])
    (?: (?P<quote>['"])(?P<quoted>{_NAME})(?P=quote) [ \t]{{0,3}} [:=] [ \t]{{0,30}}
      | (?P<bare>{_NAME}) (?: [ \t]{{0,30}} = [ \t]{{0,30}} | [ \t]{{0,3}} : [ \t]{{1,30}} ) )
    ['"]?
    (?P<number> [+-]? (?: (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? | nan | inf | infinity ) )
    (?= $ | [\s;|)\]}}'"%<>] | ,(?!\d) | [.:](?:\s|$) )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_STEP = re.compile(
    r"""(?<![\w./@-])
    (?P<word>global_step|step|iteration|iter|epoch) ['"]?
    (?: [ \t]{0,30} [:=\#] | (?=[ \t]) | (?=[\[(]) ) [ \t]{0,30} [\[(]? [ \t]{0,5}
    (?P<number>\d{1,18}) (?! [\w%] | [.,-]\d )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_RANK = {"step": 0, "global_step": 1, "iteration": 2, "iter": 3, "epoch": 4}
_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL"})


class Printed(NamedTuple):
    """What a line says."""

    step: int | None
    metrics: dict[str, float]


class Tally:
    """What the lines that a trial prints add up to."""

    def __init__(self) -> None:
        self.stepless: dict[str, float] = {}
        """The last value of each metric that was printed without a step, or was no report."""
        self.later: dict[str, float] = {}
        """Of those that were reports: what was printed since, without a step."""
        self._last_step: dict[str, int] = {}

    def take(self, line: bytes, *, is_report: bool) -> Printed | None:
        """Count a line in; what it says at a step, where that is a report."""
        found = parse(line)
        if found is None:
            return None
        if is_report and found.step is not None and found.metrics:
            for name in found.metrics:
                self.later.pop(name, None)
                if name in self._last_step or len(self._last_step) < MAX_METRICS:
                    self._last_step[name] = found.step
            return found
        for name, value in found.metrics.items():
            if name in self._last_step:
                self.later[name] = value
            if name in self.stepless or len(self.stepless) < MAX_METRICS:
                self.stepless[name] = value
        return None

    def last_step(self) -> int:
        """The step that ``later`` belongs to.

        Of what is printed the last counts: "epoch 3 loss=0.5", then "loss=0.42" says something of epoch 3.
        """
        return max(self._last_step.values())


def parse(line: bytes) -> Printed | None:
    """The metrics on a line; ``None`` where there are none."""
    if len(line) > MAX_LINE or (b"=" not in line and b":" not in line):
        return None
    text = line.decode("utf-8", "replace").strip()
    if "\x1b" in text:
        text = _ANSI.sub("", text).strip()
    found = _from_json(text) if text[:1] == "{" and text[-1:] == "}" else None
    if found is None:
        found = _from_tokens(text)
    return found if found.metrics else None


def _from_json(text: str) -> Printed | None:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    metrics = numbers_of(data)
    for word in _RANK:
        value = metrics.get(word)
        if value is not None and 0 <= value < 1 << 53 and value == int(value):
            del metrics[word]
            return Printed(int(value), metrics)
    return Printed(None, metrics)


def numbers_of(data: object, most: int = MAX_METRICS) -> dict[str, float]:
    """The numbers of a JSON object by their keys, at most so many; empty where it is no object."""
    metrics: dict[str, float] = {}
    if isinstance(data, dict):
        for name, value in data.items():
            if type(value) in (int, float) and name and len(metrics) < most:
                try:
                    metrics[name[:100]] = float(value)
                except OverflowError:
                    metrics[name[:100]] = float("inf") if value > 0 else float("-inf")
    return metrics


def _from_tokens(text: str) -> Printed:
    step, chosen = _step_of(text)
    metrics: dict[str, float] = {}
    for match in _TOKEN.finditer(text):
        name = match["quoted"] or match["bare"]
        if name.lower() == chosen or name in _LEVELS or len(metrics) >= MAX_METRICS:
            continue
        metrics[name] = float(match["number"])
    return Printed(step, metrics)


def _step_of(text: str) -> tuple[int | None, str]:
    best: tuple[int, int, str] | None = None
    for match in _STEP.finditer(text):
        word = match["word"].lower()
        if best is None or _RANK[word] < best[0]:
            best = (_RANK[word], int(match["number"]), word)
    return (None, "") if best is None else (best[1], best[2])


class Lines:
    """Cuts a stream into lines, holding at most one; a line that is too long is left out."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that ``data`` completes."""
        *lines, rest = data.replace(b"\r", b"\n").split(b"\n")
        if lines:
            if not self._skipping:
                yield self._rest + lines[0]
            self._skipping, self._rest = False, b""
            yield from lines[1:]
        if not self._skipping:
            self._rest += rest
            if len(self._rest) > MAX_LINE:
                self._skipping, self._rest = True, b""

    def end(self) -> bytes:
        """What came behind the last newline."""
        rest, self._rest = self._rest, b""
        return b"" if self._skipping else rest
