"""What the end of a process means: from the facts that the warden saw to an ``ExitedSignal``.

Pure: knows no process, only what was seen of one.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from trialist.core.ports import ExitedSignal
from trialist.core.records import AttemptKey, Failure, FailureReason, OutcomeKind, Segment
from trialist.runtime.protocol import EXIT_CODES, Order, decode_metrics

_MAX_DETAIL = 16 * 1024
_MAX_MESSAGE = 500
MEMORY, GB = "memory_gb", 1e9
"""Name and unit of the resource that limits a trial's memory."""
_SIGNALS = {
    "SIGSEGV": "segmentation fault",
    "SIGABRT": "aborted",
    "SIGBUS": "bus error",
    "SIGFPE": "arithmetic error",
    "SIGILL": "illegal instruction",
    "SIGTERM": "terminated",
    "SIGKILL": "killed",
    "SIGINT": "interrupted",
    "SIGHUP": "hung up",
    "SIGXCPU": "CPU time limit reached",
    "SIGPIPE": "broken pipe",
    "SIGSYS": "forbidden system call",
}
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_OURS = re.compile(r'\s*File ".*[/\\]trialist[/\\]execute[/\\]template\.py", line \d+')
"""The lowest frame of a warm trial, in what a crash prints."""
_OUT_OF_MEMORY = re.compile(r"^(?:[\w.]*MemoryError|[\w.]*OutOfMemoryError)\b|CUDA out of memory|std::bad_alloc")


def not_started(key: AttemptKey, message: str) -> ExitedSignal:
    """The end of an attempt that never began."""
    failure = Failure(reason=FailureReason.NOT_STARTED, message=message[:_MAX_MESSAGE])
    return ExitedSignal(key=key, outcome=OutcomeKind.NOT_STARTED, error=failure)


def refused_by_system(key: AttemptKey, argv: Sequence[str], told: Sequence[Any]) -> ExitedSignal:
    """``not_started`` for what the system answered.

    Args:
        key: The attempt.
        argv: What was to be run.
        told: Error number, file name and text of the error, as the warden saw it.
    """
    number, file, text = told
    program = argv[0] if argv else ""
    if file is not None and file != program:
        where = f"'{file}'"
        known = {
            errno.ENOENT: "there is no {}",
            errno.EACCES: "permission denied: {}",
            errno.ENOTDIR: "{} is no directory",
        }
        message = known.get(number, "{}: " + (os.strerror(number) if number else text)).format(where)
    elif number == errno.ENOENT:
        message = f"command not found: '{program}'"
    elif number == errno.EACCES:
        message = f"permission denied: '{program}' (is it executable?)"
    elif number == errno.E2BIG:
        message = f"the arguments and the environment of '{program}' are too long for the system"
    elif number == errno.ENOEXEC:
        message = f"'{program}' is no program (does its first line name an interpreter?)"
    else:
        message = f"'{program}' cannot be started: {os.strerror(number) if number else text}"
    return not_started(key, message)


def ended(segment: Segment, facts: Mapping[str, Any], *, reported: bool) -> ExitedSignal:
    """What the warden's ``exited`` message means.

    Args:
        segment: What ran.
        facts: The message.
        reported: Whether metrics came during the run.
    """
    outcome, failure = _judge(segment, facts)
    metrics = {**decode_metrics(facts.get("result", {})), **decode_metrics(facts["file"])}
    printed = decode_metrics(facts["printed"])
    if outcome is OutcomeKind.RETURNED and facts["file_problem"] and not (metrics or printed or reported):
        outcome = OutcomeKind.RAISED
        failure = Failure(reason=FailureReason.BAD_RESULT, message=facts["file_problem"][:_MAX_MESSAGE])
    return ExitedSignal(key=segment.key, outcome=outcome, metrics=metrics, printed=printed, error=failure)


def worker_died(facts: Mapping[str, Any]) -> str:
    """How a worker died that trials were lost with, from the warden's ``lost`` message."""
    if facts["outgrown"]:
        used, limit = (number / GB for number in facts["outgrown"])
        return f"{facts['worker']} used {used:.3g} GB of the {limit:.3g} GB that its trials asked for ({MEMORY})"
    if facts["hung"]:
        return f"{facts['worker']} was ended because several trials in it took too long at once, and did not leave"
    if facts["on_purpose"]:
        return f"{facts['worker']} was ended because another trial in it did not heed its orders"
    code = os.waitstatus_to_exitcode(facts["status"])
    if code < 0:
        how = _signalled(-code, facts["oom_killed"], [_readable(facts["log"])], "").message
    else:
        how = f"exit code {code}{_last_words([_readable(facts['log'])])}"
    return f"{facts['worker']} died: {how}"[:_MAX_MESSAGE]


def _judge(segment: Segment, facts: Mapping[str, Any]) -> tuple[OutcomeKind, Failure | None]:
    why, told, left = facts["why"], facts["told"], facts.get("left")
    code = os.waitstatus_to_exitcode(facts["status"])
    logs = [_readable(text) for text in facts["logs"]]
    detail = _detail(logs, facts["log_problem"])
    if why == "timeout":
        message = f"timed out after {segment.timeout_s:g} s" + _last_words(logs)
        return OutcomeKind.TIMED_OUT, Failure(reason=FailureReason.TIMEOUT, message=message, detail=detail)
    if why == "memory":
        used, limit = facts["memory_bytes"] / GB, segment.resources[MEMORY]
        message = f"used {used:.3g} GB of the {limit:g} GB it asked for ({MEMORY})"
        return OutcomeKind.SIGNALLED, Failure(reason=FailureReason.OUT_OF_MEMORY, message=message, detail=detail)
    if why in ("kill", "close", "silence"):
        return (OutcomeKind.KILLED if why == "kill" else OutcomeKind.INTERRUPTED), None
    if told == Order.STOP:
        return OutcomeKind.STOPPED, None
    if told == Order.EVICT and (left == Order.EVICT or code == EXIT_CODES[Order.EVICT]):
        return OutcomeKind.EVICTED, None
    if "failed" in facts:
        return OutcomeKind.RAISED, _from_function(facts["failed"])
    if code == 0:
        return OutcomeKind.RETURNED, None
    if code < 0:
        return OutcomeKind.SIGNALLED, _signalled(-code, facts.get("oom_killed", False), logs, detail)
    reason = FailureReason.OUT_OF_MEMORY if _OUT_OF_MEMORY.search(_last_line(logs)) else FailureReason.EXIT_CODE
    message = f"exit code {code}{_in_shell(code)}{_last_words(logs)}"
    return OutcomeKind.EXITED, Failure(reason=reason, message=message[:_MAX_MESSAGE], detail=detail, exit_code=code)


def _from_function(failed: Mapping[str, str]) -> Failure:
    try:
        reason = FailureReason(failed["reason"])
    except ValueError:  # a trial may send anything
        reason = FailureReason.EXCEPTION
    return Failure(reason=reason, message=failed["message"][:_MAX_MESSAGE], detail=failed["detail"][:_MAX_DETAIL])


def _signalled(number: int, oom_killed: bool, logs: Sequence[str], detail: str) -> Failure:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    words = f"{_SIGNALS[name]} ({name})" if name in _SIGNALS else f"ended by {name}"
    reason = FailureReason.SIGNAL
    if number == signal.SIGKILL and oom_killed:
        reason = FailureReason.OUT_OF_MEMORY
        words += ": the machine ran out of memory"
    elif number == signal.SIGKILL:
        words += ", by none of us: perhaps a memory limit"
    return Failure(reason=reason, message=(words + _last_words(logs))[:_MAX_MESSAGE], detail=detail)


def _in_shell(code: int) -> str:
    """What a shell says of a child that a signal ended."""
    try:
        return f" ({signal.Signals(code - 128).name} in a child)" if code > 128 else ""
    except ValueError:
        return ""


def _last_line(logs: Sequence[str]) -> str:
    """The last line with something on it: of standard error, where it is apart."""
    for log in reversed(logs):
        for line in reversed(log.splitlines()):
            if line.strip() and not _OURS.match(line):
                return line.strip()
    return ""


def _last_words(logs: Sequence[str]) -> str:
    line = _last_line(logs)
    return f": {line}" if line else ""


def _readable(text: str) -> str:
    return _CONTROL.sub("", _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def _detail(logs: Sequence[str], problem: str) -> str:
    parts = [log.strip("\n") for log in reversed(logs) if log.strip()]
    if problem:
        parts.insert(0, f"(the log is incomplete: {problem})")
    text = "\n\n".join(parts)
    return text.encode()[-_MAX_DETAIL:].decode(errors="ignore")
