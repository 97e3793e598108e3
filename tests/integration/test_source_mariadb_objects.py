"""Objects of a real MariaDB: tables, views and names of any kind, and what makes a key unique."""

import pytest

from dpp_core.errors import DppError
from dpp_core.handover import Incremental, Unit
from dpp_core.names import Reason
from dpp_extractor.batch import Window
from mariadb_views import T, count, view_of
from servers.mariadb import MariaDb, Schema

NASTY = [
    "a`b",
    'a"b',
    "a.b",
    "with space",
    "Größe ÄÖ",
    "100% (sure)s",
    "%s",
    ":name",
    "x; DROP TABLE y-- ",
    "it's",
    "back\\slash",
    "select",
    "MixedCase",
    "n" * 64,
]


@pytest.mark.parametrize("name", [name.strip() for name in NASTY])
def test_any_name_can_be_read_as_table_column_key_and_cursor(schema: Schema, name: str) -> None:
    quoted = "`" + name.replace("`", "``") + "`"
    schema.execute(f"CREATE TABLE {quoted} ({quoted} DATETIME(6), v INT)")
    schema.execute(f"INSERT INTO {quoted} VALUES ('2026-01-01', 1), ('2099-01-01', 2)")
    unit = Unit(dataset="t", object=name, key=(name,), incremental=Incremental(cursor=name))
    window = Window(name, "timestamp", None, "2026-06-01T00:00:00.000000")

    with view_of(schema) as view:
        table = view.describe(unit)
        rows = [row for b in view.read(table, window, None) for row in b.rows.to_pylist()]

        assert [row["v"] for row in rows] == [1]
        assert view.count_null_cursor(table, name) == 0
        assert view.count_future(table, name)[0] == 1
        assert view.duplicate_keys(table, window) == ()


@pytest.mark.parametrize(
    "statements",
    [
        "CREATE TABLE t (n INT); INSERT INTO t VALUES (1)",
        "CREATE VIEW t AS SELECT CAST(1 AS SIGNED) AS n",
        "CREATE TABLE t (n INT) PARTITION BY HASH (n) PARTITIONS 3; INSERT INTO t VALUES (1)",
        "CREATE TABLE t (n INT) WITH SYSTEM VERSIONING; INSERT INTO t VALUES (2);"
        " UPDATE t SET n = 1",
        "CREATE TABLE t (n INT) ENGINE = MyISAM; INSERT INTO t VALUES (1)",
        "CREATE TABLE t (n INT INVISIBLE, m INT); INSERT INTO t (n) VALUES (1)",
    ],
    ids=["table", "view", "partitioned", "versioned", "MyISAM", "invisible column"],
)
def test_every_kind_of_relation_is_read(schema: Schema, statements: str) -> None:
    schema.execute(statements)
    with view_of(schema) as view:
        table = view.describe(T)
        rows = [row for b in view.read(table, None, None) for row in b.rows.to_pylist()]
        assert [row["n"] for row in rows] == [1]


def test_a_table_of_another_database_is_named_with_it(mariadb: MariaDb, schema: Schema) -> None:
    other = mariadb.create_schema()
    other.execute("CREATE TABLE orders (n INT); INSERT INTO orders VALUES (1)")
    mariadb.admin().execute(f"GRANT SELECT ON `{other.name}`.* TO '{schema.user}'")
    with view_of(schema) as view:
        assert count(view, Unit(dataset="t", object=f"{other.name}.orders")) == 1
    mariadb.drop_schema(other)


def test_a_name_with_two_meanings_is_refused(mariadb: MariaDb, schema: Schema) -> None:
    other = mariadb.create_schema()
    other.execute("CREATE TABLE b (n INT)")
    mariadb.admin().execute(f"GRANT SELECT ON `{other.name}`.* TO '{schema.user}'")
    schema.execute(f"CREATE TABLE `{other.name}.b` (n INT)")
    unit = Unit(dataset="t", object=f"{other.name}.b")
    with view_of(schema) as view, pytest.raises(DppError, match="only one meaning") as refused:
        view.describe(unit)
    assert refused.value.exit_code == 20
    mariadb.drop_schema(other)


@pytest.mark.parametrize(
    ("definition", "key", "is_unique"),
    [
        ("a INT PRIMARY KEY, b INT", ("a",), True),
        ("a INT PRIMARY KEY, b INT", ("a", "b"), True),
        ("a INT, b INT, PRIMARY KEY (a, b)", ("a",), False),
        ("a INT, b INT, PRIMARY KEY (a, b)", ("b", "a"), True),
        ("a INT UNIQUE, b INT", ("a",), False),
        ("a INT NOT NULL UNIQUE, b INT", ("a",), True),
        ("a VARCHAR(9) NOT NULL, UNIQUE (a(3))", ("a",), True),
        ("a INT NOT NULL, KEY (a)", ("a",), False),
        ("a INT, b INT", ("a",), False),
    ],
)
def test_a_key_is_unique_when_the_source_enforces_it(
    schema: Schema, definition: str, key: tuple[str, ...], is_unique: bool
) -> None:
    schema.execute(f"CREATE TABLE t ({definition})")
    with view_of(schema) as view:
        assert view.describe(Unit(dataset="t", object="t", key=key)).key_is_unique is is_unique


def test_a_view_enforces_no_key(schema: Schema) -> None:
    schema.execute("CREATE TABLE base (a INT PRIMARY KEY); CREATE VIEW t AS SELECT * FROM base")
    with view_of(schema) as view:
        assert not view.describe(Unit(dataset="t", object="t", key=("a",))).key_is_unique


def test_keys_that_the_collation_takes_for_one_are_two(schema: Schema) -> None:
    schema.execute("CREATE TABLE t (code VARCHAR(9), v INT)")
    schema.execute("INSERT INTO t VALUES ('a', 1), ('A', 2), ('ä', 3), ('b', 4), ('b', 5)")
    with view_of(schema) as view:
        table = view.describe(Unit(dataset="t", object="t", key=("code",)))
        assert view.duplicate_keys(table, None) == ("code=b",)


@pytest.mark.parametrize(
    ("unit", "code", "message"),
    [
        (Unit(dataset="t", object="t", include=("id", "nam")), 31, "Did you mean 'name'"),
        (Unit(dataset="t", object="t", exclude=("Name",)), 31, "Did you mean 'name'"),
        (
            Unit(dataset="t", object="t", incremental=Incremental(cursor="name")),
            20,
            "cannot be an incremental cursor",
        ),
        (Unit(dataset="t", object="r"), 20, "_dpp_order"),
    ],
)
def test_a_choice_of_columns_that_cannot_work_is_refused_by_name(
    schema: Schema, unit: Unit, code: int, message: str
) -> None:
    schema.execute("CREATE TABLE t (id INT, name TEXT, updated_at DATETIME)")
    schema.execute("CREATE TABLE r (id INT, _dpp_order INT)")
    with view_of(schema) as view, pytest.raises(DppError, match=message) as refused:
        view.describe(unit)
    assert refused.value.exit_code == code


def test_a_missing_table_is_named_with_its_nearest(schema: Schema) -> None:
    schema.execute("CREATE TABLE invoices (id INT); CREATE TABLE orders (id INT)")
    with view_of(schema) as view:
        for wanted, meant in (("order", "'orders'"), ("Invoices", "'invoices'")):
            with pytest.raises(DppError, match=f"Did you mean {meant}") as refused:
                view.describe(Unit(dataset="t", object=wanted))
            assert (refused.value.exit_code, refused.value.reason) == (
                31,
                Reason.SOURCE_OBJECT_MISSING,
            )


def test_a_missing_grant_names_the_statement_that_gives_it(
    mariadb: MariaDb, schema: Schema
) -> None:
    reader = mariadb.create_reader(schema, reads_all=False)
    schema.execute("CREATE TABLE `a ``b``` (id INT); CREATE TABLE open_one (id INT)")
    mariadb.admin().execute(f"GRANT SELECT ON `{schema.name}`.open_one TO '{reader.user}'")
    unit = Unit(dataset="t", object="a `b`")
    with view_of(reader) as view, pytest.raises(DppError) as refused:
        view.describe(unit)
    assert (refused.value.exit_code, refused.value.reason) == (31, Reason.SOURCE_OBJECT_DENIED)
    mariadb.admin().execute(refused.value.fix.removeprefix("Run as an administrator: "))
    with view_of(reader) as view:
        assert count(view, unit) == 0


def test_a_column_that_is_not_granted_is_not_there(mariadb: MariaDb, schema: Schema) -> None:
    reader = mariadb.create_reader(schema, reads_all=False)
    schema.execute("CREATE TABLE t (id INT, salary INT)")
    mariadb.admin().execute(f"GRANT SELECT (id) ON `{schema.name}`.t TO '{reader.user}'")
    with view_of(reader) as view:
        assert [column.name for column in view.describe(T).columns] == ["id"]
        assert count(view, T) == 0
        with pytest.raises(DppError, match="no column 'salary'"):
            view.describe(Unit(dataset="t", object="t", include=("id", "salary")))


def test_a_column_that_may_only_be_written_is_named(mariadb: MariaDb, schema: Schema) -> None:
    reader = mariadb.create_reader(schema, reads_all=False)
    schema.execute("CREATE TABLE t (id INT, salary INT)")
    mariadb.admin().execute(
        f"GRANT SELECT (id), INSERT (salary) ON `{schema.name}`.t TO '{reader.user}'"
    )
    with view_of(reader) as view:
        with pytest.raises(DppError, match="'salary'") as refused:
            view.describe(T)
        assert refused.value.reason is Reason.SOURCE_OBJECT_DENIED
        assert count(view, Unit(dataset="t", object="t", exclude=("salary",))) == 0
