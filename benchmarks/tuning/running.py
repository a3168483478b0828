"""Runs the courses that are not kept yet, a few at a time in processes of their own, and shows how far it is.

Ctrl-C loses the courses under way and nothing else. Knows no figures.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    return finish(
        {name: kept_of(name) for name in searchers},
        [Key(task.name, seed, trials) for seed in seeds for task in tasks],
        {task.name: task.version for task in tasks},
        run_one,
        jobs=jobs,
    )


def finish(
    kept: Mapping[str, Kept],
    keys: Sequence[Key],
    versions: Mapping[str, int],
    one: Callable[[str, Key], Line],
    *,
    jobs: int,
) -> Done:
    """What is kept of these courses, and the others once they have run.

    Args:
        kept: By name, where its courses are.
        keys: The courses wanted of each.
        versions: Of tasks, by name.
        one: Runs a course; can be pickled.
        jobs: How many run at once.
    """
    wanted = set(keys)
    done = {name: {k: line for k, line in of.read(versions).items() if k in wanted} for name, of in kept.items()}
    left = [(name, key) for key in keys for name in kept if key not in done[name]]
    if not left:
        return done
    progress = Progress(len(left))

    def finished(name: str, line: Line) -> None:
        kept[name].add(line)
        done[name][line.key] = line
        progress.step(f"{name} on {line.key.task}, seed {line.key.seed}")

    try:
        if jobs == 1:
            for name, key in left:
                finished(name, one(name, key))
        else:
            _side_by_side(left, one, finished, jobs)
    except KeyboardInterrupt:
        raise SystemExit("\nstopped: what was finished is kept, and the same command goes on from there") from None
    return done


def _side_by_side(
    left: Sequence[tuple[str, Key]],
    one: Callable[[str, Key], Line],
    finished: Callable[[str, Line], None],
    jobs: int,
) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_leave_interrupts_alone) as pool:
        futures = {pool.submit(one, name, key): name for name, key in left}
        try:
            for future in as_completed(futures):
                finished(futures[future], future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _leave_interrupts_alone() -> None:
    """Ctrl-C reaches the whole group; the parent ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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
