"""Due times: zones, clocks that are set back and forward, and names that follow from their cause."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpp_operator.reconcile.schedule import (
    find_due,
    find_last,
    find_next,
    name_again,
    name_due,
    name_first,
    name_manual,
)

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "day", "due"),
    [
        pytest.param("30 2 * * *", "2026-03-28T12:00", ["2026-03-29T01:00"], id="forward: at the hour after"),
        pytest.param("30 2 * * *", "2026-10-24T12:00", ["2026-10-25T00:30"], id="back: once"),
        pytest.param("30 3 * * *", "2026-10-24T12:00", ["2026-10-25T02:30"], id="back: after it"),
        pytest.param("0 */6 * * *", "2026-10-24T21:00", ["2026-10-24T22:00", "2026-10-25T05:00"], id="back: six hours"),
    ],
)  # fmt: skip
def test_a_day_whose_clock_is_set_has_each_time_once(cron: str, day: str, due: list[str]) -> None:
    zone, found, moment = ZoneInfo(BERLIN), [], at(day)
    for _ in due:
        following = find_next(cron, zone, moment)
        assert following is not None
        found.append(following)
        moment = following

    assert found == [at(text) for text in due]


@given(
    cron=st.sampled_from(["17 2 * * *", "30 1-3 * * *", "*/15 * * * *", "0 0 1 * *", "5 3 * * 0"]),
    zone=st.sampled_from([BERLIN, "America/New_York", "Asia/Kathmandu", "UTC"]),
    hours=st.integers(0, 30),
    minutes=st.integers(0, 59),
    around=st.sampled_from(["2026-03-28T12:00", "2026-10-24T12:00", "2026-11-01T00:00", "2026-06-15T00:00"]),
)  # fmt: skip
def test_the_last_due_time_is_one_that_walking_forward_meets(
    cron: str, zone: str, hours: int, minutes: int, around: str
) -> None:
    anchor = at(around) - timedelta(days=40)
    now = at(around) + timedelta(hours=hours, minutes=minutes)
    place = ZoneInfo(zone)

    last = find_last(cron, place, anchor, now)
    following = find_next(cron, place, now)

    assert following is not None
    assert following > now
    assert last is not None
    assert anchor < last <= now
    assert find_next(cron, place, last) == following


def test_nothing_is_due_that_is_not_after_the_anchor() -> None:
    now = at("2026-06-01T02:00")

    assert find_due(("0 2 * * *",), "UTC", now, now).at is None
    assert find_due(("0 2 * * *",), "UTC", now - timedelta(seconds=1), now).at == now


def test_many_crons_count_as_one() -> None:
    due = find_due(("0 2 * * *", "0 14 * * *"), "UTC", at("2026-06-01T00:00"), at("2026-06-01T15:00"))  # fmt: skip

    assert due.at == at("2026-06-01T14:00")
    assert due.next_at == at("2026-06-02T02:00")


def test_names_fit_and_follow_from_their_cause() -> None:
    name, uid = "a" * 40, "uid-1"
    names = [
        name_due(name, uid, at("2026-06-01T02:00")),
        name_first(name, uid),
        name_manual(name, uid, "please"),
        name_again(name, uid, "x"),
    ]

    assert len(set(names)) == 4
    for each in names:
        assert len(f"{each}-10") <= 63
        assert re.fullmatch(r"[a-z0-9-]+", each)
    assert names[0] == name_due(name, uid, at("2026-06-01T02:00"))
    assert names[0] != name_due(name, "uid-2", at("2026-06-01T02:00"))
