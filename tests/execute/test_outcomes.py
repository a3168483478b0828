"""What facts about a process's end mean."""

import signal

import pytest

from trialist.core.records import FailureReason, OutcomeKind
from trialist.execute.outcomes import ended
from trialist.testing.executors import segment


def facts(**given):
    base = {
        "status": 0,
        "why": "",
        "told": None,
        "printed": {},
        "file": {},
        "file_problem": "",
        "logs": [""],
        "log_problem": "",
    }
    return {**base, **given}


def judge(tmp_path, **given):
    return ended(segment(tmp_path, timeout_s=5.0), facts(**given), reported=False)


@pytest.mark.parametrize(
    ("given", "outcome", "reason"),
    [
        ({}, OutcomeKind.RETURNED, None),
        ({"status": 3 << 8}, OutcomeKind.EXITED, FailureReason.EXIT_CODE),
        ({"status": signal.SIGSEGV}, OutcomeKind.SIGNALLED, FailureReason.SIGNAL),
        ({"status": signal.SIGKILL, "oom_killed": True}, OutcomeKind.SIGNALLED, FailureReason.OUT_OF_MEMORY),
        ({"status": signal.SIGKILL}, OutcomeKind.SIGNALLED, FailureReason.SIGNAL),
        ({"status": signal.SIGKILL, "why": "timeout"}, OutcomeKind.TIMED_OUT, FailureReason.TIMEOUT),
        ({"status": signal.SIGKILL, "why": "kill"}, OutcomeKind.KILLED, None),
        ({"status": signal.SIGTERM, "why": "stop", "told": "stop"}, OutcomeKind.STOPPED, None),
        ({"status": 42 << 8, "told": "stop"}, OutcomeKind.STOPPED, None),
        ({"status": 1 << 8, "told": "stop"}, OutcomeKind.STOPPED, None),
        ({"status": 43 << 8, "told": "evict"}, OutcomeKind.EVICTED, None),
        ({"status": 0, "told": "evict", "left": "evict"}, OutcomeKind.EVICTED, None),
        ({"status": 0, "told": "evict"}, OutcomeKind.RETURNED, None),
        ({"status": 43 << 8}, OutcomeKind.EXITED, FailureReason.EXIT_CODE),
        ({"status": 1 << 8, "logs": ["…\nMemoryError\n"]}, OutcomeKind.EXITED, FailureReason.OUT_OF_MEMORY),
        (
            {"status": 1 << 8, "logs": ["torch.OutOfMemoryError: CUDA out of memory. Tried"]},
            OutcomeKind.EXITED,
            FailureReason.OUT_OF_MEMORY,
        ),
        (
            {"status": 1 << 8, "failed": {"reason": "not_finite", "message": "m", "detail": ""}},
            OutcomeKind.RAISED,
            FailureReason.NOT_FINITE,
        ),
        (
            {"status": 1 << 8, "failed": {"reason": "made up", "message": "m", "detail": ""}},
            OutcomeKind.RAISED,
            FailureReason.EXCEPTION,
        ),
    ],
)
def test_outcomes(tmp_path, given, outcome, reason):
    end = judge(tmp_path, **given)
    assert (end.outcome, end.error and end.error.reason) == (outcome, reason)


def test_messages(tmp_path):
    assert judge(tmp_path, status=139 << 8).error.message == "exit code 139 (SIGSEGV in a child)"
    assert judge(tmp_path, status=1 << 8, logs=["out\n", "\x1b[31merr\x1b[0m\n\n"]).error.message == "exit code 1: err"
    assert judge(tmp_path, status=64).error.message.startswith("ended by ")
    assert judge(tmp_path, why="timeout", status=9, logs=["at 3"]).error.message == "timed out after 5 s: at 3"


def test_details_are_bounded_and_say_what_is_missing(tmp_path):
    end = judge(tmp_path, status=1 << 8, logs=["é" * 20000, "err"], log_problem="No space left on device")
    assert len(end.error.detail.encode()) <= 16 * 1024
    end = judge(tmp_path, status=1 << 8, logs=["words"], log_problem="No space left on device")
    assert end.error.detail == "(the log is incomplete: No space left on device)\n\nwords"


def test_the_file_wins_over_what_the_function_returned(tmp_path):
    end = judge(tmp_path, result={"a": 1.0, "b": "NaN"}, file={"a": 2.0})
    assert end.metrics["a"] == 2.0
    assert end.metrics["b"] != end.metrics["b"]
