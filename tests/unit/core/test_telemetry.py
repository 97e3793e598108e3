"""Trace ids go on without an SDK; a bad parent never fails anything."""

import pytest

from dpp_core.telemetry import (
    continued,
    current_traceparent,
    new_traceparent,
    read_traceparent,
    span,
)

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_new_traceparent_is_valid_and_sampled() -> None:
    parent = read_traceparent(new_traceparent())

    assert parent is not None
    assert parent.trace_flags.sampled


def test_a_new_traceparent_is_made_of_the_given_chance() -> None:
    made = new_traceparent(lambda count: b"\xab" * count)

    assert made == f"00-{'ab' * 16}-{'ab' * 8}-01"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("00-abc-def-01", id="too short"),
        pytest.param(PARENT.upper(), id="upper case"),
        pytest.param(f"00-{'0' * 32}-b7ad6b7169203331-01", id="trace id of zeros"),
        pytest.param(f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01", id="span id of zeros"),
        pytest.param(f"ff{PARENT[2:]}", id="forbidden version"),
        pytest.param(f"{PARENT}-extra", id="trailing field"),
    ],
)
def test_what_is_no_traceparent_is_none_and_changes_nothing(text: str) -> None:
    assert read_traceparent(text) is None
    with continued(text):
        assert current_traceparent() == ""


def test_inside_a_continued_trace_the_parent_is_current_and_spans_keep_its_trace() -> None:
    with continued(PARENT):
        assert current_traceparent() == PARENT
        with span("unit", dataset="orders", rows=3):
            assert current_traceparent().split("-")[1] == PARENT.split("-")[1]

    assert current_traceparent() == ""


def test_an_exception_goes_through_a_span_unchanged() -> None:
    with pytest.raises(KeyError, match="gone"), span("unit"):
        raise KeyError("gone")
