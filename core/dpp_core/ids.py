"""Ids that sort by the instant they were made: UUID version 7 (RFC 9562, 5.7).

Called wherever a run, a correlation or an attempt begins. `uuid7` is pure; `new_id` is the edge
that reads the clock and chance. Not here: names people choose.
"""

import secrets
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

RANDOM_BYTES: Final = 8
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def uuid7(now: datetime, random_bytes: bytes) -> str:
    """Build the id of an instant: milliseconds, then the microseconds inside it, then 62 random
    bits.

    `now` must be UTC-aware; `random_bytes` has RANDOM_BYTES bytes. The microseconds fill the 12
    bits after the version (RFC 9562, 6.2, method 3), so ids made a microsecond apart in one process
    already sort. Raises ValueError for a naive instant or too few bytes.
    """
    if now.tzinfo is None:
        raise ValueError(f"An id needs an instant with a zone, not {now.isoformat()}.")
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"An id needs {RANDOM_BYTES} random bytes, not {len(random_bytes)}.")
    microseconds = (now - _EPOCH) // _MICROSECOND
    milliseconds, rest = divmod(microseconds, 1000)
    fraction = rest * 4096 // 1000
    tail = int.from_bytes(random_bytes, "big") & ((1 << 62) - 1)
    number = (milliseconds << 80) | (0x7 << 76) | (fraction << 64) | (0b10 << 62) | tail
    return str(uuid.UUID(int=number))


def made_at(identifier: str) -> datetime:
    """Read the instant out of an id, to the millisecond. Raises ValueError for anything but a
    version 7 UUID.
    """
    parsed = uuid.UUID(identifier)
    if parsed.version != 7:
        raise ValueError(f"{identifier} is a UUID of version {parsed.version}, not 7.")
    return _EPOCH + timedelta(milliseconds=parsed.int >> 80)


def new_id() -> str:
    """Make an id of this instant. Called twice it makes two: keep it, do not call again for the
    same thing.
    """
    microseconds = time.time_ns() // 1000  # noqa: TID251 - the one place where ids meet the clock
    return uuid7(_EPOCH + timedelta(microseconds=microseconds), secrets.token_bytes(RANDOM_BYTES))
