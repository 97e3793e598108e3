"""What only a person may decide: a table that shrank, a schema that changed, a source that moved, an epoch."""

from scene import CHANGE, Ended, Scene


def blocked(scene: Scene, dataset: str, code: int, reason: str) -> Ended:
    """Run into a block; the table must stay as it was, and the record hold what an approval must match."""
    before = scene.log(dataset)
    ended = scene.run(expect=code)
    unit = ended.units[dataset]
    assert (unit["code"], unit["reason"]) == (code, reason)
    assert "approve" in unit["message"] and unit["fingerprint"]
    assert scene.log(dataset) == before
    return ended


def approve(scene: Scene, ended: Ended) -> None:
    scene.spec["approve"] = [ended.report["run_id"]]


def test_a_table_that_shrank_needs_an_approval_that_holds_once(scene: Scene) -> None:
    scene.run()
    scene.execute("DELETE FROM items WHERE id > 50")
    first = blocked(scene, "items", 24, "ReplaceTooSmall")
    assert "items had 120 rows in commit 1 and has 50 now" in first.units["items"]["message"]
    approve(scene, first)

    assert scene.run().units["items"]["rows"] == 50

    scene.assert_equal("items")
    assert scene.commits("items")[-1]["approved"] == [first.report["run_id"]]
    scene.execute("DELETE FROM items")
    again = blocked(scene, "items", 24, "ReplaceTooSmall")
    assert "has 0 now" in again.units["items"]["message"]
    approve(scene, again)
    scene.run()
    assert scene.seen("items") == []


def test_a_renamed_column_goes_on_after_an_approval(scene: Scene) -> None:
    scene.run()
    scene.execute(CHANGE)
    scene.execute("ALTER TABLE items RENAME COLUMN name TO label")
    scene.execute("ALTER TABLE orders RENAME COLUMN item TO article")
    ended = blocked(scene, "orders", 25, "SchemaChanged")
    assert ended.outcomes == {"orders": "Blocked", "items": "Blocked"}
    approve(scene, ended)

    scene.run()

    scene.assert_equal("items")
    rows = {row["id"]: row for row in scene.seen("orders") or [] if row["rev"] > 1000}
    assert len(rows) == 50
    assert {row["article"] for row in rows.values()} >= {"neu"}
    assert {row["item"] for row in rows.values()} == {None}
    scene.execute("ALTER TABLE items RENAME COLUMN label TO name")
    blocked(scene, "items", 25, "SchemaChanged")


def test_a_source_that_moved_goes_on_from_its_watermark_after_an_approval(scene: Scene) -> None:
    scene.run()
    scene.execute(CHANGE)
    scene.spec["source"]["database"]["host"] = "localhost"
    ended = blocked(scene, "orders", 29, "StreamIdentityChanged")
    told = ended.units["orders"]["message"]
    assert "127.0.0.1" in told and "localhost" in told
    approve(scene, ended)

    assert scene.run().units["orders"]["rows"] == 50

    scene.assert_equal()


def test_a_raised_epoch_reads_everything_anew_and_a_lowered_one_is_refused(scene: Scene) -> None:
    scene.run()
    scene.execute(CHANGE)
    scene.execute("UPDATE orders SET item = 'mended in silence' WHERE id = 100")
    for name in ("orders", "items"):
        scene.dataset(name)["epoch"] = 1

    assert scene.run().units["orders"]["rows"] == 230

    scene.assert_equal()
    assert [commit["kind"] for commit in scene.commits("orders")] == ["append", "reset"]
    assert len(scene.seen("orders") or []) == 230, "rows of the old epoch are gone"
    before = scene.log("orders")
    scene.dataset("orders")["epoch"] = 0
    refused = scene.run(expect=29).units["orders"]
    assert (refused["code"], refused["reason"]) == (29, "EpochBehind")
    assert "asks for epoch 0, but the table is at epoch 1" in refused["message"]
    assert scene.log("orders") == before
