"""Who lives and who leads."""

import os
import subprocess
import sys
from dataclasses import replace

from trialist.store import holders
from trialist.store.holders import LeaseState, boot_time, holder, is_alive
from trialist.testing.stores import ELSEWHERE, dead_holder


def test_this_process_is_alive_and_names_itself():
    me = holder()
    assert me.pid == os.getpid()
    assert is_alive(me)
    assert str(me) == f"pid {os.getpid()} on {me.host}"
    assert me == holder()


def test_another_process_of_this_machine_has_the_same_machine():
    code = "from trialist.store.holders import holder; print(holder().machine, holder().pid_started)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert child[0] == holder().machine
    assert float(child[1]) >= float(holder().pid_started)


def test_the_dead_are_dead():
    assert not is_alive(dead_holder())


def test_a_reused_pid_is_another_process():
    assert not is_alive(replace(holder(), pid_started="1"))


def test_a_zombie_is_dead():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = holders._process(child.pid)
    assert found is not None
    who = replace(holder(), pid=child.pid, pid_started=found[0])
    assert is_alive(who)
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(who)
    child.wait()


def test_nobody_elsewhere_is_known_to_be_dead():
    assert is_alive(ELSEWHERE)


def test_one_machine_counts_by_its_boot_clock_and_two_by_the_wall(monkeypatch):
    lease = LeaseState().taken(holder(), 100)
    there = LeaseState().taken(ELSEWHERE, 100)
    now = holders.time.time()
    monkeypatch.setattr(holders.time, "time", lambda: now + 1e6)
    assert lease.leader() == holder()
    assert there.leader() is None
    monkeypatch.setattr(holders.time, "time", lambda: now - 1e6)
    assert there.leader() == ELSEWHERE
    monkeypatch.setattr(holders, "boot_time", lambda: boot_time() + 101)
    assert lease.leader() is None
    assert there.leader() == ELSEWHERE


def test_without_proc_ps_is_asked(monkeypatch, tmp_path):
    """As on macOS."""
    monkeypatch.setattr(holders, "_PROC", tmp_path)
    asked = []

    def ps(*command):
        asked.append(command)
        return "Ss   Fri Nov 21 02:01:22 2026" if command[-1] == "7" else "Z+ Fri Nov 21" if command[-1] == "8" else ""

    monkeypatch.setattr(holders, "_output", ps)
    assert holders._process(7) == ("Fri Nov 21 02:01:22 2026", False)
    assert holders._process(8) == ("Fri Nov 21", True)
    assert holders._process(9) is None
    assert asked[0][0] == "ps"
