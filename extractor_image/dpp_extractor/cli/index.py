"""`dpp index`: how far the index is behind the tables, and how it is built anew from the bucket.

Registered by the entry point `dpp.commands`. The destination is only read; what changes is FerretDB.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpp_core import logs
from dpp_core.cli.output import Output, OutputOption, print_json, print_table
from dpp_core.cli.plan import DatasetOption, PolicyOption, SecretsOption, ToOption
from dpp_core.errors import UsageError
from dpp_extractor.cli.target import OptionalFileOption, Target, open_target

if TYPE_CHECKING:
    from dpp_extractor.adapters.ferret import FerretIndex
    from dpp_extractor.upkeep.rebuild import Lag

REBUILD_EXAMPLES = """\b
Examples:
  dpp index rebuild --to s3://lake/erp --secrets secrets.yaml
  dpp index rebuild -f acme.yaml --to ./out --dataset orders
"""
STATUS_EXAMPLES = """\b
Examples:
  dpp index status --to ./out --secrets secrets.yaml
  dpp index status --to ./out -o json --metrics /metrics/index.prom
"""


def register(app: typer.Typer) -> None:
    """Add the command with its two sub-commands."""
    group = typer.Typer(
        help="See how far the index is behind, or build it anew.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("rebuild", epilog=REBUILD_EXAMPLES)(rebuild)
    group.command("status", epilog=STATUS_EXAMPLES)(status)
    app.add_typer(group, name="index")


def rebuild(
    file: OptionalFileOption = None,
    policy: PolicyOption = None,
    to: ToOption = None,
    dataset: DatasetOption = None,
    secrets_file: SecretsOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Build runs, commits, watermarks and catalog anew from the bucket.

    Everything the index holds of these streams is replaced. With --dataset runs stay as they are.
    """
    from dpp_extractor.upkeep.rebuild import rebuild as build

    logs.set_up_logging("WARNING", "json" if output is Output.JSON else "text")
    with (
        open_target(file, policy, to, dataset or (), secrets_file) as target,
        _open_index(target) as index,
    ):
        built = list(build(target.store, index, target.streams, with_runs=not dataset))
    if output is Output.JSON:
        print_json(built)
        return
    print_table(
        ("WHAT", "DOCUMENTS", "UNREADABLE"),
        [
            (
                f"{each.namespace}/{each.extraction}/{each.dataset or '(runs)'}",
                each.documents,
                each.unreadable,
            )
            for each in built
        ],
    )


def status(
    file: OptionalFileOption = None,
    policy: PolicyOption = None,
    to: ToOption = None,
    dataset: DatasetOption = None,
    secrets_file: SecretsOption = None,
    metrics: Annotated[
        Path | None,
        typer.Option(help="Leave the lag in this file, for Prometheus.", show_default=False),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show how many commits the index is behind each table."""
    from dpp_extractor.upkeep.rebuild import read_lag

    logs.set_up_logging("WARNING", "json" if output is Output.JSON else "text")
    with (
        open_target(file, policy, to, dataset or (), secrets_file) as target,
        _open_index(target) as index,
    ):
        lags = [read_lag(target.store, index, stream) for stream in target.streams]
    if metrics is not None:
        _write_metrics(lags, metrics)
    if output is Output.JSON:
        print_json([_describe(lag) for lag in lags])
    else:
        print_table(
            ("DATASET", "COMMIT", "INDEXED", "BEHIND"),
            [
                (
                    f"{lag.namespace}/{lag.extraction}/{lag.dataset}",
                    lag.seq,
                    lag.indexed_seq,
                    lag.commits,
                )
                for lag in lags
            ],
        )


def _write_metrics(lags: "Sequence[Lag]", file: Path) -> None:
    from dpp_extractor.metrics import build_index_metrics, write_metrics

    told = [(lag.namespace, lag.extraction, lag.dataset, lag.commits) for lag in lags]
    write_metrics(build_index_metrics(told), file)


def _describe(lag: "Lag") -> dict[str, Any]:
    return {
        "namespace": lag.namespace,
        "extraction": lag.extraction,
        "dataset": lag.dataset,
        "seq": lag.seq,
        "indexed_seq": lag.indexed_seq,
        "lag_commits": lag.commits,
    }


@contextmanager
def _open_index(target: Target) -> "Iterator[FerretIndex]":
    from dpp_extractor.adapters.ferret import open_index

    secret = target.read_secret("index")
    if not secret:
        raise UsageError(
            "There is no secret of the role index, so no index is known.",
            field="--secrets",
            fix="Give its uri under `index`, or DPP_INDEX_URI.",
        )
    with open_index(secret) as index:
        yield index
