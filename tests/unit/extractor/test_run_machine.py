"""A source that lives, runs that die, a store that loses answers: the table is always the source below its watermark.

Hypothesis draws the story. `orders` is read incrementally, `mirror` reads the same table as a whole. Rows carry the
start of their transaction and are seen when it commits; an open transaction locks its rows, as databases do.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dpp_core.handover import RunReport, RunRequest
from fake_source import START, FakeTransaction, Row, column
from fake_store import Faults
from run_bench import APPEND, REPLACE, Bench, Killed, NotedStore

MIRROR = REPLACE.model_copy(update={"dataset": "mirror"})
HOOKS = (
    "claimed",
    "heads_read",
    "batch_read",
    "part_uploaded",
    "parts_done",
    "commit_sent",
    "commit_unread",
    "committed",
    "copied",
    "recorded",
)
ids = st.integers(1, 12)
items = st.sampled_from(["pen", "ink", "Tür", ""])

Version = frozenset[tuple[str, Any]]


def _version(row: Row) -> Version:
    """Give a row a form in which a column that came later does not count while it is NULL."""
    return frozenset((name, cell) for name, cell in row.items() if cell is not None)


class RunMachine(RuleBasedStateMachine):
    """Writers and runs on one source and one store."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.open: list[FakeTransaction] = []
        self.locked: set[int] = set()
        self.history: set[Version] = set()
        self.mirrored: list[Row] = []
        self.last: RunRequest | None = None
        self.columns = 0
        self.seen: dict[str, Any] = {}
        self.seen_objects = -1

    @initialize(seed=st.integers(0, 2**16), lost=st.sampled_from([0.0, 0.2, 0.4]))
    def open_store(self, seed: int, lost: float) -> None:
        faults = Faults(lost_after=lost, lost_before=lost / 2, seed=seed)
        self.bench.store = NotedStore(faults=faults, clock=START)

    # --- writers ---

    @rule(number=ids, item=items)
    def write(self, number: int, item: str) -> None:
        if number not in self.locked:
            row = self._row(number, item, self.bench.source.clock)
            self.bench.source.put("orders", row)
            self._remember()

    @rule(numbers=st.lists(ids, min_size=1, max_size=3, unique=True), item=items)
    def begin(self, numbers: list[int], item: str) -> None:
        free = [number for number in numbers if number not in self.locked]
        transaction = self.bench.source.begin()
        transaction.put(
            "orders", *(self._row(number, item, transaction.started_at) for number in free)
        )
        self.open.append(transaction)
        self.locked.update(free)

    @precondition(lambda self: self.open)
    @rule(place=st.integers(0, 5))
    def commit(self, place: int) -> None:
        transaction = self.open.pop(place % len(self.open))
        transaction.commit()
        self.locked -= {row["id"] for _, row in transaction.written}
        self._remember()

    @precondition(lambda self: self.columns < 2)
    @rule()
    def add_column(self) -> None:
        self.columns += 1
        self.bench.source.tables["orders"].add_column(column(f"extra_{self.columns}", pa.string()))

    @rule(seconds=st.sampled_from([1, 1, 0.5, 2, 90]))
    def tick(self, seconds: float) -> None:
        self.bench.tick(seconds)

    # --- runs ---

    @rule()
    def run(self) -> None:
        report = self._carry_out(self.bench.request(APPEND, MIRROR))
        assert report is not None
        assert report.exit_code == 0, [unit.message for unit in report.units]

    @rule(point=st.sampled_from(HOOKS), nth=st.integers(1, 3))
    def run_and_be_killed(self, point: str, nth: int) -> None:
        self.bench.kill_at(point, nth)
        self._carry_out(self.bench.request(APPEND, MIRROR))
        self.bench.on_hook = lambda passed: None

    @precondition(lambda self: self.last is not None)
    @rule()
    def run_the_last_one_again(self) -> None:
        assert self.last is not None
        report = self._carry_out(self.last)
        assert report is not None
        assert report.exit_code == 0, [unit.message for unit in report.units]

    def _carry_out(self, request: RunRequest) -> RunReport | None:
        before = self.bench.commits("mirror")
        self.last = request
        try:
            return self.bench.again(request)
        except Killed:
            return None
        finally:
            if self.bench.commits("mirror") > before:
                self.mirrored = self.bench.source_rows()

    # --- what must hold after every step ---

    @invariant()
    def the_table_holds_the_source_below_its_watermark(self) -> None:
        live = self._look("live", lambda: self.bench.head().live)
        if live is None:
            return
        rows = self._look("current", self.bench.current)
        current = {row["id"]: _version(row) for row in rows}
        high = datetime.fromisoformat(str(live.watermark)) if live.watermark else START
        due = [row for row in self.bench.source_rows() if row["updated_at"] < high]
        assert [row for row in due if current.get(row["id"]) != _version(row)] == []

    @invariant()
    def the_table_holds_nothing_that_never_was_and_nothing_twice(self) -> None:
        rows = [
            _version({name: cell for name, cell in row.items() if not name.startswith("_dpp_")})
            for row in self._look("rows", self.bench.rows)
        ]
        assert set(rows) <= self.history
        assert len(rows) == len(set(rows))

    @invariant()
    def the_mirror_is_the_source_as_of_its_read(self) -> None:
        shown = self._look("mirror", lambda: self.bench.current("mirror"))
        assert shown == self._look("mirrored", self.mirrored_now)

    def mirrored_now(self) -> list[Row]:
        schema = self.bench.head("mirror").schema
        names = [] if schema is None else [name for name in schema.names if "_dpp_" not in name]
        return [{name: row.get(name) for name in names} for row in self.mirrored]

    def _look(self, what: str, read: Callable[[], Any]) -> Any:
        """Read the store again only when something was put into it: reading is what takes time."""
        if len(self.bench.store.objects) != self.seen_objects:
            self.seen, self.seen_objects = {}, len(self.bench.store.objects)
        if what not in self.seen:
            self.seen[what] = read()
        return self.seen[what]

    def _row(self, number: int, item: str, at: datetime) -> Row:
        extra = {f"extra_{place}": item for place in range(1, self.columns + 1)}
        return {"id": number, "item": item, "updated_at": at, **extra}

    def _remember(self) -> None:
        self.history |= {_version(row) for row in self.bench.source_rows()}


TestRuns = pytest.mark.slow(pytest.mark.timeout(600)(RunMachine.TestCase))
TestRuns.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
