"""Decide whether and how a unit may go on from a head: append, replace or reset, from which
watermark.

Called by `unit` after the heads are read and before the source is. Pure but for `read_blocks`,
which fetches the recorded blocks that approvals refer to.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from dpp_core.errors import BlockedError, SchemaChangedError, SpecError, StreamError
from dpp_core.handover import Unit
from dpp_core.names import Reason
from dpp_extractor.ports import Store
from dpp_extractor.publish.draft import Kind, Watermark
from dpp_extractor.publish.fold import Head
from dpp_extractor.publish.identity import (
    Identity,
    build_identity_fields,
    is_move,
    list_differences,
    move_fingerprint,
)
from dpp_extractor.publish.keys import runs_prefix

_MICROSECOND: Final = timedelta(microseconds=1)
_FULL_ROWS: Final = 100
"""From how many rows on a Replace may not shrink below half without approval."""
_MOST_DELETED_PERCENT: Final = 10
"""Smaller than a Replace's half: a key deleted by mistake comes back with its next change only, or by an epoch."""


@dataclass(frozen=True, slots=True)
class Block:
    """A recorded refusal of an earlier run that an approval may refer to."""

    run_id: str
    dataset: str
    reason: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Admission:
    """How the unit goes on. `low` None = from the beginning. `approved` go into the Draft's
    `approved`.
    """

    kind: Kind
    low: Watermark | None
    approved: tuple[str, ...] = ()


def admit(head: Head, unit: Unit, identity: Identity, blocks: tuple[Block, ...] = ()) -> Admission:
    """Decide how a unit goes on from its stream's head; `blocks` are those of the approved runs.

    Raises StreamError (29): EpochBehind, StreamIdentityChanged (with `fingerprint`, which an
    approval of a moved host or database must match), StreamRestored, StreamForeignChange.
    """
    live = head.live
    kind: Kind = "append" if unit.write == "Append" else "replace"
    if live is None:
        _check_trouble(head, unit, is_reset=False)
        return Admission(kind, None)
    if unit.epoch < live.epoch:
        raise StreamError(
            f"{unit.dataset} asks for epoch {unit.epoch}, but the table is at epoch {live.epoch} "
            f"since run {live.run_id}.",
            reason=Reason.EPOCH_BEHIND,
            field="epoch",
            fix=f"Set epoch to {live.epoch}, or higher to read everything anew.",
        )
    if unit.epoch > live.epoch:
        _check_trouble(head, unit, is_reset=True)
        return Admission("reset", None)
    _check_trouble(head, unit, is_reset=False)
    approved = _check_identity(head, unit, identity, blocks)
    return Admission(kind, live.watermark if kind == "append" else None, approved)


def admit_backfill(
    head: Head, unit: Unit, identity: Identity, lane: str, low: Watermark | None = None
) -> Admission:
    """Decide how a backfill goes on; `low` is where its request's range begins.

    It owns no live watermark: it starts at its range, or behind its own last step. Raises SpecError
    (20) for a Replace table, SchemaChangedError (25) when there is no table yet, StreamError (29)
    as `admit` does, and when it asks for another epoch than the table's.
    """
    live = head.live
    if unit.write == "Replace":
        raise SpecError(
            f"{unit.dataset} is replaced as a whole by each run; there is nothing to fill in.",
            field="type",
            fix="Run it as usual.",
        )
    _check_trouble(head, unit, is_reset=False)
    if live is None:
        raise SchemaChangedError(
            f"{unit.dataset} has no table yet, and a backfill never creates one.",
            fix="Run the live lane first.",
        )
    if unit.epoch != live.epoch:
        raise StreamError(
            f"A backfill of {unit.dataset} asks for epoch {unit.epoch}; the table is at epoch {live.epoch}.",
            reason=Reason.EPOCH_BEHIND,
            field="epoch",
            fix="Start the backfill anew, after a run at the dataset's epoch.",
        )
    approved = _check_identity(head, unit, identity, ())
    last = head.lanes.get(lane)
    is_resumed = last is not None and not last.final and last.epoch == unit.epoch
    return Admission("backfill", last.watermark if last and is_resumed else low, approved)


def decide_read_at(head: Head, snapshot_at: datetime) -> datetime:
    """Return `_dpp_read_at`: the snapshot's instant, but later than every read the table has."""
    return snapshot_at if head.read_at is None else max(snapshot_at, head.read_at + _MICROSECOND)


def decide_size(
    head: Head, unit: Unit, written_rows: int, blocks: tuple[Block, ...] = ()
) -> tuple[str, ...]:
    """Return the approvals used for a Replace that shrank; raise BlockedError (24, ReplaceTooSmall)
    without one.

    Too small: the last commit of the same epoch had rows and now there is none, or had at least 100
    and now there are less than half. The fingerprint holds the last commit and the size in tenths,
    so approving a table of 40 % does not let an empty one through.
    """
    live = head.live
    if unit.write != "Replace" or live is None or live.epoch != unit.epoch:
        return ()
    last_rows = live.counts.written
    is_empty = last_rows >= 1 and written_rows == 0
    is_shrunk = last_rows >= _FULL_ROWS and written_rows * 2 < last_rows
    if not (is_empty or is_shrunk):
        return ()
    tenths = "empty" if is_empty else f"{written_rows * 10 // last_rows}/10"
    fingerprint = f"seq {live.seq}: {last_rows} rows, now {tenths}"
    approval = find_approval(
        blocks, head.consumed, (unit.dataset, Reason.REPLACE_TOO_SMALL, fingerprint)
    )
    if approval is None:
        raise BlockedError(
            f"{unit.dataset} had {last_rows} rows in commit {live.seq} and has {written_rows} now.",
            reason=Reason.REPLACE_TOO_SMALL,
            field="approve",
            fix="If that is right, add this run's name to approve; otherwise look at the source.",
            fingerprint=fingerprint,
        )
    return (approval,)


def decide_deletes(
    head: Head, unit: Unit, sides: tuple[int, int, int], blocks: tuple[Block, ...] = ()
) -> tuple[str, ...]:
    """Return the approvals used when many keys went; raise BlockedError (24, TooManyDeletes) without one.

    `sides` are the keys that live in the table, those of the source, and the former that are not among the latter. Too
    many: the source has no key and the table has one, or the table has 100 and more than the allowed share went. The
    fingerprint holds the last commit and the share in tenths, so approving 20 % does not let an empty source through.
    """
    table_keys, source_keys, deleted = sides
    live = head.live
    assert live is not None, "without a table there is nothing to compare with"
    allowed = (unit.deletes and unit.deletes.most_percent) or _MOST_DELETED_PERCENT
    is_empty = table_keys >= 1 and source_keys == 0
    is_large = table_keys >= _FULL_ROWS and deleted * 100 > allowed * table_keys
    if not (is_empty or is_large):
        return ()
    tenths = "the source is empty" if is_empty else f"{deleted * 10 // table_keys}/10 went"
    fingerprint = f"seq {live.seq}: {table_keys} keys, {tenths}"
    wanted = (unit.dataset, Reason.TOO_MANY_DELETES, fingerprint)
    approval = find_approval(blocks, head.consumed, wanted)
    if approval is None:
        raise BlockedError(
            f"{deleted} of the {table_keys} keys of {unit.dataset} are not in the source any more, which has "
            f"{source_keys}; up to {allowed} % are deleted without asking, and never the last.",
            reason=Reason.TOO_MANY_DELETES,
            field="approve",
            fix="If that is right, add this run's name to approve; otherwise look at the source: a view or grant that "
            "hides rows looks like this too.",
            fingerprint=fingerprint,
        )
    return (approval,)


def find_approval(
    blocks: tuple[Block, ...], consumed: frozenset[str], wanted: tuple[str, str, str]
) -> str | None:
    """Return the approved run whose recorded block is the wanted (dataset, reason, fingerprint) and
    is not used up.
    """
    return next(
        (
            block.run_id
            for block in blocks
            if (block.dataset, block.reason, block.fingerprint) == wanted
            and block.run_id not in consumed
        ),
        None,
    )


def read_blocks(
    store: Store, namespace: str, extraction: str, run_ids: tuple[str, ...]
) -> tuple[Block, ...]:
    """Read the blocks recorded by the approved runs; a run without a record gives none."""
    found: list[Block] = []
    for run_id in run_ids:
        for entry in store.list(runs_prefix(namespace, extraction, run_id)):
            found.extend(_blocks_of(run_id, store.get(entry.key)))
    return tuple(dict.fromkeys(found))


def _blocks_of(run_id: str, body: bytes | None) -> list[Block]:
    try:
        units: list[Mapping[str, Any]] = json.loads(body or b"{}").get("units") or []
    except ValueError:
        return []
    return [
        Block(run_id, str(unit["dataset"]), str(unit["reason"]), str(unit["fingerprint"]))
        for unit in units
        if unit.get("dataset") and unit.get("reason") and unit.get("fingerprint")
    ]


def _check_trouble(head: Head, unit: Unit, *, is_reset: bool) -> None:
    trouble = head.trouble
    if trouble is None or (is_reset and trouble.is_healed_by_reset):
        return
    what = (
        "restored an older state of the table"
        if trouble.reason is Reason.STREAM_RESTORED
        else "changed the table in a way DPP cannot build on"
    )
    raise StreamError(
        f"Version {trouble.version} of {unit.dataset} ({trouble.operation or 'unknown operation'}) {what}.",
        reason=trouble.reason,
        fix="To replace the table by the source's state raise the dataset's epoch."
        if trouble.is_healed_by_reset
        else "Move that table away: a table of another kind or id cannot be taken over.",
    )


def _check_identity(
    head: Head, unit: Unit, identity: Identity, blocks: tuple[Block, ...]
) -> tuple[str, ...]:
    committed = head.live.identity if head.live else {}
    differences = list_differences(committed, identity)
    if not differences:
        return ()
    fingerprint = move_fingerprint(committed, identity)
    wanted = (unit.dataset, Reason.STREAM_IDENTITY_CHANGED, fingerprint)
    approval = find_approval(blocks, head.consumed, wanted) if is_move(differences) else None
    if approval is not None:
        return (approval,)
    fields = build_identity_fields(identity)
    shown = "; ".join(
        f"{name} was {committed.get(name)!r} and is {fields[name]!r}" for name in differences
    )
    raise StreamError(
        f"{unit.dataset} is not the stream it was: {shown}.",
        reason=Reason.STREAM_IDENTITY_CHANGED,
        fix="If the same content only moved, add this run's name to approve; otherwise raise the dataset's epoch."
        if is_move(differences)
        else "Undo the change, or raise the dataset's epoch to read everything anew.",
        fingerprint=fingerprint,
    )
