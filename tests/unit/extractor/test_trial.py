"""One try of a run: who is failed and who is skipped, and an index that is watched."""

from typing import Any

from dpp_core.errors import DestinationUnavailableError, SourceUnavailableError
from dpp_core.names import UnitOutcome
from dpp_extractor import outcome
from dpp_extractor.trial import Trial, WatchedIndex
from fake_source import START
from log_capture import captured_logs
from run_bench import APPEND, Bench, FakeIndex, unit_of

UNITS = tuple(unit_of(name) for name in ("a", "b", "c"))
DOWN = SourceUnavailableError("The source is down.")


def _trial(*units: Any) -> Trial:
    return Trial(Bench().request(*(units or UNITS)), "attempt-1", START)


def test_when_nothing_was_tried_every_unit_has_failed() -> None:
    trial = _trial()

    trial.end_rest(DOWN)

    assert [(unit.dataset, unit.outcome) for unit in trial.units] == [
        ("a", UnitOutcome.FAILED),
        ("b", UnitOutcome.FAILED),
        ("c", UnitOutcome.FAILED),
    ]


def test_behind_the_unit_that_failed_the_rest_is_skipped() -> None:
    trial = _trial()
    trial.add(outcome.build_failed(UNITS[1], DOWN))

    trial.end_rest(DOWN)

    assert [(unit.dataset, unit.outcome.value) for unit in trial.units] == [
        ("b", "Failed"),
        ("a", "Skipped"),
        ("c", "Skipped"),
    ]


def test_a_unit_that_failed_for_another_reason_does_not_make_the_rest_skipped() -> None:
    trial = _trial()
    trial.add(outcome.build_failed(UNITS[0], DestinationUnavailableError("gone")))

    trial.end_rest(DOWN)

    assert [unit.outcome.value for unit in trial.units] == ["Failed"] * 3


def test_ending_the_rest_twice_ends_nobody_twice() -> None:
    trial = _trial()

    trial.end_rest(DOWN)
    trial.end_rest(DOWN)

    assert len(trial.units) == 3


def test_every_end_is_told_in_one_line_with_its_dataset_and_without_empty_fields() -> None:
    bench = Bench()
    bench.source.put("orders", {"id": 1, "item": "pen", "updated_at": START})
    bench.tick()

    with captured_logs() as captured:
        report = bench.run(APPEND, unit_of("missing"))

    ends = [line for line in captured.lines if line["event"] == "unit_ended"]
    assert [(line["dataset"], line["level"].lower()) for line in ends] == [
        ("orders", "info"),
        ("missing", "warning"),
    ]
    assert (ends[0]["outcome"], ends[0]["rows"], ends[0]["seq"]) == ("Committed", 1, 1)
    assert not {"code", "reason", "message"} & set(ends[0])
    assert (ends[1]["code"], ends[1]["reason"]) == (31, "SourceObjectMissing")
    assert {line["run_id"] for line in ends} == {report.run_id}
    assert captured.events()[-1] == "run_ended"


def test_an_index_that_missed_one_document_is_behind_for_the_whole_try() -> None:
    index = FakeIndex(saves_until_down=1)
    watched = WatchedIndex(index)

    answers = [watched.save("runs", {"n": n}, {}) for n in range(2)]
    index.saves_until_down = None
    answers.append(watched.save("runs", {"n": 3}, {}))

    assert answers == [True, False, True]
    assert watched.is_behind
    assert watched.ping() == "fake index"
