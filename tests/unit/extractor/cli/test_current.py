"""The SQL of the current state: one text a reader, whatever the names are, and DuckDB runs it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dpp_core.errors import StreamError
from dpp_core.handover import Incremental, Unit
from dpp_core.names import Reason
from dpp_extractor.cli.current import build_current_sql
from dpp_extractor.publish.fold import NO_TABLE
from dpp_extractor.publish.keys import Stream
from fake_source import START, FakeTable, column
from run_bench import APPEND, REPLACE, Bench, dump

ORDERS = Stream("acme-eu", "shop-1", "orders.v2")
READS = """SELECT "id", "item", "updated_at"
FROM (
  SELECT *, row_number() OVER (
    PARTITION BY "id" ORDER BY _dpp_read_at DESC, _dpp_order DESC
  ) AS _dpp_rank
  FROM {table}
) AS versions
WHERE _dpp_rank = 1 AND _dpp_op <> 'delete';
"""


def _bench(unit: Unit = APPEND, **row: Any) -> Bench:
    bench = Bench()
    bench.source.put(
        "orders", *({"id": n, "item": "pen", "updated_at": START, **row} for n in (1, 2))
    )
    bench.tick()
    assert bench.run(unit).exit_code == 0
    return bench


@pytest.mark.parametrize(
    ("dialect", "table"),
    [
        ("duckdb", "delta_scan('/lake/o''brien')"),
        ("trino", 'delta."acme_eu_shop_1"."orders.v2"'),
    ],
)
def test_an_append_table_shows_the_latest_row_of_each_key(dialect: str, table: str) -> None:
    sql = build_current_sql(_bench().head(), ORDERS, "/lake/o'brien", dialect)

    assert sql == 'CREATE OR REPLACE VIEW "orders.v2_current" AS\n' + READS.format(table=table)


def test_spark_gets_its_own_marks() -> None:
    sql = build_current_sql(_bench().head(), ORDERS, "s3a://lake/a`b", "spark")

    table = "delta.`s3a://lake/a``b`"
    expected = "CREATE OR REPLACE VIEW `orders.v2_current` AS\n" + READS.replace('"', "`").format(
        table=table
    )
    assert sql == expected


@pytest.mark.parametrize("dialect", ["duckdb", "spark", "trino"])
def test_a_replace_table_is_its_own_current_state(dialect: str) -> None:
    sql = build_current_sql(_bench(REPLACE).head(), ORDERS, "/lake", dialect)

    assert "row_number" not in sql
    assert "_dpp_" not in sql
    assert sql.startswith("CREATE OR REPLACE VIEW")


def test_a_table_without_a_commit_is_refused_with_29() -> None:
    with pytest.raises(StreamError, match="no commit yet") as refused:
        build_current_sql(NO_TABLE, ORDERS, "/lake", "duckdb")
    assert refused.value.reason is Reason.TABLE_MISSING


AWKWARD = (
    column("Nr.", pa.int64()),
    column("Größe", pa.string()),
    column("select", pa.string()),
    column("имя", pa.string()),
    column("naïve x", pa.string()),
    column("geändert am", pa.timestamp("us", "UTC")),
)


def test_duckdb_runs_the_text_on_a_table_of_awkward_names(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    extensions = pytest.importorskip("duckdb_extensions")
    bench = Bench()
    bench.source.tables["orders"] = FakeTable(columns=AWKWARD, unique=("Nr.",))
    unit = Unit(
        dataset="orders",
        object="orders",
        key=("Nr.",),
        incremental=Incremental(cursor="geändert am"),
        write="Append",
        rename={"Größe": "größe"},
    )
    for size, numbers in (("S", (1, 2, 3)), ("M", (2, 3))):
        at = bench.source.clock
        bench.source.put("orders", *(_awkward(n, size, at) for n in numbers))
        bench.tick(95)
        assert bench.run(unit).exit_code == 0
    uri = str(dump(bench.store, tmp_path / "o'brien") / "acme/shop/orders")
    sql = build_current_sql(bench.head(), Stream("acme", "shop", "orders"), uri, "duckdb")

    with duckdb.connect() as connection:
        extensions.import_extension("delta", con=connection)
        connection.execute("LOAD delta")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(sql)
        shown = connection.execute(AS_TEXT).fetchall()
        names = [each[0] for each in connection.description]

    assert names == ["nr", "größe", "select", "имя", "naive_x", "geaendert_am"]
    assert shown == [
        (1, "S", "from", "ж", '"', "2026-01-02 03:04:05+00"),
        (2, "M", "from", "ж", '"', "2026-01-02 03:05:40+00"),
        (3, "M", "from", "ж", '"', "2026-01-02 03:05:40+00"),
    ]


AS_TEXT = """
SELECT * REPLACE (CAST(geaendert_am AS VARCHAR) AS geaendert_am)
FROM orders_current ORDER BY nr
"""


def _awkward(number: int, size: str, at: datetime) -> dict[str, Any]:
    return {
        "Nr.": number,
        "Größe": size,
        "select": "from",
        "имя": "ж",
        "naïve x": '"',
        "geändert am": at.astimezone(UTC),
    }
