"""RunRequest: canonical bytes, what is ignored, and what is refused before anything is read."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpp_core.errors import SpecError
from dpp_core.handover import (
    FEATURES,
    Credentials,
    DatabaseSource,
    Destination,
    Incremental,
    RunRequest,
    Unit,
    build_request_bytes,
    parse_request,
)
from dpp_core.names import PROTOCOL, Reason

SECRETLIKE = ("password", "secret_key", "token", "secret_id")


def _request(**changes: Any) -> RunRequest:
    fields: dict[str, Any] = {
        "run_id": "acme-1",
        "correlation_id": "c" * 32,
        "cluster": "local",
        "namespace": "acme",
        "extraction": "acme",
        "distributor": "acme",
        "created_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "deadline_at": datetime(2026, 1, 2, 9, 4, 5, tzinfo=UTC),
        "source": DatabaseSource(engine="postgresql", host="erp", port=5432, database="erp"),
        "destination": Destination(kind="Folder", path="/lake"),
        "units": (
            Unit(dataset="orders", object="Aufträge", key=("id",), rename={"Größe": "size"}),
        ),
    }
    return RunRequest(**{**fields, **changes})


def _fields(request: RunRequest) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(build_request_bytes(request))
    return fields


names = st.text(min_size=1, max_size=30)
units = st.builds(
    Unit,
    dataset=names,
    object=names,
    key=st.lists(names, max_size=3).map(tuple),
    include=st.lists(names, max_size=3).map(tuple),
    exclude=st.lists(names, max_size=3).map(tuple),
    rename=st.dictionaries(names, names, max_size=3),
    incremental=st.none()
    | st.builds(
        Incremental,
        cursor=names,
        initial=st.none() | names,
        lag_seconds=st.none() | st.integers(0, 86_400),
        nulls=st.sampled_from([None, "Exclude", "Include", "Coalesce"]),
    ),
    write=st.sampled_from(["Replace", "Append"]),
    epoch=st.integers(0, 2**31),
    known_seq=st.none() | st.integers(0, 2**63),
)
requests = st.builds(
    _request,
    must_understand=st.lists(st.sampled_from(sorted(FEATURES)), unique=True).map(tuple),
    type=st.sampled_from(["Manual", "Scheduled", "Backfill"]),
    publish=st.sampled_from(["Live", "Shadow", "None"]),
    limit_rows=st.none() | st.integers(1, 10**9),
    credentials=st.builds(Credentials, path=names, delivery=st.sampled_from(["Agent", "Direct"])),
    hosts=st.lists(names, max_size=3).map(tuple),
    units=st.lists(units, max_size=5).map(tuple),
    approve=st.lists(names, max_size=3).map(tuple),
    created_at=st.datetimes(timezones=st.just(UTC)),
    image=names,
)


@given(requests)
def test_a_request_comes_back_as_it_was_sent(request: RunRequest) -> None:
    assert parse_request(build_request_bytes(request)) == request


@given(requests)
def test_sending_a_request_again_gives_the_same_bytes(request: RunRequest) -> None:
    sent = build_request_bytes(request)

    assert build_request_bytes(parse_request(sent)) == sent


def test_the_bytes_of_a_request_are_canonical() -> None:
    sent = build_request_bytes(_request()).decode()

    assert sent == json.dumps(
        json.loads(sent), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert "Aufträge" in sent
    assert "null" not in sent


def test_the_order_in_which_columns_are_renamed_does_not_change_the_bytes() -> None:
    one = Unit(dataset="a", object="a", rename={"x": "y", "b": "c"})
    other = Unit(dataset="a", object="a", rename={"b": "c", "x": "y"})

    sent = [build_request_bytes(_request(units=(unit,))) for unit in (one, other)]
    assert sent[0] == sent[1]


def test_a_request_has_no_place_for_a_secret() -> None:
    def names_of(schema: dict[str, Any]) -> set[str]:
        models = [schema, *schema.get("$defs", {}).values()]
        return {name for model in models for name in model.get("properties", {})}

    assert not names_of(RunRequest.model_json_schema()) & set(SECRETLIKE)


def test_what_a_newer_operator_adds_is_ignored_everywhere() -> None:
    request = _request()
    fields = _fields(request) | {"colour": "green"}
    fields["units"][0]["shade"] = {"of": "blue"}
    fields["source"]["replica"] = "second"

    assert parse_request(json.dumps(fields).encode()) == request


def test_what_an_older_operator_leaves_out_has_a_default() -> None:
    fields = _fields(_request())
    for name in ("protocol", "type", "publish", "attempts", "image", "approve", "hosts"):
        fields.pop(name, None)

    request = parse_request(json.dumps(fields).encode())
    assert (request.protocol, request.type, request.publish) == (PROTOCOL, "Manual", "Live")


@pytest.mark.parametrize("feature", sorted(FEATURES))
def test_every_feature_of_this_version_is_understood(feature: str) -> None:
    request = _request(must_understand=(feature,))

    assert parse_request(build_request_bytes(request)) == request


@pytest.mark.parametrize(
    "changes",
    [
        {"must_understand": ["database", "cdc", "upsert"]},
        {"protocol": PROTOCOL + 1},
        {"must_understand": ["cdc"], "source": {"engine": "mysql", "stream": True}},
        {"must_understand": ["cdc"], "units": "all of them"},
    ],
    ids=["feature", "protocol", "feature of an unknown engine", "feature of another form"],
)
def test_what_must_be_understood_and_is_not_is_refused_with_20(changes: dict[str, Any]) -> None:
    fields = _fields(_request()) | changes

    with pytest.raises(SpecError, match=r"acme-1 needs (cdc|protocol 2)") as refused:
        parse_request(json.dumps(fields).encode())
    assert refused.value.exit_code == 20
    assert refused.value.reason is Reason.FEATURE_NOT_UNDERSTOOD
    assert "newer extractor image" in str(refused.value)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"[]", "the document"),
        (b"null", "the document"),
        (b"\xff\xfe", "cannot be read"),
        (b'"' + b"x" * 1000, "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"{}", "run_id"),
    ],
    ids=["empty", "torn", "list", "null", "bytes", "string", "deep", "bare"],
)
def test_a_damaged_request_is_refused_with_20(body: bytes, told: str) -> None:
    with pytest.raises(SpecError, match=told) as refused:
        parse_request(body)
    assert refused.value.exit_code == 20
    assert refused.value.reason is Reason.INVALID_SPEC


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"deadline_at": "soon"}, "deadline_at"),
        ({"publish": "Everywhere"}, "publish"),
        ({"units": [{"dataset": "a"}]}, "units.0.object"),
        ({"source": {"engine": "oracle", "database": "x"}}, "source.engine"),
    ],
    ids=["time", "choice", "missing", "nested"],
)
def test_a_wrong_field_is_named_by_its_path(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse_request(json.dumps(_fields(_request()) | changes).encode())
    assert refused.value.field == field
    assert field in refused.value.message
