"""The same stories with whole runs: `run.run`, all seven stages, real Parquet, on the simulated store and source.

Called by the tests for fewer seeds, since a run costs several times as much.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from commit_model.foreign import Action
from dpp_core.handover import DatabaseSource, Destination, Incremental, RunRequest, Unit
from dpp_core.names import UnitOutcome
from dpp_extractor.batch import FoundObject, RawBatch, SourceColumn, SourceTable, Window
from dpp_extractor.extract.database.columns import select_table
from dpp_extractor.guard.deadline import Stop
from dpp_extractor.ports import Clocks, Counted, Load, Tools, Wanted
from dpp_extractor.run import run
from simulation.process import (
    COLUMN,
    STREAM,
    Ended,
    Request,
    World,
    instant,
    read_source,
    rows_within,
)
from simulation.source import Row
from simulation.story import Cast
from simulation.stranger import HARMLESS

_KEY: Final = SourceColumn("key", "bigint", pa.int64(), nullable=False)
_STAMP: Final = SourceColumn("stamp_us", "bigint", pa.int64())
_VERSION: Final = SourceColumn("version", "bigint", pa.int64())
_COLUMNS: Final = (_KEY, COLUMN, _STAMP, _VERSION)
_BATCH_ROWS: Final = 3
_WORDS: Final = {
    UnitOutcome.COMMITTED: "committed",
    UnitOutcome.ALREADY_COMMITTED: "already",
    UnitOutcome.UNCHANGED: "unchanged",
}


@dataclass(frozen=True, slots=True)
class SimulatedSnapshot:
    """A view of the simulated source, as `ports.Snapshot`."""

    world: World
    clocks: Clocks
    rows: list[Row]
    snapshot_at: datetime
    snapshot_id: str
    counted: dict[tuple[str, str], Counted] = field(default_factory=dict)

    def describe(self, unit: Unit) -> SourceTable:
        return select_table(unit, _COLUMNS, [("key",)])

    def max_cursor(self, table: SourceTable, column: str) -> Any:
        return None

    def count_null_cursor(self, table: SourceTable, column: str) -> int:
        return 0

    def count_future(self, table: SourceTable, column: str) -> tuple[int, str]:
        return 0, ""

    def estimate_rows(self, table: SourceTable, window: Window | None) -> int | None:
        return None

    def duplicate_keys(self, table: SourceTable, window: Window | None) -> tuple[str, ...]:
        return ()

    def read(
        self, table: SourceTable, window: Window | None, limit_rows: int | None
    ) -> Iterator[RawBatch]:
        rows = self.rows if window is None else rows_within(self.rows, window)
        for start in range(0, len(rows), _BATCH_ROWS):
            self.world.store.rest()
            yield RawBatch(_batch(rows[start : start + _BATCH_ROWS]))

    def take_load(self) -> Load:
        return Load()


@dataclass(frozen=True, slots=True)
class _Connected:
    world: World

    def ping(self) -> str:
        return "simulated source"

    def discover(self, is_wanted: Wanted) -> tuple[FoundObject, ...]:
        return ()

    @contextmanager
    def snapshot(self) -> Iterator[SimulatedSnapshot]:
        clocks, rows, snapshot_us, view = read_source(self.world)
        yield SimulatedSnapshot(self.world, clocks, rows, instant(snapshot_us), str(view))


def _work_whole(world: World, request: Request) -> None:
    """Do what is asked by a whole run."""
    ended = Ended(request, "")
    world.ends.append(ended)
    world.clockwork.note(f"begins a whole {request.run_id} epoch {request.epoch}")
    unit = run(_build_request(request), _build_tools(world, ended)).units[0]
    ended.word, ended.code = _WORDS.get(unit.outcome, "failed"), unit.code
    ended.reason, ended.message, ended.seq = unit.reason, unit.message, unit.seq or 0
    world.clockwork.note(f"ends {ended.word} {ended.code} seq {ended.seq}: {ended.message[:90]}")


def _build_tools(world: World, ended: Ended) -> Tools:
    head = -1

    def hook(point: str) -> None:
        nonlocal head
        if point == "heads_read":
            head = world.log_version()
        world.hooks.at(point)

    def new_id() -> str:
        world.ids += 1
        ended.attempt_id = f"whole-{world.ids:04d}"
        world.on_head(ended.attempt_id, head)
        return ended.attempt_id

    @contextmanager
    def open_source() -> Iterator[_Connected]:
        yield _Connected(world)

    return Tools(
        store=world.store,
        open_source=open_source,
        index=None,
        stop=Stop(sleep=lambda seconds: None),
        now=world.store.now,
        new_id=new_id,
        hook=hook,
        progress=lambda *told: None,
        pause=world.hooks.pause,
        code_version="1",
    )


def _build_request(request: Request) -> RunRequest:
    rule = Incremental(cursor="at") if request.write == "Append" else None
    unit = Unit.model_validate(
        {
            "dataset": STREAM.dataset,
            "object": STREAM.dataset,
            "key": ("key",),
            "incremental": rule,
            "write": request.write,
            "epoch": request.epoch,
            "known_seq": request.known_seq,
        }
    )
    return RunRequest(
        run_id=request.run_id,
        correlation_id="c" * 32,
        cluster="local",
        namespace=STREAM.namespace,
        extraction=STREAM.extraction,
        distributor="acme",
        created_at=request.created_at,
        deadline_at=request.deadline_at,
        source=DatabaseSource(engine="postgresql", host="erp", port=5432, database="erp"),
        destination=Destination(kind="Folder", path="/lake"),
        units=(unit,),
    )


def _batch(rows: list[Row]) -> pa.RecordBatch:
    values = (
        [row.key for row in rows],
        [instant(row.stamp_us) for row in rows],
        [row.stamp_us for row in rows],
        [row.version for row in rows],
    )
    arrays = [pa.array(v, c.arrow_type) for v, c in zip(values, _COLUMNS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in _COLUMNS])


WHOLE_RUNS: Final = Cast(
    _work_whole,
    has_backfills=False,
    harmless=tuple(action for action in HARMLESS if action is not Action.MOVED_METADATA),
)
"""Runs do not know backfills yet, and a column that a stranger added blocks them until somebody approves."""
