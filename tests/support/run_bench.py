"""A run on fakes: a source and a store in memory, an index that may be down, and every call in one journal.

Called by unit tests of the run and by its state machine. It goes through `run.run` alone and reads the tables back as a
Delta reader would: the log's live files, each a Parquet file of the store.
"""

import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq

from dpp_core.handover import (
    DatabaseSource,
    Destination,
    Incremental,
    RunReport,
    RunRequest,
    Unit,
    UnitReport,
)
from dpp_core.records import RunRecord
from dpp_extractor.guard.deadline import Stop
from dpp_extractor.ports import Entry, Put, Tools
from dpp_extractor.publish.fold import Asked, Head
from dpp_extractor.publish.head import read_head
from dpp_extractor.publish.keys import Stream, runs_prefix, table_prefix
from dpp_extractor.run import run
from fake_source import START, FakeSource, FakeTable, Row
from fake_store import FakeStore

APPEND = Unit(
    dataset="orders",
    object="orders",
    key=("id",),
    incremental=Incremental(cursor="updated_at"),
    write="Append",
)
REPLACE = Unit(dataset="orders", object="orders", key=("id",))
SYSTEM = ("_dpp_op", "_dpp_read_at", "_dpp_order")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone: nothing after this line runs, as far as the run can do anything about it."""


@dataclass(slots=True)
class NotedStore(FakeStore):
    """A store that takes its reads and writes down."""

    note: Callable[[str], None] = lambda call: None

    def put_if_absent(self, key: str, body: bytes) -> Put:
        self.note(f"put {key}")
        return FakeStore.put_if_absent(self, key, body)

    def list(self, prefix: str, start_after: str = "") -> Iterator[Entry]:
        self.note(f"list {prefix}")
        yield from FakeStore.list(self, prefix, start_after)


@dataclass(slots=True)
class FakeIndex:
    """Documents by collection and key; `down` from the save of that number on."""

    documents: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    saves_until_down: int | None = None

    def save(self, collection: str, key: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
        if self.saves_until_down is not None:
            if self.saves_until_down <= 0:
                return False
            self.saves_until_down -= 1
        self.documents[collection, json.dumps(dict(key), sort_keys=True)] = dict(document)
        return True

    def ping(self) -> str:
        return "fake index"

    def of(self, collection: str) -> list[dict[str, Any]]:
        return [document for (name, _), document in self.documents.items() if name == collection]


@dataclass(slots=True)
class Bench:
    """Everything of a run; `kill_at` is `<hook>[:n]`, `on_hook` is called at every hook."""

    source: FakeSource = field(default_factory=FakeSource)
    store: NotedStore = field(default_factory=lambda: NotedStore(clock=START))
    index: FakeIndex | None = None
    stop: Stop = field(default_factory=lambda: Stop(sleep=lambda seconds: None))
    journal: list[str] = field(default_factory=list)
    on_hook: Callable[[str], None] = lambda point: None
    progress: list[tuple[str, int, int]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    last_request: RunRequest | None = None

    def __post_init__(self) -> None:
        self.source.before = self.journal.append
        self.store.note = self.journal.append

    def tick(self, seconds: float = 10) -> None:
        """Let time pass, at the source and at the store."""
        self.source.tick(seconds)
        self.store.tick(seconds)

    def request(self, *units: Unit, **changes: Any) -> RunRequest:
        """Ask for a run of these datasets; a new run_id unless one is given."""
        fields: dict[str, Any] = {
            "run_id": f"run-{next(self.numbers)}",
            "correlation_id": "c" * 32,
            "cluster": "local",
            "namespace": "acme",
            "extraction": "shop",
            "distributor": "acme",
            "created_at": self.source.clock,
            "deadline_at": self.source.clock + timedelta(hours=6),
            "source": DatabaseSource(engine="postgresql", host="erp", port=5432, database="erp"),
            "destination": Destination(kind="Folder", path="/lake"),
            "units": units or (APPEND,),
        }
        return RunRequest(**{**fields, **changes})

    def run(self, *units: Unit, **changes: Any) -> RunReport:
        """Run; what happened is the answer, never an exception but `Killed`."""
        return self.again(self.request(*units, **changes))

    def again(self, request: RunRequest) -> RunReport:
        """Run a request, perhaps for the second time."""
        self.last_request = request
        return run(request, self.tools())

    def run_one(self, unit: Unit = APPEND, **changes: Any) -> UnitReport:
        """Run one dataset and give its end."""
        return self.run(unit, **changes).units[0]

    def tools(self) -> Tools:
        return Tools(
            store=self.store,
            open_source=self.source.open,
            index=self.index,
            stop=self.stop,
            now=lambda: self.store.clock,
            new_id=lambda: f"attempt-{next(self.numbers):04d}",
            hook=self._pass,
            progress=lambda *told: self.progress.append(told),
            pause=lambda tries: None,
            code_version="1.2.3",
        )

    def kill_at(self, point: str, nth: int = 1) -> None:
        """Kill the process the n-th time it passes a hook; once."""
        left = nth

        def on_hook(passed: str) -> None:
            nonlocal left
            left -= passed == point
            if left == 0:
                left = -1
                raise Killed(point)

        self.on_hook = on_hook

    def _pass(self, point: str) -> None:
        self.journal.append(f"hook {point}")
        self.on_hook(point)

    # --- what a reader sees ---

    def head(self, dataset: str = "orders") -> Head:
        stream = Stream("acme", "shop", dataset)
        return read_head(self.store, stream, Asked("", LONG_AGO), can_write=False)

    def rows(self, dataset: str = "orders") -> list[Row]:
        """Read the whole table, `_dpp_` columns included; a column a file does not have is NULL."""
        head = self.head(dataset)
        names = head.schema.names if head.schema is not None else []
        root = table_prefix(Stream("acme", "shop", dataset))
        found: list[Row] = []
        for path in head.files:
            body = self.store.objects[f"{root}/{path}"]
            for row in cast(list[Row], pq.read_table(io.BytesIO(body)).to_pylist()):
                found.append({name: row.get(name) for name in names})
        return found

    def current(self, dataset: str = "orders", key: str = "id") -> list[Row]:
        """Give the current state by key, deleted ones left out, without the `_dpp_` columns."""
        latest: dict[Any, Row] = {}
        order = lambda row: (row["_dpp_read_at"], row["_dpp_order"])  # noqa: E731
        for row in sorted(self.rows(dataset), key=order):
            latest[row[key]] = row
        return [
            _bare(latest[each]) for each in sorted(latest) if latest[each]["_dpp_op"] != "delete"
        ]

    def source_rows(self, table: str = "orders", key: str = "id") -> list[Row]:
        return sorted(self.source.tables[table].rows, key=lambda row: row[key])

    def commits(self, dataset: str = "orders") -> int:
        """Count the table's versions."""
        return self.head(dataset).version + 1

    def records(self, run_id: str) -> list[RunRecord]:
        """Read the records of a run, one a try."""
        prefix = runs_prefix("acme", "shop", run_id)
        return [
            RunRecord.model_validate_json(body)
            for key, body in sorted(self.store.objects.items())
            if key.startswith(prefix)
        ]


def make_shop() -> Bench:
    """Give three tables of which `orders` has three rows, written ten seconds ago."""
    bench = Bench()
    for name in ("customers", "stock"):
        bench.source.tables[name] = FakeTable()
    bench.source.put("orders", *(order(number) for number in (1, 2, 3)))
    bench.tick()
    return bench


def order(number: int, seconds: float = 0, item: Any = "pen") -> Row:
    """Give an order that was written so many seconds after the start."""
    return {"id": number, "item": item, "updated_at": START + timedelta(seconds=seconds)}


def unit_of(dataset: str, unit: Unit = APPEND, **changes: Any) -> Unit:
    """Give a unit that reads the table of its own name."""
    return unit.model_copy(update={"dataset": dataset, "object": dataset, **changes})


def _bare(row: Row) -> Row:
    return {name: cell for name, cell in row.items() if name not in SYSTEM}


def dump(store: FakeStore, folder: Path) -> Path:
    """Lay a store's objects out as files, so that real readers and commands find them."""
    for key, body in store.objects.items():
        file = folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
    return folder
