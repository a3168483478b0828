"""What to do next with a study, as lines to type: one answer for every verb that says it. Knows records only."""

from __future__ import annotations

import re
import shlex

from trialist.core.records import Study
from trialist.core.states import StudyStatus, TrialStatus

_PLAIN = re.compile(r"[\w.@%+=:,/-]+")


def quoted(word: str) -> str:
    """A word as a shell takes it; letters of any language need no quotes."""
    return word if _PLAIN.fullmatch(word) else shlex.quote(word)


def next_steps(study: Study, leader: str | None) -> list[str]:
    """The most useful next steps, best first; each is a command with a few words, or a sentence."""
    name = quoted(study.name)
    if leader is not None:
        if study.status is StudyStatus.PAUSED:
            return [f"trialist resume {name}    goes on; {leader} waits for it"]
        return [f"trialist watch {name}    follows it"]
    if not study.status.is_ended:
        return [how_to_run(study)]
    steps = []
    if study.best_number is not None:
        steps.append(f"trialist show {name} {study.best_number}    the best trial")
        steps.append(f"trialist trials {name} --sort best    all trials, the best first")
    if study.count(TrialStatus.FAILED):
        steps.append(f"trialist trials {name} --status failed    what failed")
        steps.append(f"trialist retry {name} --failed    tries that again")
    return steps


def how_to_run(study: Study) -> str:
    """How somebody makes a study run that no process leads."""
    name, objective = quoted(study.name), study.spec.objective or {}
    if study.spec.door == "sweep":
        return f"trialist sweep --resume {name}    runs it: no process leads it now"
    what = objective.get("function")
    if what:
        return f"no process leads it: run the script of {what} again (with resume=True), and it goes on"
    return f"no process leads it: in Python, load_study({study.name!r}).run(objective) goes on, or ask() and tell()"
