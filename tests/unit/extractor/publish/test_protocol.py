"""The commit protocol's rules, one by one, on the pure step function."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dpp_extractor.publish.protocol import (
    Absent,
    Answered,
    Attempt,
    CheckParts,
    Found,
    GetVersion,
    PartsChecked,
    Phase,
    PutCommit,
    Request,
    Seen,
    State,
    Stop,
    Unreadable,
    Verdict,
    begin,
    judge,
    step,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ATTEMPT = Attempt(
    lane="live",
    seq=8,
    epoch=1,
    kind="append",
    run_id="run-1",
    attempt_id="attempt-1",
    has_metadata=False,
    deadline_at=NOW + timedelta(hours=1),
    oldest_part_at=NOW,
)
OURS = Seen(lane="live", seq=8, epoch=1, run_id="run-1", attempt_id="attempt-1", final=True)
RIVAL = Seen(
    lane="live", seq=8, epoch=1, kind="append", run_id="run-2", attempt_id="attempt-2", final=True
)
APPEND = Seen(operation="WRITE", has_adds=True)


def drive(attempt: Attempt, *events: object) -> tuple[State, Request]:
    state, request = begin(attempt, 9, NOW)
    for event in events:
        state, request = step(state, event)  # type: ignore[arg-type]
    return state, request


def verdict_after(attempt: Attempt, *events: object) -> Verdict:
    state, request = drive(attempt, *events)
    assert isinstance(request, Stop), request
    assert state.phase is Phase.ENDED
    return request.verdict


UNKNOWN = Answered(created=False)
ABSENT = Absent(NOW)


def test_it_puts_the_version_after_the_head_built_on_the_head():
    assert drive(ATTEMPT)[1] == PutCommit(version=10, built_on=9)


def test_the_first_version_of_a_table_is_zero():
    assert begin(ATTEMPT, -1, NOW)[1] == PutCommit(version=0, built_on=-1)


def test_a_clear_success_ends_it():
    assert verdict_after(ATTEMPT, Answered(created=True)) is Verdict.COMMITTED


def test_an_unknown_answer_is_looked_up_and_never_taken_for_a_conflict():
    assert drive(ATTEMPT, UNKNOWN)[1] == GetVersion(10)


def test_ours_under_the_key_means_committed():
    assert verdict_after(ATTEMPT, UNKNOWN, Found(OURS)) is Verdict.COMMITTED


def test_an_absent_key_is_put_again_as_often_as_it_takes():
    events = [UNKNOWN, ABSENT] * 50

    assert drive(ATTEMPT, *events)[1] == PutCommit(version=10, built_on=9)


def test_an_earlier_attempt_of_the_same_run_and_seq_is_not_this_one():
    other = replace(OURS, attempt_id="attempt-0")

    assert verdict_after(ATTEMPT, UNKNOWN, Found(other)) is Verdict.ALREADY_COMMITTED


def test_an_unfinished_step_of_the_same_run_means_another_try():
    other = replace(OURS, attempt_id="attempt-0", final=False)

    assert verdict_after(ATTEMPT, UNKNOWN, Found(other)) is Verdict.UNFINISHED


def test_another_run_in_our_lane_fences_us():
    assert verdict_after(ATTEMPT, UNKNOWN, Found(RIVAL)) is Verdict.FENCED


def test_another_lane_of_ours_is_built_on():
    backfill = replace(RIVAL, lane="backfill-x", kind="backfill", has_adds=True)

    state, request = drive(ATTEMPT, UNKNOWN, Found(backfill), ABSENT)

    assert request == PutCommit(version=11, built_on=10)
    assert state.phase is Phase.SENDING


def test_a_reset_in_another_lane_fences_a_backfill():
    reset = replace(RIVAL, kind="reset", epoch=2)
    backfill = replace(ATTEMPT, lane="backfill-x", kind="backfill")

    assert verdict_after(backfill, UNKNOWN, Found(reset)) is Verdict.FENCED


def test_a_reset_that_an_old_epoch_overtook_is_tried_again():
    reset = replace(ATTEMPT, kind="reset", epoch=2)

    assert verdict_after(reset, UNKNOWN, Found(RIVAL)) is Verdict.OVERTAKEN


def test_a_reset_that_a_reset_of_its_epoch_overtook_is_fenced():
    reset = replace(ATTEMPT, kind="reset", epoch=2)

    assert judge(reset, replace(RIVAL, kind="reset", epoch=2)) is Verdict.FENCED


@pytest.mark.parametrize(
    "seen",
    [
        APPEND,
        Seen(operation="OPTIMIZE"),
        Seen(operation="DELETE", has_removes=True, has_adds=True),
        Seen(operation="UPDATE", has_removes=True, has_adds=True),
        Seen(operation="MERGE", has_removes=True),
        Seen(operation="WRITE", has_adds=True, metadata="moved"),
        Seen(operation="SET TBLPROPERTIES", metadata="same"),
        Seen(),
    ],
    ids=["append", "compaction", "delete", "update", "merge", "new column", "property", "nothing"],
)
def test_a_stranger_that_leaves_the_table_ours_is_built_on(seen: Seen):
    assert drive(ATTEMPT, UNKNOWN, Found(seen), ABSENT)[1] == PutCommit(version=11, built_on=10)


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (Seen(operation="RESTORE", has_adds=True), Verdict.RESTORED),
        (Seen(operation="RESTORE"), Verdict.RESTORED),
        (Seen(operation="WRITE", has_removes=True), Verdict.FOREIGN_CHANGE),
        (Seen(operation="", has_removes=True), Verdict.FOREIGN_CHANGE),
        (Seen(operation="DELETE", is_protocol_foreign=True), Verdict.FOREIGN_CHANGE),
        (Seen(operation="WRITE", metadata="foreign"), Verdict.FOREIGN_CHANGE),
    ],
    ids=[
        "restore",
        "restore of nothing",
        "overwrite",
        "nameless removal",
        "feature",
        "other table",
    ],
)
def test_a_stranger_that_makes_the_table_not_ours_ends_it(seen: Seen, verdict: Verdict):
    assert verdict_after(ATTEMPT, UNKNOWN, Found(seen)) is verdict


def test_every_version_after_the_lost_one_is_judged_before_the_next_put():
    later = [
        UNKNOWN,
        Found(APPEND),
        Found(Seen(operation="OPTIMIZE")),
        Found(Seen(operation="RESTORE")),
    ]

    assert drive(ATTEMPT, *later[:3])[1] == GetVersion(12)
    assert verdict_after(ATTEMPT, *later) is Verdict.RESTORED


def test_a_second_stranger_moves_it_on_again_on_the_newest_table():
    events = [UNKNOWN, Found(APPEND), ABSENT, UNKNOWN, Found(APPEND), Found(APPEND), ABSENT]

    assert drive(ATTEMPT, *events)[1] == PutCommit(version=13, built_on=12)


def test_columns_moved_on_both_sides_mean_another_try():
    moved = Found(replace(APPEND, metadata="moved"))
    with_metadata = replace(ATTEMPT, has_metadata=True)

    assert verdict_after(with_metadata, UNKNOWN, moved) is Verdict.COLUMNS_MOVED


@pytest.mark.parametrize("kind", ["replace", "reset"])
def test_a_commit_of_the_whole_does_not_write_over_columns_that_moved(kind: str):
    moved = Found(replace(APPEND, metadata="moved"))

    assert verdict_after(replace(ATTEMPT, kind=kind), UNKNOWN, moved) is Verdict.COLUMNS_MOVED


def test_an_append_takes_over_columns_that_moved():
    moved = Found(replace(APPEND, metadata="moved"))

    assert drive(ATTEMPT, UNKNOWN, moved, ABSENT)[1] == PutCommit(11, 10)


def test_metadata_on_both_sides_without_moved_columns_is_built_on():
    same = Found(replace(APPEND, metadata="same"))
    with_metadata = replace(ATTEMPT, has_metadata=True)

    assert drive(with_metadata, UNKNOWN, same, ABSENT)[1] == PutCommit(11, 10)


@pytest.mark.parametrize("events", [[UNKNOWN], [UNKNOWN, Found(APPEND)]], ids=["ours", "later"])
def test_a_version_that_cannot_be_read_ends_it(events: list):
    assert verdict_after(ATTEMPT, *events, Unreadable()) is Verdict.UNREADABLE


def test_nothing_is_sent_in_the_last_minute_before_the_deadline():
    late = ATTEMPT.deadline_at - timedelta(seconds=59)

    assert verdict_after(ATTEMPT, UNKNOWN, Absent(late)) is Verdict.LATE
    assert verdict_after(ATTEMPT, UNKNOWN, Found(APPEND), Absent(late)) is Verdict.LATE
    assert isinstance(begin(ATTEMPT, 9, late)[1], Stop)


def test_just_before_the_last_minute_it_is_still_sent():
    in_time = ATTEMPT.deadline_at - timedelta(seconds=60)

    assert drive(ATTEMPT, UNKNOWN, Absent(in_time))[1] == PutCommit(10, 9)


def test_ours_found_after_the_deadline_is_still_committed():
    assert verdict_after(ATTEMPT, UNKNOWN, Found(OURS)) is Verdict.COMMITTED


def test_parts_are_looked_for_after_a_vacuum_and_then_sent():
    vacuum = Found(Seen(operation="VACUUM START"))
    state, request = drive(ATTEMPT, UNKNOWN, vacuum, ABSENT)
    assert request == CheckParts()

    state, request = step(state, PartsChecked(are_all_there=True, now=NOW))

    assert request == PutCommit(11, 10)
    assert not state.must_check


def test_a_part_that_went_away_means_another_try():
    vacuum = Found(Seen(operation="VACUUM END"))
    gone = PartsChecked(are_all_there=False, now=NOW)

    assert verdict_after(ATTEMPT, UNKNOWN, vacuum, ABSENT, gone) is Verdict.PART_MISSING


def test_parts_older_than_a_day_are_looked_for_before_the_first_put():
    old = replace(ATTEMPT, oldest_part_at=NOW - timedelta(hours=24, seconds=1))

    assert begin(old, 9, NOW)[1] == CheckParts()


def test_without_parts_there_is_nothing_to_look_for():
    empty = replace(ATTEMPT, oldest_part_at=None)

    assert drive(empty, UNKNOWN, Found(Seen(operation="VACUUM END")), ABSENT)[1] == PutCommit(
        11, 10
    )


def test_an_event_that_cannot_come_is_our_bug():
    state, _ = drive(ATTEMPT)

    with pytest.raises(ValueError, match="cannot come while Sending"):
        step(state, Found(OURS))


def test_every_verdict_but_going_on_can_be_told():
    from dpp_extractor.publish.commit import _ENDS

    told = {Verdict.COMMITTED, Verdict.ALREADY_COMMITTED, Verdict.NEXT, *_ENDS}

    assert told == set(Verdict)
