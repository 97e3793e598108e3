"""Ids sort by their instant and are RFC 9562 version 7."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest

from dpp_core.ids import RANDOM_BYTES, made_at, new_id, uuid7

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
ONES = b"\xff" * RANDOM_BYTES
ZEROS = b"\x00" * RANDOM_BYTES


def test_the_example_of_the_rfc_comes_out() -> None:
    # RFC 9562, A.6: 2022-02-22 14:22:22.000 -05:00, rand_b 0x18C4DC0C0C07398F
    instant = datetime(2022, 2, 22, 14, 22, 22, tzinfo=timezone(-timedelta(hours=5)))

    found = uuid7(instant, bytes.fromhex("18c4dc0c0c07398f"))

    assert found == "017f22e2-79b0-7000-98c4-dc0c0c07398f"


def test_an_id_is_a_version_7_uuid_of_the_standard_variant() -> None:
    parsed = uuid.UUID(uuid7(NOW, ONES))

    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122


def test_a_microsecond_later_sorts_later_whatever_chance_says() -> None:
    instants = [NOW + timedelta(microseconds=step) for step in range(3000)]

    found = [uuid7(instant, ONES if step % 2 else ZEROS) for step, instant in enumerate(instants)]

    assert found == sorted(found)
    assert len(set(found)) == len(found)


def test_the_instant_can_be_read_back_to_the_millisecond() -> None:
    assert made_at(uuid7(NOW, ONES)) == NOW.replace(microsecond=123000)


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        uuid7(datetime(2026, 3, 1), ZEROS)


@pytest.mark.parametrize("size", [0, RANDOM_BYTES - 1, RANDOM_BYTES + 1])
def test_another_number_of_random_bytes_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="random bytes"):
        uuid7(NOW, b"\x00" * size)


def test_another_version_has_no_instant() -> None:
    with pytest.raises(ValueError, match="version 4"):
        made_at("8c5a8e3c-3f0a-4b8e-9c3b-1a2b3c4d5e6f")


def test_two_new_ids_differ() -> None:
    assert new_id() != new_id()
