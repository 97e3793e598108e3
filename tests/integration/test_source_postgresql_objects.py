"""Objects of a real PostgreSQL: tables, views and names of any kind, and what makes a key unique."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dpp_core.errors import DppError
from dpp_core.handover import DatabaseSource, Incremental, Unit
from dpp_extractor.extract.database.engine import open_database
from dpp_extractor.ports import Snapshot
from servers.postgres import Database


@contextmanager
def view_of(database: Database) -> Iterator[Snapshot]:
    source = DatabaseSource(
        engine="postgresql",
        host=database.host,
        port=database.port,
        database=database.name,
        tls="Disable",
    )
    secret = {"username": database.user, "password": database.password}
    with open_database(source, secret, run_id="r") as opened, opened.snapshot() as view:
        yield view


NASTY = [
    'a"b',
    "a.b",
    "with space",
    "Größe ÄÖ",
    "100% (sure)s",
    "%s",
    ":name",
    "x; DROP TABLE y--",
    "it's",
    "back\\slash",
    "select",
    "😀",
    "MixedCase",
    "n" * 63,
]


@pytest.mark.parametrize("name", NASTY)
def test_any_name_can_be_read_as_table_column_key_and_cursor(database: Database, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    database.execute(f"CREATE TABLE {quoted} ({quoted} timestamptz, v int)")
    database.execute(f"INSERT INTO {quoted} VALUES ('2026-01-01', 1), ('2099-01-01', 2)")
    unit = Unit(dataset="t", object=name, key=(name,), incremental=Incremental(cursor=name))
    with view_of(database) as view:
        table = view.describe(unit)
        from dpp_extractor.batch import Window

        window = Window(name, "timestamp", None, "2026-06-01T00:00:00.000000+00:00")
        rows = [row for b in view.read(table, window, None) for row in b.rows.to_pylist()]
        assert [row["v"] for row in rows] == [1]
        assert view.count_null_cursor(table, name) == 0
        assert view.count_future(table, name)[0] == 1
        assert view.duplicate_keys(table, window) == ()


@pytest.mark.parametrize(
    ("statements", "wanted"),
    [
        ("CREATE TABLE t (n int); INSERT INTO t VALUES (1)", "t"),
        ("CREATE TABLE t (n int); INSERT INTO t VALUES (1)", "public.t"),
        ("CREATE SCHEMA s; CREATE TABLE s.t (n int); INSERT INTO s.t VALUES (1)", "s.t"),
        ("CREATE VIEW t AS SELECT 1 AS n", "t"),
        ("CREATE MATERIALIZED VIEW t AS SELECT 1 AS n", "t"),
        (
            "CREATE TABLE t (n int) PARTITION BY LIST (n); CREATE TABLE p PARTITION OF t DEFAULT;"
            " INSERT INTO t VALUES (1)",
            "t",
        ),
        (
            "CREATE TABLE t (n int); CREATE TABLE heir (m int) INHERITS (t);"
            " INSERT INTO heir VALUES (1, 2)",
            "t",
        ),
    ],
    ids=["table", "public", "schema", "view", "materialized view", "partitioned", "inherited"],
)
def test_every_kind_of_relation_is_read(database: Database, statements: str, wanted: str) -> None:
    database.execute(statements)
    with view_of(database) as view:
        table = view.describe(Unit(dataset="t", object=wanted))
        assert [b.rows.to_pylist() for b in view.read(table, None, None)] == [[{"n": 1}]]


def test_a_name_with_two_meanings_is_refused(database: Database) -> None:
    database.execute('CREATE SCHEMA a; CREATE TABLE a.b (n int); CREATE TABLE public."a.b" (n int)')
    with view_of(database) as view, pytest.raises(DppError, match="only one meaning") as refused:
        view.describe(Unit(dataset="t", object="a.b"))
    assert refused.value.exit_code == 20


@pytest.mark.parametrize(
    ("definition", "key", "is_unique"),
    [
        ("a int PRIMARY KEY, b int", ("a",), True),
        ("a int PRIMARY KEY, b int", ("a", "b"), True),
        ("a int, b int, PRIMARY KEY (a, b)", ("a",), False),
        ("a int, b int, PRIMARY KEY (a, b)", ("b", "a"), True),
        ("a int UNIQUE, b int", ("a",), False),
        ("a int NOT NULL UNIQUE, b int", ("a",), True),
        ("a int NOT NULL UNIQUE, b int", ("b",), False),
        ("a int NOT NULL, b int, UNIQUE (a) INCLUDE (b)", ("a",), True),
        ("a int, b int", ("a",), False),
    ],
)
def test_a_key_is_unique_when_the_source_enforces_it(
    database: Database, definition: str, key: tuple[str, ...], is_unique: bool
) -> None:
    database.execute(f"CREATE TABLE t ({definition})")
    with view_of(database) as view:
        assert view.describe(Unit(dataset="t", object="t", key=key)).key_is_unique is is_unique


@pytest.mark.parametrize(
    "statements",
    [
        "CREATE UNIQUE INDEX ON t (a) WHERE a > 0",
        "CREATE UNIQUE INDEX ON t ((a + 1))",
        "CREATE INDEX ON t (a)",
        "ALTER TABLE t ADD PRIMARY KEY (a); CREATE TABLE child () INHERITS (t)",
    ],
    ids=["partial", "expression", "not unique", "with children"],
)
def test_what_does_not_cover_every_row_does_not_make_a_key_unique(
    database: Database, statements: str
) -> None:
    database.execute("CREATE TABLE t (a int NOT NULL)")
    database.execute(statements)
    with view_of(database) as view:
        assert not view.describe(Unit(dataset="t", object="t", key=("a",))).key_is_unique


@pytest.mark.parametrize(
    ("unit", "code", "message"),
    [
        (Unit(dataset="t", object="t", include=("id", "nam")), 31, "Did you mean 'name'"),
        (Unit(dataset="t", object="t", exclude=("Name",)), 31, "Did you mean 'name'"),
        (Unit(dataset="t", object="t", key=("ident",)), 31, "no column 'ident'"),
        (
            Unit(dataset="t", object="t", incremental=Incremental(cursor="updated")),
            31,
            "Did you mean 'updated_at'",
        ),
        (
            Unit(dataset="t", object="t", incremental=Incremental(cursor="name")),
            20,
            "cannot be an incremental cursor",
        ),
        (Unit(dataset="t", object="t", key=("id",), exclude=("id",)), 20, "is left out"),
        (Unit(dataset="t", object="r"), 20, "_dpp_order"),
        (Unit(dataset="t", object="empty"), 20, "No column"),
    ],
)
def test_a_choice_of_columns_that_cannot_work_is_refused_by_name(
    database: Database, unit: Unit, code: int, message: str
) -> None:
    database.execute("CREATE TABLE t (id int, name text, updated_at timestamptz)")
    database.execute("CREATE TABLE r (id int, _dpp_order int); CREATE TABLE empty ()")
    with view_of(database) as view, pytest.raises(DppError, match=message) as refused:
        view.describe(unit)
    assert refused.value.exit_code == code


def test_include_and_exclude_keep_the_tables_own_order(database: Database) -> None:
    database.execute("CREATE TABLE t (a int, b int, c int, _dpp_op int)")
    unit = Unit(dataset="t", object="t", include=("c", "a", "_dpp_op"), exclude=("_dpp_op",))
    with view_of(database) as view:
        assert [column.name for column in view.describe(unit).columns] == ["a", "c"]


def test_dropped_and_generated_columns_are_handled(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (a int, gone int, twice int GENERATED ALWAYS AS (a * 2) STORED)"
    )
    database.execute("ALTER TABLE t DROP COLUMN gone; INSERT INTO t VALUES (3)")
    with view_of(database) as view:
        table = view.describe(Unit(dataset="t", object="t"))
        assert next(view.read(table, None, None)).rows.to_pylist() == [{"a": 3, "twice": 6}]


def test_a_table_of_the_most_columns_comes_whole(database: Database) -> None:
    columns = [f"c{number}" for number in range(1600)]
    database.execute(f"CREATE TABLE t ({', '.join(f'{name} smallint' for name in columns)})")
    database.execute(f"INSERT INTO t VALUES ({', '.join(map(str, range(1600)))})")
    with view_of(database) as view:
        table = view.describe(Unit(dataset="t", object="t"))
        (batch,) = view.read(table, None, None)
    assert batch.rows.to_pylist() == [{name: number for number, name in enumerate(columns)}]
