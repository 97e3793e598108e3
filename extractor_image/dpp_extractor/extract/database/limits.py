"""How long a source may be used, and how much is held in memory at once."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection. `idle_seconds`: the server ends a transaction whose reader
    hangs. `read_seconds`: longer reads are divided into pages. `pace` is told of the rows taken, and waits.
    `notes` are for whoever looks after the source.
    """

    connect_seconds: int = 15
    statement_seconds: int = 6 * 3600
    lock_seconds: int = 30
    idle_seconds: int = 3600
    block_bytes: int = 4 * 1024 * 1024
    read_seconds: int | None = None
    field_bytes: int = 100_000_000
    notes: tuple[str, ...] = ()
    pace: Callable[[int], None] = lambda rows: None
    clock: Callable[[], float] = time.monotonic  # noqa: TID251 - only measures; wiring gives it too

    @property
    def most_block_bytes(self) -> int:
        """A value that is too large must end its block, where it is looked for."""
        return min(self.block_bytes, self.field_bytes)


DEFAULT_LIMITS: Final = Limits()


class Retrying(Protocol):
    """The caller's patience: call until it succeeds or patience ends."""

    def __call__(self, call: Callable[[], T], /) -> T: ...


def run_once(call: Callable[[], T], /) -> T:
    """No patience at all."""
    return call()
