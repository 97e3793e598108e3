"""Which step is due, what each says, and that one that fails does not stop the others."""

from dataclasses import replace
from typing import Any

import pytest

from dpp_core.errors import ResourcesError, StreamError, TemporaryFailure
from dpp_core.handover import Destination
from dpp_extractor.publish.claim import read_claim
from dpp_extractor.publish.delta import LiveFile
from dpp_extractor.publish.fold import Head, Trouble
from dpp_extractor.publish.keys import Stream
from dpp_extractor.upkeep import checkpoint, compact, maintain, vacuum
from dpp_extractor.upkeep.child import Bounds, Work
from dpp_extractor.upkeep.compact import decide_compaction, find_row_change
from dpp_extractor.upkeep.maintain import Plan, Step, Yard
from dpp_extractor.upkeep.place import Place, build_place
from dpp_extractor.upkeep.run import build_report
from tamper import ORDERS, STOCK, Lake, make_lake

MIB = 1024 * 1024


def head_of(lake: Lake, dataset: str = "orders") -> Head:
    return lake.bench.head(dataset)


def small(number: int, size_bytes: int = 1000) -> dict[str, LiveFile]:
    return {f"f{n}": LiveFile(f"f{n}", size_bytes, {}, 10) for n in range(number)}


# --- compaction ---


@pytest.mark.parametrize(
    ("files", "is_due"),
    [
        pytest.param(small(10), True, id="enough small files"),
        pytest.param(small(9), False, id="too few"),
        pytest.param(small(20, 64 * MIB), False, id="a quarter of the target is not small"),
        pytest.param(small(20, 64 * MIB - 1), True, id="just below a quarter"),
    ],
)
def test_compaction_is_due_by_the_number_of_small_files(
    files: dict[str, LiveFile], is_due: bool
) -> None:
    head = replace(head_of(make_lake(1)), files=files)

    assert (decide_compaction(head, 256 * MIB, 10) == "") is is_due


def test_a_replace_table_is_not_compacted() -> None:
    head = replace(head_of(make_lake(1), "stock"), files=small(50))

    assert "Replace" in decide_compaction(head, 256 * MIB, 10)


def test_no_table_is_not_compacted() -> None:
    assert decide_compaction(Head(), 256 * MIB, 10) == "there is no table yet"


def test_nothing_is_built_on_a_table_that_somebody_changed() -> None:
    trouble = Trouble(StreamError("x").reason, 7, "RESTORE", True)
    head = replace(head_of(make_lake(1)), files=small(50), trouble=trouble)

    with pytest.raises(StreamError, match="Version 7"):
        decide_compaction(head, 256 * MIB, 10)


def test_rows_that_went_by_a_rewrite_are_said() -> None:
    lake = make_lake(1)
    (commit,) = _versions(lake)
    files = dict(lake.bench.head().files)
    rewrite = replace(commit, removes=tuple(files), adds=(LiveFile("new", 1, {}, 4),))

    assert find_row_change(rewrite, files) == "5 rows became 4"
    assert "does not say" in find_row_change(
        replace(rewrite, adds=(LiveFile("new", 1, {}, None),)), files
    )
    assert "was not in the table" in find_row_change(replace(rewrite, removes=("odd",)), files)


def _versions(lake: Lake) -> list[Any]:
    from dpp_extractor.publish.head import read_versions

    return list(read_versions(lake.store, ORDERS))


# --- the loop over tables ---


def yard_of(lake: Lake) -> Yard:
    return Yard(lake.store, Place("/lake"), Bounds({}), lambda: lake.store.clock)


def answers(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[Work]:
    asked: list[Work] = []

    def carry_out(work: Work, bounds: Bounds) -> dict[str, Any]:
        asked.append(work)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    for module in (checkpoint, compact, vacuum):
        monkeypatch.setattr(module, "carry_out", carry_out)
    return asked


def test_every_step_of_every_table_is_told_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = make_lake()
    asked = answers(monkeypatch, {"version": 3, "paths": []})

    steps = list(maintain.maintain(yard_of(lake), (ORDERS, STOCK), Plan(checkpoint_every=4)))

    assert [(step.dataset, step.step, step.state) for step in steps] == [
        ("orders", "compact", "NotDue"),
        ("orders", "checkpoint", "Done"),
        ("orders", "vacuum", "DryRun"),
        ("stock", "compact", "NotDue"),
        ("stock", "checkpoint", "Done"),
        ("stock", "vacuum", "DryRun"),
        ("", "control", "DryRun"),
    ]
    assert [work.place.uri for work in asked if work.name == "checkpoint"] == [
        "/lake/acme/shop/orders",
        "/lake/acme/shop/stock",
    ]


def test_what_another_owner_claimed_is_left_alone_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lake = make_lake()
    asked = answers(monkeypatch, {"version": 3, "paths": []})
    owner = read_claim(lake.store, ORDERS)
    assert owner is not None
    mine, others = (
        replace(yard_of(lake), owner=each) for each in (owner, replace(owner, cluster="b"))
    )
    plan = Plan(checkpoint_every=1)

    refused = list(maintain.maintain(others, (ORDERS, STOCK), plan))

    assert [(step.dataset, step.step, step.code) for step in refused] == [
        ("orders", "claim", 29),
        ("stock", "claim", 29),
    ]
    assert asked == []
    assert all(step.code == 0 for step in maintain.maintain(mine, (ORDERS, STOCK), plan))


@pytest.mark.parametrize(
    ("states", "outcome", "version"),
    [
        pytest.param(
            {"compact": "NotDue", "checkpoint": "NotDue"}, "Unchanged", None, id="nothing"
        ),
        pytest.param(
            {"compact": "NotDue", "checkpoint": "Done"}, "Unchanged", None, id="checkpoint"
        ),
        pytest.param({"compact": "Done", "checkpoint": "NotDue"}, "Committed", 7, id="compacted"),
        pytest.param({"compact": "Done", "checkpoint": "Failed"}, "Failed", None, id="one failed"),
    ],
)
def test_a_report_says_what_became_of_a_table(
    states: dict[str, maintain.State], outcome: str, version: int | None
) -> None:
    facts = {"version": 7, "reason": "DestinationUnavailable"}
    steps = [
        Step("acme", "shop", "orders", name, state, "said", facts, 26 if state == "Failed" else 0)
        for name, state in states.items()
    ]

    unit = build_report("orders", steps)

    assert (unit.outcome, unit.version) == (outcome, version)
    assert unit.code == (26 if outcome == "Failed" else 0)


def test_a_checkpoint_is_due_by_the_versions_behind_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lake = make_lake()
    answers(monkeypatch, {"version": 3})

    (step,) = maintain.maintain(
        yard_of(lake), (ORDERS,), Plan(compact=False, vacuum=False, checkpoint_every=5)
    )

    assert (step.state, step.facts) == ("NotDue", {"versions_behind": 4})


@pytest.mark.parametrize(
    "error",
    [
        ResourcesError("no memory"),
        TemporaryFailure("a run was first"),
        StreamError("odd"),
    ],
    ids=["memory", "overtaken", "table"],
)
def test_a_step_that_fails_is_told_with_its_code_and_the_others_go_on(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = make_lake()
    answers(monkeypatch, error)

    steps = list(maintain.maintain(yard_of(lake), (ORDERS,), Plan(checkpoint_every=1)))

    told = {step.step: (step.state, step.code) for step in steps}
    assert told["checkpoint"] == ("Failed", error.exit_code)  # type: ignore[attr-defined]
    assert told["control"] == ("DryRun", 0)


def test_steps_that_are_not_wanted_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = make_lake()
    asked = answers(monkeypatch, {})

    assert (
        list(
            maintain.maintain(
                yard_of(lake), (ORDERS,), Plan(checkpoint=False, compact=False, vacuum=False)
            )
        )
        == []
    )
    assert asked == []


def test_a_stream_without_a_table_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = make_lake()
    answers(monkeypatch, {})

    steps = maintain.maintain(yard_of(lake), (Stream("acme", "shop", "bare"),), Plan())

    assert {step.state for step in steps if step.dataset} == {"NotDue"}


# --- how deltalake finds a table ---


def test_a_folder_needs_no_options() -> None:
    place = build_place(Destination(kind="Folder", path="/lake"), {}, "/lake")

    assert place.table("a/b/c") == Place("/lake/a/b/c")


def test_a_bucket_gets_endpoint_keys_and_conditional_commits() -> None:
    destination = Destination(kind="S3", bucket="lake", endpoint="http://127.0.0.1:9000")
    secret = {"access_key_id": "ak", "secret_access_key": "planted", "session_token": "planted-2"}

    place = build_place(destination, secret, "s3://lake/erp")

    assert place.options == {
        "aws_conditional_put": "etag",
        "aws_region": "us-east-1",
        "aws_endpoint_url": "http://127.0.0.1:9000",
        "aws_access_key_id": "ak",
        "aws_secret_access_key": "planted",
        "aws_session_token": "planted-2",
        "aws_allow_http": "true",
        "aws_virtual_hosted_style_request": "false",
    }
    assert "planted" not in repr(place)


def test_without_keys_the_ambient_ones_are_used_and_http_is_not_allowed() -> None:
    destination = Destination(kind="S3", bucket="lake", region="eu-central-1")

    place = build_place(destination, {}, "s3://lake")

    assert place.options == {"aws_conditional_put": "etag", "aws_region": "eu-central-1"}
