"""The keys that went are found whatever the order, the size of a range, and the number of versions."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpp_extractor.compare import difference
from dpp_extractor.compare.difference import Difference, find_difference
from dpp_extractor.compare.keys import LIVE, SETTLED
from dpp_extractor.compare.spill import Spill, choose_bounds, split

START = datetime(2026, 1, 1, tzinfo=UTC)
TABLE = pa.schema(
    [
        ("shop", pa.int32()),
        ("no", pa.string()),
        ("_dpp_read_at", pa.timestamp("us", "UTC")),
        ("_dpp_order", pa.int64()),
        (LIVE, pa.bool_()),
    ]
)
SOURCE = pa.schema([("shop", pa.int32()), ("no", pa.string()), (SETTLED, pa.bool_())])
NAMES = ("shop", "no")
Key = tuple[int, str]


def put_aside(schema: pa.Schema, rows: Sequence[tuple[Any, ...]], batch_rows: int = 100) -> Spill:
    spill = Spill(schema)
    for start in range(0, len(rows), batch_rows):
        columns = zip(*rows[start : start + batch_rows], strict=True)
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)
        ]
        spill.write(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return spill


def table_of(*rows: tuple[Key, int, bool]) -> Spill:
    """Give the table's rows: key, day of the read, whether it lives."""
    return put_aside(
        TABLE,
        [
            (*key, START + timedelta(days=day), place, live)
            for place, (key, day, live) in enumerate(rows)
        ],
    )


def source_of(*keys: Key, settled: bool = True) -> Spill:
    return put_aside(SOURCE, [(*key, settled) for key in keys])


def gone(found: Difference) -> list[Key]:
    rows = [row for batch in found.deleted.batches() for row in batch.to_pylist()]
    found.deleted.close()
    return sorted((row["shop"], row["no"]) for row in rows)


def counted(found: Difference) -> tuple[int, int, int]:
    return found.table_keys, found.source_keys, found.missing_rows


def test_a_live_key_that_the_source_lacks_is_gone() -> None:
    table = table_of(((1, "a"), 0, True), ((1, "b"), 0, True), ((2, "a"), 0, True))

    found = find_difference(table, source_of((1, "a"), (2, "a")), NAMES)

    assert counted(found) == (3, 2, 0)
    assert gone(found) == [(1, "b")]


def test_a_key_deleted_before_is_not_deleted_again_and_one_that_came_back_can_be() -> None:
    table = table_of(
        *(((1, "old"), 0, True), ((1, "old"), 1, False)),
        *(((1, "back"), 0, True), ((1, "back"), 1, False), ((1, "back"), 2, True)),
    )

    found = find_difference(table, source_of(), NAMES)

    assert counted(found) == (1, 0, 0)
    assert gone(found) == [(1, "back")]


def test_keys_that_a_collation_takes_for_one_are_each_their_own() -> None:
    table = table_of(*(((1, text), 0, True) for text in ("a", "A", "a ", "ä", "a\u0308")))

    assert gone(find_difference(table, source_of((1, "A"), (1, "ä")), NAMES)) == [
        (1, "a"),
        (1, "a "),
        (1, "a\u0308"),
    ]


def test_a_row_below_the_watermark_that_the_table_lacks_is_counted_and_one_is_named() -> None:
    table = table_of(((1, "a"), 0, True), ((1, "dead"), 0, False))
    settled = put_aside(
        SOURCE, [(1, "a", True), (1, "dead", True), (1, "late", True), (1, "new", False)]
    )

    found = find_difference(table, settled, NAMES)

    assert counted(found) == (1, 4, 2)
    assert found.first_missing in ({"shop": 1, "no": "dead"}, {"shop": 1, "no": "late"})
    assert gone(found) == []


@pytest.mark.parametrize("range_bytes", [500, 2_000, 20_000, 10**9])
def test_the_size_of_a_range_changes_nothing(range_bytes: int) -> None:
    keys = [(number % 3, f"{number:x}" * (number % 5)) for number in range(3_000)]
    distinct = sorted(set(keys))
    table = table_of(*((key, day, True) for day, key in enumerate(keys)))
    source = source_of(*distinct[::2], settled=False)

    found = find_difference(table, source, NAMES, range_bytes)

    assert counted(found) == (len(distinct), len(distinct[::2]), 0)
    assert gone(found) == distinct[1::2]


def test_one_key_with_many_versions_is_folded_and_ends() -> None:
    table = table_of(
        *(((7, "hot"), day, day % 2 == 0) for day in range(2_001)), ((8, "x"), 0, True)
    )

    found = find_difference(table, source_of((8, "x")), NAMES, 3_000)

    assert gone(found) == [(7, "hot")]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.tuples(st.integers(0, 3), st.text("aA:1", max_size=2)), st.booleans())),
    st.sets(st.tuples(st.integers(0, 3), st.text("aA:1", max_size=2))),
    st.sampled_from([1, 200, 10**9]),
)
def test_it_finds_what_a_dictionary_finds(
    history: list[tuple[Key, bool]], there: set[Key], range_bytes: int
) -> None:
    table = table_of(*((key, day, live) for day, (key, live) in enumerate(history)))

    found = find_difference(table, source_of(*there), NAMES, range_bytes)

    live = {key for key, lives in dict(history).items() if lives}
    assert counted(found) == (len(live), len(there), len(there - live))
    assert gone(found) == sorted(live - there)


def test_bounds_cut_into_about_equal_ranges_and_no_row_is_lost() -> None:
    keys = [(number % 2, str(number)) for number in range(5_000)]
    spill = source_of(*keys)

    bounds = choose_bounds((spill, source_of()), NAMES, 8)
    with difference.ExitStack() as stack:
        ranges = split(spill, NAMES, bounds, stack)
        rows = [row for each in ranges for batch in each.batches() for row in batch.to_pylist()]
        sizes = [each.rows for each in ranges]

    assert (len(sizes), sum(sizes)) == (8, 5_000)
    assert max(sizes) < 2 * min(sizes)
    assert Counter((row["shop"], row["no"]) for row in rows) == Counter(keys)


@pytest.fixture
def folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give the folder of temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_what_is_put_aside_has_no_name_so_that_a_kill_leaves_nothing(folder: Any) -> None:
    spill = source_of((1, "a"))

    assert os.listdir(folder) == []
    assert [batch.num_rows for batch in spill.batches()] == [1]
    assert [batch.num_rows for batch in spill.batches()] == [1]
    spill.close()
    spill.close()


def test_all_files_are_closed_in_the_end_also_after_a_failure() -> None:
    before = set(os.listdir("/proc/self/fd"))
    table, source = table_of(((1, "a"), 0, True)), Spill(pa.schema([("other", pa.int8())]))

    with pytest.raises(KeyError):
        find_difference(table, source, NAMES)

    assert set(os.listdir("/proc/self/fd")) <= before
