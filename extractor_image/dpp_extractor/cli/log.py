"""`dpp log`: the commits of a table, ours and strangers', newest first.

Registered by the entry point `dpp.commands`. It reads the destination only.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpp_core.cli.output import Output, OutputOption, print_json, print_table
from dpp_core.cli.plan import DatasetOption, PolicyOption, SecretsOption, ToOption
from dpp_extractor.cli.target import OptionalFileOption, open_target

if TYPE_CHECKING:
    from dpp_extractor.publish.delta import Commit

EXAMPLES = """\b
Examples:
  dpp log --to ./out --dataset orders
  dpp log -f acme.yaml --to s3://lake/erp -n 50 -o json
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("log", epilog=EXAMPLES)(log)


def log(
    file: OptionalFileOption = None,
    policy: PolicyOption = None,
    to: ToOption = None,
    dataset: DatasetOption = None,
    secrets_file: SecretsOption = None,
    number: Annotated[int, typer.Option("-n", min=1, max=10_000, help="How many commits.")] = 20,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the commits of each table: who, when, which window, how many rows."""
    from dpp_extractor.publish.head import read_history

    with open_target(file, policy, to, dataset or (), secrets_file) as target:
        shown = {
            f"{stream.namespace}/{stream.extraction}/{stream.dataset}": [
                describe_commit(each) for each in read_history(target.store, stream, number)
            ]
            for stream in target.streams
        }
    if output is Output.JSON:
        print_json(shown)
        return
    for place, (name, commits) in enumerate(shown.items()):
        print(f"{chr(10) if place else ''}{name}")
        print_commits(commits)


def describe_commit(commit: "Commit") -> dict[str, Any]:
    """Say what one version of a table is; `by` is `dpp` for ours, else the writer's own name."""
    from dpp_extractor.publish.fold import find_ours

    ours = find_ours(commit)
    if ours is None:
        moment = commit.info.get("timestamp")
        return {
            "version": commit.version,
            "by": str(
                commit.info.get("engineInfo") or commit.info.get("clientVersion") or "unknown"
            ),
            "operation": commit.operation,
            "committed_at": datetime.fromtimestamp(moment / 1000, UTC) if moment else None,
        }
    window = ours.window or {}
    return {
        "version": ours.version,
        "by": "dpp",
        "operation": ours.kind,
        "committed_at": ours.committed_at,
        "seq": ours.seq,
        "lane": ours.lane,
        "epoch": ours.epoch,
        "rows": ours.counts.written,
        "quarantined": ours.counts.quarantined,
        "nulled": dict(ours.counts.nulled),
        "deleted": ours.counts.deleted,
        "low": window.get("low"),
        "high": window.get("high"),
        "run_id": ours.run_id,
        "attempt_id": ours.attempt_id,
        "approved": list(ours.approved),
    }


def print_commits(commits: Sequence[dict[str, Any]]) -> None:
    """Print commits as a table."""
    names = (
        "version",
        "committed_at",
        "by",
        "operation",
        "seq",
        "rows",
        "quarantined",
        "deleted",
        "low",
        "high",
        "run_id",
    )
    print_table(
        [name.upper().replace("_", " ") for name in names],
        [[each.get(name) for name in names] for each in commits],
    )
