"""The error tree and the frozen exit codes: a test a row, and the order in which units' codes decide a run's."""

import itertools
from collections.abc import Iterator

import pytest

from dpp_core import errors
from dpp_core.errors import (
    EXIT_CODES,
    BlockedError,
    DppError,
    StreamError,
    decide_exit_code,
)
from dpp_core.names import Reason

# code -> (temporary, policy): frozen in the API page. A change here breaks every alert and Job.
FROZEN = {
    0: (False, "advance"),
    2: (False, "never in a Job"),
    20: (False, "FailJob, Stalled InvalidSpec"),
    21: (False, "FailJob, one retry by the operator"),
    22: (False, "FailJob, auth circuit opens"),
    23: (True, "count, back off"),
    24: (False, "FailJob"),
    25: (False, "FailJob, needs approval in git"),
    26: (True, "count, back off"),
    27: (False, "FailJob, no alert"),
    28: (False, "FailJob, one Job with more memory"),
    29: (False, "FailJob, Stalled"),
    30: (True, "count, back off"),
    31: (False, "FailJob"),
    70: (False, "one retry, then FailJob"),
    75: (True, "count, resume"),
    143: (True, "ignore on disruption, resume"),
}

# class -> (exit code, temporary, shared, default reason)
TREE = {
    "UsageError": (2, False, False, Reason.INVALID_SPEC),
    "SpecError": (20, False, False, Reason.INVALID_SPEC),
    "PolicyError": (20, False, False, Reason.INVALID_POLICY),
    "TenancyError": (20, False, False, Reason.TENANCY_DENIED),
    "SpecTooLargeError": (20, False, False, Reason.SPEC_TOO_LARGE),
    "CredentialsMissingError": (21, False, True, Reason.CREDENTIALS_UNAVAILABLE),
    "CredentialsRefusedError": (22, False, True, Reason.CREDENTIALS_REFUSED),
    "SourceUnavailableError": (23, True, True, Reason.SOURCE_UNREACHABLE),
    "BlockedError": (24, False, False, Reason.REPLACE_TOO_SMALL),
    "SchemaChangedError": (25, False, False, Reason.SCHEMA_CHANGED),
    "DestinationUnavailableError": (26, True, True, Reason.DESTINATION_UNAVAILABLE),
    "DestinationDeniedError": (26, False, True, Reason.DESTINATION_DENIED),
    "FencedError": (27, False, False, Reason.FENCED),
    "ResourcesError": (28, False, True, Reason.RESOURCES_EXHAUSTED),
    "StreamError": (29, False, False, Reason.STREAM_CHAIN_BROKEN),
    "VaultUnavailableError": (30, True, True, Reason.VAULT_UNAVAILABLE),
    "SourceObjectError": (31, False, False, Reason.SOURCE_OBJECT_MISSING),
    "InternalError": (70, False, False, Reason.INTERNAL),
    "TemporaryFailure": (75, True, False, Reason.OVERTAKEN),
    "DeadlineError": (75, True, True, Reason.DEADLINE_EXCEEDED),
    "StoppedError": (143, True, True, Reason.STOPPED_BY_SIGNAL),
}

# The order of the API page; a stop outranks all but a refused login.
ORDER = (22, 143, 28, 30, 26, 23, 75, 29, 21, 20, 31, 70, 25, 24, 27)


def _classes(root: type[DppError] = DppError) -> Iterator[type[DppError]]:
    for each in root.__subclasses__():
        yield each
        yield from _classes(each)


def test_the_table_of_exit_codes_is_frozen() -> None:
    table = {code: (row.is_temporary, row.policy) for code, row in EXIT_CODES.items()}

    assert table == FROZEN


def test_every_row_says_its_own_code_and_a_meaning() -> None:
    assert all(row.code == code and row.meaning for code, row in EXIT_CODES.items())


def test_the_tree_holds_exactly_the_classes_of_the_table() -> None:
    assert sorted(each.__name__ for each in _classes()) == sorted(TREE)


@pytest.mark.parametrize("name", TREE)
def test_a_class_is_born_with_its_code_its_patience_and_its_reason(name: str) -> None:
    kind = getattr(errors, name)
    raised = kind("It is so.")

    facts = (kind.exit_code, kind.is_temporary, kind.is_shared, raised.reason)
    assert facts == TREE[name]


@pytest.mark.parametrize("kind", list(_classes()), ids=lambda kind: kind.__name__)
def test_a_class_is_as_temporary_as_the_table_says_of_its_code(kind: type[DppError]) -> None:
    is_refused_store = kind is errors.DestinationDeniedError  # permanent under a temporary code

    assert kind.exit_code in EXIT_CODES
    assert kind.is_temporary == (EXIT_CODES[kind.exit_code].is_temporary and not is_refused_store)


@pytest.mark.parametrize("kind", list(_classes()), ids=lambda kind: kind.__name__)
def test_the_drawing_at_the_top_shows_every_class_with_its_code(kind: type[DppError]) -> None:
    drawn = [line.split() for line in (errors.__doc__ or "").splitlines() if kind.__name__ in line]

    assert any(str(kind.exit_code) in words for words in drawn)


def test_an_error_reads_as_its_message_and_what_to_do() -> None:
    error = DppError("Port is 99999.", field="port", fix="Use 1 to 65535.")

    assert str(error) == "Port is 99999. Use 1 to 65535."
    assert str(DppError("Port is 99999.")) == "Port is 99999."


@pytest.mark.parametrize("kind", [BlockedError, StreamError])
def test_what_can_be_approved_carries_a_fingerprint(
    kind: type[BlockedError | StreamError],
) -> None:
    assert kind("No.", fingerprint="seq 3").fingerprint == "seq 3"
    assert kind("No.").fingerprint == ""


@pytest.mark.parametrize("codes", [[], [0], [0, 0, 0]], ids=["no unit", "one", "three"])
def test_a_run_of_good_units_ends_with_zero(codes: list[int]) -> None:
    assert decide_exit_code(codes) == 0


@pytest.mark.parametrize("code", sorted(set(FROZEN) - {0, 2}))
def test_one_failing_unit_among_good_ones_gives_the_run_its_code(code: int) -> None:
    assert decide_exit_code([0, code, 0]) == code


@pytest.mark.parametrize(
    ("first", "second"),
    list(itertools.combinations(ORDER, 2)),
    ids=lambda code: str(code),
)
def test_of_two_failing_units_the_one_earlier_in_the_order_decides(first: int, second: int) -> None:
    assert decide_exit_code([first, second]) == first
    assert decide_exit_code([second, 0, first]) == first


def test_the_order_knows_every_code_a_unit_can_have() -> None:
    assert sorted(ORDER) == sorted(set(FROZEN) - {0, 2})


@pytest.mark.parametrize("code", [1, 42, 137, 255])
def test_a_code_that_nobody_knows_counts_as_our_bug(code: int) -> None:
    assert decide_exit_code([code]) == 70
    assert decide_exit_code([code, 27]) == 27
