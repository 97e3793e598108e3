"""Carry the cases of a matrix out on a few lanes at once, each lane with servers of its own.

A lane is a thread with a ground and a proxy; it takes the next piece of work when it is done with one. What breaks the
matrix itself is told as a case too, so that nothing is left out silently.
"""

import contextlib
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matrix.calls import HOLD_SECONDS
from matrix.findings import Case, Findings
from matrix.ground import Ground, open_ground
from servers.s3_proxy import S3Proxy, open_s3_proxy

LANES: Final = 2


@dataclass(frozen=True, slots=True)
class Lane:
    """What one thread works on."""

    ground: Ground
    proxy: S3Proxy


Work = Callable[[Lane], Iterable[Case]]


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work; `step` is its row, `seed` finds a single case again."""

    step: str
    fault: str
    seed: str
    work: Work


@contextlib.contextmanager
def open_lanes(folder: Path, count: int = LANES) -> Iterator[list[Lane]]:
    """Start the servers of all lanes, one lane after the other."""
    with contextlib.ExitStack() as stack:
        lanes = []
        for number in range(count):
            ground = stack.enter_context(open_ground(folder / f"lane-{number}", with_index=True))
            port = ground.s3.server.port
            proxy = stack.enter_context(open_s3_proxy(port, hold_seconds=HOLD_SECONDS))
            lanes.append(Lane(ground, proxy))
        yield lanes


def carry_out(
    tasks: Sequence[Task], lanes: Sequence[Lane], tell: Callable[[Case], None]
) -> list[Case]:
    """Carry all tasks out and give every case, in the order of the tasks."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(tasks)):
        waiting.put(number)
    done: dict[int, list[Case]] = {}
    lock = threading.Lock()

    def work(lane: Lane) -> None:
        while True:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            cases = done[number] = []
            for case in _guarded(tasks[number], lane):
                cases.append(case)
                with lock:
                    tell(case)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [case for number in range(len(tasks)) for case in done.get(number, [])]


def _guarded(task: Task, lane: Lane) -> Iterator[Case]:
    begun_at = time.monotonic()
    try:
        yield from task.work(lane)
    except Exception:  # noqa: BLE001 - whatever breaks the matrix is a finding, not an end
        words = f"the matrix itself broke: {traceback.format_exc()[-1500:]}"
        seconds = time.monotonic() - begun_at
        yield Case(task.step, task.fault, task.seed, 0, Findings(unclassified=[words]), seconds)
