"""The promise of the product: the table is the source, value by value, by three foreign readers."""

from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from equality import READERS, Form, assert_table_equals
from servers.mariadb import MariaDb
from servers.postgres import Postgres
from servers.s3 import S3Server
from shops import (
    Extraction,
    Shop,
    make_extraction,
    make_mariadb_shop,
    make_postgresql_shop,
    make_sqlite_shop,
    read_commits,
    run_dpp,
    wait_for_the_next_second,
)
from wholesaler import DATASETS, FOLDER, good_rows, load_erp

CUSTOMERS = {"name": "customers", "key": ["id"]}
ORDERS = {"name": "orders", "key": ["no", "line"], "incremental": {"cursor": "updated_at"}}


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    if request.param == "sqlite":
        return make_sqlite_shop(tmp_path)
    if request.param == "mariadb":
        mariadb: MariaDb = request.getfixturevalue("mariadb")
        schema = request.getfixturevalue("schema")
        return make_mariadb_shop(schema, mariadb.create_reader(schema, can_monitor=True))
    postgres: Postgres = request.getfixturevalue("postgres")
    owner = request.getfixturevalue("database")
    return make_postgresql_shop(owner, postgres.create_reader(owner, can_monitor=True))


@pytest.fixture
def extraction(shop: Shop, tmp_path: Path) -> Extraction:
    add_orders(shop, 1, 300)
    return make_extraction(shop, tmp_path, [CUSTOMERS, ORDERS])


def add_orders(shop: Shop, first: int, last: int) -> None:
    shop.execute(
        "INSERT INTO orders (no, line, item, price) WITH RECURSIVE n(no) AS (SELECT "
        f"{first} UNION ALL SELECT no + 1 FROM n WHERE no < {last})"
        " SELECT no, no % 3, 'Rohr ⌀ ' || no, no / 8.0 FROM n"
    )


def test_full_and_incremental_tables_are_the_source(extraction: Extraction) -> None:
    extraction.wait_for_lag()

    extraction.run()

    shop = extraction.shop
    assert_table_equals(extraction.table("customers"), shop.rows("customers"), key=["id"])
    assert_table_equals(extraction.table("orders"), shop.rows("orders"), key=["no", "line"])


def test_after_inserts_and_updates_the_current_state_is_the_source(extraction: Extraction) -> None:
    shop = extraction.shop
    extraction.wait_for_lag()
    extraction.run()
    shop.execute("UPDATE customers SET name = 'moved', credit = NULL WHERE id = 1")
    shop.execute("DELETE FROM customers WHERE id = 4")
    shop.execute(f"UPDATE orders SET price = 0.0001, updated_at = {shop.now} WHERE no <= 20")
    add_orders(shop, 301, 350)
    extraction.wait_for_lag()

    extraction.run()

    assert_table_equals(extraction.table("customers"), shop.rows("customers"), key=["id"])
    assert_table_equals(
        extraction.table("orders"), shop.rows("orders"), key=["no", "line"], form="current"
    )
    assert extraction.commits("orders")[-1]["counts"]["written"] == 70


def test_a_row_changed_twice_between_runs_comes_once_as_it_is_now(extraction: Extraction) -> None:
    shop = extraction.shop
    extraction.wait_for_lag()
    extraction.run()
    for price in ("1.5", "2.5"):
        shop.execute(f"UPDATE orders SET price = {price}, updated_at = {shop.now} WHERE no = 7")
    extraction.wait_for_lag()

    extraction.run()

    assert extraction.commits("orders")[-1]["counts"]["written"] == 1
    assert_table_equals(
        extraction.table("orders"), shop.rows("orders"), key=["no", "line"], form="current"
    )


def test_a_column_added_at_the_source_is_a_nullable_column_of_the_table(
    extraction: Extraction,
) -> None:
    shop = extraction.shop
    extraction.wait_for_lag()
    extraction.run()
    for table in ("customers", "orders"):
        shop.execute(f"ALTER TABLE {table} ADD COLUMN note TEXT")
    shop.execute("UPDATE customers SET note = 'ß' WHERE id = 2")
    shop.execute(f"UPDATE orders SET note = 'late', updated_at = {shop.now} WHERE no IN (3, 4)")
    add_orders(shop, 301, 310)
    extraction.wait_for_lag()

    extraction.run()

    assert_table_equals(extraction.table("customers"), shop.rows("customers"), key=["id"])
    assert_table_equals(
        extraction.table("orders"), shop.rows("orders"), key=["no", "line"], form="current"
    )


def test_tables_in_a_bucket_are_the_source_with_the_clients_usual_settings(
    extraction: Extraction, s3_server: S3Server, bucket: str
) -> None:
    extraction.wait_for_lag()
    ambient = {
        name: cell for name, cell in s3_server.storage_options().items() if "HTTP" not in name
    }
    environment = {**extraction.shop.environment, **ambient}

    to = f"s3://{bucket}/erp"
    run_dpp("run", "-f", str(extraction.file), "--to", to, environment=environment)

    for dataset, key in (("customers", ["id"]), ("orders", ["no", "line"])):
        assert_table_equals(
            f"{to}/shop/shop/{dataset}",
            extraction.shop.rows(dataset),
            key=key,
            options=s3_server.storage_options(),
        )


def test_nothing_new_writes_nothing_to_an_incremental_table(extraction: Extraction) -> None:
    extraction.wait_for_lag()
    extraction.run()

    extraction.run()

    assert len(extraction.commits("orders")) == 1
    assert len(extraction.commits("customers")) == 2


def test_an_empty_source_becomes_an_empty_table(shop: Shop, tmp_path: Path) -> None:
    shop.execute("DELETE FROM customers")
    extraction = make_extraction(shop, tmp_path, [CUSTOMERS, ORDERS])

    extraction.run()

    for dataset in ("customers", "orders"):
        for read in READERS.values():
            assert read(extraction.table(dataset), {}) == []


@pytest.mark.parametrize("option", ["--dry-run", "--limit=10"])
def test_a_trial_publishes_nothing(extraction: Extraction, option: str) -> None:
    extraction.wait_for_lag()

    extraction.run(option)

    assert not list(extraction.out.rglob("_delta_log/*.json"))


def arrange_wholesaler(folder: Path) -> tuple[ModuleType, Path, Path, Path]:
    """Make the demo's ERP and its resource; give generator, database, resource and destination."""
    erp = load_erp()
    path, file = folder / "erp.sqlite", folder / "wholesaler.yaml"
    erp.make(path, orders=5_000)
    sample = (FOLDER / "wholesaler.yaml").read_text(encoding="utf-8")
    file.write_text(sample.replace("out/erp.sqlite", str(path)), encoding="utf-8")
    return erp, path, file, folder / "out"


def test_the_wholesalers_mess_arrives_and_a_day_of_business_brings_only_the_change(
    tmp_path: Path,
) -> None:
    erp, path, file, out = arrange_wholesaler(tmp_path)
    tables = {dataset: out / "wholesaler" / "wholesaler" / dataset for dataset in DATASETS}

    run_dpp("run", "-f", str(file), "--to", str(out))
    rows_before = erp.counts(path)
    done = {change.table: change for change in erp.change(path, datetime.now(UTC))}
    wait_for_the_next_second()
    run_dpp("run", "-f", str(file), "--to", str(out))

    for dataset, it in DATASETS.items():
        first, second = (commit["counts"] for commit in read_commits(tables[dataset]))
        good = good_rows(path, it.table)
        assert first["quarantined"] == erp.bad_rows(it.table), dataset
        assert first["written"] == rows_before[it.table] - first["quarantined"], dataset
        assert second["written"] == (len(good) if it.is_whole else done[it.table].touched), dataset
        form: Form = "full" if it.is_whole else "current"
        uri = str(tables[dataset])
        assert_table_equals(uri, good, key=it.key, names=it.names, form=form)
