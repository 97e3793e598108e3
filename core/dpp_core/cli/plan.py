"""`dpp plan`: what a run would do, resolved by the same function as the operator's."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from dpp_core.cli.output import Output, OutputOption, print_fields, print_table
from dpp_core.documents.loading import load_extraction, load_policy, load_run
from dpp_core.handover import RunRequest, Unit, build_request_bytes
from dpp_core.laptop import laptop_policy, redirect
from dpp_core.plan import new_run, resolve
from dpp_core.policy import Policy

DEFAULT_TO = "./out"

EXAMPLES = """\b
Examples:
  dpp plan -f acme.yaml
  dpp plan -f acme.yaml --dataset orders -o json
  dpp plan -f acme.yaml --policy policy.yaml --run run.yaml -o json
"""

FileOption = Annotated[
    Path,
    typer.Option("--file", "-f", help="File with the DistributorExtraction.", show_default=False),
]
PolicyOption = Annotated[
    Path | None,
    typer.Option(help="Platform policy; the built-in policy laptop without.", show_default=False),
]
ToOption = Annotated[
    str | None,
    typer.Option(help="Destination: a folder or s3://bucket/prefix.", show_default=False),
]
SecretsOption = Annotated[
    Path | None,
    typer.Option(
        "--secrets",
        help="JSON or YAML file with the secrets of source, destination and index.",
        show_default=False,
    ),
]
DatasetOption = Annotated[
    list[str] | None,
    typer.Option("--dataset", help="Only this dataset; may be given again.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan", epilog=EXAMPLES)(plan)


def choose_policy(policy: Path | None, to: str | None, default_to: str = DEFAULT_TO) -> Policy:
    """Choose the policy of a command line: the file's, with `--to` over its destinations, or
    laptop.
    """
    if policy is None:
        return laptop_policy(to or default_to)
    loaded = load_policy(policy)
    return loaded if to is None else redirect(loaded, to)


def plan(
    file: FileOption,
    policy: PolicyOption = None,
    to: ToOption = None,
    dataset: DatasetOption = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="File with the ExtractionRun to resolve; a new one without.", show_default=False
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what a run would read and where it would write. Touches neither source nor destination.

    With -o json it prints the exact request that the operator would hand to the Job.
    """
    rules = choose_policy(policy, to)
    extraction = load_extraction(file)
    now = datetime.now(UTC).replace(microsecond=0)
    chosen = (
        load_run(run) if run else new_run(extraction, rules, now, "plan", datasets=dataset or ())
    )
    request = resolve(extraction, rules, chosen)
    if output is Output.JSON:
        print(build_request_bytes(request).decode())
        return
    _print_text(request)


def _print_text(request: RunRequest) -> None:
    source = request.source
    place = f"{source.host}:{source.port}/{source.database}" if source.host else source.database
    print_fields(
        {
            "extraction": f"{request.namespace}/{request.extraction}",
            "distributor": request.distributor,
            "source": f"{source.engine} {place}",
            "tls": source.tls if source.host else "",
            "secret": request.credentials.path,
            "destination": describe_destination(request),
            "publish": request.publish,
            "deadline": f"{int((request.deadline_at - request.created_at).total_seconds())} s",
            "policy": f"{request.cluster} {request.policy_digest[:19]}",
        }
    )
    print()
    columns = ("DATASET", "OBJECT", "WRITE", "KEY", "READS", "EPOCH")
    print_table(columns, [_build_row(unit) for unit in request.units])


def describe_destination(request: RunRequest) -> str:
    """Say where the tables of a request lie: <place>/<namespace>/<extraction>/<dataset>."""
    target = request.destination
    root = target.path if target.kind == "Folder" else f"s3://{target.bucket}/{target.prefix}"
    return f"{root.rstrip('/')}/{request.namespace}/{request.extraction}"


def _build_row(unit: Unit) -> tuple[object, ...]:
    return (unit.dataset, unit.object, unit.write, unit.key, describe_reading(unit), unit.epoch)


def describe_reading(unit: Unit) -> str:
    """Say which rows a unit reads, as far as it can be said before the source is asked."""
    if unit.incremental is None:
        return "every row"
    wanted = unit.incremental
    low = wanted.initial or "the beginning"
    lag = "its lag" if wanted.lag_seconds is None else f"{wanted.lag_seconds} s"
    return f"{wanted.cursor} from the watermark (at first {low}) to now - {lag}"
