"""Spark writes to our tables between two runs: what it does by the rules is built on, all else stops the stream.

Spark is the writer that most people would let at a table. It leaves more in a log than delta-rs does (checksums beside
the versions, checkpoints of its own, its own metrics in commitInfo), and it brings table features that we refuse.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from equality import Row, compare
from shops import Extraction, make_extraction, make_sqlite_shop
from spark import Spark

pytestmark = pytest.mark.spark

REFUSED: Final = 29


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset of the shop: its resource, its key's first column, and a text column."""

    settings: Mapping[str, Any]
    key: str
    text: str

    @property
    def name(self) -> str:
        return str(self.settings["name"])

    @property
    def keys(self) -> list[str]:
        return list(self.settings["key"])


REPLACE: Final = Dataset({"name": "customers", "key": ["id"]}, "id", "name")
APPEND: Final = Dataset(
    {"name": "orders", "key": ["no", "line"], "incremental": {"cursor": "updated_at"}}, "no", "item"
)

MERGE: Final = (
    "MERGE INTO {table} t USING (SELECT 2 AS k UNION ALL SELECT 901 AS k) s ON t.{key} = s.k "
    "WHEN MATCHED THEN UPDATE SET {text} = 'merged by Spark' "
    "WHEN NOT MATCHED THEN INSERT ({key}, {text}) VALUES (s.k, 'merged by Spark')"
)
DELETE: Final = "DELETE FROM {table} WHERE {key} < 2"
VECTORS: Final = "ALTER TABLE {table} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"
NEW_TABLES_HAVE_VECTORS: Final = (
    "SET spark.databricks.delta.properties.defaults.enableDeletionVectors = {is_on}"
)

BUILT_ON: Final[dict[str, Sequence[str]]] = {
    "DELETE": (DELETE,),
    "DELETE where new tables get deletion vectors": (
        NEW_TABLES_HAVE_VECTORS.replace("{is_on}", "true"),
        DELETE,
        NEW_TABLES_HAVE_VECTORS.replace("{is_on}", "false"),
    ),
    "UPDATE": ("UPDATE {table} SET {text} = 'changed by Spark' WHERE {key} = 2",),
    "MERGE": (MERGE,),
    "OPTIMIZE": ("OPTIMIZE {table}",),
    "OPTIMIZE ZORDER": ("OPTIMIZE {table} ZORDER BY ({key})",),
    "DELETE, MERGE, OPTIMIZE": (DELETE, MERGE, "OPTIMIZE {table}"),
    "INSERT": ("INSERT INTO {table} ({key}, {text}) VALUES (901, 'added by Spark')",),
    "VACUUM": ("OPTIMIZE {table}", "VACUUM {table}"),
}
NOT_BUILT_ON: Final[dict[str, tuple[Sequence[str], str]]] = {
    "deletion vectors": ((VECTORS,), "StreamForeignChange"),
    "DELETE by a deletion vector": ((VECTORS, DELETE), "StreamForeignChange"),
    "RESTORE": (("RESTORE TABLE {table} TO VERSION AS OF 0",), "StreamRestored"),
    "INSERT OVERWRITE": (
        ("INSERT OVERWRITE {table} SELECT * FROM {table} WHERE {key} = 2",),
        "StreamForeignChange",
    ),
}


def begin(folder: Path) -> Extraction:
    """Make a table in Replace and one in Append, of two commits each."""
    datasets = [REPLACE.settings, APPEND.settings]
    extraction = make_extraction(make_sqlite_shop(folder), folder, datasets)
    for number in (1, 2, 3):
        add_order(extraction, number)
    extraction.wait_for_lag()
    extraction.run()
    change(extraction, "of the second run")
    extraction.wait_for_lag()
    extraction.run()
    return extraction


def add_order(extraction: Extraction, number: int) -> None:
    extraction.shop.execute(
        f"INSERT INTO orders (no, line, item, price) VALUES ({number}, 1, 'Fliesen', 1.25)"
    )


def change(extraction: Extraction, text: str) -> None:
    extraction.shop.execute(
        f"UPDATE customers SET name = '{text}' WHERE id = 3; "
        f"UPDATE orders SET item = '{text}', updated_at = {extraction.shop.now} WHERE no = 3;"
    )


def let_in(spark: Spark, extraction: Extraction, statements: Sequence[str]) -> None:
    for dataset in (REPLACE, APPEND):
        table = f"delta.`{extraction.table(dataset.name)}`"
        for statement in statements:
            spark.sql(statement.format(table=table, key=dataset.key, text=dataset.text))


def go_on(extraction: Extraction) -> None:
    """Have the shop change a row of each table, and get a new order."""
    change(extraction, "of the third run")
    add_order(extraction, 7)
    extraction.wait_for_lag()


def count(rows: Sequence[Row]) -> Counter[tuple[tuple[str, str], ...]]:
    return Counter(tuple(sorted((name, repr(cell)) for name, cell in row.items())) for row in rows)


def list_files(table: str) -> dict[str, bytes]:
    root = Path(table)
    found = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(found)}


@pytest.mark.parametrize("statements", BUILT_ON.values(), ids=BUILT_ON)
def test_what_spark_does_by_the_rules_is_built_on(
    statements: Sequence[str], spark: Spark, tmp_path: Path
) -> None:
    extraction = begin(tmp_path)
    customers, orders = extraction.table("customers"), extraction.table("orders")
    let_in(spark, extraction, statements)
    left = spark.read(orders)
    go_on(extraction)

    extraction.run()

    for dataset in (REPLACE, APPEND):
        assert [commit["seq"] for commit in extraction.commits(dataset.name)] == [1, 2, 3]
    shop = extraction.shop
    assert compare(shop.rows("customers"), spark.read(customers), REPLACE.keys) == []
    rows = spark.read(orders)
    assert not count(left) - count(rows), "the run took away what Spark had left"
    added = find_added(rows)
    assert count(rows) - count(left) == count(added)
    wanted = [row for row in shop.rows("orders") if row["no"] in (3, 7)]
    assert compare(wanted, added, APPEND.keys) == []


def find_added(rows: Sequence[Row]) -> list[Row]:
    """Find the rows of the last read; rows by Spark's hand are of no read."""
    last = max(row["_dpp_read_at"] for row in rows if row["_dpp_read_at"] is not None)
    return [row for row in rows if row["_dpp_read_at"] == last]


@pytest.mark.parametrize(("statements", "reason"), NOT_BUILT_ON.values(), ids=NOT_BUILT_ON)
def test_a_run_stops_and_writes_nothing_after_anything_else(
    statements: Sequence[str], reason: str, spark: Spark, tmp_path: Path
) -> None:
    extraction = begin(tmp_path)
    tables = [extraction.table(dataset.name) for dataset in (REPLACE, APPEND)]
    let_in(spark, extraction, statements)
    left = [(list_files(table), count(spark.read(table))) for table in tables]
    go_on(extraction)

    said = extraction.run(expect=REFUSED)

    assert said.count(f"{reason}: ") == len(tables)
    assert [(list_files(table), count(spark.read(table))) for table in tables] == left
