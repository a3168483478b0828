"""Fault points: named in one table, once in the code, silent unless switched on, and exact when they are."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from trialist.core import faults
from trialist.core.faults import ENVIRONMENT, MARKS, POINTS, Fault, UnknownFault, parse

PACKAGE = Path(faults.__file__).parents[1]


@pytest.fixture
def switch(monkeypatch):
    """Says what ``TRIALIST_FAULTS`` holds, as if the process had started with it."""

    def on(text: str, marks: Path | None = None, role: str = "engine") -> None:
        monkeypatch.setenv(ENVIRONMENT, text)
        if marks is not None:
            monkeypatch.setenv(MARKS, str(marks))
        faults.play(role)

    yield on
    monkeypatch.undo()
    faults.play("engine")


def passed_in_code() -> Counter[str]:
    import ast

    found: Counter[str] = Counter()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "faults.point":
                (name,) = node.args
                assert isinstance(name, ast.Constant), f"{file}:{node.lineno}: a point is named by a constant"
                found[name.value] += 1
    return found


def test_every_point_stands_exactly_once_in_the_code():
    assert passed_in_code() == Counter(dict.fromkeys(POINTS, 1))


def test_a_point_does_nothing_unless_it_is_switched_on(switch):
    for text in ("", "engine.commit.after=enospc", "warden:engine.commit.before=enospc"):
        switch(text)
        faults.point("engine.commit.before")


def test_a_point_strikes_at_its_passings_and_at_no_other(switch):
    switch("engine.commit.before=enospc@2-3")
    struck = []
    for _ in range(5):
        try:
            faults.point("engine.commit.before")
            struck.append(None)
        except OSError as error:
            struck.append(error.errno)
    assert struck == [None, errno.ENOSPC, errno.ENOSPC, None, None]


def test_of_many_processes_one_is_struck(switch, tmp_path):
    switch("engine.commit.before=eio", tmp_path)
    with pytest.raises(OSError, match=r"engine\.commit\.before") as told:
        faults.point("engine.commit.before")
    assert told.value.errno == errno.EIO
    faults.play("engine")  # as another process would begin
    faults.point("engine.commit.before")
    assert [mark.name for mark in tmp_path.iterdir()] == ["engine.commit.before@1"]


def test_a_short_write_is_half_only_where_it_is_struck(switch):
    assert bytes(faults.short("sinks.torn", memoryview(b"abcd"))) == b"abcd"
    switch("sinks.torn=pass")
    assert bytes(faults.short("sinks.torn", memoryview(b"abcd"))) == b"ab"
    assert bytes(faults.short("sinks.torn", memoryview(b"a"))) == b"a"


def test_a_disk_is_full_while_a_file_says_so(switch, tmp_path):
    switch("engine.commit.before=full@1-9", tmp_path)
    faults.point("engine.commit.before")
    (tmp_path / "engine.commit.before.full").touch()
    with pytest.raises(OSError, match=r"engine\.commit\.before") as told:
        faults.point("engine.commit.before")
    assert told.value.errno == errno.ENOSPC
    (tmp_path / "engine.commit.before.full").unlink()
    faults.point("engine.commit.before")


@pytest.mark.parametrize(("action", "code"), [("kill", -signal.SIGKILL), ("exit", 70)])
def test_a_process_ends_at_a_point(action, code):
    program = "from trialist.core import faults\nfaults.point('engine.leased')\nfaults.point('engine.leased')\nprint(1)"
    environment = {**os.environ, ENVIRONMENT: f"engine:engine.leased={action}@2"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (code, b"")


def test_a_process_stops_at_a_point_and_waits_at_another(tmp_path):
    program = "from trialist.core import faults\nfaults.point('engine.leased')\nfaults.point('engine.opened')\nprint(1)"
    text = "engine.leased=stop,engine.opened=wait"
    environment = {**os.environ, ENVIRONMENT: text, MARKS: str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert not (tmp_path / "engine.opened@1").exists()
        process.send_signal(signal.SIGCONT)
        (tmp_path / "engine.opened.go").touch()
        assert process.communicate()[0] == b"1\n"
    assert (tmp_path / "engine.opened@1").exists()


def test_roles_and_passings_are_read():
    text = "engine:store.write.after=kill@3, trial:trial.report.sent=stop ,warden.exited=exit@2-4"
    assert parse(text, "engine") == {"store.write.after": Fault("kill", 3, 3), "warden.exited": Fault("exit", 2, 4)}
    assert parse(text, "trial") == {"trial.report.sent": Fault("stop"), "warden.exited": Fault("exit", 2, 4)}


@pytest.mark.parametrize(
    "text",
    ["engine.leesed=kill", "engine.leased=kil", "boss:engine.leased=kill", "engine.leased", "engine.leased=kill@0",
     "engine.leased=kill@x", "engine.leased=kill@-3"],
)  # fmt: skip
def test_what_cannot_be_is_an_error(text):
    with pytest.raises(UnknownFault):
        parse(text, "engine")


def test_a_name_that_is_no_point_is_an_error_while_any_is_switched_on(switch):
    switch("engine.leased=pass")
    with pytest.raises(UnknownFault, match=r"engine\.leesed"):
        faults.point("engine.leesed")
