"""Tasks to search on: a space, what each of its points costs, and a scale on which tasks can be compared.

``lcbench`` (learning-curve surrogates) and ``real`` (scikit-learn on bundled data) are what figures are told of;
``synthetic`` tasks are for development and count nowhere. Knows no searcher.
"""

from __future__ import annotations

import os

from tasks.lcbench import lcbench_tasks
from tasks.real import real_tasks
from tasks.synthetic import synthetic_tasks
from tasks.task import Task, cache_room

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    # Libraries that a searcher loads at its first ask come after threadpoolctl has set its limits; they read these.
    os.environ.setdefault(_name, "1")

GROUPS = ("lcbench", "real", "synthetic")
COUNTED = ("lcbench", "real")

__all__ = ["COUNTED", "GROUPS", "Task", "all_tasks", "cache_room", "find"]


def all_tasks() -> dict[str, Task]:
    """Every task by name, group by group."""
    return {task.name: task for task in (*lcbench_tasks(), *real_tasks(), *synthetic_tasks())}


def find(words: str) -> list[Task]:
    """The tasks that comma-separated words name: groups or tasks.

    Raises:
        SystemExit: A word names nothing; says what there is.
    """
    known, found = all_tasks(), {}
    for word in filter(None, words.split(",")):
        named = [task for task in known.values() if word in (task.name, task.group)]
        if not named:
            raise SystemExit(f"no task or group is called '{word}': there are {', '.join((*GROUPS, *known))}")
        found.update({task.name: task for task in named})
    return list(found.values())
