"""Cursors as real tables have them: one value for thousands, one stamp twice, clocks that go back, keys that change."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dpp_core.handover import Incremental, Unit
from dpp_extractor.batch import Window
from dpp_extractor.extract.database.window import decide_window
from dpp_extractor.ports import Clocks, Snapshot
from places import ENGINES, INSTANTS, Place, make_place

UNIT = Unit(
    dataset="t", object="t", key=("id",), incremental=Incremental(cursor="at"), write="Append"
)
NOON = datetime(2026, 1, 1, 12)
DIGITS = (
    "SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6"
    " UNION SELECT 7 UNION SELECT 8 UNION SELECT 9"
)
TEN_THOUSAND = (
    "INSERT INTO t SELECT {first} + a.d + 10 * b.d + 100 * c.d + 1000 * e.d, '{at}', 'x' FROM "
    + ", ".join(f"({DIGITS}) {name}" for name in "abce")
)


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give an empty table whose cursor is a timestamp without zone."""
    made = make_place(request, request.param, tmp_path)
    made.execute(
        f"CREATE TABLE t (id BIGINT PRIMARY KEY NOT NULL, at {INSTANTS[request.param]}, item VARCHAR(9))"
    )
    return made


def _put(place: Place, number: int, at: datetime, item: str = "x") -> None:
    place.execute(f"INSERT INTO t VALUES ({number}, '{at}', '{item}')")


def _window(view: Snapshot, low: str | None, clock: datetime) -> Window | None:
    """Decide a window as if the source's clock stood there and nobody else was writing."""
    at = clock.replace(tzinfo=UTC)
    clocks = Clocks(at, at)
    return decide_window(Incremental(cursor="at"), view.describe(UNIT).column("at"), low, clocks)


def _read(place: Place, low: str | None, clock: datetime) -> tuple[list[int], str | None]:
    """Read the next window; give its keys and where the next one begins."""
    with place.open() as source, source.snapshot() as view:
        window = _window(view, low, clock)
        if window is None:
            return [], low
        batches = view.read(view.describe(UNIT), window, None)
        return [row["id"] for b in batches for row in b.rows.to_pylist()], window.high


def test_ten_thousand_rows_on_one_value_come_once_and_all(place: Place) -> None:
    place.execute(TEN_THOUSAND.format(first=0, at=NOON))
    place.execute(TEN_THOUSAND.format(first=10_000, at=NOON + timedelta(seconds=9)))

    before, low = _read(place, None, NOON + timedelta(seconds=6))
    after, low = _read(place, low, NOON + timedelta(seconds=16))
    none, _ = _read(place, low, NOON + timedelta(seconds=26))

    assert before == list(range(10_000))
    assert after == list(range(10_000, 20_000))
    assert none == []


def test_of_two_commits_with_one_stamp_neither_is_lost_at_the_edge_of_a_window(
    place: Place,
) -> None:
    _put(place, 1, NOON)
    at_the_edge, low = _read(place, None, NOON + timedelta(seconds=1))  # ends at noon itself
    _put(place, 2, NOON)
    both, low = _read(place, low, NOON + timedelta(seconds=3))
    none, _ = _read(place, low, NOON + timedelta(seconds=9))

    assert (at_the_edge, both, none) == ([], [1, 2], [])


def test_a_clock_that_goes_back_reads_nothing_twice_and_loses_nothing(place: Place) -> None:
    _put(place, 1, NOON)
    first, low = _read(place, None, NOON + timedelta(seconds=60))
    _put(place, 2, NOON + timedelta(seconds=90))
    back, stood = _read(place, low, NOON - timedelta(hours=1))
    after, _ = _read(place, stood, NOON + timedelta(seconds=120))

    assert (first, back, stood, after) == ([1], [], low, [2])


def test_a_row_of_2099_neither_ends_the_stream_nor_comes_before_its_time(place: Place) -> None:
    far = datetime(2099, 1, 1)
    _put(place, 1, NOON)
    _put(place, 99, far)
    first, low = _read(place, None, NOON + timedelta(seconds=60))
    _put(place, 2, NOON + timedelta(seconds=90))
    second, low = _read(place, low, NOON + timedelta(seconds=120))
    then, _ = _read(place, low, far + timedelta(seconds=60))

    assert (first, second, then) == ([1], [2], [99])


def test_a_row_whose_key_changes_comes_under_its_new_key(place: Place) -> None:
    _put(place, 1, NOON)
    first, low = _read(place, None, NOON + timedelta(seconds=60))
    place.execute(f"UPDATE t SET id = 7, at = '{NOON + timedelta(seconds=90)}' WHERE id = 1")
    second, _ = _read(place, low, NOON + timedelta(seconds=120))

    assert (first, second) == ([1], [7])
