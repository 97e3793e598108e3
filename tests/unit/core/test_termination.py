"""RunReport in the termination message: 4,096 bytes whatever happens, and the same report back."""

import base64
import json
import random
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dpp_core.errors import EXIT_CODES, SpecError
from dpp_core.handover import RunReport, UnitReport
from dpp_core.names import RUN_REASONS, Reason, RunOutcome, UnitOutcome
from dpp_core.termination import (
    HIGH_LIMIT_CHARACTERS,
    REPORT_LIMIT_BYTES,
    build_termination_message,
    parse_termination_message,
)

STARTED_AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NAME_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_.-"
PRINTABLE = [chr(code) for code in range(33, 127)]


def _report(*units: UnitReport, run_id: str = "acme-1") -> RunReport:
    return RunReport(
        run_id=run_id,
        attempt_id="0198f0aa-7b2c-7def-8123-456789abcdef",
        outcome=RunOutcome.PARTIAL,
        exit_code=24,
        started_at=STARTED_AT,
        ended_at=STARTED_AT + timedelta(seconds=12),
        index="Behind",
        longest_statement_seconds=21_599.999,
        snapshot_age_seconds=259_199.999,
        units=units,
    )


def _names(report: RunReport) -> list[str]:
    return [unit.dataset for unit in report.units]


def _timestamp(chance: random.Random) -> str:
    moment = datetime(1900, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.getrandbits(52))
    return moment.isoformat(timespec="microseconds")


def _gibberish(chance: random.Random) -> str:
    return "".join(chance.choices(PRINTABLE, k=HIGH_LIMIT_CHARACTERS))


def _worst(
    count: int,
    high: Callable[[random.Random], str] = _timestamp,
    *,
    commit_bits: int = 40,
    row_bits: int = 53,
    deleted_bits: int = 53,
    seed: int = 1,
) -> RunReport:
    """Build a report that hardly compresses: every field at its longest, every unit another."""
    chance = random.Random(seed)
    failing = [code for code in EXIT_CODES if code not in (0, 2)]
    units = [
        UnitReport(
            dataset="".join(chance.choices(NAME_LETTERS, k=63)),
            outcome=chance.choice(list(UnitOutcome)),
            seq=chance.getrandbits(commit_bits) | 1,
            version=chance.getrandbits(commit_bits),
            rows=chance.getrandbits(row_bits),
            quarantined=chance.randrange(1001),
            deleted=chance.getrandbits(deleted_bits),
            high=high(chance),
            code=chance.choice(failing),
            reason=chance.choice(RUN_REASONS),
            message="".join(chr(chance.randrange(32, 0x2FFF)) for _ in range(130)),
            fingerprint=f"sha256:{chance.getrandbits(128):032x}",
        )
        for _ in range(count)
    ]
    return _report(*units, run_id="".join(chance.choices(NAME_LETTERS, k=63)))


def _facts(report: RunReport, *names: str) -> list[tuple[object, ...]]:
    return [tuple(getattr(unit, name) for name in names) for unit in report.units]


COUNTED = (
    "dataset",
    "outcome",
    "seq",
    "version",
    "rows",
    "quarantined",
    "code",
    "reason",
)


@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_worst_case_units_fit_with_every_figure_and_every_high(seed: int) -> None:
    report = _worst(100, seed=seed)

    body = build_termination_message(report, _names(report))
    back = parse_termination_message(body, _names(report))

    assert len(body) <= REPORT_LIMIT_BYTES
    assert not back.truncated
    assert _facts(back, *COUNTED, "high") == _facts(report, *COUNTED, "high")


def test_deleted_rows_go_before_a_high_does_and_stay_where_there_is_room() -> None:
    full, roomy = _worst(100), _worst(100, deleted_bits=12)

    lost, kept = (
        parse_termination_message(build_termination_message(report, _names(report)), _names(report))
        for report in (full, roomy)
    )

    assert {unit.deleted for unit in lost.units} == {0}
    assert _facts(lost, "high") == _facts(full, "high")
    assert _facts(kept, *COUNTED, "deleted", "high") == _facts(roomy, *COUNTED, "deleted", "high")


@pytest.mark.parametrize("high", [_timestamp, _gibberish], ids=["instants", "gibberish"])
def test_a_hundred_units_of_64_bit_figures_fit_and_lose_no_more_than_their_highs(
    high: Callable[[random.Random], str],
) -> None:
    report = _worst(100, high, commit_bits=63, row_bits=63)

    body = build_termination_message(report, _names(report))
    back = parse_termination_message(body, _names(report))

    assert len(body) <= REPORT_LIMIT_BYTES
    assert not back.truncated
    assert _facts(back, *COUNTED) == _facts(report, *COUNTED)


def test_figures_of_53_bits_leave_room_for_the_days_of_the_highs() -> None:
    report = _worst(100, commit_bits=53)

    back = parse_termination_message(
        build_termination_message(report, _names(report)), _names(report)
    )

    assert _facts(back, *COUNTED) == _facts(report, *COUNTED)
    assert [unit.high for unit in back.units] == [unit.high[:10] for unit in report.units]


def test_a_plain_report_of_a_hundred_units_keeps_names_and_highs_by_itself() -> None:
    units = [
        UnitReport(
            dataset=f"dataset_{number}",
            outcome=UnitOutcome.COMMITTED,
            seq=40 + number % 3,
            version=41 + number % 3,
            rows=number * 1000,
            high=(STARTED_AT + timedelta(seconds=number)).isoformat(),
        )
        for number in range(100)
    ]

    back = parse_termination_message(build_termination_message(_report(*units)))

    assert back == _report(*units)


def test_messages_and_fingerprints_go_before_names_do() -> None:
    chance = random.Random(3)
    units = [
        UnitReport(
            dataset=f"dataset_{number}",
            outcome=UnitOutcome.FAILED,
            code=29,
            reason=Reason.STREAM_BEHIND,
            message="".join(chance.choices(PRINTABLE, k=120)),
            fingerprint=f"{chance.getrandbits(128):032x}",
        )
        for number in range(100)
    ]

    back = parse_termination_message(build_termination_message(_report(*units)))

    assert _facts(back, *COUNTED) == _facts(_report(*units), *COUNTED)
    assert not any(unit.fingerprint for unit in back.units)
    assert not back.truncated


def test_a_few_failures_keep_their_messages() -> None:
    failing = UnitReport(
        dataset="orders",
        outcome=UnitOutcome.BLOCKED,
        code=24,
        reason=Reason.KEY_NOT_UNIQUE,
        message="Key [id] of orders is not unique: id=7.",
        fingerprint="f" * 16,
    )

    back = parse_termination_message(build_termination_message(_report(failing)))

    assert back.units == (failing,)


def test_what_does_not_fit_is_cut_to_the_failing_units_first_and_says_so() -> None:
    good = [
        unit.model_copy(update={"code": 0, "reason": None, "outcome": UnitOutcome.COMMITTED})
        for unit in _worst(300, seed=2).units
    ]
    failing = _worst(20, seed=3).units
    report = _report(*good[:150], *failing, *good[150:])

    body = build_termination_message(report)  # without names to refer to, they all travel
    back = parse_termination_message(body)

    assert len(body) <= REPORT_LIMIT_BYTES
    assert back.truncated
    assert back.exit_code == report.exit_code
    assert _names(back)[:20] == [unit.dataset for unit in failing]
    assert 20 < len(back.units) < 320


def test_one_more_unit_than_was_kept_would_not_have_fitted() -> None:
    report = _worst(200, commit_bits=63, row_bits=63, seed=9)
    kept = parse_termination_message(build_termination_message(report)).units

    more = _report(*report.units[: len(kept) + 1], run_id=report.run_id)
    back = parse_termination_message(build_termination_message(more))

    assert len(back.units) == len(kept)
    assert back.truncated


def test_names_are_recalled_from_the_request_also_when_some_units_are_missing() -> None:
    whole = _worst(100, seed=5)
    report = whole.model_copy(update={"units": whole.units[3:99:2]})

    back = parse_termination_message(
        build_termination_message(_worst_of(report), _names(whole)), _names(whole)
    )

    assert _names(back) == _names(report)


def _worst_of(report: RunReport) -> RunReport:
    """Lengthen what still fits beside names, so that the names are what has to go."""
    chance = random.Random(11)
    units = [
        unit.model_copy(
            update={"seq": chance.getrandbits(60), "rows": chance.getrandbits(60), "high": "x" * 32}
        )
        for unit in report.units
    ]
    return report.model_copy(update={"units": tuple(units)})


def test_the_names_of_another_request_are_not_taken_for_these() -> None:
    report = _worst(100)
    body = build_termination_message(report, _names(report))

    with pytest.raises(SpecError, match="not the request's"):
        parse_termination_message(body, [*_names(report)[1:], "another"])
    with pytest.raises(SpecError, match="not the request's"):
        parse_termination_message(body)


highs = (
    st.datetimes(timezones=st.just(UTC)).map(lambda at: at.isoformat(timespec="microseconds"))
    | st.datetimes().map(lambda at: at.isoformat(timespec="microseconds"))
    | st.dates().map(lambda day: day.isoformat())
    | st.integers(-(10**19), 10**20).map(str)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=HIGH_LIMIT_CHARACTERS)
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
reports = st.builds(
    UnitReport,
    dataset=st.text(NAME_LETTERS, min_size=1, max_size=63),
    outcome=st.sampled_from(UnitOutcome),
    seq=st.none() | st.integers(0, 2**70),
    version=st.none() | st.integers(0, 2**70),
    rows=st.integers(0, 2**70),
    quarantined=st.integers(0, 1000),
    high=highs,
    code=st.sampled_from(sorted(EXIT_CODES)),
    reason=st.none() | st.sampled_from(Reason),
    message=texts,
    fingerprint=texts,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(reports, max_size=8))
@example([UnitReport(dataset="a", outcome=UnitOutcome.COMMITTED, seq=1, version=0)])
@example([UnitReport(dataset="a", outcome=UnitOutcome.COMMITTED, high="2026-1-1")])
@example([UnitReport(dataset="a", outcome=UnitOutcome.COMMITTED, high="０１")])
@example([UnitReport(dataset="a", outcome=UnitOutcome.COMMITTED, high="007")])
def test_a_report_with_room_comes_back_as_it_was(units: list[UnitReport]) -> None:
    report = _report(*units)

    assert parse_termination_message(build_termination_message(report)) == report


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 160), st.integers(0, 1000), st.sampled_from([8, 40, 63]))
def test_every_report_fits_and_can_be_read(count: int, seed: int, bits: int) -> None:
    report = _worst(count, _gibberish, commit_bits=bits, row_bits=bits, seed=seed)

    body = build_termination_message(report, _names(report))
    back = parse_termination_message(body, _names(report))

    assert len(body) <= REPORT_LIMIT_BYTES
    assert set(_facts(back, "dataset", "code")) <= set(_facts(report, "dataset", "code"))
    assert back.truncated == (len(back.units) < count)


def test_the_message_is_text_that_every_reader_of_a_pod_keeps() -> None:
    body = build_termination_message(_worst(100))

    assert body.isascii()
    assert b"\n" not in body
    assert body.startswith(b"dpp1:")


def test_white_space_that_a_reader_adds_does_no_harm() -> None:
    body = build_termination_message(_report())

    assert parse_termination_message(b"\n" + body + b"\n") == _report()


def test_outcomes_and_reasons_only_ever_grow_at_their_end() -> None:
    """They travel as places: one put in between would change the meaning of every report on its way."""
    assert [each.value for each in UnitOutcome][: len(OUTCOMES)] == OUTCOMES
    assert [each.value for each in Reason][: len(REASONS)] == REASONS


OUTCOMES = ["Committed", "Unchanged", "AlreadyCommitted", "Blocked", "Failed", "Skipped"]
REASONS = [
    "Succeeded",
    "Unchanged",
    "PartialRun",
    "InvalidSpec",
    "NotYet",
    "TenancyDenied",
    "InvalidPolicy",
    "SpecTooLarge",
    "FeatureNotUnderstood",
    "CredentialsUnavailable",
    "CredentialsRefused",
    "SourceUnreachable",
    "SourceObjectMissing",
    "SourceObjectDenied",
    "SourceReadFailed",
    "ValueUnrepresentable",
    "ReplaceTooSmall",
    "KeyNotUnique",
    "CursorHasNulls",
    "QuarantineFull",
    "SchemaChanged",
    "DestinationUnavailable",
    "DestinationDenied",
    "ConditionalWritesIgnored",
    "Fenced",
    "StreamOwnedByAnother",
    "StreamIdentityChanged",
    "StreamChainBroken",
    "StreamBehind",
    "StreamRestored",
    "StreamForeignChange",
    "StreamFormatNewer",
    "TableMissing",
    "EpochBehind",
    "NoHorizon",
    "VaultUnavailable",
    "IndexBehind",
    "ResourcesExhausted",
    "DeadlineExceeded",
    "StoppedBySignal",
    "Overtaken",
    "Internal",
    "Accepted",
    "NotYetKnown",
    "Idle",
    "RunUnderWay",
    "RunStarted",
    "RunSucceeded",
    "RunFailed",
    "RunRetried",
    "RunMissed",
    "Suspended",
    "NotSuspended",
    "WithinObjectives",
    "FreshnessBreached",
    "FailuresExceeded",
    "CircuitOpened",
    "ImageUnavailable",
    "ImageNotAllowed",
    "Unschedulable",
    "AdmissionDenied",
    "PodNotStarted",
    "JobLost",
    "ReportLost",
    "Cancelled",
    "ExtractionMissing",
    "PolicyRejected",
    "TooManyDeletes",
]


def test_what_a_newer_version_adds_is_ignored_and_an_unknown_reason_left_out() -> None:
    unit = UnitReport(
        dataset="a", outcome=UnitOutcome.FAILED, code=24, reason=Reason.KEY_NOT_UNIQUE
    )
    body = build_termination_message(_report(unit))
    head, numbers = _taken_apart(body)
    head["mood"] = "good"
    head["units"]["shade"] = ["green"]
    reason = next(column for column in head["units"]["packed"] if column[0] == "reason")
    reason[1] = len(Reason)

    back = parse_termination_message(_put_together(head, numbers))

    assert back == _report(unit.model_copy(update={"reason": None}))


def _taken_apart(body: bytes) -> tuple[dict[str, Any], bytes]:
    reader = zlib.decompressobj()
    head = json.loads(reader.decompress(base64.b85decode(body.removeprefix(b"dpp1:"))))
    return head, reader.unused_data


def _put_together(head: object, numbers: bytes) -> bytes:
    return b"dpp1:" + base64.b85encode(zlib.compress(json.dumps(head).encode()) + numbers)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OOMKilled",
        b"dpp1:",
        b"dpp1:!!",
        b"dpp1:" + base64.b85encode(b"no zlib"),
        b"dpp1:" + base64.b85encode(zlib.compress(b"no json")),
        b"dpp1:" + base64.b85encode(zlib.compress(b"{}")),
        b"dpp1:" + base64.b85encode(zlib.compress(b"[1]")),
        b"dpp1:" + base64.b85encode(zlib.compress(b'{"units":{"count":3,"packed":[]}}')),
        b"dpp1:" + base64.b85encode(zlib.compress(b"0" * 10_000_000)),
        "dpp1:ü".encode(),
    ],
    ids=[
        "empty",
        "another's",
        "bare",
        "letters",
        "no zlib",
        "no json",
        "no fields",
        "no object",
        "no units",
        "bomb",
        "umlaut",
    ],
)
def test_anything_else_is_refused_and_named(body: bytes) -> None:
    with pytest.raises(SpecError, match=r"(not a DPP run report|damaged)"):
        parse_termination_message(body)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_message_never_ends_in_anything_but_a_spec_error(data: st.DataObject) -> None:
    report = _worst(10, commit_bits=8, row_bits=8)
    body = bytearray(build_termination_message(report, _names(report)))
    place = data.draw(st.integers(5, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(5, len(body)))

    try:
        back = parse_termination_message(bytes(body[:end]), _names(report))
    except SpecError:
        return
    assert isinstance(back, RunReport)
