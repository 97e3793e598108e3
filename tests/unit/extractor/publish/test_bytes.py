"""Keys, schemas and actions: the bytes that others read."""

import json
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from dpp_core.errors import InternalError, StreamError
from dpp_extractor.batch import Part
from dpp_extractor.publish import keys
from dpp_extractor.publish.delta import build_add, build_lines, is_known_protocol, parse_commit
from dpp_extractor.publish.keys import Stream
from dpp_extractor.publish.schema import (
    build_schema_string,
    columns_of,
    has_timestamp_ntz,
    list_skipping_columns,
    merge_for_append,
    parse_schema,
)

STREAM = Stream("acme", "shop", "orders")


def test_keys_are_where_the_log_page_says():
    assert [
        keys.log_key(STREAM, 7),
        keys.data_key(STREAM, "0192-a", 3),
        keys.claim_key(STREAM),
        keys.copy_key(STREAM, "live", 8),
        keys.seen_key(STREAM, "live", 8),
        keys.quarantine_key(STREAM, "run-1", "a.jsonl"),
        keys.plan_key("acme", "shop", "run-1"),
        keys.run_key("acme", "shop", "run-1", "0192-a"),
    ] == [
        "acme/shop/orders/_delta_log/00000000000000000007.json",
        "acme/shop/orders/data/0192-a/part-00003.parquet",
        "acme/shop/_dpp/datasets/orders/claim.json",
        "acme/shop/_dpp/datasets/orders/commits/live/00000000000000000008.json",
        "acme/shop/_dpp/datasets/orders/seen/live/00000000000000000008",
        "acme/shop/_dpp/datasets/orders/quarantine/run-1/a.jsonl",
        "acme/shop/_dpp/plans/run-1.json",
        "acme/shop/_dpp/runs/run-1/0192-a.json",
    ]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "ü", "a%2Fb", "a\x00", "a\n", "a=b"])
def test_a_name_that_could_leave_its_place_makes_no_key(name: str):
    with pytest.raises(InternalError):
        keys.table_prefix(Stream("acme", name, "orders"))


@pytest.mark.parametrize(
    ("lane", "app_id"), [("live", "dpp"), ("backfill-run-3", "dpp:backfill:run-3")]
)
def test_a_lane_has_its_transaction_id(lane: str, app_id: str):
    assert keys.app_id(lane) == app_id
    assert keys.is_our_app_id(app_id)
    assert not keys.is_our_app_id("dppx")


@pytest.mark.parametrize(
    ("key", "version"),
    [
        ("t/_delta_log/00000000000000000012.json", 12),
        ("t/_delta_log/00000000000000000012.checkpoint.parquet", None),
        ("t/_delta_log/00000000000000000012.crc", None),
        ("t/_delta_log/_last_checkpoint", None),
        ("t/_delta_log/12.json", None),
    ],
)
def test_only_versions_are_versions(key: str, version: int | None):
    assert keys.parse_log_version(key) == version


TYPES = [
    (pa.int8(), "byte"),
    (pa.int16(), "short"),
    (pa.int32(), "integer"),
    (pa.int64(), "long"),
    (pa.float32(), "float"),
    (pa.float64(), "double"),
    (pa.bool_(), "boolean"),
    (pa.string(), "string"),
    (pa.large_string(), "string"),
    (pa.binary(), "binary"),
    (pa.date32(), "date"),
    (pa.timestamp("us", tz="UTC"), "timestamp"),
    (pa.timestamp("us"), "timestamp_ntz"),
    (pa.decimal128(38, 9), "decimal(38,9)"),
    (pa.decimal128(20, 0), "decimal(20,0)"),
]


@pytest.mark.parametrize(("arrow", "delta"), TYPES, ids=[str(kind) for kind, _ in TYPES])
def test_a_type_has_its_delta_type(arrow: pa.DataType, delta: str):
    built = json.loads(build_schema_string(pa.schema([pa.field("c", arrow, nullable=False)])))

    assert built["fields"] == [{"name": "c", "type": delta, "nullable": False, "metadata": {}}]


@pytest.mark.parametrize(
    "kind",
    [
        pa.null(),
        pa.decimal256(50, 2),
        pa.timestamp("ns"),
        pa.uint8(),
        pa.float16(),
        pa.time64("us"),
        pa.duration("us"),
        pa.timestamp("us", tz="Europe/Berlin"),
    ],
    ids=str,
)
def test_a_type_that_never_may_reach_a_table_is_our_bug(kind: pa.DataType):
    with pytest.raises(InternalError, match="Column c"):
        build_schema_string(pa.schema([pa.field("c", kind)]))


def test_a_nested_schema_comes_back_as_it_was():
    schema = pa.schema(
        [
            pa.field(
                "s", pa.struct([pa.field("x", pa.int64(), False), pa.field("y", pa.string())])
            ),
            pa.field("l", pa.list_(pa.field("element", pa.timestamp("us"), True))),
            pa.field("m", pa.map_(pa.string(), pa.field("value", pa.date32(), True))),
            pa.field("größe", pa.string(), metadata={"dpp.source_name": "GRÖSSE"}),
        ]
    )

    back = parse_schema(build_schema_string(schema))

    assert back == schema
    assert back.field("größe").metadata == {b"dpp.source_name": "GRÖSSE".encode()}
    assert has_timestamp_ntz(schema)
    assert not has_timestamp_ntz(pa.schema([pa.field("c", pa.timestamp("us", tz="UTC"))]))


def test_a_schema_with_a_type_of_strangers_needs_a_person():
    with pytest.raises(StreamError):
        parse_schema('{"fields":[{"name":"v","type":"variant","nullable":true,"metadata":{}}]}')


def test_columns_are_compared_without_their_metadata():
    one = pa.schema([pa.field("c", pa.int64(), metadata={"a": "1"})])
    two = pa.schema([pa.field("c", pa.int64())])
    three = pa.schema([pa.field("c", pa.int32())])

    texts = [columns_of(build_schema_string(schema)) for schema in (one, two, three)]

    assert texts[0] == texts[1] != texts[2]


def test_an_append_keeps_columns_that_the_source_lost():
    table = pa.schema([pa.field("a", pa.int64(), False), pa.field("b", pa.string(), False)])
    ours = pa.schema([pa.field("c", pa.int64(), False), pa.field("a", pa.int64(), False)])

    merged = merge_for_append(table, ours)

    assert merged.names == ["a", "b", "c"]
    assert [field.nullable for field in merged] == [False, True, True]


def test_only_columns_with_exact_bounds_everywhere_are_skipped_by():
    schema = pa.schema(
        [
            pa.field("id", pa.int64()),
            pa.field("price", pa.decimal128(9, 2)),
            pa.field("name", pa.string()),
            pa.field("ratio", pa.float64()),
            pa.field("born_on", pa.date32()),
            pa.field("_dpp_read_at", pa.timestamp("us", tz="UTC")),
            pa.field("with space", pa.int64()),
            pa.field("with.dot", pa.int64()),
        ]
    )

    assert list_skipping_columns(schema) == ("id", "born_on", "_dpp_read_at")


def test_an_add_names_the_checksum_and_only_plain_columns_in_its_statistics():
    part = Part(
        path="data/a/part-00000.parquet",
        size_bytes=10,
        rows=2,
        checksum="sha256:x",
        stats={
            "numRecords": 2,
            "minValues": {"id": 1, "a.b": 2},
            "maxValues": {"id": 3, "a.b": 2},
            "nullCount": {"id": 0, "größe": 1},
        },
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
    )

    add = build_add(part)

    assert add["tags"] == {"dpp.checksum": "sha256:x"}
    assert add["modificationTime"] == 1767225600000
    assert json.loads(add["stats"]) == {
        "numRecords": 2,
        "minValues": {"id": 1},
        "maxValues": {"id": 3},
        "nullCount": {"id": 0},
    }


def test_statistics_that_have_no_exact_json_form_are_our_bug():
    part = Part("p", 1, 1, "c", {"minValues": {"d": date(2026, 1, 1)}}, datetime.now(UTC))

    with pytest.raises(TypeError):
        build_add(part)


def test_a_file_survives_parsing_with_what_matters():
    body = build_lines(
        [
            ("commitInfo", {"operation": "WRITE"}),
            ("txn", {"appId": "dpp", "version": 3}),
            ("add", {"path": "a%20b", "size": 5, "dataChange": False, "stats": "{}"}),
            ("remove", {"path": "old", "dataChange": True}),
            ("domainMetadata", {"domain": "x"}),
        ]
    )

    commit = parse_commit(4, body)

    assert (commit.version, commit.operation, commit.txns) == (4, "WRITE", {"dpp": 3})
    assert [file.path for file in commit.adds] == ["a%20b"]
    assert (commit.removes, commit.adds_data, commit.removes_data) == (("old",), False, True)


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b'{"add":{}}', b'{"txn":{"appId":"a"}}'])
def test_what_is_not_delta_needs_a_person(body: bytes):
    with pytest.raises(StreamError):
        parse_commit(0, body)


@pytest.mark.parametrize(
    ("protocol", "is_known"),
    [
        ({"minReaderVersion": 1, "minWriterVersion": 2}, True),
        (
            {
                "minReaderVersion": 3,
                "minWriterVersion": 7,
                "readerFeatures": ["timestampNtz"],
                "writerFeatures": ["timestampNtz", "invariants"],
            },
            True,
        ),
        ({"minReaderVersion": 1, "minWriterVersion": 3}, False),
        ({"minReaderVersion": 2, "minWriterVersion": 5}, False),
        (
            {
                "minReaderVersion": 3,
                "minWriterVersion": 7,
                "readerFeatures": ["deletionVectors"],
                "writerFeatures": ["deletionVectors"],
            },
            False,
        ),
    ],
    ids=["plain", "ntz", "constraints", "column mapping", "deletion vectors"],
)
def test_a_protocol_beyond_ours_is_foreign(protocol: dict, is_known: bool):
    assert is_known_protocol(protocol) is is_known
