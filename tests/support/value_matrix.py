"""The rows of `docs/reference/values.yaml`, as tests use them: one table a section, one row a value.

Called by the test that tries them on real servers and by the test of the page. A row has its value
in the column of its type and NULL in all others, so that what becomes of it touches nothing else.
"""

import math
import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import yaml

from equality import mariadb_rows, postgresql_rows, sqlite_rows
from servers.mariadb import Schema
from servers.postgres import Database
from shops import Shop

FILE = Path(__file__).parents[2] / "docs" / "reference" / "values.yaml"
TABLE = "matrix"
STAYS = ("string", "binary")
"""Types of columns that the word `Text` leaves as they are."""


@dataclass(frozen=True, slots=True)
class Row:
    """One value of the matrix. `held` is None when it does not fit; then `unfit` is what stands in
    quarantine, and `text` what `Text` brings (None: nothing, its row is set aside).
    """

    number: int
    column: str
    type: str
    delta: str
    fidelity: str
    home: str
    given: str
    held: str | None
    unfit: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of one engine and kind of database."""

    engine: str
    title: str
    encoding: str
    setup: tuple[str, ...]
    types: dict[str, str]
    """Declared type by the column that has it."""
    rows: tuple[Row, ...]

    @property
    def statements(self) -> tuple[str, ...]:
        """What makes the section's table and fills it."""
        columns = ", ".join(f"{name} {declared}" for name, declared in self.types.items())
        return (
            *self.setup,
            f"CREATE TABLE {TABLE} (id INTEGER PRIMARY KEY, {columns})",
            *(
                f"INSERT INTO {TABLE} (id, {row.column}) VALUES ({row.number}, {row.given})"
                for row in self.rows
            ),
        )


def load_sections() -> list[Section]:
    """Read every section."""
    loaded = yaml.safe_load(FILE.read_text(encoding="utf-8"))["sections"]
    return [_build_section(each) for each in loaded]


def _build_section(loaded: dict[str, Any]) -> Section:
    rows: list[Row] = []
    types = {f"c{place}": kind for place, kind in enumerate(loaded["types"], 1)}
    for column, kind in types.items():
        for value in kind["values"]:
            unknown = set(value) - {"given", "held", "unfit", "text"}
            assert not unknown, f"{kind['type']}: {unknown}"
            rows.append(
                Row(
                    number=len(rows) + 1,
                    column=column,
                    type=kind["type"],
                    delta=kind["delta"],
                    fidelity=kind["fidelity"],
                    home=kind["home"],
                    given=value["given"],
                    held=value.get("held"),
                    unfit=value.get("unfit"),
                    text=value.get("text"),
                )
            )
    return Section(
        engine=loaded["engine"],
        title=loaded["title"],
        encoding=loaded.get("encoding", "UTF8"),
        setup=tuple(loaded["setup"]),
        types={column: kind["type"] for column, kind in types.items()},
        rows=tuple(rows),
    )


def make_postgresql_shop(section: Section, owner: Database) -> Shop:
    """Put the section's table into a database."""
    owner.execute("; ".join(section.statements))
    place = {"host": owner.host, "port": owner.port, "database": owner.name}
    return Shop(
        engine="postgresql",
        database={"engine": "postgresql", **place, "tls": {"mode": "Disable"}},
        environment={"DPP_SOURCE_USERNAME": owner.user, "DPP_SOURCE_PASSWORD": owner.password},
        execute=owner.execute,
        rows=lambda table: postgresql_rows(owner.dsn, table),
        now="clock_timestamp()",
    )


def make_mariadb_shop(section: Section, owner: Schema) -> Shop:
    """Put the section's table into a database; later statements speak UTC."""

    def execute(statement: str) -> list[tuple[Any, ...]]:
        begin = "SET time_zone = '+00:00', sql_mode = ''"
        with owner.connect(init_command=begin) as opened, opened.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    execute("; ".join(section.statements))
    place = {"host": owner.host, "port": owner.port, "database": owner.name}
    return Shop(
        engine="mariadb",
        database={"engine": "mariadb", **place, "tls": {"mode": "Disable"}},
        environment={"DPP_SOURCE_USERNAME": owner.user, "DPP_SOURCE_PASSWORD": owner.password},
        execute=execute,
        rows=lambda table: mariadb_rows(owner.connect, table),
        now="NOW(6)",
    )


def make_sqlite_shop(section: Section, folder: Path) -> Shop:
    """Make a file with the section's table."""
    path = folder / "matrix.sqlite"

    def execute(statements: str) -> None:
        with closing(sqlite3.connect(path)) as file:
            file.executescript(statements)

    execute("; ".join(section.statements))
    return Shop(
        engine="sqlite",
        database={"engine": "sqlite", "database": str(path)},
        environment={},
        execute=execute,
        rows=lambda table: sqlite_rows(path, table),
        now="CURRENT_TIMESTAMP",
    )


def read_texts(section: Section, shop: Shop) -> dict[int, str]:
    """Give the server's own text of each row's value, but of texts and bytes, which stay as they are.

    Nothing of SQLite, which cuts its floats, nor of a server that does not know what its texts are.
    """
    if shop.engine == "sqlite" or section.encoding != "UTF8":
        return {}
    text = {"postgresql": "text", "mariadb": "char"}[shop.engine]
    found = {}
    for row in section.rows:
        if row.delta in STAYS:
            continue
        select = f"SELECT CAST({row.column} AS {text}) FROM {TABLE} WHERE id = {row.number}"
        ((found[row.number],),) = cast("list[tuple[str]]", shop.execute(select))
    return found


def write_value(value: Any, delta: str) -> str | None:
    """Write what a reader of the table gave as the matrix writes it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _write_float(value, is_single=delta == "float")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, date) else str(value)


def _write_float(value: float, *, is_single: bool) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if not is_single:
        return repr(value)
    wanted = struct.pack("f", value)
    digits = (f"{value:.{count}g}" for count in range(1, 10))
    return repr(float(next(text for text in digits if struct.pack("f", float(text)) == wanted)))
