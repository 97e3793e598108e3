"""A MariaDB database as the product reads it: source, snapshot and rows for integration tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dpp_core.handover import DatabaseSource, Unit
from dpp_extractor.batch import RawBatch, Rejected, SourceTable
from dpp_extractor.extract.database.engine import open_database
from dpp_extractor.extract.database.limits import Limits
from dpp_extractor.ports import Snapshot, Source
from servers.mariadb import Schema

T = Unit(dataset="t", object="t")


def source_block(schema: Schema, **changes: Any) -> DatabaseSource:
    """Give the block of the resource that leads to a database."""
    fields = {
        "engine": "mariadb",
        "host": schema.host,
        "port": schema.port,
        "database": schema.name,
        "tls": "Disable",
        **changes,
    }
    return DatabaseSource.model_validate(fields)


@contextmanager
def source_of(
    schema: Schema,
    *,
    limits: Limits | None = None,
    ca_file: str | None = None,
    run_id: str = "run",
    **changes: Any,
) -> Iterator[Source]:
    """Connect as the account does."""
    with open_database(
        source_block(schema, **changes),
        {"username": schema.user, "password": schema.password},
        run_id=run_id,
        limits=limits or Limits(connect_seconds=3),
        ca_file=ca_file,
    ) as opened:
        yield opened


@contextmanager
def view_of(schema: Schema, limits: Limits | None = None) -> Iterator[Snapshot]:
    """Connect and open a snapshot."""
    with source_of(schema, limits=limits) as source, source.snapshot() as view:
        yield view


def read_all(
    schema: Schema, name: str, limit_rows: int | None = None, limits: Limits | None = None
) -> tuple[SourceTable, list[RawBatch]]:
    """Read a table as a whole."""
    with view_of(schema, limits) as view:
        table = view.describe(Unit(dataset="t", object=name))
        return table, list(view.read(table, None, limit_rows))


def rows_of(batches: list[RawBatch]) -> list[dict[str, Any]]:
    """Give the rows as Python objects."""
    return [row for batch in batches for row in batch.rows.to_pylist()]


def rejected_of(batches: list[RawBatch]) -> list[Rejected]:
    """Give the rows that could not be represented."""
    return [row for batch in batches for row in batch.rejected]


def count(view: Snapshot, unit: Unit) -> int:
    """Read a table as a whole and count its rows."""
    table = view.describe(unit)
    return sum(batch.rows.num_rows for batch in view.read(table, None, None))
