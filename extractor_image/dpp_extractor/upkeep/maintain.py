"""All upkeep of a destination's tables, one step after the other, each failure kept to its own step.

Called by `dpp maintain` and by `run` for a Maintain run. Safe beside live runs and beside itself: every
step is one that a run, a reader or another upkeep may meet halfway. The order matters: compaction first, so that the
checkpoint holds its result; the vacuum last, because it deletes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any, Literal

from dpp_core.errors import DppError, UsageError
from dpp_core.redaction import redact
from dpp_extractor.ports import Store
from dpp_extractor.publish.claim import Owner, check_claim
from dpp_extractor.publish.keys import Stream, table_prefix
from dpp_extractor.upkeep import checkpoint as checkpoints
from dpp_extractor.upkeep.child import Bounds
from dpp_extractor.upkeep.compact import LEAST_FILES, TARGET_BYTES, compact
from dpp_extractor.upkeep.control import Keep, sweep
from dpp_extractor.upkeep.place import Place
from dpp_extractor.upkeep.vacuum import Rule, vacuum

State = Literal["Done", "NotDue", "DryRun", "Failed"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Which steps, and how far they go. Only `apply` lets anything be deleted."""

    checkpoint: bool = True
    compact: bool = True
    vacuum: bool = True
    apply: bool = False
    retention_hours: int | None = None
    keep: Keep = field(default_factory=Keep)
    checkpoint_every: int = checkpoints.EVERY_COMMITS
    target_bytes: int = TARGET_BYTES
    least_files: int = LEAST_FILES
    code_version: str = "unknown"


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did to one table; `dataset` is empty for the control data of an extraction."""

    namespace: str
    extraction: str
    dataset: str
    step: str
    state: State
    detail: str
    facts: dict[str, Any]
    code: int = 0


@dataclass(frozen=True, slots=True)
class Yard:
    """Where upkeep works: the store, deltalake's way to it, and what its processes may take.

    `owner` is who asks; None asks for whatever lies there, as whoever may write to all of a store does.
    """

    store: Store
    place: Place
    bounds: Bounds
    now: Callable[[], datetime]
    owner: Owner | None = None


def maintain(yard: Yard, streams: Sequence[Stream], plan: Plan) -> Iterator[Step]:
    """Do the steps of the plan for each stream; yields each step as it ends.

    Raises UsageError (2) for a plan that no table allows, and nothing for a step that fails.
    """
    by_extraction = groupby(streams, key=lambda stream: (stream.namespace, stream.extraction))
    for _, grouped in by_extraction:
        family = tuple(grouped)
        refused = {stream: step for stream in family if (step := _refuse(yard, stream))}
        for stream in family:
            if stream in refused:
                yield refused[stream]
            else:
                yield from _maintain_one(yard, stream, plan)
        if plan.vacuum and not refused:
            whole = Stream(family[0].namespace, family[0].extraction, "")
            yield _tried(whole, "control", partial(_sweep, yard, family, plan))


def _refuse(yard: Yard, stream: Stream) -> Step | None:
    """Leave alone what another owner claimed: upkeep of one cluster has no say in another's tables."""
    owner = yard.owner
    if owner is None:
        return None

    def look() -> _Told:
        check_claim(yard.store, stream, owner)
        return "Done", "", {}

    step = _tried(stream, "claim", look)
    return step if step.state == "Failed" else None


def _maintain_one(yard: Yard, stream: Stream, plan: Plan) -> Iterator[Step]:
    if plan.compact:
        yield _tried(stream, "compact", partial(_compact, yard, stream, plan))
    if plan.checkpoint:
        yield _tried(stream, "checkpoint", partial(_checkpoint, yard, stream, plan))
    if plan.vacuum:
        yield _tried(stream, "vacuum", partial(_vacuum, yard, stream, plan))


_Told = tuple[State, str, dict[str, Any]]


def _tried(stream: Stream, step: str, work: Callable[[], _Told]) -> Step:
    names = (stream.namespace, stream.extraction, stream.dataset, step)
    try:
        state, detail, facts = work()
    except UsageError:
        raise
    except DppError as error:
        facts = {"reason": error.reason.value}
        return Step(*names, "Failed", redact(str(error)), facts, code=error.exit_code)
    return Step(*names, state, detail, facts)


def _compact(yard: Yard, stream: Stream, plan: Plan) -> _Told:
    settings = {
        "target_bytes": plan.target_bytes,
        "least_files": plan.least_files,
        "code_version": plan.code_version,
    }
    done = compact(yard.store, stream, _table(yard, stream), yard.bounds, settings)
    if done.version is None:
        return "NotDue", done.why, {"files": done.files_before}
    return (
        "Done",
        f"version {done.version}: {done.files_before} files became {done.files_after}",
        {
            "version": done.version,
            "files_before": done.files_before,
            "files_after": done.files_after,
            "rows": done.rows,
        },
    )


def _checkpoint(yard: Yard, stream: Stream, plan: Plan) -> _Told:
    behind = checkpoints.count_behind(yard.store, stream)
    if behind < plan.checkpoint_every:
        facts = {"versions_behind": behind}
        return "NotDue", f"{behind} versions since the last, of {plan.checkpoint_every}", facts
    answer = checkpoints.checkpoint(_table(yard, stream), yard.bounds)
    return "Done", f"version {answer['version']}", {"version": answer["version"]}


def _vacuum(yard: Yard, stream: Stream, plan: Plan) -> _Told:
    done = vacuum(
        yard.store,
        stream,
        _table(yard, stream),
        yard.bounds,
        rule=Rule(plan.retention_hours, plan.apply),
        now=yard.now(),
    )
    if done is None:
        return "NotDue", "there is no table yet", {}
    verb = "would be deleted" if done.is_dry_run else "deleted"
    told = f"{len(done.paths)} files older than {done.retention_hours} h {verb}"
    detail = told if done.paths else "nothing is old enough to go"
    facts = {
        "files": len(done.paths),
        "bytes": done.size_bytes,
        "retention_hours": done.retention_hours,
        "paths": list(done.paths),
    }
    return ("DryRun" if done.is_dry_run else "Done"), detail, facts


def _sweep(yard: Yard, family: Sequence[Stream], plan: Plan) -> _Told:
    swept = sweep(yard.store, family, plan.keep, apply=plan.apply)
    verb = "deleted" if plan.apply else "would be deleted"
    told = ", ".join(
        f"{each.keys} {each.kind} older than {plan.keep.days(each.kind)} days"
        for each in swept
        if each.keys
    )
    told = f"{told} {verb}" if told else "nothing is old enough to go"
    facts: dict[str, Any] = {
        each.kind: {"keys": each.keys, "bytes": each.size_bytes} for each in swept
    }
    return ("Done" if plan.apply else "DryRun"), told, facts


def _table(yard: Yard, stream: Stream) -> Place:
    return yard.place.table(table_prefix(stream))
