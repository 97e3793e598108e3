"""`dpp show`: where every stream stands, its last commits, its schema, and the SQL of its current state.

Registered by the entry point `dpp.commands`. It reads the destination only: what it shows is what readers get.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpp_core.cli.output import Output, OutputOption, print_json, print_table
from dpp_core.cli.plan import DatasetOption, PolicyOption, SecretsOption, ToOption
from dpp_extractor.cli.target import OptionalFileOption, open_target

if TYPE_CHECKING:
    from dpp_extractor.ports import Store
    from dpp_extractor.publish.fold import Head
    from dpp_extractor.publish.keys import Stream

EXAMPLES = """\b
Examples:
  dpp show --to ./out                                    every stream of a destination
  dpp show -f acme.yaml --to s3://lake/erp --dataset orders   one stream, with schema and commits
  dpp show --to ./out --dataset orders --sql duckdb      SQL of its current state
"""


class Dialect(StrEnum):
    """Readers whose SQL we print."""

    DUCKDB = "duckdb"
    SPARK = "spark"
    TRINO = "trino"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("show", epilog=EXAMPLES)(show)


def show(
    file: OptionalFileOption = None,
    policy: PolicyOption = None,
    to: ToOption = None,
    dataset: DatasetOption = None,
    secrets_file: SecretsOption = None,
    sql: Annotated[
        Dialect | None,
        typer.Option(help="Print the SQL that shows the current state.", show_default=False),
    ] = None,
    commits: Annotated[int, typer.Option(min=0, max=1000, help="How many last commits.")] = 5,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show where the tables stand: rows, watermark, version, last commits, schema."""
    with open_target(file, policy, to, dataset or (), secrets_file) as target:
        if sql is not None:
            print("\n".join(_sql(target.store, stream, sql) for stream in target.streams))
            return
        shown = [_describe(target.store, stream, commits) for stream in target.streams]
    if output is Output.JSON:
        print_json(shown)
        return
    _print_streams(shown)
    if dataset or len(shown) == 1:
        for stream in shown:
            _print_details(stream)


def _describe(store: "Store", stream: "Stream", commits: int) -> dict[str, Any]:
    from dpp_extractor.cli.log import describe_commit
    from dpp_extractor.publish.head import read_history
    from dpp_extractor.publish.keys import table_prefix

    head = read_quietly(store, stream)
    live = head.live
    rows = [file.rows for file in head.files.values()]
    return {
        "namespace": stream.namespace,
        "extraction": stream.extraction,
        "dataset": stream.dataset,
        "table": f"{store.uri}/{table_prefix(stream)}",
        "version": head.version if head.version >= 0 else None,
        "seq": live.seq if live else None,
        "epoch": live.epoch if live else None,
        "watermark": live.watermark if live else None,
        "read_at": live.read_at if live else None,
        "run_id": live.run_id if live else None,
        "rows": None if None in rows else sum(row for row in rows if row is not None),
        "files": len(head.files),
        "bytes": sum(file.size_bytes for file in head.files.values()),
        "columns": _columns(head),
        "commits": [describe_commit(each) for each in read_history(store, stream, commits)]
        if commits and head.version >= 0
        else [],
    }


def read_quietly(store: "Store", stream: "Stream") -> "Head":
    """Read a head without leaving a trace in the store."""
    from dpp_extractor.publish.fold import Asked
    from dpp_extractor.publish.head import read_head

    return read_head(store, stream, Asked("", datetime.now(UTC)), can_write=False)


def _columns(head: "Head") -> list[dict[str, str]]:
    schema = head.schema
    if schema is None:
        return []
    return [
        {
            "name": field.name,
            "type": str(field.type),
            **{
                key.decode().removeprefix("dpp."): value.decode()
                for key, value in (field.metadata or {}).items()
            },
        }
        for field in schema
    ]


def _sql(store: "Store", stream: "Stream", dialect: Dialect) -> str:
    from dpp_extractor.cli.current import build_current_sql
    from dpp_extractor.publish.keys import table_prefix

    return build_current_sql(
        read_quietly(store, stream), stream, f"{store.uri}/{table_prefix(stream)}", dialect.value
    )


def _print_streams(shown: list[dict[str, Any]]) -> None:
    columns = ("DATASET", "ROWS", "WATERMARK", "COMMIT", "VERSION", "EPOCH", "READ AT", "RUN")
    names = ("dataset", "rows", "watermark", "seq", "version", "epoch", "read_at", "run_id")
    many = len({(each["namespace"], each["extraction"]) for each in shown}) > 1
    rows = []
    for each in shown:
        label = (
            f"{each['namespace']}/{each['extraction']}/{each['dataset']}"
            if many
            else each["dataset"]
        )
        rows.append([label, *(each[name] for name in names[1:])])
    print_table(columns, rows)


def _print_details(stream: dict[str, Any]) -> None:
    from dpp_extractor.cli.log import print_commits

    print(f"\n{stream['table']}: {stream['files']} files, {stream['bytes']:,} bytes\n")
    print_table(
        ("COLUMN", "TYPE", "SOURCE COLUMN", "SOURCE TYPE", "FIDELITY"),
        [
            (c["name"], c["type"], c.get("source_name"), c.get("source_type"), c.get("fidelity"))
            for c in stream["columns"]
        ],
    )
    if stream["commits"]:
        print()
        print_commits(stream["commits"])
