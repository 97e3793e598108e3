"""A long run tells how far it is, seldom; a run that is over before anybody could ask tells nothing."""

from collections.abc import Callable

from dpp_extractor.trial import Trial
from run_bench import Bench, FakeIndex, make_shop


def begin(bench: Bench) -> Callable[[str, int, int], None]:
    """Give the progress call of a run that begins now."""
    trial = Trial(bench.request(), "a1", bench.store.clock)
    return trial.watch(bench.tools()).progress


def test_after_ten_seconds_the_index_holds_one_document_of_the_run() -> None:
    bench = make_shop()
    bench.index = FakeIndex()
    progress = begin(bench)

    for second in range(35):
        progress("orders", second * 100, second * 5000)
        if second == 5:
            assert bench.index.of("heartbeats") == []
        bench.store.tick(1)

    beats = bench.index.of("heartbeats")
    assert [beat["units"] for beat in beats] == [
        [{"dataset": "orders", "rows": 3000, "bytes": 150_000}]
    ]
    assert (beats[0]["dataset"], beats[0]["rows_per_second"]) == ("orders", 100)
    assert len(bench.progress) == 35


def test_a_heartbeat_that_does_not_arrive_is_no_gap_in_the_index() -> None:
    bench = make_shop()
    bench.index = FakeIndex(saves_until_down=0)
    trial = Trial(bench.request(), "a1", bench.store.clock)
    tools = trial.watch(bench.tools())

    bench.store.tick(60)
    tools.progress("orders", 5, 0)

    assert trial.index is not None
    assert not trial.index.is_behind


def test_without_an_index_only_people_are_told() -> None:
    bench = make_shop()
    progress = begin(bench)

    bench.store.tick(60)
    progress("orders", 5, 0)

    assert bench.progress == [("orders", 5, 0)]
