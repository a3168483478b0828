"""Answers from outside that a searcher waits for, fetched beside the loop.

One request at a time: a searcher that waits for a reply suggests nothing else. Knows nothing of what a request means.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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
        self._pool: ThreadPoolExecutor | None = None
        self._key = ""
        self._future: Future[Reply] | None = None

    @property
    def outstanding(self) -> bool:
        return self._future is not None

    def request(self, needs: NeedsReply) -> None:
        """Commit the request, then begin it; does nothing while one is outstanding."""
        if self._future is not None:
            return
        if self._replier is None:
            name = self._lead.searcher.name if self._lead.searcher is not None else "?"
            raise ObjectiveError(f"searcher '{name}' asks for a reply, and nothing here can give one")
        self._lead.emit(ReplyRequested(key=needs.key, request=needs.request))
        self._commit()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="trialist-reply")
        self._key = needs.key
        self._future = self._pool.submit(_perform, self._replier, needs.request)
        self._future.add_done_callback(lambda _: self._wake())

    def collect(self) -> bool:
        """Fold in an answer that has come; returns whether one had."""
        if self._future is None or not self._future.done():
            return False
        reply = self._future.result()
        self._future = None
        self._lead.emit(ReplyReceived(key=self._key, reply=reply.reply, cost_usd=reply.cost_usd))
        self._commit()
        return True

    def close(self) -> None:
        """Give up waiting; a request that was begun is asked again by the next engine."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _perform(replier: Replier, request: Mapping[str, Any]) -> Reply:
    try:
        reply = replier(request)
        json.dumps(reply.reply, allow_nan=False)
    except Exception as error:  # noqa: BLE001  whatever went wrong outside is an answer the searcher must handle
        return Reply({"error": f"{type(error).__name__}: {error}"})
    return reply
