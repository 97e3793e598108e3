"""People at work in a shop while it is extracted: inserts, updates, deletes, and transactions that commit late.

Each writer draws its transactions from its own seed: short ones, ones that stay open between two writes, ones that are
open for a while before their first write, and some that are rolled back. A row is stamped when it is written or with
its transaction's start, as databases do. Every write stands in the journal, in the same transaction.
"""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg

from matrix.ground import Shop, chance

STAMP_TEXTS = {
    "updated_at": """to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')""",
    "rev": "lpad(rev::text, 12, '0')",
}
OPERATIONS = {
    "insert": """INSERT INTO {name}.{dataset} (id, version, tag, note, {cursor})
        SELECT n, nextval('{name}.versions'), %(tag)s, %(note)s || n, {stamp}
        FROM unnest(%(ids)s::bigint[]) n ON CONFLICT DO NOTHING""",
    "update": """UPDATE {name}.{dataset}
        SET version = nextval('{name}.versions'), tag = %(tag)s, note = %(note)s || id, {cursor} = {stamp}
        WHERE id = ANY(%(ids)s)""",
    "delete": "DELETE FROM {name}.{dataset} WHERE id = ANY(%(ids)s)",
}
JOURNALLED = """WITH done AS ({change} RETURNING *)
    INSERT INTO {name}.journal (dataset, op, id, version, tag, note, stamp)
    SELECT '{dataset}', '{op}', id, version, tag, note, {stamp_text} FROM done"""
FIRST_IDS = 60
LAST_ID = 110
LAST_FAT_ID = 3
WRITERS = 2


@dataclass(frozen=True, slots=True)
class Write:
    """One statement of a transaction; `stamp` is SQL."""

    op: str
    dataset: str
    ids: list[int]
    stamp: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One transaction, drawn before it begins."""

    tag: str
    note: str
    idle_seconds: float
    between_seconds: float
    writes: tuple[Write, ...]
    is_rolled_back: bool
    pause_seconds: float


@dataclass(slots=True)
class Crew:
    """The writers of one shop; what a thread died of is kept."""

    committed: int = 0
    undone: int = 0
    errors: list[BaseException] = field(default_factory=list)


@contextmanager
def at_work(shop: Shop, seed: str) -> Iterator[Crew]:
    """Let the writers work until the block ends; open transactions then come to their own end at once."""
    stop, crew = threading.Event(), Crew()
    threads = [
        threading.Thread(target=_work, args=(shop, chance(seed, "writer", number), stop, crew))
        for number in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield crew
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if crew.errors:
        raise crew.errors[0]


def write(shop: Shop, rng: random.Random, count: int = 6) -> None:
    """Change some rows of both tables, each statement on its own; the stamp is the shop's."""
    with shop.ground.connect() as connection:
        for dataset in ("orders", "items"):
            for number in range(count):
                drawn = _draw_write(rng)
                made = Write(drawn.op, dataset, drawn.ids, stamp_of(shop))
                _execute(connection, shop, made, f"{number}-{rng.randrange(1 << 30):x}", "neu ")


def stamp_of(shop: Shop) -> str:
    """Give the SQL of a fresh stamp: the clock, or the number that the version has just got."""
    is_number = shop.cursor == "rev"
    return f"currval('{shop.name}.versions')" if is_number else "clock_timestamp()"


def fill(shop: Shop, seed: str, *, fat_bytes: int = 0, fat: tuple[str, ...] = ()) -> None:
    """Put the first rows into both tables, stamped over the last three seconds; some of them large when asked."""
    rng = chance(seed, "fill")
    with shop.ground.connect() as connection:
        for dataset in ("orders", "items"):
            for number in range(6):
                ids = list(range(number * 10 + 1, number * 10 + 11))
                stamp = stamp_of(shop)
                if shop.cursor != "rev":
                    stamp += f" - interval '{rng.uniform(0.2, 3.0):.3f} s'"
                write = Write("insert", dataset, ids, stamp)
                _execute(connection, shop, write, f"first-{number}", "Müller ⌀ ")
            if dataset in fat:
                for number in range(1, LAST_FAT_ID + 1):
                    connection.execute(
                        f"UPDATE {shop.name}.{dataset} SET fat = %s WHERE id = %s".encode(),
                        [rng.randbytes(fat_bytes // 3), number],
                    )


def draw(rng: random.Random, number: int) -> Plan:
    """Draw a transaction: seven of ten are short, and six of a hundred stay open for up to two seconds."""
    kind = rng.random()
    longest = rng.choices((0.3, 0.8, 2.0), (5, 3, 2))[0]
    wait = rng.uniform(0.05, longest) if kind > 0.7 else 0.0
    return Plan(
        tag=f"{number}-{rng.randrange(1 << 30):x}",
        note=rng.choice(("neu ", "", 'Łódź, "x"\n', "\\N ")),
        idle_seconds=wait if kind > 0.85 else 0.0,
        between_seconds=wait if 0.7 < kind <= 0.85 else 0.0,
        writes=tuple(_draw_write(rng) for _ in range(rng.randrange(1, 5))),
        is_rolled_back=rng.random() < 0.1,
        pause_seconds=rng.uniform(0.005, 0.04),
    )


def _draw_write(rng: random.Random) -> Write:
    op = rng.choices(("insert", "update", "delete"), (3, 6, 1))[0]
    most = FIRST_IDS if op == "update" else LAST_ID
    first = LAST_FAT_ID + 1 if op == "delete" else 1
    ids = sorted(rng.sample(range(first, most + 1), rng.randrange(1, 5 if op != "delete" else 2)))
    return Write(
        op, rng.choice(("orders", "items")), ids, rng.choice(("now()", "clock_timestamp()"))
    )


def _work(shop: Shop, rng: random.Random, stop: threading.Event, crew: Crew) -> None:
    try:
        with shop.ground.connect() as connection:
            connection.execute("SET lock_timeout = '400ms'")
            number = 0
            while not stop.is_set():
                plan = draw(rng, number)
                number += 1
                if _carry_out(connection, shop, plan, stop):
                    crew.committed += 1
                else:
                    crew.undone += 1
                stop.wait(plan.pause_seconds)
    except BaseException as error:  # noqa: BLE001 - the thread's end must reach the test
        crew.errors.append(error)


def _carry_out(
    connection: "psycopg.Connection[Any]", shop: Shop, plan: Plan, stop: threading.Event
) -> bool:
    """Carry a transaction out; a lock that is held too long undoes it, as in real life."""
    with suppress(psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        connection.execute("BEGIN")
        if plan.idle_seconds:
            connection.execute("SELECT 1")
            stop.wait(plan.idle_seconds)
        for number, write in enumerate(plan.writes):
            if number:
                stop.wait(plan.between_seconds)
            _execute(connection, shop, write, plan.tag, plan.note)
        connection.execute("ROLLBACK" if plan.is_rolled_back else "COMMIT")
        return not plan.is_rolled_back
    connection.execute("ROLLBACK")
    return False


def _execute(
    connection: "psycopg.Connection[Any]", shop: Shop, write: Write, tag: str, note: str
) -> None:
    names = {"name": shop.name, "dataset": write.dataset, "op": write.op, "cursor": shop.cursor}
    change = OPERATIONS[write.op].format(**names, stamp=write.stamp)
    statement = JOURNALLED.format(**names, change=change, stamp_text=STAMP_TEXTS[shop.cursor])
    connection.execute(statement.encode(), {"ids": write.ids, "tag": tag, "note": note})
