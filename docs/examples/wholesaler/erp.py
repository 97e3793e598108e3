"""A sample ERP: the SQLite database of a building-supplies wholesaler, with the mess of a real one.

Called by `demo.py` and by the tests; can be used by hand:

    python erp.py make erp.sqlite      # about 218,000 rows in six tables, the same ones every time
    python erp.py change erp.sqlite    # one more day of business; prints what changed, per table

Only the standard library may be used here: the demo's ERP must not need what it is there to show.
The one thing taken from outside is the instant that `change` stamps on the rows it touches, because
a real ERP stamps its rows too.

The mess, on purpose: NULLs, umlauts and other scripts, decimals, booleans as 0 and 1, dates as
text, binary cells, a table whose column names hold spaces, brackets and umlauts (`Lagerbestand`),
old orders that changed late, and a handful of cells that do not fit their declared type
(`BAD_CELLS`).
"""

import argparse
import json
import random
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import erp_rows as rows

SEED: Final = 20250630
SCHEMA: Final = Path(__file__).with_name("erp.sql")
TABLES: Final = ("customers", "items", "prices", "Lagerbestand", "orders", "order_lines")

NEW_ORDERS: Final = 120
LATE_ORDERS: Final = 25
NEW_CUSTOMERS: Final = 3
MOVED_CUSTOMERS: Final = 12
NEW_ITEMS: Final = 2
NEW_PRICES: Final = 300
DROPPED_PRICES: Final = 5
COUNTED_STOCK: Final = 80

BAD_CELLS: Final[dict[str, tuple[tuple[str, Any, Sequence[int]], ...]]] = {
    "customers": (
        ("customer_since", "0000-00-00", (17, 1717, 7171)),
        ("is_active", "J", (23, 2323)),
    ),
    "items": (
        ("weight_kg", 12.34567, (11, 111, 1111)),
        ("launched_on", "01.04.2023", (222,)),
    ),
    "orders": (
        ("wanted_on", "2024-02-30", (29, 2929, 4242)),
        ("total", "auf Anfrage", (31, 3131)),
    ),
    "order_lines": (
        ("unit_price", 1.234567, (37, 3737, 7373)),
        ("delivered_at", "gestern", (41, 4141)),
    ),
}
"""Column, the cell that does not fit its declared type, its rowids; no row is hit twice."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one day of business did to one table, in rows."""

    table: str
    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def touched(self) -> int:
        """Rows an incremental read must bring: new or changed (a deleted row cannot be read)."""
        return self.inserted + self.updated


def make(path: Path, seed: int = SEED, orders: int = rows.ORDERS) -> dict[str, int]:
    """Write the database anew and return each table's rows. Called twice, it gives the same."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    customers = (rows.customer(chance, no + 1, rows.stamp(chance)) for no in range(rows.CUSTOMERS))
    items = (rows.item(chance, no + 1, rows.stamp(chance)) for no in range(rows.ITEMS))
    with closing(sqlite3.connect(path)) as erp, erp:
        erp.execute("PRAGMA synchronous = OFF")
        erp.executescript(SCHEMA.read_text(encoding="utf-8"))
        insert(erp, "customers", customers)
        insert(erp, "items", items)
        insert(erp, "prices", rows.prices(chance))
        insert(erp, "Lagerbestand", rows.stock(chance))
        insert_orders(erp, (rows.order(chance, no + 1, None) for no in range(orders)))
        spoil(erp)
    return counts(path)


def change(path: Path, at: datetime) -> tuple[Change, ...]:
    """Do one more day of business stamped `at`, in one transaction; return exactly what it did.

    The day's number is kept in the database: each call is another day, and the same day always
    brings the same changes.
    """
    with closing(sqlite3.connect(path)) as erp, erp:
        day = int(erp.execute("PRAGMA user_version").fetchone()[0]) + 1
        erp.execute(f"PRAGMA user_version = {day}")
        chance = random.Random(SEED + day)
        return (
            change_customers(erp, chance, rows.text(at)),
            change_items(erp, chance, rows.text(at)),
            change_prices(erp, chance, rows.text(at)),
            change_stock(erp, chance, rows.text(at)),
            *change_orders(erp, chance, at),
        )


def counts(path: Path) -> dict[str, int]:
    """Count the rows of every table."""
    with closing(sqlite3.connect(path)) as erp:
        return {table: count(erp, table) for table in TABLES}


def bad_rows(table: str) -> int:
    """Say how many rows of a table hold a cell that does not fit its declared type, as made."""
    return sum(len(rowids) for _, _, rowids in BAD_CELLS.get(table, ()))


def spoil(erp: sqlite3.Connection) -> None:
    """Put in the cells that do not fit their declared type: SQLite takes them as they are."""
    for table, columns in BAD_CELLS.items():
        for column, cell, rowids in columns:
            statement = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"
            erp.executemany(statement, [(cell, rowid) for rowid in rowids])


def change_customers(erp: sqlite3.Connection, chance: random.Random, when: str) -> Change:
    first = count(erp, "customers") + 1
    new = [rows.customer(chance, first + more, when) for more in range(NEW_CUSTOMERS)]
    insert(erp, "customers", new)
    moved = chance.sample(range(100, 1_000), MOVED_CUSTOMERS)
    erp.executemany(
        "UPDATE customers SET street = ?, updated_at = ? WHERE customer_no = ?",
        [(f"Am neuen Werk {no} – Tor 2", when, no) for no in moved],
    )
    return Change("customers", inserted=NEW_CUSTOMERS, updated=MOVED_CUSTOMERS)


def change_items(erp: sqlite3.Connection, chance: random.Random, when: str) -> Change:
    first = count(erp, "items") + 1
    insert(erp, "items", (rows.item(chance, first + more, when) for more in range(NEW_ITEMS)))
    return Change("items", inserted=NEW_ITEMS)


def change_prices(erp: sqlite3.Connection, chance: random.Random, when: str) -> Change:
    keys = erp.execute("SELECT item_no, price_list FROM prices ORDER BY 1, 2").fetchall()
    picked = chance.sample(keys, NEW_PRICES + DROPPED_PRICES)
    erp.executemany(
        "UPDATE prices SET price = round(price * 1.05, 4), valid_from = substr(?, 1, 10),"
        " updated_at = ? WHERE item_no = ? AND price_list = ?",
        [(when, when, *key) for key in picked[:NEW_PRICES]],
    )
    statement = "DELETE FROM prices WHERE item_no = ? AND price_list = ?"
    erp.executemany(statement, picked[NEW_PRICES:])
    return Change("prices", updated=NEW_PRICES, deleted=DROPPED_PRICES)


def change_stock(erp: sqlite3.Connection, chance: random.Random, when: str) -> Change:
    counted = [rows.item_no(no) for no in chance.sample(range(1, rows.ITEMS + 1), COUNTED_STOCK)]
    erp.executemany(
        'UPDATE "Lagerbestand" SET "Bestand (Stück)" = ?, "Letzte Zählung" = substr(?, 1, 10),'
        ' "GeändertAm" = ? WHERE "Artikel Nr" = ? AND "Lagerort" = ?',
        [(chance.randint(0, 5_000) / 1_000, when, when, no, rows.WAREHOUSES[0]) for no in counted],
    )
    return Change("Lagerbestand", updated=COUNTED_STOCK)


def change_orders(
    erp: sqlite3.Connection, chance: random.Random, at: datetime
) -> tuple[Change, Change]:
    first = count(erp, "orders") + 1
    new = (rows.order(chance, first + more, at) for more in range(NEW_ORDERS))
    lines = insert_orders(erp, new)
    late = chance.sample(range(100, 900), LATE_ORDERS)
    statement = "UPDATE orders SET status = 'returned', updated_at = ? WHERE order_no = ?"
    erp.executemany(statement, [(rows.text(at), no) for no in late])
    orders = Change("orders", inserted=NEW_ORDERS, updated=LATE_ORDERS)
    return orders, Change("order_lines", inserted=lines)


def insert_orders(
    erp: sqlite3.Connection, orders: Iterable[tuple[rows.Row, list[rows.Row]]]
) -> int:
    """Insert orders with their lines and return the number of lines."""
    pairs = list(orders)
    insert(erp, "orders", [order for order, _ in pairs])
    insert(erp, "order_lines", [line for _, lines in pairs for line in lines])
    return sum(len(lines) for _, lines in pairs)


def insert(erp: sqlite3.Connection, table: str, values: Iterable[rows.Row]) -> None:
    width = len(erp.execute(f'PRAGMA table_info("{table}")').fetchall())
    erp.executemany(f'INSERT INTO "{table}" VALUES ({", ".join("?" * width)})', values)


def count(erp: sqlite3.Connection, table: str) -> int:
    return int(erp.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description="Make or change the wholesaler's sample ERP.")
    parser.add_argument("command", choices=("make", "change", "counts"))
    parser.add_argument("path", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "make":
        print(json.dumps(make(arguments.path), indent=2))
    elif arguments.command == "counts":
        print(json.dumps(counts(arguments.path), indent=2))
    else:
        for done in change(arguments.path, datetime.now(UTC)):
            print(f"{done.table}: {done.inserted} new, {done.updated} changed, {done.deleted} gone")


if __name__ == "__main__":
    main()
