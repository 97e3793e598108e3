"""Every row of the matrix of values, in real servers, all the way into Delta tables.

One table a section of `docs/reference/values.yaml`, one run that reads it with three words for what
does not fit; for another engine add how its database is made to `SHOPS`.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dpp_core.errors import BlockedError
from dpp_core.handover import DatabaseSource, Unit, Values
from dpp_core.names import Reason
from dpp_extractor.batch import Rejected, SourceTable
from dpp_extractor.check.rules import check_unfit
from dpp_extractor.extract.database.engine import open_database
from equality import READERS
from servers.mariadb import MariaDb
from servers.postgres import Postgres
from shops import Shop, make_extraction, read_commits
from value_matrix import (
    STAYS,
    TABLE,
    Row,
    Section,
    load_sections,
    make_mariadb_shop,
    make_postgresql_shop,
    make_sqlite_shop,
    read_texts,
    write_value,
)

WORDS = {"quarantined": "Quarantine", "nulled": "SetNull", "as_text": "Text"}


@contextmanager
def in_postgresql(section: Section, request: pytest.FixtureRequest, _: Path) -> Iterator[Shop]:
    postgres: Postgres = request.getfixturevalue("postgres")
    owner = postgres.create_database(encoding=section.encoding)
    yield make_postgresql_shop(section, owner)
    postgres.drop_database(owner)


@contextmanager
def in_sqlite(section: Section, _: pytest.FixtureRequest, folder: Path) -> Iterator[Shop]:
    yield make_sqlite_shop(section, folder)


@contextmanager
def in_mariadb(section: Section, request: pytest.FixtureRequest, _: Path) -> Iterator[Shop]:
    mariadb: MariaDb = request.getfixturevalue("mariadb")
    owner = mariadb.create_schema()
    yield make_mariadb_shop(section, owner)
    mariadb.drop_schema(owner)


SHOPS: dict[str, Callable[..., Any]] = {
    "postgresql": in_postgresql,
    "sqlite": in_sqlite,
    "mariadb": in_mariadb,
}
"""How a section's table comes into a real server, by engine."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A section's table as one run brought it, by dataset."""

    section: Section
    shop: Shop
    tables: dict[str, Path]
    fields: dict[str, dict[str, dict[str, Any]]]
    quarantine: dict[str, dict[int, dict[str, Any]]]

    def read(self, dataset: str, reader: str = "deltalake") -> dict[int, dict[str, Any]]:
        return {row["id"]: row for row in READERS[reader](str(self.tables[dataset]), {})}

    @property
    def fitting(self) -> list[Row]:
        return [row for row in self.section.rows if row.held is not None]

    @property
    def unfit(self) -> list[Row]:
        return [row for row in self.section.rows if row.held is None]


@pytest.fixture(scope="module", params=load_sections(), ids=lambda section: section.title)
def tried(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tried]:
    section: Section = request.param
    folder = tmp_path_factory.mktemp("matrix")
    with SHOPS[section.engine](section, request, folder) as shop:
        datasets = [
            {"name": name, "object": TABLE, "key": ["id"], "values": {"unfit": word}}
            for name, word in WORDS.items()
        ]
        extraction = make_extraction(shop, folder, datasets)
        extraction.run()
        tables = {name: Path(extraction.table(name)) for name in WORDS}
        yield Tried(
            section,
            shop,
            tables,
            {name: read_fields(table) for name, table in tables.items()},
            {name: read_quarantine(extraction.out, name) for name in WORDS},
        )


def read_fields(table: Path) -> dict[str, dict[str, Any]]:
    lines = (table / "_delta_log" / f"{0:020}.json").read_text(encoding="utf-8").splitlines()
    (found,) = (json.loads(line)["metaData"] for line in lines if "metaData" in json.loads(line))
    return {field["name"]: field for field in json.loads(found["schemaString"])["fields"]}


def read_quarantine(out: Path, dataset: str) -> dict[int, dict[str, Any]]:
    files = out.glob(f"shop/shop/_dpp/datasets/{dataset}/quarantine/*/*.jsonl")
    lines = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    return {int(line["values"]["id"]): line for line in lines}


def test_each_column_has_its_type_its_fidelity_and_where_it_comes_from(tried: Tried) -> None:
    found = {
        (row.type, fields["type"], fields["metadata"]["dpp.fidelity"])
        for row in tried.section.rows
        for fields in (tried.fields["quarantined"][row.column],)
    }

    assert found == {(row.type, row.delta, row.fidelity) for row in tried.section.rows}
    names = {n: f["metadata"].get("dpp.source_name") for n, f in tried.fields["nulled"].items()}
    assert all(names[name] == name for name in tried.section.types)


@pytest.mark.parametrize("reader", READERS)
def test_every_value_that_fits_is_held_as_it_is(tried: Tried, reader: str) -> None:
    rows = tried.read("quarantined", reader)

    held = {row: write_value(rows[row.number][row.column], row.delta) for row in tried.fitting}

    assert {row.given: text for row, text in held.items() if text != row.held} == {}


def test_a_value_that_does_not_fit_puts_its_row_alone_into_quarantine(tried: Tried) -> None:
    lines = tried.quarantine["quarantined"]

    assert set(lines) == {row.number for row in tried.unfit}
    assert set(tried.read("quarantined")) == {row.number for row in tried.fitting}
    for row in tried.unfit:
        line = lines[row.number]
        assert (line["rule"], line["column"]) == ("type", row.column)
        assert line["values"][row.column] == row.unfit, row


def test_with_set_null_the_value_is_null_and_is_counted_by_column(tried: Tried) -> None:
    rows = tried.read("nulled")

    assert set(rows) == {row.number for row in tried.section.rows}
    assert [row for row in tried.unfit if rows[row.number][row.column] is not None] == []
    held = {row: write_value(rows[row.number][row.column], row.delta) for row in tried.fitting}
    assert {row.given: text for row, text in held.items() if text != row.held} == {}
    columns = [row.column for row in tried.unfit]
    nulled = {name: columns.count(name) for name in columns}
    assert read_commits(tried.tables["nulled"])[-1]["counts"]["nulled"] == nulled
    told = tried.fields["nulled"]
    assert {told[name]["metadata"].get("dpp.unfit") for name in nulled} == {"SetNull"}


def test_with_text_a_column_is_text_in_every_row_or_its_row_is_set_aside(tried: Tried) -> None:
    rows, fields = tried.read("as_text"), tried.fields["as_text"]

    for row in tried.unfit:
        is_there = row.number in rows
        assert is_there is (row.text is not None), row
        assert (row.number in tried.quarantine["as_text"]) is not is_there, row
        assert not is_there or rows[row.number][row.column] == row.text, row
        assert fields[row.column]["type"] == (row.delta if row.delta in STAYS else "string")
    turned = [row for row in tried.fitting if fields[row.column]["type"] != row.delta]
    assert {fields[row.column]["metadata"]["dpp.fidelity"] for row in turned} == {"text"}
    texts = read_texts(tried.section, tried.shop)
    assert {
        row.given: rows[row.number][row.column]
        for row in turned
        if rows[row.number][row.column] != texts.get(row.number, rows[row.number][row.column])
    } == {}
    assert all(isinstance(rows[row.number][row.column], str) for row in turned)


def test_with_fail_each_such_value_blocks(tried: Tried) -> None:
    table, rejected = read_with_fail(tried.shop)

    assert {int(str(row.values["id"])) for row in rejected} == {row.number for row in tried.unfit}
    for row in rejected:
        with pytest.raises(BlockedError) as caught:
            check_unfit("matrix", table, [row])
        assert caught.value.reason is Reason.VALUE_UNREPRESENTABLE


def read_with_fail(shop: Shop) -> tuple[SourceTable, list[Rejected]]:
    unit = Unit(dataset="matrix", object=TABLE, key=("id",), values=Values(unfit="Fail"))
    place = DatabaseSource(**{**shop.database, "tls": "Disable"})
    names = {"username": "DPP_SOURCE_USERNAME", "password": "DPP_SOURCE_PASSWORD"}
    secret = {name: shop.environment.get(variable, "") for name, variable in names.items()}
    with (
        open_database(place, secret, run_id="matrix") as source,
        source.snapshot() as view,
    ):
        table = view.describe(unit)
        return table, [row for batch in view.read(table, None, None) for row in batch.rejected]
