"""`dpp run`: one run on this machine, by the very code that runs in a Job.

Registered by the entry point `dpp.commands`. Drivers are imported only when the run begins.
"""

import os
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from dpp_core import logs, telemetry
from dpp_core.cli.output import Output, OutputOption, print_json, print_table, say
from dpp_core.cli.plan import (
    DatasetOption,
    FileOption,
    PolicyOption,
    SecretsOption,
    ToOption,
    choose_policy,
    describe_destination,
)
from dpp_core.documents.loading import load_extraction
from dpp_core.handover import RunReport, RunRequest
from dpp_core.plan import new_run, resolve

EXAMPLES = """\b
Examples:
  dpp run -f acme.yaml --to ./out
  dpp run -f acme.yaml --to s3://lake/erp --secrets secrets.yaml
  dpp run -f acme.yaml --dataset orders --limit 100     look at it, commit nothing
  dpp run -f acme.yaml --policy policy.yaml -o json     JSON lines on stderr, the report on stdout
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run", epilog=EXAMPLES)(run)


def run(
    file: FileOption,
    policy: PolicyOption = None,
    to: ToOption = None,
    dataset: DatasetOption = None,
    secrets_file: SecretsOption = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Read at most this many rows a dataset and commit nothing."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do everything but commit; nothing is written.")
    ] = False,
    run_id: Annotated[
        str | None,
        typer.Option("--run-id", help="Name of the run; an earlier name goes on with that run."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Extract the datasets of a DistributorExtraction into Delta tables.

    The first run brings everything, every next one only the change. The exit code is the run's.
    """
    rules = choose_policy(policy, to)
    extraction = load_extraction(file)
    now = datetime.now(UTC)
    name = run_id or build_run_id(extraction.metadata.name, now, secrets.token_hex(3))
    publish: Literal["Live", "None"] = "None" if dry_run or limit is not None else "Live"
    made = new_run(extraction, rules, now, name, datasets=dataset or (), publish=publish)
    request = resolve(extraction, rules, made)
    if limit is not None:
        request = request.model_copy(update={"limit_rows": limit})
    request = request.model_copy(
        update={"traceparent": request.traceparent or telemetry.new_traceparent()}
    )
    report = carry_out(request, secrets_file, as_json=output is Output.JSON)
    if output is Output.JSON:
        print_json(report)
    else:
        print_report(report, request)
    return report.exit_code


def build_run_id(extraction: str, now: datetime, chance: str) -> str:
    """Name a run so that names sort by time and two runs of one second differ; at most 63 characters."""
    return f"{extraction[:40]}-{now:%Y%m%d%H%M%S}-{chance}"


def carry_out(request: RunRequest, secrets_file: Path | None, *, as_json: bool) -> RunReport:
    """Run in this process, with progress on standard error."""
    from dpp_extractor.cli.progress import open_progress
    from dpp_extractor.guard.deadline import open_stop
    from dpp_extractor.run import run as carry_out_run
    from dpp_extractor.settings import read_settings
    from dpp_extractor.wiring import Surroundings, open_tools

    settings = read_settings(os.environ)
    is_terminal = sys.stderr.isatty() and not as_json
    quiet_level = "WARNING" if is_terminal and settings.log_level == "INFO" else settings.log_level
    logs.set_up_logging(quiet_level, "json" if as_json else settings.log_format)
    with (
        telemetry.continued(request.traceparent),
        open_stop() as stop,
        open_progress(len(request.units), is_terminal=is_terminal) as progress,
        open_tools(
            request,
            Surroundings(
                os.environ, settings, stop, secrets_file, progress.report, progress.expect
            ),
        ) as tools,
    ):
        return carry_out_run(request, tools)


def print_report(report: RunReport, request: RunRequest) -> None:
    """Print the summary: a line a dataset, then what needs attention, then what to do next."""
    columns = (
        "DATASET",
        "OUTCOME",
        "ROWS",
        "DELETED",
        "QUARANTINED",
        "COMMIT",
        "VERSION",
        "WATERMARK",
    )
    print_table(
        columns,
        [
            (
                *(u.dataset, u.outcome.value, u.rows, u.deleted, u.quarantined),
                *(u.seq, u.version, u.high),
            )
            for u in report.units
        ],
    )
    told: set[str] = set()
    for unit in report.units:
        if unit.message and unit.message not in told:
            told.add(unit.message)
            reason = f"{unit.reason.value}: " if unit.reason else ""
            say(f"{unit.dataset}: {reason}{unit.message}")
    seconds = (report.ended_at - report.started_at).total_seconds()
    print(
        f"\nRun {report.run_id}: {report.outcome.value} in {seconds:.1f} s (exit code {report.exit_code})."
    )
    if report.snapshot_age_seconds:
        print(
            f"Source: longest statement {report.longest_statement_seconds:.1f} s, "
            f"snapshot held {report.snapshot_age_seconds:.1f} s."
        )
    if request.publish == "None":
        print("Nothing was committed: this run was to look only.")
    else:
        print(f"Tables: {describe_destination(request)}/<dataset>")
