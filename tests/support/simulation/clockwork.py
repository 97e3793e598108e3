"""Threads that take turns by a virtual clock: of many processes exactly one runs, and a seed decides which comes next.

Called by the simulation's store, source and story. A process runs until it sleeps; then whoever is due next goes on. No
lock of the machine's scheduler and no real time is in it, so the same seed gives the same story, call by call.
"""

import hashlib
import heapq
import itertools
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


class Killed(BaseException):
    """The process is gone: nothing after this line runs, and nothing it does has any effect."""


@dataclass(eq=False, slots=True)
class Process:
    """One process of the story; `is_dead` from the moment it is killed."""

    name: str
    baton: threading.Lock = field(default_factory=threading.Lock)
    is_dead: bool = False


class Clockwork:
    """The virtual clock, whose turn it is, the seed's dice, and what has happened so far."""

    def __init__(self, seed: int, *, is_told: bool = False) -> None:
        self.dice = random.Random(seed)
        self.now_us = 0
        self.story: list[str] | None = [] if is_told else None
        self.failure: BaseException | None = None
        self.current: Process | None = None
        self._main = Process("main")
        self._main.baton.acquire()
        self._due: list[tuple[int, int, Process | Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._digest = hashlib.blake2b(digest_size=16)
        self._waiting: set[Process] = set()
        self._is_over = False

    @property
    def now(self) -> datetime:
        return START + timedelta(microseconds=self.now_us)

    @property
    def trace_hash(self) -> str:
        return self._digest.hexdigest()

    def note(self, words: str) -> None:
        """Write down what happened; equal stories have equal hashes."""
        name = self.current.name if self.current is not None else "-"
        line = f"{self.now_us / SECOND:16.6f} {name:12} {words}"
        self._digest.update(line.encode() + b"\n")
        if self.story is not None:
            self.story.append(line)

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def die(self) -> None:
        """Kill the process whose turn it is."""
        if self.current is not None:
            self.note("is killed")
            self.current.is_dead = True
        raise Killed

    def at(self, delay_us: int, event: Callable[[], None]) -> None:
        """Let something happen later, whoever's turn it then is."""
        heapq.heappush(self._due, (self.now_us + delay_us, next(self._numbers), event))

    def start(self, name: str, delay_us: int, work: Callable[[], None]) -> Process:
        """Start a process after a delay."""
        process = Process(name)
        process.baton.acquire()
        self._waiting.add(process)
        threading.Thread(target=self._live, args=(process, work), daemon=True).start()
        heapq.heappush(self._due, (self.now_us + delay_us, next(self._numbers), process))
        return process

    def sleep(self, microseconds: int) -> None:
        """Let the process whose turn it is sleep, and others go on. Raises Killed in a dead one."""
        me = self.current
        if self._is_over or me is None or me.is_dead:
            raise Killed
        heapq.heappush(self._due, (self.now_us + microseconds, next(self._numbers), me))
        following = self._pick()
        if following is not me:
            self._waiting.add(me)
            following.baton.release()
            me.baton.acquire()
            self._waiting.discard(me)
        self.current = me
        if me.is_dead:
            raise Killed

    def run(self) -> None:
        """Let everybody live until nothing is due. Raises what an event or a process could not help raising."""
        following = self._pick()
        if following is not self._main:
            following.baton.release()
            self._main.baton.acquire()
        self.current = None
        if self.failure is not None:
            self._bury()
            raise self.failure

    def _pick(self) -> Process:
        """Take what is due next; events happen at once."""
        while self._due and self.failure is None:
            at, _, due = heapq.heappop(self._due)
            self.now_us = max(self.now_us, at)
            if isinstance(due, Process):
                return due
            self.current = None
            try:
                due()
            except BaseException as error:  # noqa: BLE001 - told to whoever runs the story
                self.failure = error
        return self._main

    def _live(self, process: Process, work: Callable[[], None]) -> None:
        process.baton.acquire()
        self._waiting.discard(process)
        self.current = process
        try:
            if not process.is_dead:
                work()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - told to whoever runs the story
            self.failure = self.failure or error
        process.is_dead = True
        if not self._is_over:
            self._pick().baton.release()

    def _bury(self) -> None:
        """End the processes that a failure left waiting."""
        self._is_over = True
        for process in list(self._waiting):
            process.is_dead = True
            process.baton.release()
