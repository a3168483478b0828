"""What a worker says: one line for each thing that a person should know, and the same as data. Pure; prints nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from trialist.core.states import StudyStatus
from trialist.worker.messages import Message

_FACTS = ("counts", "num_trials", "jobs", "metric", "best_value", "best_trial")


class Happening(NamedTuple):
    """Something that a person should know."""

    kind: str
    text: str
    """One line."""
    study: str | None = None
    facts: Mapping[str, Any] = {}


def claimed(message: Message) -> Happening:
    """A leader has claimed a study, or has taken it over from a dead one."""
    study, taken_from, jobs = message["study"], message["took_over"], message["jobs"]
    progress = _done(message) + (f", {jobs} at a time" if jobs > 1 else "")
    if taken_from is None:
        return Happening("claimed", f"claimed {study}: {progress}", study, _facts(message))
    text = f"took over {study} from {taken_from or 'a dead leader'}: {progress}"
    return Happening("took_over", text, study, _facts(message))


def ended(study: str, end: Message | None, code: int) -> Happening:
    """The process that led a study has ended.

    Args:
        study: Its name.
        end: The process's last word; ``None``: it died without one.
        code: Its exit code.
    """
    if end is None:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        text = f"the leader of {study} died ({how}); the study is taken up again"
        return Happening("died", text, study, {"exit_code": code})
    if end["op"] == "lost":
        return Happening("lost", f"lost {study}: its lease ran out, and another process leads it", study)
    if end["op"] == "broke":
        return Happening("broke", f"left {study}: {end['error']}", study)
    return _settled(study, end)


def _settled(study: str, end: Message) -> Happening:
    status, reason, facts = StudyStatus(end["status"]), end["reason"], _facts(end)
    match status:
        case StudyStatus.QUEUED:
            return Happening("handed_back", f"handed back {study}: {_done(end)}", study, facts)
        case StudyStatus.FAILED:
            text = f"failed {study}: {reason.rstrip('.')}; {_done(end)}"
            return Happening("failed", text, study, {"reason": reason, **facts})
        case StudyStatus.RUNNING:
            return Happening("lost", f"left {study}: another process leads it", study)
        case _:
            word = "finished" if status is StudyStatus.COMPLETED else status.value
            why = f" ({reason})" if reason else ""
            text = f"{word} {study}{why}: {_done(end)}{_best(end)}"
            return Happening(word, text, study, {"reason": reason, **facts})


def _best(end: Message) -> str:
    if end["best_value"] is None:
        return ""
    return f"; best {end['metric']}={end['best_value']:.6g} (trial {end['best_trial']})"


def _done(message: Message) -> str:
    """``7 of 20 trials done, 1 of them failed``."""
    counts = message["counts"]
    over = sum(counts.get(status, 0) for status in ("completed", "stopped", "failed", "cancelled"))
    total = message["num_trials"]
    out_of = f"{over} trial{'s' * (over != 1)}" if total is None else f"{over} of {total} trial{'s' * (total != 1)}"
    failed = counts.get("failed", 0)
    return f"{out_of} done" + (f", {failed} of them failed" if failed else "")


def _facts(message: Message) -> dict[str, Any]:
    return {key: message[key] for key in _FACTS}
