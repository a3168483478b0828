"""One test over every database product."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.extras)])
def any_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new store, once for each database product."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db"
    return str(request.getfixturevalue("postgres_url"))
