"""Spark with Delta reads what the command wrote, and finds what the other readers find."""

from pathlib import Path

import pytest

from equality import Row, compare, current_state
from shops import Extraction, make_extraction, make_sqlite_shop
from spark import Spark

CUSTOMERS = {"name": "customers", "key": ["id"]}
ORDERS = {"name": "orders", "key": ["no", "line"], "incremental": {"cursor": "updated_at"}}

pytestmark = pytest.mark.spark


def add_order(extraction: Extraction, no: int, price: str) -> None:
    extraction.shop.execute(
        f"INSERT INTO orders (no, line, item, price) VALUES ({no}, 1, 'Fliesen', {price})"
    )


def print_rows(title: str, rows: list[Row]) -> None:
    print(f"\n{title}: {len(rows)} rows")
    for row in rows:
        print("  " + "  ".join(f"{name}={cell!r}" for name, cell in row.items()))


def test_spark_reads_a_full_and_an_incremental_table_as_the_source_has_them(
    spark: Spark, tmp_path: Path
) -> None:
    shop = make_sqlite_shop(tmp_path)
    extraction = make_extraction(shop, tmp_path, [CUSTOMERS, ORDERS])
    add_order(extraction, 1, "1.25")
    add_order(extraction, 2, "2.5")
    extraction.wait_for_lag()
    extraction.run()
    shop.execute("UPDATE customers SET name = 'moved' WHERE id = 1")
    shop.execute("ALTER TABLE orders ADD COLUMN note TEXT")
    shop.execute(f"UPDATE orders SET note = 'ß', updated_at = {shop.now} WHERE no = 1")
    add_order(extraction, 3, "0.0001")
    extraction.wait_for_lag()
    extraction.run()

    customers, orders = (spark.read(extraction.table(name)) for name in ("customers", "orders"))

    print_rows("customers, read by Spark", customers)
    print_rows("orders, every version, read by Spark", orders)
    assert compare(shop.rows("customers"), customers, ["id"]) == []
    assert len(orders) == 4
    state = current_state(orders, ["no", "line"])
    assert compare(shop.rows("orders"), state, ["no", "line"]) == []
