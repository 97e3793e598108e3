"""Which cases there are: all for `make faults`, a share of them for `make test`, or the one that is asked for."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from matrix import calls, foreign, kills, lost, zombies
from matrix.findings import Case
from matrix.lanes import Lane, Task
from servers.s3_proxy import FAULTS, Fate

CHUNK: Final = 8
"""So many requests are tried in one piece of work, on one shop where that is possible."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of each part."""

    kill_seeds: int
    one_probe_in: int
    sampled_calls: int
    """0 = every request."""
    lost: tuple[int, int]
    """So many streams, so many commits in each."""
    paused_threads: tuple[int, int]
    paused_processes: tuple[int, int]
    every_moment: bool


FULL: Final = Size(40, 27, 0, (4, 250), (9, 100), (10, 10), every_moment=True)
SHORT: Final = Size(3, 0, 2, (2, 100), (1, 25), (1, 5), every_moment=False)


def build_tasks(size: Size, counted: calls.Counted) -> list[Task]:
    """List every piece of work, the long ones first, so that the lanes end together."""
    return [*_lost(size), *_zombies(size), *_calls(size, counted), *_foreign(size), *_kills(size)]


def choose(tasks: Sequence[Task], step: str, seed: str, counted: calls.Counted) -> list[Task]:
    """Choose by the row's name, as `kill:committed` or `foreign`, and by the seed that a case printed."""
    chosen = [task for task in tasks if not step or task.step == step]
    if not seed:
        return chosen
    if step.startswith("call:"):
        fate, _, number = seed.partition("/")
        return [_call(step.removeprefix("call:"), Fate[fate], [int(number)])]
    if step.startswith("kill:"):
        return [_kill(step.removeprefix("kill:"), int(seed))]
    return [task for task in chosen if task.seed == seed]


def _kills(size: Size) -> list[Task]:
    return [_kill(step, seed) for step in kills.STEPS for seed in range(size.kill_seeds)]


def _kill(step: str, seed: int) -> Task:
    return Task(
        f"kill:{step}", "SIGKILL", str(seed), lambda lane: [kills.try_kill(lane.ground, step, seed)]
    )


def _calls(size: Size, counted: calls.Counted) -> list[Task]:
    tasks = []
    for which in calls.WHICH:
        seen = counted.of(which)
        for fate in FAULTS:
            if size.sampled_calls:
                numbers = calls.sample(seen, size.sampled_calls if which == "next" else 1)
            else:
                numbers = calls.choose_numbers(seen, one_probe_in=size.one_probe_in)
            chunks = [numbers[at : at + CHUNK] for at in range(0, len(numbers), CHUNK)]
            tasks += [_call(which, fate, chunk) for chunk in chunks]
    return tasks


def _call(which: str, fate: Fate, numbers: Sequence[int]) -> Task:
    def work(lane: Lane) -> Iterable[Case]:
        return calls.try_calls(lane.ground, lane.proxy, which, fate, numbers)

    return Task(f"call:{which}", fate.value, f"{fate.name}/{numbers[0]}", work)


def _lost(size: Size) -> list[Task]:
    streams, commits = size.lost

    def work(seed: int, lane: Lane) -> Iterable[Case]:
        return [lost.try_lost(lane.ground, lane.proxy, commits, seed)]

    return [_seeded("lost-answers", "30% lost", seed, work) for seed in range(streams)]


def _zombies(size: Size) -> list[Task]:
    def in_threads(seed: int, lane: Lane) -> Iterable[Case]:
        return [zombies.try_threads(lane.ground, size.paused_threads[1], seed)]

    def in_processes(seed: int, lane: Lane) -> Iterable[Case]:
        return [zombies.try_processes(lane.ground, size.paused_processes[1], seed)]

    return [
        *(
            _seeded("zombies", "paused threads", seed, in_threads)
            for seed in range(size.paused_threads[0])
        ),
        *(
            replace(
                _seeded("zombies", "SIGSTOP, SIGCONT", seed, in_processes), seed=f"processes/{seed}"
            )
            for seed in range(size.paused_processes[0])
        ),
    ]


def _seeded(step: str, fault: str, seed: int, work: Callable[[int, Lane], Iterable[Case]]) -> Task:
    return Task(step, fault, str(seed), partial(work, seed))


def _foreign(size: Size) -> list[Task]:
    """Every act in both modes at every moment; or every third act, mode and moment changing from act to act."""
    if size.every_moment:
        chosen = itertools.product(foreign.RULES, foreign.MODES, foreign.MOMENTS)
        return [_act(*each) for each in chosen]
    modes, moments = itertools.cycle(foreign.MODES), itertools.cycle(foreign.MOMENTS)
    return [_act(*each) for each in zip(list(foreign.RULES)[::3], modes, moments, strict=False)]


def _act(name: str, mode: foreign.Mode, moment: str) -> Task:
    def work(lane: Lane) -> Iterable[Case]:
        return [foreign.try_act(lane.ground, name, mode, moment)]

    return Task("foreign", name, f"{mode}/{moment}/{name}", work)
