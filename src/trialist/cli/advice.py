"""What to do next with a study: one answer for every verb that says it. Knows records only."""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

from trialist.core.records import Study
from trialist.core.states import StudyStatus, TrialStatus

_PLAIN = re.compile(r"[\w.@%+=:,/-]+")


def quoted(word: str) -> str:
    """A word as a shell takes it; letters of any language need no quotes."""
    return word if _PLAIN.fullmatch(word) else shlex.quote(word)


class Step(NamedTuple):
    """Something to do next."""

    do: str
    """What to type, or a sentence where there is nothing to type."""
    why: str = ""


def next_steps(study: Study, leader: str | None, workers: int = 0) -> list[Step]:
    """The most useful next steps, best first.

    Args:
        study: The study.
        leader: Who leads it.
        workers: How many workers are connected, where it waits for one.
    """
    name = quoted(study.name)
    if leader is not None:
        if study.status is StudyStatus.PAUSED:
            return [Step(f"trialist resume {name}", f"goes on; {leader} waits for it")]
        return [Step(f"trialist watch {name}", "follows it")]
    if study.in_line_since is not None:
        if workers:
            return [Step(f"trialist watch {name}", "follows it; a worker takes it as soon as it has room")]
        return [Step("trialist worker", "leads it; it waits for a worker, and none is connected")]
    if study.status is StudyStatus.PAUSED and study.submitted_at is not None:
        return [Step(f"trialist resume {name}", "queues it for workers again")]
    if not study.status.is_ended:
        return [how_to_run(study)]
    steps = []
    if study.best_number is not None:
        steps.append(Step(f"trialist show {name} {study.best_number}", "the best trial"))
        steps.append(Step(f"trialist trials {name} --sort best", "all trials, the best first"))
    if study.count(TrialStatus.FAILED):
        steps.append(Step(f"trialist trials {name} --status failed", "what failed"))
        steps.append(Step(f"trialist retry {name} --failed", "tries that again"))
    return steps


def how_to_run(study: Study) -> Step:
    """How somebody makes a study run that no process leads."""
    name, objective = quoted(study.name), study.spec.objective or {}
    if study.spec.door == "sweep":
        return Step(f"trialist sweep --resume {name}", "runs it; no process leads it now")
    if study.spec.door == "hpo":
        again = f"optimize(…, study_name={study.name!r}, resume=True) goes on"
        return Step(f"no process leads it: in Python, {again}; or trialist queue {name} hands it to workers")
    what = objective.get("function")
    if what:
        file, _, _ = str(what).rpartition(":")
        script = file if file.endswith(".py") else f"the script of {what}"
        return Step(f"no process leads it: run {script} again (with resume=True), and it goes on")
    return Step(
        f"no process leads it: in Python, load_study({study.name!r}).run(objective) goes on, or ask() and tell()"
    )
