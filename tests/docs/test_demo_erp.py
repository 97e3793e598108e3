"""The demo's ERP is what its own counts say, or the demo would prove nothing."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from dpp_core.spec.extraction import ExtractionSpec
from equality import sqlite_rows
from wholesaler import DATASETS, FOLDER, good_rows, load_erp

pytestmark = pytest.mark.slow

MONDAY = datetime(2026, 1, 5, 9, 30, 0, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def erp() -> ModuleType:
    return load_erp()


@pytest.fixture(scope="module")
def made(erp: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("erp") / "erp.sqlite"
    erp.make(path)
    return path


@pytest.fixture
def fresh(made: Path, tmp_path: Path) -> Path:
    path = tmp_path / "erp.sqlite"
    path.write_bytes(made.read_bytes())
    return path


def dump(path: Path, table: str) -> dict[object, tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as source:
        rows = source.execute(f'SELECT rowid, * FROM "{table}"').fetchall()
    return {row[0]: row[1:] for row in rows}


def test_the_erp_has_at_least_200_000_rows_and_is_the_same_each_time(
    erp: ModuleType, made: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.sqlite"

    counted = erp.make(again)

    assert sum(counted.values()) >= 200_000
    assert made.read_bytes() == again.read_bytes()


def test_every_bad_cell_is_in_a_row_of_its_own_and_all_others_fit(
    erp: ModuleType, made: Path
) -> None:
    for table in erp.TABLES:
        bad = [rowid for _, _, rowids in erp.BAD_CELLS.get(table, ()) for rowid in rowids]

        good = good_rows(made, table)

        assert len(bad) == len(set(bad)) == erp.bad_rows(table)
        assert len(good) == erp.counts(made)[table] - len(bad)
        for rowid in bad:
            with pytest.raises(ValueError, match=r"."):
                sqlite_rows(made, table, f"rowid = {rowid}")


def test_a_change_does_exactly_what_it_says(erp: ModuleType, made: Path, fresh: Path) -> None:
    for done in erp.change(fresh, MONDAY):
        before, after = dump(made, done.table), dump(fresh, done.table)
        updated = [rowid for rowid in before.keys() & after.keys() if before[rowid] != after[rowid]]

        assert len(after.keys() - before.keys()) == done.inserted, done.table
        assert len(before.keys() - after.keys()) == done.deleted, done.table
        assert len(updated) == done.updated, done.table
        assert all(erp.rows.text(MONDAY) in after[rowid] for rowid in updated), done.table


def test_a_change_is_the_same_on_the_same_day_and_another_on_the_next(
    erp: ModuleType, made: Path, fresh: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.sqlite"
    other.write_bytes(made.read_bytes())

    first, second = erp.change(fresh, MONDAY), erp.change(other, MONDAY)

    assert first == second
    assert fresh.read_bytes() == other.read_bytes()
    erp.change(fresh, MONDAY + timedelta(days=1))
    assert dump(fresh, "orders") != dump(other, "orders")


def test_a_change_touches_old_orders_too(erp: ModuleType, fresh: Path) -> None:
    erp.change(fresh, MONDAY)

    with closing(sqlite3.connect(fresh)) as source:
        late = source.execute(
            "SELECT count(*) FROM orders WHERE updated_at = ? AND ordered_on < '2024-01-01'",
            [erp.rows.text(MONDAY)],
        ).fetchone()[0]

    assert late == erp.LATE_ORDERS


@pytest.mark.parametrize("name", ["wholesaler.yaml", "wholesaler-postgresql.yaml"])
def test_the_sample_is_short_and_valid(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")

    spec = ExtractionSpec.model_validate(yaml.safe_load(text)["spec"])

    assert len(text.splitlines()) <= 40
    assert {dataset.name for dataset in spec.datasets} == set(DATASETS)


def test_the_cluster_sample_differs_by_its_database_block_only() -> None:
    laptop, cluster = (
        yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
        for name in ("wholesaler.yaml", "wholesaler-postgresql.yaml")
    )

    assert laptop["spec"]["source"].pop("database") != cluster["spec"]["source"].pop("database")
    assert laptop == cluster
