"""Who owns a stream, and whether a store can be trusted with one."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dpp_core.errors import DestinationUnavailableError, StreamError
from dpp_core.names import Reason
from dpp_extractor.publish.claim import Owner, check_claim, claim, read_claim
from dpp_extractor.publish.hooks import POINTS, Hooks, wait_never
from dpp_extractor.publish.keys import claim_key
from dpp_extractor.publish.probe import probe
from dpp_extractor.publish.upload import open_part
from fake_store import EPOCH, FakeStore, Faults
from table import QUIET, STREAM

OWNER = Owner("local", "acme", "shop", "acme-distribution")


def test_the_first_claims_and_the_same_owner_goes_on():
    store = FakeStore()

    claim(store, STREAM, OWNER, hooks=QUIET)
    claim(store, STREAM, OWNER, hooks=QUIET)

    assert read_claim(store, STREAM) == OWNER
    assert store.puts == [claim_key(STREAM)]


@pytest.mark.parametrize("field", ["cluster", "namespace", "extraction", "distributor"])
def test_another_owner_is_refused_and_both_are_named(field: str):
    store = FakeStore()
    claim(store, STREAM, OWNER, hooks=QUIET)
    other = replace(OWNER, **{field: "other"})

    for check in (claim, check_claim):
        with pytest.raises(StreamError, match=rf"{field} '.*'other'") as caught:
            check(store, STREAM, other)
        assert caught.value.reason == Reason.STREAM_OWNED_BY_ANOTHER


def test_looking_does_not_claim():
    store = FakeStore()

    check_claim(store, STREAM, OWNER)

    assert store.objects == {}


def test_a_lost_answer_to_a_claim_is_looked_up():
    store = FakeStore(faults=Faults(lost_after=1.0))

    claim(store, STREAM, OWNER, hooks=QUIET)

    assert len(store.puts) == 1


def test_a_rival_in_the_same_instant_wins_whole():
    store = FakeStore()
    rival = replace(OWNER, cluster="other")

    def first(_key: str) -> None:
        store.faults.before_put = None
        claim(store, STREAM, rival, hooks=QUIET)

    store.faults = Faults(before_put=first)

    with pytest.raises(StreamError):
        claim(store, STREAM, OWNER, hooks=QUIET)
    assert read_claim(store, STREAM) == rival


def test_a_store_that_takes_no_claim_is_unavailable():
    store = FakeStore(faults=Faults(lost_before=1.0))

    with pytest.raises(DestinationUnavailableError):
        claim(store, STREAM, OWNER, hooks=QUIET)


def test_a_torn_claim_needs_a_person():
    store = FakeStore()
    store.put_raw(claim_key(STREAM), b"{")

    with pytest.raises(StreamError):
        claim(store, STREAM, OWNER, hooks=QUIET)


def test_a_good_store_passes_and_nothing_stays():
    store = FakeStore()

    found = probe(store, token="t", now=lambda: EPOCH, race_keys=20, hooks=QUIET)

    assert (found.skew_seconds, found.raced_keys) == (0.0, 20)
    assert store.objects == {}


def test_a_store_that_ignores_conditions_is_refused_and_nothing_stays():
    store = FakeStore(faults=Faults(ignores_conditions=True))

    with pytest.raises(StreamError) as caught:
        probe(store, token="t", now=lambda: EPOCH, hooks=QUIET)

    assert caught.value.exit_code == 29
    assert caught.value.reason == Reason.CONDITIONAL_WRITES_IGNORED
    assert store.objects == {}


def test_a_store_that_loses_answers_is_not_taken_for_one_that_ignores_conditions():
    for seed in range(50):
        store = FakeStore(faults=Faults(lost_before=0.3, lost_after=0.3, seed=seed))

        probe(store, token="t", now=lambda: EPOCH, race_keys=3, hooks=QUIET)


def test_a_store_that_takes_nothing_is_unavailable():
    store = FakeStore(faults=Faults(lost_before=1.0))

    with pytest.raises(DestinationUnavailableError):
        probe(store, token="t", now=lambda: EPOCH, hooks=QUIET)


@pytest.mark.parametrize(("seconds", "is_off"), [(0, False), (60, False), (61, True), (-61, True)])
def test_a_clock_that_is_off_is_told(seconds: int, is_off: bool):
    found = probe(
        FakeStore(), token="t", now=lambda: EPOCH + timedelta(seconds=seconds), hooks=QUIET
    )

    assert found.is_clock_off is is_off


def test_a_part_tells_its_path_in_the_table_and_is_seen_only_when_finished():
    store, passed = FakeStore(), []
    part = open_part(
        store,
        STREAM,
        attempt_id="a1",
        number=4,
        metadata={},
        hooks=Hooks(passed.append, wait_never),
    )
    part.write(b"abc")
    assert (part.path, part.tell(), store.objects) == ("data/a1/part-00004.parquet", 3, {})

    part.close()
    assert store.objects == {}
    stored = part.finish()
    part.abort()

    assert store.objects == {"acme/shop/orders/data/a1/part-00004.parquet": b"abc"}
    assert stored.size_bytes == 3
    assert passed == ["part_uploaded"]
    assert set(passed) <= set(POINTS)
