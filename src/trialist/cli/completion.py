"""What a shell offers when somebody presses Tab: the names of studies. Never fails and never makes a store."""

from __future__ import annotations

import os
from typing import Any

from trialist.core.errors import TrialistError
from trialist.store.locate import open_store

_OFFERED = 200


def study_names(ctx: Any, args: list[str], incomplete: str) -> list[str]:
    """Names of the newest studies that begin with what was typed.

    Args:
        ctx: The half-parsed command line, for its ``--store``.
        args: Unused.
        incomplete: What was typed.
    """
    store = ctx.params.get("store") or os.environ.get("TRIALIST_STORE") or None
    try:
        opened = open_store(store, create=False)
        found = opened.list_studies(search=incomplete, limit=_OFFERED).studies
        opened.close()
    except TrialistError:
        return []
    return [study.name for study in found if study.name.startswith(incomplete)]
