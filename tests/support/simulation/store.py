"""A store that answers late, wrongly or never, by a seed's dice: the one that the simulated processes talk to.

Called by the simulation, through `ports.Store`. Every call lets others go on before it takes effect and again before
it is answered. A write may be lost, applied without an answer, refused for the moment, or land minutes later.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from dpp_core.errors import DestinationUnavailableError
from dpp_extractor.ports import Entry, Put, Stored
from dpp_extractor.publish.keys import PROBE_PREFIX
from simulation.clockwork import HOUR, MINUTE, SECOND, Clockwork

CALL_US: Final = SECOND // 50
TIMEOUT_US: Final = 60 * SECOND
MOST_DELAY_US: Final = 5 * MINUTE
"""How long after its answer was given up a write may still land."""


@dataclass(slots=True)
class Weather:
    """Shares of calls that go wrong. All 0 in good weather."""

    lost_before: float = 0.0
    lost_after: float = 0.0
    refused: float = 0.0
    delayed: float = 0.0
    down: float = 0.0
    killed: float = 0.0
    paused: float = 0.0


@dataclass(slots=True)
class Object:
    body: bytes
    modified_at: datetime


@dataclass(slots=True)
class SimulatedStore:
    """`on_write` is told of every object that is written, at that very moment."""

    clockwork: Clockwork
    weather: Weather = field(default_factory=Weather)
    objects: dict[str, Object] = field(default_factory=dict)
    on_write: Callable[[str, bytes], None] = lambda key, body: None
    calls: int = 0
    _probe: threading.Lock = field(default_factory=threading.Lock)

    @property
    def uri(self) -> str:
        return "memory://simulated"

    def now(self) -> datetime:
        return self.clockwork.now

    def put_if_absent(self, key: str, body: bytes) -> Put:
        if key.startswith(PROBE_PREFIX):  # raced for by threads that take no turns
            with self._probe:
                return Put.CREATED if self._create(key, body) else Put.UNKNOWN
        fate = self._fate()
        self._pass(f"puts {key}: {fate}" if fate != "good" else f"puts {key}")
        if fate == "delayed":
            self.clockwork.at(self._dice(MOST_DELAY_US), lambda: self._land(key, body))
        if fate in ("delayed", "lost before"):
            self.clockwork.sleep(TIMEOUT_US)
        if fate in ("delayed", "lost before", "refused"):
            return Put.UNKNOWN
        is_created = self._create(key, body)
        self.clockwork.note(f"{key} is {'created' if is_created else 'there'}")
        self.clockwork.sleep(TIMEOUT_US if fate == "lost after" else self._dice(CALL_US))
        return Put.CREATED if is_created and fate == "good" else Put.UNKNOWN

    def get(self, key: str) -> bytes | None:
        self._pass(f"gets {key}")
        self._check_up(key)
        found = self.objects.get(key)
        self.clockwork.sleep(self._dice(CALL_US))
        return found.body if found else None

    def get_range(self, key: str, start_bytes: int, length_bytes: int) -> bytes | None:
        body = self.get(key)
        return None if body is None else body[start_bytes : start_bytes + length_bytes]

    def head(self, key: str) -> Entry | None:
        self._pass(f"heads {key}")
        self._check_up(key)
        return self._entry(key) if key in self.objects else None

    def list(self, prefix: str, start_after: str = "") -> Iterator[Entry]:
        """List page by page; what is written meanwhile behind the last page is found too."""
        page_keys = 1 + self._dice(6)
        last = start_after
        while True:
            self._pass(f"lists {prefix} after {last[len(prefix) :]}")
            self._check_up(prefix)
            keys = sorted(key for key in self.objects if key.startswith(prefix) and key > last)
            page = [self._entry(key) for key in keys[:page_keys]]
            yield from page
            if len(keys) <= page_keys:
                return
            last = page[-1].key

    def open_upload(self, key: str, metadata: Mapping[str, str]) -> "SimulatedUpload":
        return SimulatedUpload(self, key)

    def delete(self, key: str) -> None:
        self._pass(f"deletes {key}")
        self.objects.pop(key, None)

    def put_raw(self, key: str, body: bytes) -> None:
        """Write as a stranger does, at once; never over what is there."""
        assert key not in self.objects, f"{key} was written over"
        self.objects[key] = Object(body, self.clockwork.now)
        self.on_write(key, body)

    def read_all(self, prefix: str) -> dict[str, bytes]:
        """Look at everything below a prefix at once, as only the test can."""
        found = sorted(key for key in self.objects if key.startswith(prefix))
        return {key: self.objects[key].body for key in found}

    def rest(self, *, is_sending: bool = False) -> None:
        """Let others go on; sometimes for hours, sometimes for ever. Not long between a decision and its sending."""
        if self.clockwork.chance(self.weather.killed):
            self.clockwork.die()
        if self.clockwork.chance(self.weather.paused):
            is_long = self._dice(12) == 0 and not is_sending
            most_us = 220 * HOUR if is_long else 10 * MINUTE if is_sending else 90 * MINUTE
            self.clockwork.sleep(self._dice(most_us))

    def _pass(self, words: str) -> None:
        self.rest(is_sending=words.startswith("puts"))
        self.calls += 1
        self.clockwork.sleep(self._dice(CALL_US))
        self.clockwork.note(words)

    def _fate(self) -> str:
        weather, chance = self.weather, self.clockwork.dice.random()
        for fate, share in (
            ("lost before", weather.lost_before),
            ("lost after", weather.lost_after),
            ("refused", weather.refused),
            ("delayed", weather.delayed),
        ):
            if chance < share:
                return fate
            chance -= share
        return "good"

    def _check_up(self, key: str) -> None:
        if self.clockwork.chance(self.weather.down):
            raise DestinationUnavailableError(f"The simulated store does not answer for {key}.")

    def _create(self, key: str, body: bytes) -> bool:
        if key in self.objects:
            return False
        self.put_raw(key, body)
        return True

    def _land(self, key: str, body: bytes) -> None:
        is_created = self._create(key, body)
        self.clockwork.note(f"{key} lands late" if is_created else f"{key} comes too late")

    def _entry(self, key: str) -> Entry:
        found = self.objects[key]
        return Entry(key, len(found.body), found.modified_at)

    def _dice(self, most: int) -> int:
        return int(self.clockwork.dice.random() * most)


class SimulatedUpload:
    """Keeps chunks until `finish`."""

    def __init__(self, store: SimulatedStore, key: str) -> None:
        self._store = store
        self._key = key
        self._chunks: list[bytes] = []

    def write(self, chunk: bytes) -> int:
        self._chunks.append(bytes(chunk))
        return len(chunk)

    def finish(self) -> Stored:
        self._store._pass(f"uploads {self._key}")
        self._store._check_up(self._key)
        body = b"".join(self._chunks)
        self._store.put_raw(self._key, body)
        self._store.clockwork.sleep(self._store._dice(CALL_US))
        return Stored(self._key, len(body), f"sha256:{hashlib.sha256(body).hexdigest()}")

    def abort(self) -> None:
        self._chunks.clear()
