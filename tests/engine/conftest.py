"""A small study in a memory store, and engines over it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trialist.core.records import Budget, Command, CommandKind, Metric, Mode, Spec, StudySpec, Trial
from trialist.engine.assembly import Assembly, RunEnd
from trialist.engine.loop import Engine
from trialist.engine.placement import Placement
from trialist.execute.inline import InlineExecutor
from trialist.schedule.fifo import FifoScheduler
from trialist.store.holders import holder
from trialist.store.memory import MemoryStore
from trialist.testing.fakes import FakeClock, ScriptedExecutor, UniformSearcher

LOSS = Metric(name="loss", mode=Mode.MIN)


@dataclass
class Bench:
    """One study, led as often as a test likes."""

    tmp: Path
    store: Any = field(default_factory=MemoryStore)
    clock: FakeClock = field(default_factory=FakeClock)
    study_id: str = "a" * 32
    said: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def create(self, *, metrics: tuple[Metric, ...] = (LOSS,), **budget: Any) -> None:
        self.store.create_study(
            StudySpec(
                id=self.study_id,
                name="bench",
                space={},
                metrics=metrics,
                searcher=Spec(name="uniform"),
                executor=Spec(name="inline"),
                budget=Budget(**budget),
            )
        )

    def lead(self, run: Any, *, searcher: Any = None, scheduler: Any = None, **assembly: Any) -> RunEnd:
        executor = run if hasattr(run, "poll") else InlineExecutor(run, metric_names=("loss",))
        lease = self.store.take_lease(self.study_id, holder(), 30.0)
        given = {"needs": {}, "capacity": {}, "devices": ()} | assembly.pop("place", {})
        parts = Assembly(
            store=self.store,
            searcher=searcher or UniformSearcher(),
            scheduler=scheduler or FifoScheduler(metrics=(LOSS,)),
            executor=executor,
            placement=Placement(**given),
            clock=self.clock,
            workspace=lambda trial: self.tmp / f"trial-{trial.number}",
            check_params=assembly.pop("check_params", dict),
            remove_files=self.removed.append,
            say=self.said.append,
            **assembly,
        )
        try:
            return Engine(parts, lease, self.study).run()
        finally:
            self.store.release_lease(lease)

    def commanded(self, script: Any, at: dict[int, list[tuple[CommandKind, dict[str, Any]]]], **options: Any) -> Any:
        """An executor during whose n-th poll these commands are sent; time goes on by 0.2 s a poll."""
        return self.commanding(ScriptedExecutor(script, **options), at)

    def commanding(self, executor: Any, at: dict[int, list[tuple[CommandKind, dict[str, Any]]]]) -> Any:
        """The executor, made so."""
        poll, polls = executor.poll, iter(range(1, 10_000))

        def counted(timeout_s: float, sink: Any) -> None:
            self.clock.forward(0.2)
            for kind, args in at.get(next(polls), ()):
                self.send(kind, **args)
            poll(timeout_s, sink)

        executor.poll = counted  # type: ignore[method-assign]
        return executor

    def send(self, kind: CommandKind, **args: Any) -> None:
        self.store.send_command(self.study_id, self.command(kind, **args))

    def command(self, kind: CommandKind, **args: Any) -> Command:
        return Command(kind=kind, args=args, key=f"{kind}-{args}", sender="test")

    @property
    def study(self) -> Any:
        return self.store.find_study("bench")

    @property
    def trials(self) -> list[Trial]:
        return list(self.store.iter_trials(self.study_id))

    def bodies(self, *kinds: type) -> list[Any]:
        return [event.body for event in self.store.events(self.study_id, limit=100_000, kinds=kinds)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
