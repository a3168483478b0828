"""A commit as rows: what the events leave in the tables beside the rows that the caller folded.

Everything is encoded before the transaction begins, so that the database is locked for no longer than it writes. Knows
statements and a cursor; leases and fences are the store's (``store.sql``).
"""

from __future__ import annotations

from trialist.core import faults
from trialist.core.errors import InternalError
from trialist.core.events import (
    AttemptEnded,
    AttemptStarted,
    Checkpointed,
    CheckpointFreed,
    CommandApplied,
    CommandRefused,
    Event,
    Reported,
    RunConfigured,
    StudyStatusChanged,
    StudySubmitted,
    StudyWithdrawn,
    TrialEnded,
    TrialSuggested,
)
from trialist.core.ports import Commit
from trialist.core.records import CommandStatus
from trialist.core.wire import event_to_json
from trialist.store import rows, statements
from trialist.store.backend import Cursor, Together
from trialist.store.compiling import Statements
from trialist.store.paging import Ranking

_IN_SPEC = RunConfigured | StudySubmitted | StudyWithdrawn
_IN_LINE = StudyStatusChanged | StudySubmitted | StudyWithdrawn


class Batch:
    """The rows of one commit to the study ``sid``.

    Raises:
        InternalError: The events leave a gap in ``seq``.
        ValueError: Something in it is no JSON.
    """

    def __init__(self, sid: int, commit: Commit) -> None:
        self._sid = sid
        self._events: list[rows.Row] = []
        self._attempts: dict[tuple[int, int], list[str | None]] = {}
        """Begun in this commit: how they began and, where they ended in it too, how they ended."""
        self._endings: dict[tuple[int, int], str] = {}
        """Of attempts that began before it; the first ending counts."""
        self._reports: dict[tuple[int, int, int], tuple[float, dict[str, float]]] = {}
        self._checkpoints: dict[str, rows.Row] = {}
        """Taken in this commit and not freed in it again."""
        self._freed: dict[str, rows.Row] = {}
        """Taken before it."""
        self._answers: dict[int, tuple[str, str]] = {}
        """The first answer counts."""
        self._specs: list[rows.Row] = []
        self._line: list[rows.Row] | None = None
        """The study's place among what workers have to do; ``None``: as it was."""
        since = commit.study.in_line_since
        self._add_trials(commit)
        seq = commit.study.seq - len(commit.events)
        for event in commit.events:
            seq += 1
            if event.seq != seq:
                raise InternalError(f"an event has seq {event.seq} where {seq} is due: {event}")
            self._events.append((sid, seq, event.at, event.kind, rows.event_body(event)))
            self._derive(event)
            if isinstance(event.body, _IN_SPEC):
                self._specs = [(rows.spec_text(commit.study.spec), sid)]
            if isinstance(event.body, _IN_LINE):
                self._line = [] if since is None else [(sid, since)]

    def leave_the_line_alone(self) -> None:
        """Nobody is to find the study there yet."""
        self._line = None

    def _add_trials(self, commit: Commit) -> None:
        sid, rank = self._sid, Ranking(commit.study.spec)
        self._new = [
            (
                sid,
                trial.number,
                trial.status.value,
                rank(trial.value, trial.metrics),
                rows.dumps(dict(trial.params)),
                rows.trial_origin(trial),
                rows.trial_state(trial),
            )
            for trial in commit.new_trials
        ]
        self._changed = [
            (trial.status.value, rank(trial.value, trial.metrics), rows.trial_state(trial), sid, trial.number)
            for trial in commit.changed_trials
        ]

    def _derive(self, event: Event) -> None:
        body = event.body
        match body:
            case AttemptStarted():
                self._attempts[body.trial, body.attempt] = [rows.attempt_start(event, body), None]
            case TrialEnded() | AttemptEnded():
                begun = self._attempts.get((body.trial, body.attempt))
                if begun is None:
                    self._endings.setdefault((body.trial, body.attempt), rows.attempt_ending(event, body))
                elif begun[1] is None:
                    begun[1] = rows.attempt_ending(event, body)
            case Reported():
                key = (body.trial, body.attempt, body.step)
                known = self._reports.get(key)
                metrics = dict(body.metrics) if known is None else {**known[1], **body.metrics}
                self._reports[key] = (event.at, metrics)
            case Checkpointed():
                data = rows.checkpoint_text(event, body)
                self._freed.pop(body.checkpoint, None)
                self._checkpoints[body.checkpoint] = (self._sid, body.checkpoint, body.trial, event.seq, data)
            case CheckpointFreed():
                if self._checkpoints.pop(body.checkpoint, None) is None:
                    self._freed[body.checkpoint] = (self._sid, body.checkpoint)
            case CommandApplied():
                self._answer(body.command, CommandStatus.APPLIED, rows.applied_answer(body))
            case CommandRefused():
                self._answer(body.command, CommandStatus.REFUSED, rows.refused_answer(body))

    def _answer(self, command: int, status: CommandStatus, answer: str) -> None:
        self._answers.setdefault(command, (status.value, answer))

    def write(self, cursor: Cursor, together: Together, sql: Statements) -> None:
        """Write all rows, inside a transaction behind a fence.

        Args:
            cursor: The transaction's.
            together: It may hold the fence, not run yet; all of it has been run in the end.
            sql: Compiles statements.

        Raises:
            InternalError: A row that was to change is not there or is terminal; the transaction must be rolled back.
        """
        together.run(sql(statements.insert_trial), self._new)
        together.run(sql(statements.update_trial), self._changed, self._check_changed)
        faults.point("store.commit.trials")
        together.run(sql(statements.insert_event), self._events)
        faults.point("store.commit.events")
        begun = [(self._sid, *key, start, ending) for key, (start, ending) in self._attempts.items()]
        together.run(sql(statements.insert_attempt), begun)
        ended = [(ending, self._sid, *key) for key, ending in self._endings.items()]
        together.run(sql(statements.end_attempt), ended)
        new = [(self._sid, *key, at, rows.metrics_text(metrics)) for key, (at, metrics) in self._reports.items()]
        inserted: list[int] = []
        together.run(sql(statements.insert_report), new, inserted.append)
        faults.point("store.commit.reports")
        together.run(sql(statements.insert_checkpoint), list(self._checkpoints.values()))
        together.run(sql(statements.delete_checkpoint), list(self._freed.values()))
        answered = [(*answer, self._sid, command) for command, answer in self._answers.items()]
        together.run(sql(statements.answer_command), answered)
        together.run(sql(statements.update_spec), self._specs)
        if self._line is not None:
            together.run(sql(statements.leave_line), [(self._sid,)])
            together.run(sql(statements.enter_line), self._line)
        together.finish()
        if inserted != [len(new)]:
            self._merge_reports(cursor, sql)

    def _check_changed(self, count: int) -> None:
        if count != len(self._changed):
            numbers = ", ".join(str(row[-1]) for row in self._changed)
            raise InternalError(
                f"of the trials {numbers}, at least one has ended or is not there: nothing may change it."
            )

    def _merge_reports(self, cursor: Cursor, sql: Statements) -> None:
        """Add to the reports of steps that had one already; worth looking for only where an insert left some out."""
        for key, (at, metrics) in self._reports.items():
            place = dict(zip(("trial_", "attempt_", "step_"), key, strict=True))
            find = sql(statements.report)
            cursor.execute(find.text, find.bind(sid_=self._sid, **place))
            stored = rows.read_metrics(cursor.fetchone()[0])
            text = rows.metrics_text({**stored, **metrics})
            update = sql(statements.update_report)
            cursor.execute(update.text, update.bind(sid_=self._sid, at=at, metrics=text, **place))


def rest_of(commit: Commit, last: Event) -> Commit | None:
    """What of a commit is still to be written where its beginning is there already, up to the event ``last``.

    ``None``: the beginning of something else is there. A call whose outcome its caller never heard of is made again with
    what has happened since.
    """
    base = commit.study.seq - len(commit.events)
    written = last.seq - base
    if not 0 < written <= len(commit.events) or event_to_json(commit.events[written - 1]) != event_to_json(last):
        return None
    left = commit.events[written:]
    touched = {event.trial for event in left}
    new = {event.body.trial for event in left if isinstance(event.body, TrialSuggested)}
    ended = {event.body.trial for event in left if isinstance(event.body, TrialEnded)}
    return Commit(
        study=commit.study,
        events=left,
        new_trials=[trial for trial in commit.new_trials if trial.number in new],
        changed_trials=[
            trial
            for trial in (*commit.new_trials, *commit.changed_trials)
            if trial.number in touched - new and (trial.number in ended or not trial.status.is_terminal)
        ],
    )
