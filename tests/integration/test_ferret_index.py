"""The index on a real FerretDB: documents arrive once, and an outage costs one wait and no run."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from dpp_core.errors import TemporaryFailure
from dpp_extractor.adapters.ferret import FerretIndex, open_index
from log_capture import Captured, captured_logs
from servers.ferret import Ferret
from servers.process import free_port

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
RUN = {"run_id": "r1", "attempt_id": "a1"}


@pytest.fixture(autouse=True)
def logged() -> Iterator[Captured]:
    with captured_logs() as captured:
        yield captured


@pytest.fixture
def name(ferret: Ferret) -> str:
    return ferret.fresh_name()


@pytest.fixture
def index(ferret: Ferret, name: str) -> Iterator[FerretIndex]:
    with open_index({"uri": ferret.uri}, name) as opened:
        yield opened


def documents(ferret: Ferret, name: str, collection: str) -> list[dict[str, Any]]:
    with ferret.client() as client:
        return list(client[name][collection].find({}))


def test_a_document_is_there_with_its_key_and_a_unique_index(
    ferret: Ferret, name: str, index: FerretIndex
) -> None:
    assert index.save("runs", RUN, {"outcome": "Succeeded", "ended_at": NOW, "units": [{"n": 1}]})

    (found,) = documents(ferret, name, "runs")
    found.pop("_id")
    assert found == {
        **RUN,
        "outcome": "Succeeded",
        "ended_at": NOW.replace(microsecond=123000),
        "units": [{"n": 1}],
    }
    with ferret.client() as client:
        indexes = client[name]["runs"].index_information()
    assert indexes["key"]["unique"] is True
    assert index.state == "Current"


def test_saving_twice_leaves_one_document_the_later(
    ferret: Ferret, name: str, index: FerretIndex
) -> None:
    assert index.save("runs", RUN, {"outcome": "Failed"})
    assert index.save("runs", RUN, {"outcome": "Succeeded"})

    assert [each["outcome"] for each in documents(ferret, name, "runs")] == ["Succeeded"]


def test_another_process_saving_the_same_key_leaves_one_document(
    ferret: Ferret, name: str, index: FerretIndex
) -> None:
    index.save("runs", RUN, {"outcome": "Failed"})

    with open_index({"uri": ferret.uri}, name) as other:
        assert other.save("runs", dict(reversed(RUN.items())), {"outcome": "Succeeded"})

    assert [each["outcome"] for each in documents(ferret, name, "runs")] == ["Succeeded"]


def test_eight_threads_saving_one_key_leave_one_document(
    ferret: Ferret, name: str, index: FerretIndex
) -> None:
    index.save("runs", {"run_id": "warm"}, {})
    answers: list[bool] = []

    def save(number: int) -> None:
        answers.append(index.save("commits", {"seq": 1}, {"number": number}))

    threads = [threading.Thread(target=save, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [True] * 8
    assert len(documents(ferret, name, "commits")) == 1


def test_an_older_watermark_does_not_replace_a_newer_one(
    ferret: Ferret, name: str, index: FerretIndex
) -> None:
    key = {"extraction": "acme", "dataset": "orders"}
    index.save("watermarks", key, {"seq": 8, "updated_at": NOW})

    late = index.save("watermarks", key, {"seq": 7, "updated_at": NOW - timedelta(seconds=1)})

    assert late is True
    assert [each["seq"] for each in documents(ferret, name, "watermarks")] == [8]
    assert index.save("watermarks", key, {"seq": 9, "updated_at": NOW + timedelta(seconds=1)})
    assert [each["seq"] for each in documents(ferret, name, "watermarks")] == [9]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param("ÄÖÜ 日本 🔑", "ÄÖÜ 日本 🔑", id="unicode"),
        pytest.param("a\0b", "a␀b", id="NUL"),
        pytest.param("lone \ud800", "lone ?", id="lone surrogate"),
        pytest.param("x" * 1_000_000, "x" * 1_000_000, id="a million characters"),
        pytest.param(math.nan, "nan", id="NaN"),
        pytest.param(-math.inf, "-inf", id="minus infinity"),
        pytest.param(-0.0, 0.0, id="minus zero"),
        pytest.param(2**63 - 1, 2**63 - 1, id="the largest int64"),
        pytest.param(2**63, str(2**63), id="beyond int64"),
        pytest.param(Decimal("1.10"), "1.10", id="decimal"),
        pytest.param({"a.b": 1, "$c": 2, "": 3}, {"a．b": 1, "＄c": 2, "_": 3}, id="odd keys"),
        pytest.param([[1, 2], ["a"]], ["[1, 2]", '["a"]'], id="nested arrays"),
        pytest.param([], [], id="empty list"),
        pytest.param({}, {}, id="empty mapping"),
        pytest.param(None, None, id="none"),
        pytest.param(True, True, id="boolean"),
        pytest.param(b"\x00\xff", b"\x00\xff", id="bytes"),
        pytest.param(datetime(2026, 3, 1, 12), "2026-03-01T12:00:00", id="naive instant"),
    ],
)
def test_any_value_is_kept_or_said_in_another_way(
    ferret: Ferret, name: str, index: FerretIndex, value: Any, kept: Any
) -> None:
    assert index.save("runs", RUN, {"value": value, "nested": {"list": [{"value": value}]}})

    (found,) = documents(ferret, name, "runs")
    assert found["value"] == kept
    assert found["nested"]["list"][0]["value"] == kept


def test_a_document_that_is_too_large_is_left_out_and_the_next_goes_in(
    ferret: Ferret, name: str, index: FerretIndex, logged: Captured
) -> None:
    assert index.save("runs", RUN, {"text": "x" * (9 * 1024 * 1024)}) is False
    assert index.save("runs", {"run_id": "r2"}, {"text": "x"}) is True

    assert len(documents(ferret, name, "runs")) == 1
    assert index.state == "Behind"
    assert logged.events() == ["index_behind"]


@pytest.mark.faults
def test_down_at_the_start_costs_one_wait_and_one_warning(logged: Captured) -> None:
    started = datetime.now(UTC)

    with open_index({"uri": f"mongodb://127.0.0.1:{free_port()}/"}, "dpp") as index:
        answers = [index.save("runs", {"run_id": str(number)}, {}) for number in range(50)]

    assert answers == [False] * 50
    assert datetime.now(UTC) - started < timedelta(seconds=6)
    assert logged.events() == ["index_behind"]
    assert index.state == "Behind"


@pytest.mark.faults
def test_down_in_the_middle_answers_false_for_the_rest_of_the_run(
    ferret: Ferret,
    name: str,
    stopped: Callable[[Ferret], AbstractContextManager[None]],
    logged: Captured,
) -> None:
    with open_index({"uri": ferret.uri}, name) as index:
        before = index.save("commits", {"seq": 1}, {})
        with stopped(ferret):
            during = index.save("commits", {"seq": 2}, {})
        after = index.save("commits", {"seq": 3}, {})

    assert (before, during, after) == (True, False, False)
    assert [each["seq"] for each in documents(ferret, name, "commits")] == [1]
    assert logged.events() == ["index_behind"]


@pytest.mark.faults
def test_the_next_run_saves_what_the_last_one_could_not(
    ferret: Ferret, name: str, stopped: Callable[[Ferret], AbstractContextManager[None]]
) -> None:
    with open_index({"uri": ferret.uri}, name) as index, stopped(ferret):
        assert index.save("commits", {"seq": 1}, {}) is False

    with open_index({"uri": ferret.uri}, name) as index:
        assert index.save("commits", {"seq": 1}, {}) is True

    assert len(documents(ferret, name, "commits")) == 1


@pytest.mark.faults
def test_a_server_that_does_not_answer_is_given_up(
    ferret: Ferret, name: str, logged: Captured
) -> None:
    with open_index({"uri": ferret.uri}, name) as index:
        index.save("commits", {"seq": 1}, {})
        ferret.pause()
        try:
            started = datetime.now(UTC)
            answers = [index.save("commits", {"seq": seq}, {}) for seq in range(2, 20)]
        finally:
            ferret.resume()

    assert answers == [False] * 18
    assert datetime.now(UTC) - started < timedelta(seconds=10)
    assert logged.events() == ["index_behind"]


@pytest.mark.parametrize(
    "uri",
    ["", "no uri", "http://127.0.0.1:1/", "mongodb://", "mongodb://a:b@c@d/", "mongodb://h:99999/"],
)
def test_a_wrong_address_never_ends_a_run(uri: str, logged: Captured) -> None:
    with open_index({"uri": uri}) as index:
        assert index.save("runs", RUN, {}) is False

    assert logged.events() == ["index_behind"]


def test_the_password_of_the_address_is_in_no_line(logged: Captured) -> None:
    uri = f"mongodb://dpp:planted-password@127.0.0.1:{free_port()}/"

    with open_index({"uri": uri}) as index:
        index.save("runs", RUN, {})
        with pytest.raises(TemporaryFailure) as caught:
            index.ping()

    assert "planted-password" not in logged.text + str(caught.value)


def test_ping_names_product_and_version(index: FerretIndex) -> None:
    said = index.ping()

    assert said.startswith("FerretDB ")
    assert "speaks MongoDB 7." in said


def test_closing_twice_is_closing_once(index: FerretIndex) -> None:
    index.save("runs", RUN, {})

    index.close()
    index.close()
