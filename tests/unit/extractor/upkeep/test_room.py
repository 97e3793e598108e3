"""A child of upkeep is held to the room that its container has left."""

from pathlib import Path

import pytest

from dpp_extractor.upkeep.room import RESERVE_BYTES, find_room, read_limit

MIB = 1024 * 1024


def test_the_room_is_what_the_limit_leaves_beside_us_and_a_reserve():
    assert find_room(512 * MIB, 150 * MIB) == 362 * MIB - RESERVE_BYTES


def test_there_is_no_negative_room():
    assert find_room(100 * MIB, 99 * MIB) == 0


def test_without_a_limit_the_room_is_not_bounded():
    assert find_room(None, 99 * MIB) is None


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        pytest.param("536870912\n", 512 * MIB, id="limit"),
        pytest.param("max\n", None, id="second version, none"),
        pytest.param("9223372036854771712\n", None, id="first version, none"),
    ],
)
def test_the_limit_is_read_as_the_kernel_writes_it(tmp_path: Path, text: str, limit: int | None):
    file = tmp_path / "memory.max"
    file.write_text(text)

    assert read_limit([tmp_path / "not there", file]) == limit


def test_a_machine_that_tells_no_limit_has_none(tmp_path: Path):
    assert read_limit([tmp_path / "not there"]) is None
