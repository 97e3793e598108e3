"""Transactions that commit late, on a real server, against the windows of the real extractor.

`make faults-late` tells the long story and prints one table; the suite tells a short one. Several
connections write rows, stamped as the server does it, and a rising number drawn from a sequence;
some transactions stay open, some of these before they have written anything, some are prepared, some
commit in the very gap between the question for open transactions and the snapshot. Meanwhile
windows are read one after the other. In the end what was read last of each key must be what the
server holds. `ignore_horizon` is the mutant: with it the same story has to lose rows.
"""

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from dpp_core.errors import TemporaryFailure
from dpp_core.handover import Incremental, Unit
from dpp_extractor import counters
from dpp_extractor.extract.database.window import cursor_kind, decide_window
from dpp_extractor.ports import Clocks, Snapshot
from dpp_extractor.publish.fold import NO_TABLE
from late_ledgers import Ledger, MariaLedger, PostgresLedger
from servers.mariadb import start_mariadb
from servers.postgres import start_postgres
from servers.process import sweep

End = Literal["commit", "between", "prepare", "rollback"]
AREA: Final = 1_000_000_000
"""Each writer has keys of its own, so that none waits for another."""
GATE_SECONDS: Final = 10
LAST_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Story:
    """How much is written, by how many, how long transactions stay open, and how windows are read."""

    rows: int = 3000
    writers: int = 6
    rows_each: int = 10
    late_share: float = 0.05
    hold_seconds: tuple[float, float] = (0.1, 3)
    poll_seconds: float = 0.1
    cursor: Literal["at", "rev"] = "at"
    seed: int = 1
    ignore_horizon: bool = False
    most_seconds: float = 60


@dataclass(frozen=True, slots=True)
class Task:
    """One transaction: its first key, whether it stays open and when, and how it ends."""

    first: int
    rows: int
    again: int | None
    hold_seconds: float
    is_idle_first: bool
    end: End


@dataclass(slots=True)
class Gate:
    """Where transactions wait for the gap between horizon and snapshot."""

    waiting: list[tuple[threading.Event, threading.Event]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    let_through: int = 0

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Wait for the gap; the block commits."""
        go, gone = threading.Event(), threading.Event()
        with self.lock:
            self.waiting.append((go, gone))
        go.wait(GATE_SECONDS)
        try:
            yield
        finally:
            gone.set()

    def open(self) -> None:
        """Let everyone who waits commit, and wait until they have."""
        with self.lock:
            through, self.waiting = self.waiting, []
        for go, _ in through:
            go.set()
        for _, gone in through:
            self.let_through += gone.wait(GATE_SECONDS)


@dataclass(slots=True)
class Told:
    """What came of a story."""

    engine: str
    story: Story
    transactions: int = 0
    late: int = 0
    between: int = 0
    windows: int = 0
    held: int = 0
    read_rows: int = 0
    written_rows: int = 0
    lost: int = 0
    twice: int = 0
    older: int = 0
    seconds: float = 0

    @property
    def line(self) -> str:
        rule = "horizon ignored" if self.story.ignore_horizon else "as it is"
        cells = (self.engine, self.story.cursor, rule, self.written_rows, self.transactions)
        more = (self.late, self.between, self.windows, self.read_rows)
        last = (self.lost, self.twice, self.older, round(self.seconds))
        return (
            "| "
            + " | ".join(
                f"{each:,}" if isinstance(each, int) else each for each in (*cells, *more, *last)
            )
            + " |"
        )


HEAD: Final = (
    "| engine | cursor | rule | rows | transactions | late | in the gap | windows | read | lost | twice | older "
    "| seconds |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def plan(story: Story, writer: int) -> Iterator[Task]:
    """Decide the transactions of one writer, by the story's seed."""
    rng = random.Random(story.seed * 1000 + writer)
    first = writer * AREA
    done = 0
    while done < story.rows // story.writers:
        is_late = rng.random() < story.late_share
        end: End = "commit"
        if is_late:
            end = rng.choices(("between", "prepare", "rollback", "commit"), (10, 10, 5, 75))[0]
        again = rng.randrange(0, done, story.rows_each) if done and rng.random() < 0.1 else None
        yield Task(
            first=first + done,
            rows=story.rows_each,
            again=None if again is None else first + again,
            hold_seconds=rng.uniform(*story.hold_seconds) if is_late else 0,
            is_idle_first=rng.random() < 0.5,
            end=end,
        )
        done += story.rows_each


def write(ledger: Ledger, story: Story, writer: int, gate: Gate, told: Told) -> None:
    """Carry out one writer's transactions, until the story's time is over."""
    begun_at = time.monotonic()
    with ledger.connect() as run:
        for number, task in enumerate(plan(story, writer)):
            if time.monotonic() - begun_at > story.most_seconds:
                return
            name = f"late-{writer}-{number}" if task.end == "prepare" else ""
            ledger.begin(run, name)
            if task.is_idle_first:
                time.sleep(task.hold_seconds)
            ledger.insert(run, task.first, task.rows)
            if task.again is not None:
                ledger.update(run, task.again, task.rows)
            if not task.is_idle_first and not name:
                time.sleep(task.hold_seconds)
            _end(ledger, run, task, name, gate)
            with gate.lock:
                told.transactions += 1
                told.late += task.hold_seconds > 0


def _end(ledger: Ledger, run: Callable[[str], Any], task: Task, name: str, gate: Gate) -> None:
    if task.end == "rollback":
        run("ROLLBACK")
    elif task.end == "prepare":
        ledger.prepare(run, name)
        time.sleep(task.hold_seconds)
        ledger.commit_prepared(run, name)
    elif task.end == "between":
        with gate.passing():
            run("COMMIT")
    else:
        run("COMMIT")


@contextmanager
def gap(ledger: Ledger, story: Story, gate: Gate) -> Iterator[None]:
    """Let transactions commit after the clocks were read and before the view is opened."""
    module: Any = ledger.snapshot_module
    taken = module.read_clocks

    def then_commit(connection: Any) -> Clocks:
        clocks: Clocks = taken(connection)
        gate.open()
        if story.ignore_horizon:
            return replace(clocks, horizon_at=clocks.clock_at, holder="")
        return clocks

    module.read_clocks = then_commit
    try:
        yield
    finally:
        module.read_clocks = taken


@dataclass(slots=True)
class Reader:
    """Reads window after window, as runs do, and remembers what it read last of each key."""

    ledger: Ledger
    story: Story
    told: Told
    low: str | None = None
    versions: dict[int, int] = field(default_factory=dict)

    def poll(self) -> None:
        """Read one window, when there is one."""
        unit = Unit(
            dataset="ledger",
            object="ledger",
            key=("id",),
            incremental=Incremental(cursor=self.story.cursor),
            write="Append",
        )
        with self.ledger.source() as source:
            counting = "sqlite" if self.story.ignore_horizon else self.ledger.engine
            heads = [(unit, NO_TABLE)] if self.story.cursor == "rev" else []
            wait_seconds = self.story.hold_seconds[1] / (counters.TRIES - 1)
            with counters.open_view(
                source, counting, heads, lambda _: time.sleep(wait_seconds)
            ) as view:
                try:
                    self._read(view, unit)
                except TemporaryFailure:
                    self.told.held += 1

    def _read(self, view: Snapshot, unit: Unit) -> None:
        assert unit.incremental is not None
        table = view.describe(unit)
        column = table.column(self.story.cursor)
        is_number = cursor_kind(column) == "integer"
        greatest = counters.find_greatest(view, table, column.name) if is_number else None
        window = decide_window(unit.incremental, column, self.low, view.clocks, greatest)
        if window is None:
            return
        self.told.windows += 1
        for batch in view.read(table, window, None):
            ids, versions = (batch.rows.column(name).to_pylist() for name in ("id", "version"))
            self.told.read_rows += len(ids)
            for key, version in zip(ids, versions, strict=True):
                before = self.versions.get(key, 0)
                self.told.twice += version == before
                self.told.older += version < before
                self.versions[key] = version
        self.low = window.high


def tell(ledger: Ledger, story: Story) -> Told:
    """Write and read at the same time, read on until all is settled, and compare."""
    begun_at = time.monotonic()
    told, gate = Told(ledger.engine, story), Gate()
    reader = Reader(ledger, story, told)
    writers = [
        threading.Thread(target=write, args=(ledger, story, number, gate, told), daemon=True)
        for number in range(story.writers)
    ]
    with gap(ledger, story, gate):
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            reader.poll()
            time.sleep(story.poll_seconds)
        _read_to_the_end(reader)
    held = ledger.read_versions()
    told.between = gate.let_through
    told.written_rows = len(held)
    told.lost = sum(reader.versions.get(key) != version for key, version in held.items())
    told.seconds = time.monotonic() - begun_at
    return told


def _read_to_the_end(reader: Reader) -> None:
    """Read on until the windows have passed the last row that there is."""
    ends_at = time.monotonic() + LAST_SECONDS
    end = reader.ledger.find_end(reader.story.cursor)
    while time.monotonic() < ends_at:
        reader.poll()
        if reader.low is not None and reader.ledger.has_passed(reader.low, end):
            return
        time.sleep(0.2)
    raise TimeoutError(f"The windows stand at {reader.low} and never passed {end}.")


def main(arguments: list[str]) -> int:
    """Tell the long story on both servers; 1 when a row was lost or came twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=200, help="most for one story's writing")
    asked = parser.parse_args(arguments)
    sweep()
    long = Story(
        rows=asked.rows,
        writers=24,
        rows_each=max(1, asked.rows // 3000),
        hold_seconds=(1, 30),
        poll_seconds=2,
        most_seconds=asked.seconds,
    )
    print(HEAD, flush=True)
    clean = True
    postgres, maria = start_postgres(), start_mariadb()
    try:
        for make in (lambda: PostgresLedger.make(postgres), lambda: MariaLedger.make(maria)):
            for cursor in ("at", "rev"):
                told = tell(make(), replace(long, cursor=cursor))
                print(told.line, flush=True)
                clean &= not (told.lost or told.twice or told.older)
    finally:
        postgres.server.remove()
        maria.server.remove()
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
