"""A store in memory with a lock and planned faults, for races and lost answers without a server.

Used by unit tests of the publish stage and by the store contract. Faults are drawn from a seeded
generator, so a failing test fails again.
"""

import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dpp_core.errors import DestinationUnavailableError
from dpp_extractor.ports import Entry, Put, Stored

EPOCH = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(slots=True)
class Faults:
    """What goes wrong: shares of puts, by fate.

    `lost_after`: applied, answer lost. `lost_before`: not applied, answer lost. `down`: every call
    fails. `ignores_conditions`: a put writes over what is there and says created.
    """

    lost_after: float = 0.0
    lost_before: float = 0.0
    down: bool = False
    ignores_conditions: bool = False
    seed: int = 7
    before_put: Callable[[str], None] | None = None
    """Called with the key before a put takes the lock: where a test lets a stranger in."""


@dataclass(slots=True)
class FakeStore:
    faults: Faults = field(default_factory=Faults)
    objects: dict[str, bytes] = field(default_factory=dict)
    clock: datetime = EPOCH
    puts: list[str] = field(default_factory=list)
    _modified: dict[str, datetime] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _random: random.Random | None = None

    @property
    def uri(self) -> str:
        return "memory://fake"

    def put_if_absent(self, key: str, body: bytes) -> Put:
        if self.faults.before_put is not None:
            self.faults.before_put(key)
        with self._lock:
            chance = self._chance()
            self.puts.append(key)
            if self.faults.down or chance < self.faults.lost_before:
                return Put.UNKNOWN
            if self.faults.ignores_conditions:
                self._store(key, body)
                return Put.CREATED
            if key in self.objects:
                return Put.UNKNOWN
            self._store(key, body)
            is_lost = chance < self.faults.lost_before + self.faults.lost_after
            return Put.UNKNOWN if is_lost else Put.CREATED

    def get(self, key: str) -> bytes | None:
        self._check_up()
        with self._lock:
            return self.objects.get(key)

    def get_range(self, key: str, start_bytes: int, length_bytes: int) -> bytes | None:
        body = self.get(key)
        return None if body is None else body[start_bytes : start_bytes + length_bytes]

    def head(self, key: str) -> Entry | None:
        self._check_up()
        with self._lock:
            return self._entry(key) if key in self.objects else None

    def list(self, prefix: str, start_after: str = "") -> Iterator[Entry]:
        self._check_up()
        with self._lock:
            found = [
                self._entry(key)
                for key in sorted(self.objects)
                if key.startswith(prefix) and key > start_after
            ]
        yield from found

    def open_upload(self, key: str, metadata: Mapping[str, str]) -> "FakeUpload":
        self._check_up()
        return FakeUpload(self, key)

    def delete(self, key: str) -> None:
        self._check_up()
        with self._lock:
            self.objects.pop(key, None)

    def now(self) -> datetime:
        return self.clock

    def tick(self, seconds: float = 1.0) -> None:
        self.clock += timedelta(seconds=seconds)

    def put_raw(self, key: str, body: bytes) -> None:
        """Write as a stranger does: over anything, without a condition."""
        with self._lock:
            self._store(key, body)

    def _store(self, key: str, body: bytes) -> None:
        self.objects[key] = body
        self._modified[key] = self.clock

    def _entry(self, key: str) -> Entry:
        return Entry(key, len(self.objects[key]), self._modified[key])

    def _check_up(self) -> None:
        if self.faults.down:
            raise DestinationUnavailableError("The fake store is down.")

    def _chance(self) -> float:
        if self._random is None:
            self._random = random.Random(self.faults.seed)
        return self._random.random()


class FakeUpload:
    """Keeps chunks until `finish`."""

    def __init__(self, store: FakeStore, key: str) -> None:
        self._store = store
        self._key = key
        self._chunks: list[bytes] = []

    def write(self, chunk: bytes) -> int:
        self._chunks.append(bytes(chunk))
        return len(chunk)

    def finish(self) -> Stored:
        body = b"".join(self._chunks)
        self._store.put_raw(self._key, body)
        return Stored(self._key, len(body), f"sha256:{hashlib.sha256(body).hexdigest()}")

    def abort(self) -> None:
        self._chunks.clear()
