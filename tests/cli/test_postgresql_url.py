"""A store on PostgreSQL from the command line: what is shown of its URL, and what is not."""

from __future__ import annotations

import pytest

import trialist

pytestmark = pytest.mark.extras


def test_no_verb_shows_the_password(cli, postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    secret = postgres_url.replace("postgres@", "postgres:s3cret@")
    monkeypatch.setenv("TRIALIST_STORE", secret)
    study = trialist.create_study("digits", {"x": [1, 2, 3]}, metric="loss", mode="min")
    study.run(lambda trial: {"loss": trial.params["x"]}, num_trials=3, progress=False)
    study.store.close()
    said = []
    for arguments in (
        ["list"], ["list", "--json"], ["status", "digits"], ["show", "digits", "1"], ["doctor"], ["db", "version"],
        ["db", "version", "--json"], ["db", "upgrade"], ["fsck", "--json"], ["gc"], ["pause", "nothing"],
        ["export", "digits", "--format", "study"], ["export", "--all", "-o", str(tmp_path / "all.study")],
        ["import", str(tmp_path / "all.study")], ["import", str(tmp_path / "all.study"), "--rename", "again"],
        ["list", "--store", secret + "&nonsense=1"], ["list", "--store", secret.replace("/db_", "/nowhere_")],
        ["delete", "digits", "--yes"],
    ):  # fmt: skip
        done = cli(*arguments)
        said.append(done.out + done.err)
        assert "s3cret" not in said[-1], arguments
    assert "digits" in said[0]
    assert any(postgres_url in text for text in said)
