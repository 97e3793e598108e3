"""`dpp plan`: what a run would do, resolved by the same function as the operator's."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dpp_core.cli.ahead import look_ahead, print_forecast
from dpp_core.cli.output import Output, OutputOption, print_fields, print_json, print_table
from dpp_core.cli.selecting import SelectOption, choose_forms
from dpp_core.documents.loading import load_extraction, load_outline, load_policy, load_run
from dpp_core.errors import UsageError, decide_exit_code
from dpp_core.forecast import Asked
from dpp_core.handover import RunRequest, Unit, build_request_bytes
from dpp_core.laptop import laptop_policy, redirect
from dpp_core.plan import new_run, resolve
from dpp_core.policy import Policy
from dpp_core.spec.extraction import Extraction

DEFAULT_TO = "./out"

EXAMPLES = """\b
Examples:
  dpp plan -f acme.yaml
  dpp plan -f acme.yaml --dataset orders -o json
  dpp plan -f acme.yaml --policy policy.yaml --run run.yaml -o json
  dpp plan -f acme.yaml --to ./out --connect           what the next run reads, and what to look at
  dpp plan -f acme.yaml --connect --select 'sales.*'   the tables that this stands for
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
    connect: Annotated[
        bool,
        typer.Option(
            "--connect", help="Ask source and destination what the run reads; both are only read."
        ),
    ] = False,
    select: SelectOption = None,
    secrets_file: SecretsOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Show what a run would read and where it would write.

    Touches neither source nor destination unless --connect is given: then it tells for each dataset
    what is read, in which bounds and about how many rows, what to look at before, and what the
    selection stands for. The exit code then is the worst of what would stop a dataset.
    With -o json it prints the exact request that the operator would hand to the Job; with --connect
    `{"request", "forecast"}`.
    """
    if (select or secrets_file) and not connect:
        raise UsageError("--select and --secrets need --connect.", fix="Add --connect.")
    rules = choose_policy(policy, to)
    resolve_file = partial(_resolve_file, rules, run)
    if connect:
        outline = load_outline(file)
        asked = Asked(choose_forms(outline.extraction, select), {}, secrets_file)
        request, forecast = look_ahead(outline, resolve_file, asked, dataset or ())
        if output is Output.JSON:
            print_json({"request": request, "forecast": forecast})
        else:
            print_request(request, forecast.source)
            print_forecast(forecast, file)
        return decide_exit_code(unit.code for unit in forecast.units)
    _print_plan(resolve_file(load_extraction(file), dataset or ()), output)
    return 0


def _print_plan(request: RunRequest, output: Output) -> None:
    if output is Output.JSON:
        print(build_request_bytes(request).decode())
        return
    print_request(request)
    columns = ("DATASET", "OBJECT", "WRITE", "KEY", "READS", "EPOCH")
    print_table(columns, [_build_row(unit) for unit in request.units])


def _resolve_file(
    rules: Policy, run: Path | None, extraction: Extraction, datasets: Sequence[str]
) -> RunRequest:
    if run is not None:
        return resolve(extraction, rules, load_run(run))
    now = datetime.now(UTC).replace(microsecond=0)
    return resolve(extraction, rules, new_run(extraction, rules, now, "plan", datasets=datasets))


def print_request(request: RunRequest, answered: str = "") -> None:
    """Print what holds for all datasets of a request; `answered` is what the source said."""
    source = request.source
    place = f"{source.host}:{source.port}/{source.database}" if source.host else source.database
    print_fields(
        {
            "extraction": f"{request.namespace}/{request.extraction}",
            "distributor": request.distributor,
            "source": f"{source.engine} {place}",
            **({"answered": answered} if answered else {}),
            "tls": source.tls if source.host else "",
            "secret": request.credentials.path,
            "destination": describe_destination(request),
            "publish": request.publish,
            "deadline": f"{int((request.deadline_at - request.created_at).total_seconds())} s",
            "policy": f"{request.cluster} {request.policy_digest[:19]}",
        }
    )
    print()


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
