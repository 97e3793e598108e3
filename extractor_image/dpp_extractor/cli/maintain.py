"""`dpp maintain`: checkpoints, larger files, room. Deletes only when told to, and only what is old.

Registered by the entry point `dpp.commands`. Safe beside live runs. deltalake works in a process of
its own; this one never loads it.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpp_core import logs
from dpp_core.cli.output import Output, OutputOption, print_json, print_table, say
from dpp_core.cli.plan import DatasetOption, PolicyOption, SecretsOption, ToOption
from dpp_core.errors import decide_exit_code
from dpp_extractor.cli.target import OptionalFileOption, Target, open_target

if TYPE_CHECKING:
    from dpp_extractor.upkeep.maintain import Plan, Step

EXAMPLES = """\b
Examples:
  dpp maintain --to ./out                           all steps; says what a vacuum would delete
  dpp maintain -f acme.yaml --to s3://lake/erp --compact --checkpoint
  dpp maintain --to ./out --vacuum --apply          delete what is older than 7 days
"""
_MIB = 1024 * 1024


CheckpointOption = Annotated[
    bool, typer.Option("--checkpoint", help="Only this step (and others that are named).")
]
CompactOption = Annotated[
    bool, typer.Option("--compact", help="Rewrite small files of Append tables as larger ones.")
]
VacuumOption = Annotated[
    bool, typer.Option("--vacuum", help="List old files and control data; see --apply.")
]
ApplyOption = Annotated[
    bool, typer.Option("--apply", help="Delete what the vacuum lists. Without it: a dry run.")
]
RetentionOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=87_600,
        help="Keep unused files this long; never less than the table's own retention (168).",
        show_default=False,
    ),
]
KeepRunsOption = Annotated[
    int, typer.Option(min=1, max=36_500, help="Keep records and plans of runs.")
]
KeepQuarantineOption = Annotated[
    int, typer.Option(min=1, max=36_500, help="Keep quarantined rows.")
]
LeastFilesOption = Annotated[
    int, typer.Option(min=2, max=100_000, help="Compact from this many small files on.")
]
TargetOption = Annotated[int, typer.Option(min=1, max=1024, help="Size of a compacted file.")]
MemoryOption = Annotated[int, typer.Option(min=256, max=65_536, help="What one step may take.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("maintain", epilog=EXAMPLES)(maintain)


def maintain(
    file: OptionalFileOption = None,
    policy: PolicyOption = None,
    to: ToOption = None,
    dataset: DatasetOption = None,
    secrets_file: SecretsOption = None,
    checkpoint: CheckpointOption = False,
    compact: CompactOption = False,
    vacuum: VacuumOption = False,
    apply: ApplyOption = False,
    retention_hours: RetentionOption = None,
    keep_runs_days: KeepRunsOption = 400,
    keep_quarantine_days: KeepQuarantineOption = 30,
    least_files: LeastFilesOption = 10,
    target_mib: TargetOption = 256,
    memory_mib: MemoryOption = 1024,
    output: OutputOption = Output.TEXT,
) -> int:
    """Write checkpoints, compact small files, and list or delete what is no longer needed.

    Without step options all steps are taken. Nothing is deleted without --apply. The exit code is the
    worst step's; a step that fails does not stop the others, and leaves the table as it was.
    """
    logs.set_up_logging("WARNING", "json" if output is Output.JSON else "text")
    steps = {"checkpoint": checkpoint, "compact": compact, "vacuum": vacuum}
    plan = _plan(
        steps,
        {"apply": apply, "retention_hours": retention_hours, "least_files": least_files},
        keep_days=(keep_runs_days, keep_quarantine_days),
        target_mib=target_mib,
    )
    with open_target(file, policy, to, dataset or (), secrets_file) as target:
        done = list(_carry_out(target, plan, memory_mib, is_quiet=output is Output.JSON))
    if output is Output.JSON:
        print_json(done)
    else:
        _print(done)
    return decide_exit_code(step.code for step in done)


def _plan(
    steps: dict[str, bool], limits: dict[str, Any], *, keep_days: tuple[int, int], target_mib: int
) -> "Plan":
    """Without any step named, all are meant."""
    from dpp_extractor.upkeep.control import Keep
    from dpp_extractor.upkeep.maintain import Plan
    from dpp_extractor.wiring import find_code_version

    runs_days, quarantine_days = keep_days
    return Plan(
        **(steps if any(steps.values()) else dict.fromkeys(steps, True)),
        **limits,
        keep=Keep(runs_days, runs_days, quarantine_days),
        target_bytes=target_mib * _MIB,
        code_version=find_code_version(),
    )


def _carry_out(
    target: Target, plan: "Plan", memory_mib: int, *, is_quiet: bool
) -> "Iterator[Step]":
    from dpp_extractor.guard.deadline import open_stop
    from dpp_extractor.upkeep.child import Bounds
    from dpp_extractor.upkeep.maintain import Yard, maintain
    from dpp_extractor.upkeep.place import build_place

    secret = target.read_secret("destination") if target.destination.kind == "S3" else {}
    place = build_place(target.destination, secret, target.store.uri)
    with open_stop() as stop:
        bounds = Bounds(
            os.environ, memory_bytes=memory_mib * _MIB, is_stopped=lambda: stop.is_asked
        )
        yard = Yard(target.store, place, bounds, lambda: datetime.now(UTC), target.owner)
        for step in maintain(yard, target.streams, plan):
            if not is_quiet:
                say(f"{_label(step)}: {step.step}: {step.state}")
            yield step
            stop.raise_if_stopped()


def _print(steps: "list[Step]") -> None:
    print_table(
        ("DATASET", "STEP", "STATE", "DETAIL"),
        [(_label(step), step.step, step.state, step.detail) for step in steps],
    )
    if any(step.state == "DryRun" and "would be deleted" in step.detail for step in steps):
        print("\nNothing was deleted: this was a dry run. Give --apply to delete.")


def _label(step: "Step") -> str:
    place = f"{step.namespace}/{step.extraction}"
    return f"{place}/{step.dataset}" if step.dataset else place
