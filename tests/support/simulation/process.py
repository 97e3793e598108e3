"""One process that brings a dataset's change into its table, as a run does, on production's publish functions.

Called by the story, in a thread of the clockwork. The order is rule 1's: claim, head, clock, horizon, snapshot, rows,
files, commit, record. Rows are written as JSON, since no reader of Parquet is asked here; all else is production.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import pyarrow as pa

from dpp_core.errors import DppError
from dpp_core.handover import Incremental, Unit
from dpp_core.names import LIVE_LANE, Reason
from dpp_extractor.batch import Counts, Part, SourceColumn, Window
from dpp_extractor.extract.database.window import decide_window
from dpp_extractor.ports import Clocks, Put
from dpp_extractor.publish.admit import admit, decide_read_at
from dpp_extractor.publish.claim import Owner, claim
from dpp_extractor.publish.commit import commit
from dpp_extractor.publish.draft import Draft, Kind
from dpp_extractor.publish.fold import Asked, Head
from dpp_extractor.publish.head import read_head
from dpp_extractor.publish.hooks import Hooks, wait_seconds
from dpp_extractor.publish.identity import Identity
from dpp_extractor.publish.keys import Stream, run_key
from dpp_extractor.publish.upload import open_part
from simulation.clockwork import SECOND, START, Clockwork
from simulation.source import Row, SimulatedSource
from simulation.store import SimulatedStore

STREAM: Final = Stream("acme", "shop", "orders")
COLUMN: Final = SourceColumn("at", "timestamptz", pa.timestamp("us", "UTC"))
_OWNER: Final = Owner("local", "acme", "shop", "acme")
_SCHEMA: Final = pa.schema([pa.field("key", pa.int64()), pa.field("at", COLUMN.arrow_type)])
_RULE: Final = Incremental(cursor="at")
_READ_US: Final = 2 * SECOND


@dataclass(frozen=True, slots=True)
class Request:
    """What a process is asked to do; two processes of one `run_id` are two tries of it, perhaps at once."""

    run_id: str
    created_at: datetime
    deadline_at: datetime
    write: str
    epoch: int
    lane: str = LIVE_LANE
    known_seq: int | None = None


@dataclass(slots=True)
class Ended:
    """What a process said at its end; `word` is empty while it is under way or was killed."""

    request: Request
    attempt_id: str
    word: str = ""
    code: int = 0
    reason: Reason | None = None
    seq: int = 0
    message: str = ""


@dataclass(slots=True)
class World:
    """What all processes share."""

    clockwork: Clockwork
    store: SimulatedStore
    source: SimulatedSource
    ends: list[Ended] = field(default_factory=list)
    log_version: Callable[[], int] = lambda: -1
    ids: int = 0
    on_head: Callable[[str, int], None] = lambda attempt_id, version: None

    @property
    def hooks(self) -> Hooks:
        return Hooks(self._at, self._wait)

    def _at(self, point: str) -> None:
        self.store.rest(is_sending=point == "commit_sent")

    def _wait(self, tries: int) -> None:
        self.clockwork.sleep(int(wait_seconds(tries) * SECOND))


def work(world: World, request: Request) -> None:
    """Do what is asked and take down how it ended."""
    ended = Ended(request, f"attempt-{len(world.ends) + 1:04d}")
    world.ends.append(ended)
    world.clockwork.note(f"begins {request.run_id} {request.lane} epoch {request.epoch}")
    try:
        ended.word, ended.seq = _extract(world, request, ended.attempt_id)
    except DppError as error:
        ended.word, ended.code, ended.reason = "failed", error.exit_code, error.reason
        ended.message = str(error)
    world.clockwork.note(f"ends {ended.word} {ended.code} seq {ended.seq}: {ended.message[:90]}")
    _record(world, ended)


def _extract(world: World, request: Request, attempt_id: str) -> tuple[str, int]:
    store = world.store
    claim(store, STREAM, _OWNER, hooks=world.hooks)
    asked = Asked(
        request.run_id,
        request.created_at,
        request.known_seq,
        lane=request.lane,
        files=request.write == "Replace",
        epoch=request.epoch,
    )
    head = read_head(store, STREAM, asked, hooks=world.hooks)
    world.on_head(attempt_id, head.version)
    if head.own is not None and head.own.final:
        return "already", head.own.seq
    identity = _build_identity(request.write)
    kind, low = _admit(head, request, identity)
    if request.lane != LIVE_LANE and kind != "append":
        return "unchanged", 0  # a backfill neither creates a table nor resets it
    clocks, rows, snapshot_us, view = read_source(world)
    window: Window | None = None
    if request.lane != LIVE_LANE:
        kind, rows = "backfill", rows[: len(rows) // 2]
    elif request.write == "Append":
        window = decide_window(_RULE, COLUMN, low, clocks)
        if window is None:
            return "unchanged", 0
        rows = rows_within(rows, window)
    if not rows and kind == "append" and head.live is not None:
        return "unchanged", 0
    parts = _write(world, attempt_id, rows)
    draft = Draft(
        kind=kind,
        run_id=request.run_id,
        run_created_at=request.created_at,
        attempt_id=attempt_id,
        generation=1,
        epoch=request.epoch,
        identity=identity,
        window=window,
        watermark=window.high if window else None,
        source_snapshot=str(view),
        source_clock_at=clocks.clock_at,
        counts=Counts(read=len(rows), written=len(rows)),
        schema=_SCHEMA,
        fingerprint="one",
        parts=parts,
        read_at=decide_read_at(head, instant(snapshot_us)),
        plan_digest="sha256:plan",
        code_version="1",
        lane=request.lane,
    )
    done = commit(store, STREAM, head, draft, deadline_at=request.deadline_at, hooks=world.hooks)
    return ("already" if done.already else "committed"), done.seq


def _admit(head: Head, request: Request, identity: Identity) -> tuple[Kind, str | None]:
    unit = Unit.model_validate(
        {
            "dataset": "orders",
            "object": "orders",
            "key": ("key",),
            "write": request.write,
            "epoch": request.epoch,
            "incremental": _RULE if request.write == "Append" else None,
        }
    )
    admission = admit(head, unit, identity)
    assert admission.low is None or isinstance(admission.low, str)
    return admission.kind, admission.low


def read_source(world: World) -> tuple[Clocks, list[Row], int, int]:
    """Take the clock, then the horizon, then the snapshot; the source goes on between them."""
    clockwork, source = world.clockwork, world.source
    clock_us = clockwork.now_us
    clockwork.sleep(clockwork.dice.randrange(_READ_US))
    horizon_us = source.horizon_us()
    clockwork.sleep(clockwork.dice.randrange(_READ_US))
    snapshot_us, view = clockwork.now_us, len(source.journal)
    rows = sorted(source.rows.values(), key=lambda row: (row.stamp_us, row.key))
    world.store.rest()
    return Clocks(instant(clock_us), instant(horizon_us)), rows, snapshot_us, view


def rows_within(rows: Sequence[Row], window: Window) -> list[Row]:
    """Return the rows of a window."""
    high = datetime.fromisoformat(window.high)
    low = datetime.fromisoformat(window.low) if window.low else None
    stamped = ((row, instant(row.stamp_us)) for row in rows)
    return [row for row, at in stamped if at < high and (low is None or at >= low)]


def _write(world: World, attempt_id: str, rows: Sequence[Row]) -> tuple[Part, ...]:
    """Upload rows in one or two parts."""
    parts: list[Part] = []
    cut = (len(rows) + 1) // 2 if len(rows) > 3 else len(rows)
    for number, some in enumerate(filter(None, (rows[:cut], rows[cut:]))):
        sink = open_part(
            world.store,
            STREAM,
            attempt_id=attempt_id,
            number=number,
            metadata={},
            hooks=world.hooks,
        )
        sink.write(json.dumps(some).encode())
        stored = sink.finish()
        stats = {"numRecords": len(some)}
        now = world.store.now()
        parts.append(Part(sink.path, stored.size_bytes, len(some), stored.checksum, stats, now))
    return tuple(parts)


def _record(world: World, ended: Ended) -> None:
    key = run_key(STREAM.namespace, STREAM.extraction, ended.request.run_id, ended.attempt_id)
    body = json.dumps([ended.word, ended.code, ended.seq]).encode()
    for tries in range(3):
        try:
            if world.store.put_if_absent(key, body) is Put.CREATED or world.store.get(key) == body:
                return
        except DppError:
            pass
        world.hooks.pause(tries)


def _build_identity(write: str) -> Identity:
    cursor = ("at", "timestamp") if write == "Append" else ("", "")
    return Identity("postgresql", "erp:5432", "erp", "orders", ("key",), *cursor, write)


def instant(microseconds: int) -> datetime:
    """Return an instant of the virtual clock."""
    return START + timedelta(microseconds=microseconds)
