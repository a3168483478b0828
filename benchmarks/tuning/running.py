"""Runs the courses that are not kept yet, a few at a time in processes of their own, and shows how far it is.

Ctrl-C loses the courses under way and nothing else. Knows no figures.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache, partial

from tasks import Task, all_tasks
from threadpoolctl import threadpool_limits

from tuning.course import Course, Search
from tuning.kept import Kept, Key, Line
from tuning.ours import fingerprint, search
from tuning.peers import PEERS

Done = dict[str, dict[Key, Line]]
"""By searcher: its courses."""


def kept_of(name: str) -> Kept:
    """Where a searcher's courses are kept."""
    return Kept(name, PEERS[name].fingerprint if name in PEERS else fingerprint(name))


@cache
def _tasks() -> dict[str, Task]:
    return all_tasks()


def run_one(name: str, key: Key) -> Line:
    """A course, from its first trial to its last, on one thread."""
    task = _tasks()[key.task]
    course = Course(task=task, seed=key.seed, trials=key.trials)
    how: Search = PEERS[name].search if name in PEERS else partial(search, name)
    with threadpool_limits(1):
        began = time.perf_counter()
        how(course)
        asking_s = time.perf_counter() - began - course.evaluating_s
    return Line(key, task.version, tuple(course.seen), tuple(course.true), course.best, round(asking_s, 4))


def run(searchers: Sequence[str], tasks: Iterable[Task], seeds: Sequence[int], trials: int, *, jobs: int = 1) -> Done:
    """All courses of these, those that are kept included; seeds turn slowest, so that a stop leaves whole rounds."""
    tasks = list(tasks)
    for task in tasks:
        task.pool_losses  # noqa: B018 - made once, here, and not by each process
    wanted = {name: [Key(task.name, seed, trials) for seed in seeds for task in tasks] for name in searchers}
    kept = {name: kept_of(name) for name in searchers}
    done = {
        name: {key: line for key, line in kept[name].read(tasks).items() if key in set(wanted[name])}
        for name in searchers
    }
    left = [
        (name, key)
        for seed in seeds
        for name in searchers
        for key in wanted[name]
        if key.seed == seed and key not in done[name]
    ]
    if not left:
        return done
    progress = Progress(len(left))
    if jobs == 1:
        for name, key in left:
            _finish(name, run_one(name, key), kept, done, progress)
        return done
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures = {pool.submit(run_one, name, key): name for name, key in left}
        try:
            for future in as_completed(futures):
                _finish(futures[future], future.result(), kept, done, progress)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return done


def _finish(name: str, line: Line, kept: dict[str, Kept], done: Done, progress: Progress) -> None:
    kept[name].add(line)
    done[name][line.key] = line
    progress.step(f"{name} on {line.key.task}, seed {line.key.seed}")


class Progress:
    """One line on standard error that says what was done last, and how long the rest will take."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._began, self._told = total, 0, time.monotonic(), 0.0

    def step(self, words: str) -> None:
        """One more is done."""
        self._done += 1
        now = time.monotonic()
        left_s = (now - self._began) / self._done * (self._total - self._done)
        terminal = sys.stderr.isatty()
        if terminal or now - self._told > 20 or self._done == self._total:
            self._told = now
            text = f"{self._done}/{self._total}, {left_s / 60:.1f} min left: {words}"
            print(f"\r\x1b[K{text}" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)
        if terminal and self._done == self._total:
            print(file=sys.stderr)
