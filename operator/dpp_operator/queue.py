"""A queue of keys: each at most once, the urgent first, the later when their instant comes, one key at a time.

Called by `handlers` and `worker` (put), by the worker's threads (take, done). Nothing is kept but keys, so what is lost
with the process is found again by listing. The clock is an argument; waiting is on a condition, never a sleep.
"""

import heapq
import itertools
import threading
from collections.abc import Callable
from enum import IntEnum
from typing import Final

Key = tuple[str, str]
"""Namespace and name of an extraction."""

_LONGEST_WAIT_SECONDS: Final = 1.0


class Priority(IntEnum):
    """Who goes first: what a person changed, what happened, what is due, what failed, what is only looked at again."""

    CHANGED = 0
    HAPPENED = 1
    DUE = 2
    FAILED = 3
    AGAIN = 4


class Queue:
    """Keys that wait. Putting a key twice is the same as once; the more urgent priority and the earlier time win."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._count = itertools.count()
        self._ready: list[tuple[int, int, Key]] = []
        self._priority: dict[Key, int] = {}
        self._later: list[tuple[float, int, Key]] = []
        self._due: dict[Key, float] = {}
        self._busy: set[Key] = set()
        self._dirty: dict[Key, int] = {}
        self._is_closed = False

    def put(self, key: Key, priority: Priority = Priority.HAPPENED) -> None:
        """Have a key taken as soon as it may be; while it is being worked on, once more afterwards."""
        with self._changed:
            if key in self._busy:
                self._dirty[key] = min(priority, self._dirty.get(key, priority))
                return
            self._push(key, priority)
            self._changed.notify()

    def put_later(self, key: Key, delay_seconds: float) -> None:
        """Have a key taken after a while; it replaces what was asked for later before."""
        with self._changed:
            due = self._clock() + delay_seconds
            self._due[key] = due
            heapq.heappush(self._later, (due, next(self._count), key))
            self._changed.notify()

    def take(self, timeout_seconds: float | None = None) -> Key | None:
        """Take the most urgent key; None when the queue is closed or nothing came in time. `done` must follow."""
        with self._changed:
            end = None if timeout_seconds is None else self._clock() + timeout_seconds
            while not self._is_closed:
                self._wake()
                key = self._pop()
                if key is not None:
                    self._busy.add(key)
                    return key
                now = self._clock()
                if end is not None and now >= end:
                    return None
                self._changed.wait(self._find_wait(now, end))
            return None

    def done(self, key: Key) -> None:
        """Say that a key was worked on; it comes again at once when it was put meanwhile."""
        with self._changed:
            self._busy.discard(key)
            priority = self._dirty.pop(key, None)
            if priority is not None:
                self._push(key, priority)
            self._changed.notify()

    def forget(self, key: Key) -> None:
        """Drop what a key waits for: its object is gone."""
        with self._changed:
            self._due.pop(key, None)

    def close(self) -> None:
        """Let every `take` return None; twice is the same as once."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return len(self._priority) + len(self._busy)

    def find_next_due(self) -> float | None:
        """Find when the next waiting key comes, on the queue's own clock."""
        with self._changed:
            return min(self._due.values(), default=None)

    def _push(self, key: Key, priority: int) -> None:
        known = self._priority.get(key)
        if known is not None and known <= priority:
            return
        self._priority[key] = priority
        heapq.heappush(self._ready, (priority, next(self._count), key))

    def _pop(self) -> Key | None:
        while self._ready:
            priority, _, key = heapq.heappop(self._ready)
            if self._priority.get(key) == priority:
                del self._priority[key]
                return key
        return None

    def _wake(self) -> None:
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            due, _, key = heapq.heappop(self._later)
            if self._due.get(key) != due:
                continue
            del self._due[key]
            if key in self._busy:
                self._dirty.setdefault(key, Priority.DUE)
            else:
                self._push(key, Priority.DUE)

    def _find_wait(self, now: float, end: float | None) -> float:
        waits = [_LONGEST_WAIT_SECONDS]
        if self._later:
            waits.append(self._later[0][0] - now)
        if end is not None:
            waits.append(end - now)
        return max(0.001, min(waits))
