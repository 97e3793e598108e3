"""Resolution is one pure function: equal arguments, equal bytes; what is too large or not allowed
is refused.
"""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

import wrong_resources
from dpp_core.errors import SpecError, SpecTooLargeError, TenancyError, UsageError
from dpp_core.handover import (
    FEATURES,
    REQUEST_LIMIT_BYTES,
    Deletes,
    Incremental,
    RunRequest,
    build_request_bytes,
    parse_request,
)
from dpp_core.laptop import laptop_policy
from dpp_core.plan import new_run, resolve, resolve_bytes
from dpp_core.policy import Policy
from dpp_core.run import ExtractionRun
from dpp_core.spec.extraction import Extraction

NOW = datetime(2026, 1, 31, 2, 0, tzinfo=UTC)
POLICY = laptop_policy("./out")


def build(base: str = "database", **changes: Any) -> Extraction:
    content = wrong_resources.build_base(base)
    content["spec"] |= changes
    return Extraction.model_validate(content)


def build_run(**changes: Any) -> ExtractionRun:
    content = wrong_resources.build_base("run")
    content["spec"] |= changes
    return ExtractionRun.model_validate(content)


def build_wide(datasets: int, columns: int, letters: str) -> Extraction:
    wide = [
        {
            "name": f"d{number}".ljust(63, "x"),
            "object": letters * 256,
            "key": [f"{n}".ljust(30, letters) for n in range(8)],
            "columns": {"exclude": [f"{n}".ljust(128, letters) for n in range(columns)]},
        }
        for number in range(datasets)
    ]
    return build(datasets=wide)


def test_a_request_says_all_a_job_needs() -> None:
    extraction = build()

    request = resolve(extraction, POLICY, new_run(extraction, POLICY, NOW, "run-1"))

    assert (request.cluster, request.namespace, request.extraction) == ("local", "acme", "acme")
    assert request.run_id == "run-1"
    assert request.created_at == NOW
    assert request.deadline_at == NOW + timedelta(hours=6)
    assert request.source.port == 5432
    assert request.source.tls == "VerifyFull"
    assert request.hosts == ("erp.acme.example",)
    assert request.destination.path == "./out"
    assert [unit.write for unit in request.units] == ["Append", "Replace"]
    assert [unit.object for unit in request.units] == ["orders", "customers"]
    assert set(request.must_understand) <= FEATURES


def test_sqlite_has_a_path_and_no_host() -> None:
    extraction = build("sqlite")

    request = resolve(extraction, POLICY, new_run(extraction, POLICY, NOW, "run-1"))

    assert request.source.engine == "sqlite"
    assert request.source.database == "erp.sqlite"
    assert (request.source.host, request.hosts, request.credentials.path) == ("", (), "")


@pytest.mark.parametrize("engine", ["mysql", "mariadb"])
def test_a_server_without_a_port_is_reached_at_its_engines_usual_one(engine: str) -> None:
    source = {
        "erp": "generic-sql",
        "database": {"engine": engine, "host": "erp", "database": "erp"},
    }
    policy = POLICY.model_copy(
        update={"sources": POLICY.sources.model_copy(update={"engines": (engine,)})}
    )
    extraction = build(source=source)

    request = resolve(extraction, policy, new_run(extraction, policy, NOW, "run-1"))

    assert (request.source.engine, request.source.port) == (engine, 3306)


def test_equal_arguments_give_equal_bytes_which_can_be_read_back() -> None:
    extraction, run = build(), build_run()

    first, again = (resolve_bytes(extraction, POLICY, run) for _ in range(2))

    assert first == again
    assert parse_request(first) == resolve(extraction, POLICY, run)


def test_what_a_run_pins_goes_before_what_the_spec_says_now() -> None:
    run = build_run(units=[{"name": "orders", "knownSeq": 41, "epoch": 2}], generation=7)

    request = resolve(build(), POLICY, run)

    assert [unit.dataset for unit in request.units] == ["orders"]
    assert (request.units[0].known_seq, request.units[0].epoch) == (41, 2)
    assert request.generation == 7


def test_instants_are_utc_whatever_zone_they_were_written_in() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    extraction = build()

    here = new_run(extraction, POLICY, NOW, "run-1")
    there = new_run(extraction, POLICY, east, "run-1")

    assert resolve_bytes(extraction, POLICY, here) == resolve_bytes(extraction, POLICY, there)


QUARANTINE = {"unfit": "Quarantine", "columns": [{"name": "paid_at", "unfit": "Quarantine"}]}
MIXED = {
    "unfit": "SetNull",
    "columns": [{"name": "total", "unfit": "Fail"}, {"name": "note", "unfit": "SetNull"}],
}


def test_what_is_done_with_unfit_values_is_handed_over_and_must_be_understood() -> None:
    extraction = build(datasets=[{"name": "a", "values": MIXED}, {"name": "b"}])

    request = resolve(extraction, POLICY, new_run(extraction, POLICY, NOW, "r"))

    values = request.units[0].values
    assert values is not None
    assert (values.unfit, values.columns) == ("SetNull", {"total": "Fail"})
    assert request.units[1].values is None
    assert "values" in request.must_understand


def test_asking_for_what_is_done_anyway_changes_no_byte_of_the_request() -> None:
    plain = build(datasets=[{"name": "a"}])
    asked = build(datasets=[{"name": "a", "values": QUARANTINE}])

    run = new_run(plain, POLICY, NOW, "r")

    assert resolve_bytes(asked, POLICY, run) == resolve_bytes(plain, POLICY, run)


def test_a_trace_goes_on_and_names_the_correlation() -> None:
    trace = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"

    request = resolve(build(), POLICY, build_run(traceParent=trace))

    assert request.traceparent == trace
    assert request.correlation_id == "ab" * 16


def test_a_retry_has_the_same_correlation_without_a_trace() -> None:
    first, again = (resolve(build(), POLICY, build_run()) for _ in range(2))
    other = resolve(build(), POLICY, build_run(createdAt="2026-01-01T03:00:00Z"))

    assert first.correlation_id == again.correlation_id != other.correlation_id
    assert len(first.correlation_id) == 32


def test_suspended_datasets_are_left_out_unless_a_person_names_them() -> None:
    extraction = build(datasets=[{"name": "a", "suspend": True}, {"name": "b"}])

    usual = new_run(extraction, POLICY, NOW, "r")
    asked = new_run(extraction, POLICY, NOW, "r", datasets=["a"])

    assert [unit.name for unit in usual.spec.units] == ["b"]
    assert [unit.name for unit in asked.spec.units] == ["a"]


def test_a_run_of_nothing_is_refused() -> None:
    extraction = build(datasets=[{"name": "a", "suspend": True}])

    with pytest.raises(SpecError, match="nothing to read"):
        new_run(extraction, POLICY, NOW, "r")


def test_an_unknown_dataset_is_wrong_use_and_says_which_was_meant() -> None:
    with pytest.raises(UsageError, match="Did you mean orders") as caught:
        new_run(build(), POLICY, NOW, "r", datasets=["order"])

    assert "customers, orders" in caught.value.fix


def test_a_run_of_another_extraction_is_refused() -> None:
    with pytest.raises(SpecError, match="not of acme/acme"):
        resolve(build(), POLICY, build_run(extraction="globex"))


def test_a_run_whose_dataset_is_gone_is_refused() -> None:
    with pytest.raises(SpecError, match="no longer has: gone"):
        resolve(build(), POLICY, build_run(units=[{"name": "gone"}]))


def test_tenancy_is_checked_again_when_resolving() -> None:
    with pytest.raises(TenancyError) as caught:
        resolve(build(), Policy(cluster="production"), build_run())

    assert caught.value.field == "metadata.namespace"


def test_spec_run_goes_before_the_policys_defaults() -> None:
    extraction = build(run={"deadlineSeconds": 900, "attempts": 5})

    request = resolve(extraction, POLICY, new_run(extraction, POLICY, NOW, "r"))

    assert request.deadline_at - request.created_at == timedelta(seconds=900)
    assert request.attempts == 5


def test_a_hundred_datasets_with_long_names_fit_into_a_request() -> None:
    extraction = build_wide(100, 4, "x")

    body = resolve_bytes(extraction, POLICY, new_run(extraction, POLICY, NOW, "r"))

    assert REQUEST_LIMIT_BYTES * 0.9 < len(body) <= REQUEST_LIMIT_BYTES


@pytest.mark.parametrize(("columns", "letters"), [(256, "x"), (5, "漢")], ids=["many", "wide"])
def test_a_request_over_the_limit_is_refused_with_its_size(columns: int, letters: str) -> None:
    extraction = build_wide(100, columns, letters)

    with pytest.raises(SpecTooLargeError) as caught:
        resolve(extraction, POLICY, new_run(extraction, POLICY, NOW, "r"))

    assert caught.value.field == "spec.datasets"
    assert str(REQUEST_LIMIT_BYTES) in caught.value.message
    assert "Split" in caught.value.fix


@pytest.mark.parametrize("nulls", ["Include", "Coalesce"])
def test_a_request_that_keeps_rows_without_a_cursor_must_be_understood(nulls: str) -> None:
    chosen = {"nulls": nulls, **({"coalesce": "made_at"} if nulls == "Coalesce" else {})}
    incremental = {"cursor": "updated_at", **chosen}

    request = _deleting(incremental=incremental)

    assert request.units[0].incremental == Incremental(**incremental)
    assert "nulls" in request.must_understand
    assert "nulls" not in _deleting().must_understand


def _deleting(percent: int | None = None, **changes: Any) -> RunRequest:
    orders = {"name": "orders", "key": ["id"], "incremental": {"cursor": "updated_at"}}
    defaults = POLICY.defaults.model_copy(update={"max_deleted_percent": percent})
    policy = POLICY.model_copy(update={"defaults": defaults})
    return resolve(build(datasets=[orders | changes, {"name": "customers"}]), policy, build_run())


def test_a_request_says_how_deleted_rows_are_found_and_what_share_may_go() -> None:
    by_keys = _deleting(25, deletes="KeyDiff")
    marked = _deleting(deletes="SoftDeleteColumn", softDelete={"column": "gone", "value": "1"})

    assert by_keys.units[0].deletes == Deletes(kind="KeyDiff", most_percent=25)
    assert marked.units[0].deletes == Deletes(kind="SoftDeleteColumn", column="gone", value="1")
    assert "deletes" in by_keys.must_understand
    assert [request.units[1].deletes for request in (by_keys, marked)] == [None, None]


def test_a_request_without_deletes_has_no_word_of_them() -> None:
    body = build_request_bytes(_deleting())

    assert b"deletes" not in body
    assert b"deletes" in build_request_bytes(_deleting(deletes="KeyDiff"))
