"""Log files with a head, a tail and an honest middle."""

import errno
import os

import pytest

from trialist.execute import logs
from trialist.execute.logs import CappedLog


def test_what_fits_is_written_as_it_came(tmp_path):
    log = CappedLog(str(tmp_path / "log"), head=100, tail=10)
    log.write(b"one\n")
    log.write(b"two\n")
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"  # at once, for who watches
    log.close()
    log.close()
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


def test_the_middle_is_left_out_and_counted(tmp_path):
    log = CappedLog(str(tmp_path / "log"), head=10, tail=5)
    for number in range(1000):
        log.write(b"%03d" % number)
    log.close()
    content = (tmp_path / "log").read_bytes()
    assert content == b"0000010020" + "\n… truncated: 2985 bytes left out …\n".encode() + b"98999"


def test_nothing_is_left_out_where_the_tail_holds_the_rest(tmp_path):
    log = CappedLog(str(tmp_path / "log"), head=4, tail=6)
    log.write(b"0123456789")
    log.close()
    assert (tmp_path / "log").read_bytes() == b"0123456789"


def test_what_was_there_counts_as_head(tmp_path):
    (tmp_path / "log").write_bytes(b"before")
    log = CappedLog(str(tmp_path / "log"), head=8, tail=2)
    log.write(b"abcdef")
    log.close()
    assert (tmp_path / "log").read_bytes().startswith(b"beforeab\n")


def test_the_recent_bytes_are_bounded(tmp_path):
    log = CappedLog(str(tmp_path / "log"))
    for _ in range(100):
        log.write(b"x" * 10000)
    log.write(b"end")
    assert len(log.recent) == logs.RECENT
    assert log.recent.endswith(b"xend")
    log.close()


def test_links_are_not_followed(tmp_path):
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="Too many levels"):
        CappedLog(str(tmp_path / "log"))


def test_a_full_disk_loses_bytes_and_says_how_many_when_there_is_room(tmp_path, monkeypatch):
    log = CappedLog(str(tmp_path / "log"))
    write = os.write

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    log.write(b"before ")
    monkeypatch.setattr(logs.os, "write", full)
    log.write(b"lost")
    log.write(b"lost too")
    assert log.problem == "No space left on device"
    monkeypatch.setattr(logs.os, "write", write)
    monkeypatch.setattr(logs, "_RETRY_S", 0.0)
    log._retry_at = 0.0
    log.write(b"after")
    log.close()
    expected = "before \n… 12 bytes could not be written: No space left on device …\nafter"
    assert (tmp_path / "log").read_text() == expected
