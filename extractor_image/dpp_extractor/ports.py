"""What the stages need from outside, as small protocols: a store, a source's snapshot, an index.

`wiring` hands real adapters to the stages; tests hand fakes, and one contract test runs on both.
Nothing here does anything, and no driver may be imported.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from dpp_core.handover import Unit
from dpp_core.records import RunRecord

if TYPE_CHECKING:
    from dpp_core.errors import DppError
    from dpp_extractor.batch import FoundObject, RawBatch, SourceTable, Window


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in the store: key relative to the store's root, size, last change on the store's clock."""

    key: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """A finished upload; `checksum` is `<algorithm>:<value>` from the store's own answer."""

    key: str
    size_bytes: int
    checksum: str


class Put(StrEnum):
    """The answer to one conditional write. UNKNOWN never means conflict (data-log.md, rule 2)."""

    CREATED = "Created"
    UNKNOWN = "Unknown"


class Upload(Protocol):
    """A streaming upload. Nothing is visible before `finish`; leaving without it aborts."""

    def write(self, chunk: bytes) -> int: ...

    def finish(self) -> Stored: ...

    def abort(self) -> None: ...


class Store(Protocol):
    """Bytes by key under one root. Raises DestinationUnavailableError (26) or a permanent DppError."""

    @property
    def uri(self) -> str:
        """Root for people and readers: an absolute path or s3://bucket/prefix."""
        ...

    def put_if_absent(self, key: str, body: bytes) -> Put:
        """Try once. Anything but a clear success is UNKNOWN: read the key to learn what happened."""
        ...

    def get(self, key: str) -> bytes | None:
        """None when absent; retried inside on temporary faults."""
        ...

    def get_range(self, key: str, start_bytes: int, length_bytes: int) -> bytes | None:
        """At most `length_bytes` from `start_bytes` on, fewer at the end; None when absent."""
        ...

    def head(self, key: str) -> Entry | None: ...

    def list(self, prefix: str, start_after: str = "") -> Iterator[Entry]:
        """Every key under the prefix, ascending by key, strictly after `start_after`."""
        ...

    def open_upload(self, key: str, metadata: Mapping[str, str]) -> Upload: ...

    def delete(self, key: str) -> None:
        """Only for the probe's own keys and by `maintain`; absent is fine."""
        ...

    def now(self) -> datetime:
        """The store's clock (last answer's Date plus monotonic time); the machine's for a folder."""
        ...


@dataclass(frozen=True, slots=True)
class Clocks:
    """Taken before the snapshot, in this order: the source's clock, then the earliest open transaction.

    `holder` names the oldest transaction. `horizon_at` is None when it cannot be had; `reason` then is NoHorizon and
    `holder` says why.
    `is_exclusive` is True when no writer was open at `clock_at` (SQLite's BEGIN IMMEDIATE), so that lag 0 is safe.
    `zone` is the source's own time zone: what its writers put into timestamps that have none.
    `fix` is the statement by which the source's owner gives a horizon where there is none; "" when none does.
    """

    clock_at: datetime
    horizon_at: datetime | None
    holder: str = ""
    reason: str = ""
    is_exclusive: bool = False
    zone: str = "UTC"
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """The greatest value of an integer cursor before a view was opened, and what keeps it from being a bound.

    `held` names an open transaction that may bring a lower value, or says why none can be seen (`is_blind`);
    `is_waited_for` says that time mends it. `lag_seconds` is what the unit asks for.
    """

    value: int | None
    lag_seconds: int | None = None
    held: str = ""
    is_waited_for: bool = False
    is_blind: bool = False
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """What a source was asked to bear: statements, the one that lived longest there, and the age of the snapshot.

    `notes` are sentences for whoever looks after the source.
    """

    statements: int = 0
    longest_statement_seconds: float = 0.0
    longest_statement: str = ""
    snapshot_age_seconds: float = 0.0
    notes: tuple[str, ...] = ()


class Snapshot(Protocol):
    """One consistent view of the source, opened after the clocks were taken; all units of a run read it."""

    @property
    def clocks(self) -> Clocks: ...

    @property
    def snapshot_at(self) -> datetime:
        """The snapshot's instant on the source's clock."""
        ...

    @property
    def snapshot_id(self) -> str: ...

    @property
    def counted(self) -> dict[tuple[str, str], Counted]:
        """What `counters` found out before the view was opened, by object and cursor; empty when it did not look."""
        ...

    def describe(self, unit: Unit) -> "SourceTable":
        """Columns, types, key facts of the unit's object. SourceObjectError (31) when missing or denied."""
        ...

    def max_cursor(self, table: "SourceTable", column: str) -> Any:
        """The greatest value of an integer cursor in the snapshot, None for an empty table."""
        ...

    def count_null_cursor(self, table: "SourceTable", column: str) -> int:
        """Rows no window would bring; 0 without asking when the catalogue says NOT NULL."""
        ...

    def count_future(self, table: "SourceTable", column: str) -> tuple[int, str]:
        """Rows whose cursor is more than a day beyond the source's clock, and the first one's key as text."""
        ...

    def estimate_rows(self, table: "SourceTable", window: "Window | None") -> int | None:
        """The source's own guess at how many rows `read` would give; None when it has none."""
        ...

    def duplicate_keys(self, table: "SourceTable", window: "Window | None") -> tuple[str, ...]:
        """Up to three keys that occur twice in what would be read, as text.

        Gives () at once when the source enforces the key.
        """
        ...

    def read(
        self, table: "SourceTable", window: "Window | None", limit_rows: int | None
    ) -> Iterator["RawBatch"]:
        """Rows of the window (all rows for None) in bounded memory; ordered by (cursor, key) with a window.

        `table` is what `describe` gave, or the same with fewer columns, which then are all that is asked for.
        """
        ...

    def take_load(self) -> Load:
        """What the source was asked to bear since this was asked last; it answers also when the source is gone."""
        ...


Wanted = Callable[[str, str], bool]
"""Whether an object is asked for, by its name as a resource writes it, and by its name with the schema."""


class Source(Protocol):
    """A source that is connected; `snapshot` takes the clocks and then opens the view."""

    def ping(self) -> str: ...

    def snapshot(self) -> AbstractContextManager[Snapshot]: ...

    def discover(self, is_wanted: Wanted) -> "tuple[FoundObject, ...]":
        """List the wanted tables and views of the user's own, ordered by name; reads the catalogue, no row."""
        ...


class Index(Protocol):
    """The rebuildable index. Never raises for an outage: it answers False and the run goes on."""

    def save(
        self, collection: str, key: Mapping[str, Any], document: Mapping[str, Any]
    ) -> bool: ...

    def ping(self) -> str: ...


class Stoppable(Protocol):
    """A run that was asked to stop by a signal."""

    def raise_if_stopped(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """All that a run needs from outside, built by `wiring`, faked by tests.

    `open_source` connects (and retries connecting). `hook` is called at named points and does nothing in production.
    `pause` waits between two tries of a conditional write, given the number of tries so far; a stop ends the wait.
    `progress` gets (dataset, rows so far, bytes so far) once a batch. `index` is None when none is configured.
    `expect` gets (dataset, rows that the source thinks there are) before a read; None asks the source nothing.
    `measure` gets the run's record at the end, for metrics; it does not raise.
    `retry_read` calls again what lost the source in the middle of reading, as often as patience lasts.
    `checkpoint` gets a table's prefix when its log has grown by a hundred commits; it does not raise.
    """

    store: Store
    open_source: Callable[[], AbstractContextManager[Source]]
    index: Index | None
    stop: Stoppable
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    hook: Callable[[str], None]
    progress: Callable[[str, int, int], None]
    pause: Callable[[int], None]
    code_version: str = ""
    expect: Callable[[str, int], None] | None = None
    measure: Callable[[RunRecord], None] = lambda record: None
    checkpoint: Callable[[str], None] = lambda prefix: None
    retry_read: "Callable[[Callable[[], DppError | None]], DppError | None]" = lambda read: read()


ReadSecret = Callable[[str], Mapping[str, Any]]
"""Secret by role: `source`, `destination`, `index` or `keys`."""
