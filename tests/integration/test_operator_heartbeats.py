"""Heartbeats go from a run through a real FerretDB to the operator, and their absence hurts nobody."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from dpp_extractor.adapters.ferret import open_index
from dpp_operator.index.heartbeats import Heartbeats
from servers.ferret import Ferret

AT = datetime(2026, 3, 2, 10, 0, 30, tzinfo=UTC)
BEAT = {
    "run_id": "run-1",
    "updated_at": AT,
    "units": [{"dataset": "orders", "rows": 1200}, {"dataset": "customers", "rows": 30}],
}


def test_what_a_run_saved_is_what_the_operator_reads(ferret: Ferret) -> None:
    with open_index({"uri": ferret.uri}) as index:
        assert index.save("heartbeats", {"run_id": "run-1"}, BEAT)
    beats = Heartbeats(ferret.uri, time.monotonic)
    try:
        found = beats.read(["run-1", "run-2"])
    finally:
        beats.close()

    assert list(found) == ["run-1"]
    assert found["run-1"].rows == 1230
    assert found["run-1"].at == AT
    assert dict(found["run-1"].units) == {"orders": 1200, "customers": 30}


def test_an_index_that_is_away_gives_nothing_and_is_left_alone_for_a_minute(
    ferret: Ferret, stopped: Callable[[Ferret], AbstractContextManager[None]]
) -> None:
    clock = [0.0]
    beats = Heartbeats(ferret.uri, lambda: clock[0])
    with stopped(ferret):
        assert beats.read(["run-1"]) == {}
        began = time.monotonic()
        assert beats.read(["run-1"]) == {}
        assert time.monotonic() - began < 0.5

    with open_index({"uri": ferret.uri}) as index:
        assert index.save("heartbeats", {"run_id": "run-1"}, BEAT)
    clock[0] = 61.0
    assert list(beats.read(["run-1"])) == ["run-1"]
    beats.close()
