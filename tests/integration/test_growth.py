"""How a resource grows: what each change of it does to the tables, on a real PostgreSQL and a real S3 server.

docs/growth.md has a row for each test. Only what a person changes in git is changed here; each run is the command's.
"""

from pathlib import Path
from typing import Any

import pytest

from equality import assert_table_equals
from scene import CHANGE, BucketPlace, Ended, Scene, make_scene
from servers.postgres import Database, Postgres
from servers.s3 import S3Server

CHANGED_ROWS = 50
"""What CHANGE leaves to be read of the orders; the items come whole, 110 of them."""


@pytest.fixture
def place(s3_server: S3Server, bucket: str) -> BucketPlace:
    return BucketPlace(s3_server, bucket)


@pytest.fixture
def scene(tmp_path: Path, postgres: Postgres, database: Database, place: BucketPlace) -> Scene:
    """Give the shop after its first run: 200 orders by a cursor, 120 items read whole."""
    shop = make_scene(tmp_path, postgres, database, place)
    first = shop.run()
    assert {name: unit["rows"] for name, unit in first.units.items()} == {
        "orders": 200,
        "items": 120,
    }
    shop.execute(CHANGE)
    return shop


def assert_refused(scene: Scene, dataset: str, *told: str) -> Ended:
    """Run into a change that is not taken up: code 29, both values named, and the table as it was."""
    before = scene.log(dataset)
    ended = scene.run(expect=29)
    unit = ended.units[dataset]
    assert (unit["code"], unit["reason"]) == (29, "StreamIdentityChanged")
    assert all(text in unit["message"] for text in told), unit["message"]
    assert scene.log(dataset) == before
    return ended


def approve(scene: Scene, ended: Ended) -> None:
    scene.spec["approve"] = [ended.report["run_id"]]


def raise_epochs(scene: Scene) -> None:
    for dataset in scene.spec["datasets"]:
        dataset["epoch"] = dataset.get("epoch", 0) + 1


def kinds(scene: Scene, dataset: str) -> list[tuple[str, int]]:
    return [(commit["kind"], commit["seq"]) for commit in scene.commits(dataset)]


def test_a_dataset_added_is_read_from_the_beginning_and_the_others_go_on(scene: Scene) -> None:
    scene.execute(
        "CREATE TABLE stock (id bigint PRIMARY KEY, place text, amount numeric(9,3));"
        "INSERT INTO stock SELECT n, 'Regal ' || n, n / 8.0 FROM generate_series(1, 70) n"
    )
    scene.spec["datasets"].append({"name": "stock", "key": ["id"]})

    ended = scene.run()

    assert ended.units["stock"]["rows"] == 70
    assert ended.units["orders"]["rows"] == CHANGED_ROWS
    assert kinds(scene, "stock") == [("replace", 1)]
    assert kinds(scene, "orders") == [("append", 1), ("append", 2)]
    stock = scene.place.uri("stock")
    assert_table_equals(stock, scene.rows("stock"), key=["id"], options=scene.place.options)
    scene.assert_equal()


def test_a_dataset_removed_keeps_its_table_and_goes_on_when_it_is_put_back(scene: Scene) -> None:
    before = scene.log("orders")
    taken = scene.spec["datasets"].pop(0)
    assert taken["name"] == "orders"

    without = scene.run()

    assert set(without.units) == {"items"}
    assert scene.log("orders") == before
    assert len(scene.seen("orders") or []) == 200
    scene.spec["datasets"].append(taken)
    assert scene.run().units["orders"]["rows"] == CHANGED_ROWS
    scene.assert_equal()


def test_a_dataset_suspended_is_not_read_and_goes_on_where_it_stood(scene: Scene) -> None:
    before = scene.log("orders")
    scene.dataset("orders")["suspend"] = True

    assert set(scene.run().units) == {"items"}

    assert scene.log("orders") == before
    scene.dataset("orders")["suspend"] = False
    assert scene.run().units["orders"]["rows"] == CHANGED_ROWS
    scene.assert_equal()


def test_a_dataset_renamed_is_a_new_table_beside_the_old_one(scene: Scene) -> None:
    before = scene.log("orders")
    scene.dataset("orders").update(name="sales", object="orders")

    ended = scene.run()

    assert ended.units["sales"]["rows"] == 230
    assert kinds(scene, "sales") == [("append", 1)]
    sales = scene.place.uri("sales")
    assert_table_equals(sales, scene.rows("orders"), key=["id"], options=scene.place.options)
    assert scene.log("orders") == before


def test_a_renamed_dataset_goes_on_when_its_folders_were_copied_to_the_new_name(
    scene: Scene, place: BucketPlace
) -> None:
    client = place.client()
    for key, body in place.files().items():
        for old in ("shop/shop/orders/", "shop/shop/_dpp/datasets/orders/"):
            if key.startswith(old):
                new = key.replace(old, old.replace("orders", "sales"))
                client.put_object(Bucket=place.bucket, Key=new, Body=body)
    scene.dataset("orders").update(name="sales", object="orders")

    assert scene.run().units["sales"]["rows"] == CHANGED_ROWS

    assert kinds(scene, "sales") == [("append", 1), ("append", 2)]
    assert_table_equals(
        place.uri("sales"), scene.rows("orders"), key=["id"], form="current", options=place.options
    )


def test_an_object_renamed_in_the_source_stops_until_a_view_keeps_its_name_or_the_epoch_is_raised(
    scene: Scene,
) -> None:
    scene.execute("ALTER TABLE orders RENAME TO bookings")
    scene.dataset("orders")["object"] = "bookings"
    ended = assert_refused(scene, "orders", "object was 'orders' and is 'bookings'")
    assert "raise the dataset's epoch" in ended.units["orders"]["message"]
    approve(scene, ended)
    assert_refused(scene, "orders", "'bookings'")

    scene.execute("CREATE VIEW orders AS SELECT * FROM bookings")
    scene.dataset("orders")["object"] = "orders"
    assert scene.run().units["orders"]["rows"] == CHANGED_ROWS
    scene.assert_equal("orders")

    scene.dataset("orders").update(object="bookings", epoch=1)
    assert scene.run().units["orders"]["rows"] == 230
    assert kinds(scene, "orders")[-1] == ("reset", 3)
    scene.assert_equal("orders")


@pytest.mark.parametrize("is_raised", [False, True], ids=["same-epoch", "raised-epoch"])
def test_another_destination_begins_anew_and_leaves_the_old_one_alone(
    scene: Scene, place: BucketPlace, s3_server: S3Server, is_raised: bool
) -> None:
    before = place.files()
    moved = scene.at(BucketPlace(s3_server, s3_server.make_bucket()))
    if is_raised:
        raise_epochs(moved)

    ended = moved.run()

    assert {name: unit["rows"] for name, unit in ended.units.items()} == {
        "orders": 230,
        "items": 110,
    }
    moved.assert_equal()
    assert kinds(moved, "orders") == [("append", 1)]
    assert place.files() == before


def test_another_destination_goes_on_when_the_extractions_folder_was_brought_along(
    scene: Scene, place: BucketPlace
) -> None:
    before = place.files()
    moved = scene.at(place.copy())

    assert moved.run().units["orders"]["rows"] == CHANGED_ROWS

    moved.assert_equal()
    assert kinds(moved, "orders") == [("append", 1), ("append", 2)]
    assert place.files() == before


def test_another_host_with_the_same_content_goes_on_after_one_approval(scene: Scene) -> None:
    scene.spec["source"]["database"]["host"] = "localhost"
    ended = assert_refused(scene, "orders", "127.0.0.1", "localhost", "approve")
    assert {unit["code"] for unit in ended.units.values()} == {29}
    approve(scene, ended)

    assert scene.run().units["orders"]["rows"] == CHANGED_ROWS

    scene.assert_equal()
    assert kinds(scene, "orders") == [("append", 1), ("append", 2)]
    del scene.spec["approve"]
    assert set(scene.run().outcomes.values()) <= {"Unchanged", "Committed"}, "approved for good"
    scene.spec["source"]["database"]["host"] = "127.0.0.1"
    assert_refused(scene, "orders", "127.0.0.1", "localhost")


def test_a_raised_epoch_reads_everything_anew_into_the_same_table(scene: Scene) -> None:
    scene.execute("UPDATE orders SET item = 'mended in silence' WHERE id = 100")
    raise_epochs(scene)

    ended = scene.run()

    assert ended.units["orders"]["rows"] == 230
    assert [commit["epoch"] for commit in scene.commits("orders")] == [0, 1]
    assert kinds(scene, "orders") == [("append", 1), ("reset", 2)]
    assert len(scene.seen("orders") or []) == 230, "rows of the old epoch are gone"
    scene.assert_equal()


def test_an_epoch_taken_back_is_refused(scene: Scene) -> None:
    raise_epochs(scene)
    scene.run()
    before = scene.log("orders")
    scene.dataset("orders")["epoch"] = 0

    refused = scene.run(expect=29).units["orders"]

    assert (refused["code"], refused["reason"]) == (29, "EpochBehind")
    assert scene.log("orders") == before


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "key": ({"key": ["id", "rev"]}, "key was ['id'] and is ['id', 'rev']"),
    "cursor": ({"incremental": {"cursor": "id"}}, "cursor was 'rev' and is 'id'"),
    "write": ({"incremental": None}, "write was 'Append' and is 'Replace'"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_key_cursor_or_way_of_writing_needs_a_new_epoch(scene: Scene, change: str) -> None:
    fields, told = CHANGES[change]
    orders = scene.dataset("orders")
    orders.update({name: value for name, value in fields.items() if value is not None})
    for name, value in fields.items():
        if value is None:
            del orders[name]
    approve(scene, assert_refused(scene, "orders", told))
    assert_refused(scene, "orders", told)

    orders["epoch"] = 1
    assert scene.run().units["orders"]["rows"] == 230

    scene.assert_equal()
    assert kinds(scene, "orders")[-1] == ("reset", 2)


def test_another_distributor_or_cluster_in_the_same_place_is_refused(scene: Scene) -> None:
    before = scene.place.files()
    scene.spec["distributor"] = "another"

    unit = scene.run(expect=29).units["orders"]

    assert unit["reason"] == "StreamOwnedByAnother"
    assert "distributor 'shop' (this run: 'another')" in unit["message"]
    tables = {key: body for key, body in scene.place.files().items() if "/_dpp/" not in key}
    assert tables == {key: body for key, body in before.items() if "/_dpp/" not in key}
