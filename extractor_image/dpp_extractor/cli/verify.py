"""`dpp verify`: is everything there, and as it was committed? A report for people and for programs.

Registered by the entry point `dpp.commands`. It reads the destination only, beside live runs too.
"""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpp_core import logs
from dpp_core.cli.output import Output, OutputOption, print_json, print_table, say
from dpp_core.cli.plan import DatasetOption, PolicyOption, SecretsOption, ToOption
from dpp_core.errors import StreamError, UsageError
from dpp_extractor.cli.target import OptionalFileOption, open_target

if TYPE_CHECKING:
    from dpp_extractor.publish.keys import Stream
    from dpp_extractor.upkeep.findings import Verdict

EXAMPLES = """\b
Examples:
  dpp verify --to ./out                                 every stream of a destination
  dpp verify acme/acme/orders --to s3://lake/erp --deep one stream, with every byte
  dpp verify -f acme.yaml --dataset orders -o json

\b
Exit codes: 0 whole (warnings allowed), 29 something is wrong.
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify", epilog=EXAMPLES)(verify)


def verify(
    stream: Annotated[
        list[str] | None,
        typer.Argument(help="namespace/extraction/dataset, or a dataset.", show_default=False),
    ] = None,
    file: OptionalFileOption = None,
    policy: PolicyOption = None,
    to: ToOption = None,
    dataset: DatasetOption = None,
    secrets_file: SecretsOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every byte: digests, row counts, all records.")
    ] = False,
    keep_quarantine_days: Annotated[
        int, typer.Option(min=1, max=36_500, help="How long quarantined rows are kept.")
    ] = 30,
    output: OutputOption = Output.TEXT,
) -> int:
    """Verify tables: log, chain, copies, windows, counts, files; with --deep every byte of them.

    Nothing is written, and nothing is repaired.
    """
    from dpp_extractor.upkeep.verify import Depth
    from dpp_extractor.upkeep.verify import verify as look

    logs.set_up_logging("WARNING", "json" if output is Output.JSON else "text")
    depth = Depth(deep, keep_quarantine_days)
    is_told = sys.stderr.isatty() and output is Output.TEXT
    verdicts = []
    with open_target(file, policy, to, dataset or (), secrets_file) as target:
        for each in _choose(target.streams, stream or []):

            def tell(text: str, name: str = name_of(each)) -> None:
                if is_told:
                    say(f"{name}: {text}")

            verdicts.append(look(target.store, each, depth, now=datetime.now(UTC), progress=tell))
    if output is Output.JSON:
        print_json([_describe(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            _print(verdict, deep=deep)
    return 0 if all(verdict.is_whole for verdict in verdicts) else StreamError.exit_code


def name_of(stream: "Stream | Verdict") -> str:
    """Name a stream as the command takes it."""
    return f"{stream.namespace}/{stream.extraction}/{stream.dataset}"


def _choose(streams: "tuple[Stream, ...]", wanted: list[str]) -> "tuple[Stream, ...]":
    known = [(stream, {stream.dataset, name_of(stream)}) for stream in streams]
    for name in wanted:
        if not any(name in names for _, names in known):
            raise UsageError(
                f"There is no stream {name!r}.",
                field="STREAM",
                fix=f"Known: {', '.join(name_of(stream) for stream in streams) or 'none'}.",
            )
    return tuple(stream for stream, names in known if not wanted or names & set(wanted))


def _describe(verdict: "Verdict") -> dict[str, Any]:
    return {
        "namespace": verdict.namespace,
        "extraction": verdict.extraction,
        "dataset": verdict.dataset,
        "whole": verdict.is_whole,
        "versions": verdict.versions,
        "commits": verdict.commits,
        "strangers": verdict.strangers,
        "files": verdict.files,
        "bytes": verdict.size_bytes,
        "rows": verdict.rows,
        "unused": verdict.unused,
        "digests": verdict.digests,
        "findings": [
            {
                "problem": finding.problem.value,
                "severity": "warning" if finding.is_warning else "error",
                "where": finding.where,
                "message": finding.message,
            }
            for finding in verdict.findings
        ],
        "more_findings": verdict.more_findings,
    }


def _print(verdict: "Verdict", *, deep: bool) -> None:
    state = "whole" if verdict.is_whole else "NOT WHOLE"
    rows = "unknown" if verdict.rows is None else f"{verdict.rows:,}"
    print(
        f"{name_of(verdict)}: {state}. {verdict.versions:,} versions, {verdict.commits:,} commits of "
        f"ours, {verdict.files:,} files, {verdict.size_bytes:,} bytes, {rows} rows"
        + (f", {verdict.digests:,} digests held." if deep else ".")
    )
    if verdict.findings:
        print_table(
            ("", "PROBLEM", "WHERE", "WHAT"),
            [
                (
                    "warning" if finding.is_warning else "error",
                    finding.problem,
                    finding.where,
                    finding.message,
                )
                for finding in verdict.findings
            ],
        )
    if verdict.more_findings:
        print(f"... and {verdict.more_findings:,} more.")
