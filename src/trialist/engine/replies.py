"""Answers from outside that a searcher waits for, fetched beside the loop.

One request at a time: a searcher that waits for a reply suggests nothing else. Knows nothing of what a request means.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from trialist.core.errors import ObjectiveError
from trialist.core.events import ReplyReceived, ReplyRequested
from trialist.core.ports import Replier, Reply
from trialist.core.records import NeedsReply
from trialist.engine.lead import Lead


class Replies:
    """The outstanding request of a led study.

    Args:
        lead: Where requests and replies become events.
        replier: Performs requests; ``None``: a searcher that asks is an error.
        wake: Called from the fetching thread when an answer is there.
        commit: Makes requests and replies durable, through a store that is away.
    """

    def __init__(
        self, lead: Lead, replier: Replier | None, wake: Callable[[], None], commit: Callable[[], None]
    ) -> None:
        self._lead = lead
        self._replier = replier
        self._wake = wake
        self._commit = commit
        self._request: _Request | None = None

    @property
    def outstanding(self) -> bool:
        return self._request is not None

    def request(self, needs: NeedsReply) -> None:
        """Commit the request, then begin it; does nothing while one is outstanding."""
        if self._request is not None:
            return
        if self._replier is None:
            name = self._lead.searcher.name if self._lead.searcher is not None else "?"
            raise ObjectiveError(f"searcher '{name}' asks for a reply, and nothing here can give one")
        self._lead.emit(ReplyRequested(key=needs.key, request=needs.request))
        self._commit()
        self._request = _Request(needs.key, self._wake)
        # A daemon: whoever gives up the request must not have to wait for it when the process ends.
        args = (self._request, self._replier, needs.request)
        threading.Thread(target=_perform, args=args, name="trialist-reply", daemon=True).start()

    def collect(self) -> bool:
        """Fold in an answer that has come; returns whether one had."""
        request = self._request
        if request is None or request.reply is None:
            return False
        self._request = None
        key, reply = request.key, request.reply
        self._lead.emit(ReplyReceived(key=key, reply=reply.reply, cost_usd=reply.cost_usd))
        self._commit()
        return True

    def drop(self) -> None:
        """Give up waiting; what was asked is asked again by the next engine, and an answer that still comes is lost."""
        request, self._request = self._request, None
        if request is not None:
            request.give_up()


class _Request:
    """A request under way.

    ``_lock`` keeps the thread that performs it from waking an executor that its engine, having given up, has closed.
    """

    def __init__(self, key: str, wake: Callable[[], None]) -> None:
        self.key = key
        self.reply: Reply | None = None
        self._wake = wake
        self._lock = threading.Lock()
        self._given_up = False

    def answer(self, reply: Reply) -> None:
        with self._lock:
            self.reply = reply
            if not self._given_up:
                self._wake()

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True


def _perform(request: _Request, replier: Replier, asked: Mapping[str, Any]) -> None:
    try:
        reply = replier(asked)
        json.dumps(reply.reply, allow_nan=False)
    except BaseException as error:  # noqa: BLE001  whatever went wrong outside, SystemExit too, is an answer
        reply = Reply({"error": f"{type(error).__name__}: {error}"})
    request.answer(reply)
