"""A connection to a real server that is cut in the middle of a read: equal tables, one commit, or nothing at all."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from dpp_core.handover import DatabaseSource, Incremental, RunReport, Unit
from dpp_extractor.extract.database.engine import open_database
from dpp_extractor.extract.database.limits import Limits
from dpp_extractor.guard.retry import RetryPolicy, retrying
from dpp_extractor.ports import Source
from dpp_extractor.run import run
from run_bench import Bench
from servers.mariadb import MariaDb, Schema
from servers.postgres import Database, Postgres
from servers.proxy import Proxy, open_proxy

ROWS = 60_000
REPLACE = Unit(dataset="t", object="t", key=("id",))
APPEND = REPLACE.model_copy(
    update={"write": "Append", "incremental": Incremental(cursor="id")}, deep=True
)
TABLE = {
    "postgresql": "CREATE TABLE t (id int PRIMARY KEY, note text);"
    f"INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, {ROWS}) n",
    "mariadb": "CREATE TABLE t (id int PRIMARY KEY, note text);"
    f"INSERT INTO t SELECT seq, REPEAT('x', 100) FROM seq_1_to_{ROWS}",
}
Opening = Callable[[], AbstractContextManager[Source]]


@pytest.fixture(params=["postgresql", "mariadb"])
def line(request: pytest.FixtureRequest) -> Iterator[tuple[Proxy, Callable[[Limits], Opening]]]:
    """Give a proxy before each server in turn, and how a table of it is opened through that."""
    is_postgres = request.param == "postgresql"
    place: Database | Schema = request.getfixturevalue("database" if is_postgres else "schema")
    place.execute(TABLE[request.param])
    server: Postgres | MariaDb = request.getfixturevalue("postgres" if is_postgres else "mariadb")
    reader = server.create_reader(place, can_monitor=True)  # type: ignore[arg-type]
    login = {"username": reader.user, "password": reader.password}
    with open_proxy(place.port) as proxy:
        source = DatabaseSource.model_validate(
            {
                "engine": request.param,
                "host": place.host,
                "port": proxy.port,
                "database": place.name,
                "tls": "Disable",
            }
        )
        yield (
            proxy,
            lambda limits: lambda: open_database(source, login, run_id="run", limits=limits),
        )


def carry_out(bench: Bench, unit: Unit, opening: Opening, attempts: int = 3) -> RunReport:
    retry = retrying(RetryPolicy(base_seconds=0.01, attempts=attempts), what="read")
    tools = replace(bench.tools(), open_source=opening, retry_read=retry)
    return run(bench.request(unit), tools)


def cut_at(bench: Bench, proxy: Proxy, batches: set[int]) -> None:
    seen = 0

    def on_hook(point: str) -> None:
        nonlocal seen
        seen += point == "batch_read"
        if point == "batch_read" and seen in batches:
            proxy.cut()

    bench.on_hook = on_hook


@pytest.mark.parametrize("read_seconds", [None, 5], ids=["whole", "paged"])
@pytest.mark.parametrize("unit", [REPLACE, APPEND], ids=["Replace", "Append"])
def test_a_read_that_is_cut_is_done_anew_within_the_run(
    line: tuple[Proxy, Callable[[Limits], Opening]], unit: Unit, read_seconds: int | None
) -> None:
    proxy, opening = line
    bench = Bench()
    cut_at(bench, proxy, {2})

    limits = Limits(connect_seconds=5, block_bytes=50_000, read_seconds=read_seconds)
    report = carry_out(bench, unit, opening(limits))

    assert [(each.outcome.value, each.rows) for each in report.units] == [("Committed", ROWS)]
    assert bench.commits("t") == 1
    assert sorted(row["id"] for row in bench.rows("t")) == list(range(1, ROWS + 1))
    assert len(bench.records(report.run_id)[0].warnings) == 1
    assert proxy.accepted >= 2


def test_a_line_that_is_cut_again_and_again_ends_the_run_with_nothing_visible(
    line: tuple[Proxy, Callable[[Limits], Opening]],
) -> None:
    proxy, opening = line
    bench = Bench()
    cut_at(bench, proxy, set(range(1, 1000)))

    report = carry_out(bench, REPLACE, opening(Limits(connect_seconds=5, block_bytes=50_000)))

    assert [(each.outcome.value, each.code) for each in report.units] == [("Failed", 23)]
    assert bench.commits("t") == 0
