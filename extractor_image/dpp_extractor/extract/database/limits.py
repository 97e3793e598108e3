"""How long a source may be used, and how much is held in memory at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection. `idle_seconds`: the server ends a transaction whose reader
    hangs.
    """

    connect_seconds: int = 15
    statement_seconds: int = 6 * 3600
    lock_seconds: int = 30
    idle_seconds: int = 3600
    block_bytes: int = 4 * 1024 * 1024


DEFAULT_LIMITS: Final = Limits()


class Retrying(Protocol):
    """The caller's patience: call until it succeeds or patience ends."""

    def __call__(self, call: Callable[[], T], /) -> T: ...


def run_once(call: Callable[[], T], /) -> T:
    """No patience at all."""
    return call()
