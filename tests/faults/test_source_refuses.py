"""What the source can refuse, or have changed since the last run: said with its code, and nothing of it visible."""

from collections.abc import Callable
from typing import Any

import pytest

from scene import CHANGE, Ended, Scene
from servers.postgres import Postgres

GRANT = "GRANT USAGE ON SCHEMA"


def assert_says(unit: dict[str, Any], *words: str) -> None:
    missing = [word for word in words if word not in unit["message"]]
    assert not missing, f"{missing} not in {unit['message']!r}"


def assert_ended(ended: Ended, dataset: str, code: int, reason: str, *words: str) -> None:
    """Check one dataset's end, that its message says these words, and that the run ended with the code."""
    unit = ended.units[dataset]
    assert (unit["code"], unit["reason"]) == (code, reason), unit
    assert ended.code == code
    assert_says(unit, *words)


def test_a_wrong_password_is_tried_once(scene: Scene, postgres: Postgres) -> None:
    log = postgres.server.log_path
    before = log.read_text(errors="replace").count("password authentication failed")

    ended = scene.run(expect=22, DPP_SOURCE_PASSWORD="wrong-horse-7")

    tried = log.read_text(errors="replace").count("password authentication failed") - before
    assert tried == 1
    assert_ended(ended, "orders", 22, "CredentialsRefused", scene.reader.name, "secret")
    assert ended.outcomes == {"orders": "Failed", "items": "Failed"}
    assert "wrong-horse-7" not in str(ended)
    assert scene.seen("orders") is None
    scene.run()
    scene.assert_equal()


Breakage = tuple[str, str, int, str, tuple[str, ...]]
CASES: dict[str, Breakage] = {
    "dropped-table": (
        "ALTER TABLE orders RENAME TO orders_old",
        "ALTER TABLE orders_old RENAME TO orders",
        31,
        "SourceObjectMissing",
        ("'orders'", "Did you mean 'orders_old'?", "schema.table"),
    ),
    "missing-grant": (
        "REVOKE SELECT ON orders FROM {reader}",
        "GRANT SELECT ON orders TO {reader}",
        31,
        "SourceObjectDenied",
        ("'orders'", GRANT, 'GRANT SELECT ON TABLE "public"."orders" TO "{reader}"'),
    ),
    "missing-grant-on-a-column": (
        "REVOKE SELECT ON orders FROM {reader}; GRANT SELECT (id, item, rev) ON orders TO {reader}",
        "GRANT SELECT ON orders TO {reader}",
        31,
        "SourceObjectDenied",
        ("'orders'", GRANT),
    ),
    "renamed-column": (
        "ALTER TABLE orders RENAME COLUMN item TO article",
        "ALTER TABLE orders RENAME COLUMN article TO item",
        25,
        "SchemaChanged",
        ("item (source column 'item') is gone (renamed to article?)", "approve", "columns.rename"),
    ),
    "narrowed-column": (
        "ALTER TABLE orders ALTER price TYPE numeric(8,2)",
        "ALTER TABLE orders ALTER price TYPE numeric(12,2)",
        25,
        "SchemaChanged",
        ("price was decimal128(12, 2) and is decimal128(8, 2) now", "approve"),
    ),
    "dropped-key-column": (
        "ALTER TABLE orders RENAME COLUMN id TO number",
        "ALTER TABLE orders RENAME COLUMN number TO id",
        31,
        "SourceObjectMissing",
        ("no column 'id'", "number, item, price"),
    ),
    "cursor-with-nulls": (
        "ALTER TABLE orders ALTER rev DROP NOT NULL; UPDATE orders SET rev = NULL WHERE id = 230",
        "UPDATE orders SET rev = 2000 WHERE id = 230",
        24,
        "CursorHasNulls",
        ("1 rows of orders have no rev", "nulls: Exclude"),
    ),
    "key-twice": (
        "ALTER TABLE orders DROP CONSTRAINT orders_pkey;"
        "INSERT INTO orders VALUES (230, 'twin', 1, now(), 1999)",
        "DELETE FROM orders WHERE item = 'twin'",
        24,
        "KeyNotUnique",
        ("[id] of orders is not unique", "230", "Nothing was committed"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_refusal_hides_nothing_and_loses_nothing(scene: Scene, case: Breakage) -> None:
    scene.run()
    breaking, mending, code, reason, words = case
    before = scene.log("orders")
    scene.execute(CHANGE)
    scene.execute(breaking.format(reader=scene.reader.user))

    ended = scene.run(expect=code)

    assert_ended(
        ended, "orders", code, reason, *(w.format(reader=scene.reader.user) for w in words)
    )
    assert ended.outcomes["items"] == "Committed", "one dataset's failure stays with it"
    assert scene.log("orders") == before
    scene.execute(mending.format(reader=scene.reader.user))
    assert scene.run().units["orders"]["rows"] == 50
    scene.assert_equal()


def test_rows_without_a_cursor_are_left_out_when_the_author_says_so(scene: Scene) -> None:
    scene.execute(
        "ALTER TABLE orders ALTER rev DROP NOT NULL; UPDATE orders SET rev = NULL WHERE id > 190"
    )
    scene.dataset("orders")["incremental"]["nulls"] = "Exclude"

    ended = scene.run()

    assert ended.units["orders"]["rows"] == 190
    assert any("10 rows without rev were left out" in str(line) for line in ended.lines)


def test_wider_and_added_columns_go_on(scene: Scene) -> None:
    scene.run()
    scene.execute(CHANGE)
    scene.execute("ALTER TABLE orders ALTER price TYPE numeric(18,2), ADD note text")
    scene.execute("ALTER TABLE items ALTER weight TYPE bigint, ADD note text DEFAULT 'ß'")

    ended = scene.run()

    assert ended.outcomes == {"orders": "Committed", "items": "Committed"}
    scene.execute(
        "UPDATE orders SET price = 1234567890123456.78, rev = 3000, note = 'wide' WHERE id = 1"
    )
    scene.run()
    scene.assert_equal()


def change_cursor(scene: Scene) -> None:
    scene.dataset("orders")["incremental"]["cursor"] = "id"


def change_key(scene: Scene) -> None:
    scene.dataset("orders")["key"] = ["id", "rev"]


def change_object(scene: Scene) -> None:
    scene.execute("CREATE VIEW other AS SELECT * FROM orders")
    scene.dataset("orders")["object"] = "other"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_cursor, ("cursor was 'rev' and is 'id'", "epoch")),
        (change_key, ("key was ['id'] and is ['id', 'rev']", "epoch")),
        (change_object, ("object was 'orders' and is 'other'", "epoch")),
    ],
    ids=["cursor", "key", "object"],
)
def test_another_stream_under_the_same_name_is_refused(
    scene: Scene, change: Callable[[Scene], None], words: tuple[str, ...]
) -> None:
    scene.run()
    before = scene.log("orders")
    scene.execute(CHANGE)
    kept = dict(scene.dataset("orders"), incremental=dict(scene.dataset("orders")["incremental"]))
    change(scene)

    ended = scene.run(expect=29)

    assert_ended(ended, "orders", 29, "StreamIdentityChanged", *words)
    assert scene.log("orders") == before
    scene.dataset("orders").update(kept)
    scene.dataset("orders").pop("object", None)
    assert scene.run().units["orders"]["rows"] == 50
    scene.assert_equal()


def test_more_rejected_rows_than_quarantine_holds_block_the_dataset(scene: Scene) -> None:
    scene.execute("ALTER TABLE items ADD price numeric(10,2)")
    scene.run()
    before = scene.log("items")
    scene.execute("INSERT INTO items SELECT n, 'nan', 1, 'NaN' FROM generate_series(1000, 2000) n")

    ended = scene.run(expect=24)

    assert_ended(ended, "items", 24, "QuarantineFull", "1,000 rows", "items", "columns.exclude")
    assert scene.log("items") == before
    scene.execute("DELETE FROM items WHERE id = 1500")
    done = scene.run().units["items"]
    assert (done["rows"], done["quarantined"]) == (120, 1000)
