"""Readers of a study's events that write files people look at: JSON lines, a ledger of trials, a timeline.

The store is the truth; these files can be made from it again at any time.
"""

from trialist.telemetry.events_jsonl import EventsJsonl, events_lines
from trialist.telemetry.follow import Follower, catch_up
from trialist.telemetry.ledger import Ledger, ledger_lines, read_ledger
from trialist.telemetry.timeline import Timeline, timeline_lines

__all__ = [
    "EventsJsonl",
    "Follower",
    "Ledger",
    "Timeline",
    "catch_up",
    "events_lines",
    "ledger_lines",
    "read_ledger",
    "timeline_lines",
]
