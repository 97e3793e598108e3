"""Waits and tries as the exit-code table says, the same after a restart."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpp_core.errors import EXIT_CODES
from dpp_core.policy import BackoffPolicy
from dpp_operator.reconcile.breaker import find_wait, is_temporary, should_try_again

BACKOFF = BackoffPolicy(base_seconds=60, most_seconds=3600)
MORE = {21: 1, 70: 1, 28: 1}


@pytest.mark.parametrize("code", [code for code in EXIT_CODES if code >= 20])
def test_each_code_gets_as_many_tries_as_its_row_says(code: int) -> None:
    codes: tuple[int, ...] = ()
    while should_try_again(code, codes, 3):
        codes = (*codes, code)

    assert len(codes) == (2 if is_temporary(code) else MORE.get(code, 0))


@pytest.mark.parametrize("code", [1, 99, 137, 255])
def test_a_code_that_is_not_in_the_table_counts_as_our_own_bug(code: int) -> None:
    assert should_try_again(code, (), 3)
    assert not should_try_again(code, (code,), 3)
    assert not should_try_again(code, (70,), 3)


@given(st.lists(st.sampled_from([*sorted(EXIT_CODES), 1, 99]), max_size=30), st.integers(1, 10))
def test_no_mix_of_codes_tries_for_ever(codes: list[int], most: int) -> None:
    tried: tuple[int, ...] = ()
    for code in codes:
        if not should_try_again(code, tried, most):
            break
        tried = (*tried, code)

    assert len(tried) < most + 2


@given(st.integers(1, 200), st.text("abc-", min_size=1, max_size=20))
def test_waits_are_bounded_and_the_same_each_time(failures: int, name: str) -> None:
    wait = find_wait(BACKOFF, failures, name)

    assert timedelta(seconds=0.5) <= wait <= timedelta(hours=1)
    assert wait == find_wait(BACKOFF, failures, name)


def test_waits_spread_over_names() -> None:
    waits = {find_wait(BACKOFF, 3, f"acme-{number}") for number in range(100)}

    assert len(waits) > 90
    assert min(waits) < timedelta(seconds=24)
    assert max(waits) > timedelta(seconds=216)
