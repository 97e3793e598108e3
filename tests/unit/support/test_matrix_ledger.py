"""The ledger of the fault matrices finds what it is there to find: otherwise its zeros would say nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from matrix.findings import KINDS, Case, Findings, fold
from matrix.ledger import (
    FOREVER,
    MARGIN,
    Row,
    Version,
    check_due,
    check_gone,
    check_known,
    check_once,
    check_whole,
)
from matrix.logbook import Entry, check_chain, parse_entry

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LONG_AGO = AT - timedelta(hours=1)
WRITTEN = Version(7, LONG_AGO, FOREVER, "insert", 1, 10, ("tag", "note", "stamp"), is_last=True)
ROW = Row(1, 10, ("tag", "note", "stamp"), AT, 0)
KNOWN = {(1, 10): WRITTEN}
SNAPSHOT = Entry(0, b"", (), {"read_at": AT.isoformat()})


def test_a_row_as_the_journal_has_it_is_fine() -> None:
    findings = Findings()

    check_known("orders", [ROW], KNOWN, findings)
    check_once("orders", [ROW], findings)

    assert findings.is_clean


@pytest.mark.parametrize(
    "row",
    [
        replace(ROW, version=11),
        replace(ROW, id=2),
        replace(ROW, content=("tag", "another note", "stamp")),
        replace(ROW, content=("tag", "note", "later")),
    ],
    ids=["rolled back", "never there", "another value", "another stamp"],
)
def test_a_row_that_was_never_true_is_a_phantom(row: Row) -> None:
    findings = Findings()

    check_known("orders", [row], KNOWN, findings)

    assert len(findings.phantom) == 1


def test_a_version_twice_and_a_place_twice_are_duplicates() -> None:
    again, elsewhere = Findings(), Findings()

    check_once("orders", [ROW, replace(ROW, order=1)], again)
    check_once("orders", [ROW, replace(ROW, id=2)], elsewhere)

    assert (len(again.duplicate), len(elsewhere.duplicate)) == (1, 1)


def test_what_was_due_and_did_not_come_is_lost_and_half_a_transaction_is_torn() -> None:
    other = replace(WRITTEN, id=2)
    lost, torn = Findings(), Findings()

    check_due("orders", [WRITTEN, other], {WRITTEN: False, other: False}, lost)
    check_due("orders", [WRITTEN, other], {WRITTEN: True, other: False}, torn)

    assert (len(lost.lost), len(lost.torn)) == (2, 0)
    assert (len(torn.lost), len(torn.torn)) == (1, 1)


@pytest.mark.parametrize(
    ("committed_at", "ended_at", "is_sure"),
    [
        (LONG_AGO, FOREVER, True),
        (AT - MARGIN, FOREVER, False),
        (LONG_AGO, AT + MARGIN, False),
        (AT + MARGIN, FOREVER, False),
        (LONG_AGO, AT - MARGIN, False),
    ],
    ids=["alive", "just committed", "just ended", "later", "earlier"],
)
def test_only_a_version_that_was_surely_alive_is_due(
    committed_at: datetime, ended_at: datetime, is_sure: bool
) -> None:
    version = replace(WRITTEN, committed_at=committed_at, ended_at=ended_at)

    assert version.was_alive(AT) == is_sure


def test_a_row_that_was_deleted_before_a_full_read_is_a_phantom_in_it() -> None:
    findings = Findings()

    check_gone([replace(WRITTEN, op="delete")], {1: 10}, SNAPSHOT, findings)

    assert len(findings.phantom) == 1


@pytest.mark.parametrize(
    ("first", "second", "there", "is_torn"),
    [
        ("insert", "insert", {1: 10, 2: 11}, False),
        ("insert", "insert", {}, False),
        ("insert", "insert", {1: 10}, True),
        ("update", "update", {1: 10, 2: 5}, True),
        ("update", "update", {1: 4, 2: 5}, False),
        ("update", "delete", {1: 10, 2: 11}, True),
        ("update", "delete", {1: 10}, False),
        ("update", "delete", {1: 4, 2: 11}, False),
    ],
)
def test_a_transaction_is_in_a_full_read_as_a_whole_or_not_at_all(
    first: str, second: str, there: dict[int, int], is_torn: bool
) -> None:
    writes = [
        replace(WRITTEN, op=first),
        replace(WRITTEN, op=second, id=2, version=11),
    ]
    findings = Findings()

    check_whole({7: writes}, there, SNAPSHOT, findings)

    assert bool(findings.torn) == is_torn


def commit(seq: int, **changes: Any) -> Entry:
    ours = {
        "seq": seq,
        "run_id": f"run-{seq}",
        "attempt_id": f"attempt-{seq}",
        "final": True,
        "kind": "append",
        "window": {"low": str(seq - 1), "high": str(seq)},
    }
    return Entry(seq, b"", (), {**ours, **changes})


@pytest.mark.parametrize(
    ("second", "kinds"),
    [
        (commit(2), ""),
        (commit(3, window={"low": "1", "high": "3"}), "duplicate"),
        (commit(2, run_id="run-1"), "duplicate"),
        (commit(2, attempt_id="attempt-1"), "duplicate"),
        (commit(2, window={"low": "5", "high": "6"}), "lost"),
        (commit(2, window={"low": "0", "high": "6"}), "lost"),
    ],
    ids=["next", "a seq left out", "a run twice", "an attempt twice", "a gap", "an overlap"],
)
def test_commits_stand_in_a_chain_each_of_its_own_run(second: Entry, kinds: str) -> None:
    findings = Findings()

    check_chain("orders", [commit(1), second], findings)

    assert {kind for kind in KINDS if getattr(findings, kind)} == ({kinds} if kinds else set())


def test_a_strangers_commit_that_carries_our_words_along_is_not_ours() -> None:
    body = b'{"commitInfo":{"dpp":{"seq":1}}}\n{"add":{"path":"a","size":1}}\n'
    ours = b'{"commitInfo":{"dpp":{"seq":1}}}\n{"txn":{"appId":"dpp","version":1}}\n'

    assert parse_entry(0, body).ours is None
    assert parse_entry(0, ours).ours == {"seq": 1}


def test_the_table_sums_up_by_row_and_a_wrong_case_says_how_to_try_it_again() -> None:
    wrong = Case("foreign", "new column", "Append/between/new column", 4, Findings(["x"]), 1.0)
    good = Case("foreign", "new column", "Replace/between/new column", 3, Findings(), 1.0)

    (row,) = fold([wrong, good])

    assert (row.cases, row.runs, row.counts) == (2, 7, (1, 0, 0, 0, 0))
    assert "make faults STEP=foreign SEED='Append/between/new column'" in wrong.line
    assert "lost: x" in wrong.line
    assert "again" not in good.line
