"""Our commits of one table, one after the other: seq, digests, epochs, windows. Pure.

Called by `audit` for each commit of ours, in the order of the log. The rules are those of the log's
page: a chain a lane, half-open windows that meet, a read that is later than every one before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dpp_extractor.publish.draft import OurCommit, Position
from dpp_extractor.upkeep.findings import Finding, Problem


@dataclass(slots=True)
class Chains:
    """The last commit of each lane, None where it could not be read; which run made which commit."""

    last: dict[str, OurCommit | None] = field(default_factory=dict)
    made: dict[tuple[str, int], str] = field(default_factory=dict)
    finals: dict[tuple[str, str], int] = field(default_factory=dict)


def follow(chains: Chains, ours: OurCommit, version: int) -> Iterator[Finding]:
    """Take the next commit of ours and give what is wrong with it."""
    where = f"version {version}"
    if ours.lane not in chains.last or chains.last[ours.lane] is not None:
        previous = chains.last.get(ours.lane)
        yield from _check_link(previous, ours, version, where)
        if previous is not None:
            yield from _check_progress(previous, ours, where)
            yield from _check_meeting(previous, ours, where)
    yield from _check_window(ours, where)
    yield from _check_counts(ours, where)
    earlier = chains.finals.get((ours.lane, ours.run_id))
    if ours.final and earlier is not None:
        message = (
            f"Run {ours.run_id} had committed as seq {earlier} and commits again as {ours.seq}."
        )
        yield Finding(Problem.RUN_TWICE, where, message)
    if ours.final:
        chains.finals[(ours.lane, ours.run_id)] = ours.seq
    chains.made[(ours.lane, ours.seq)] = ours.run_id
    chains.last[ours.lane] = ours


def _check_link(
    previous: OurCommit | None, ours: OurCommit, version: int, where: str
) -> Iterator[Finding]:
    seq = previous.seq if previous else 0
    if (ours.base_seq, ours.seq) != (seq, seq + 1):
        message = f"Lane {ours.lane} goes from seq {seq} to {ours.seq} (on base {ours.base_seq})."
        yield Finding(Problem.CHAIN_BROKEN, where, message)
    elif ours.prev_sha256 != (previous.sha256 if previous else None):
        message = f"Commit {ours.seq} of lane {ours.lane} was made on other bytes of commit {seq}."
        yield Finding(Problem.CHAIN_BROKEN, where, message)
    if ours.version != version:
        yield Finding(Problem.CHAIN_BROKEN, where, f"The commit says it is version {ours.version}.")


def _check_progress(previous: OurCommit, ours: OurCommit, where: str) -> Iterator[Finding]:
    is_raised = ours.epoch > previous.epoch and ours.kind == "reset"
    if ours.epoch != previous.epoch and not is_raised:
        message = (
            f"Epoch {previous.epoch} is followed by {ours.epoch} with a commit of kind {ours.kind}."
        )
        yield Finding(Problem.EPOCH_BACKWARDS, where, message)
    if ours.read_at <= previous.read_at:
        message = f"Read at {ours.read_at}, not after {previous.read_at} of commit {previous.seq}."
        yield Finding(Problem.READ_AT_BACKWARDS, where, message)


def _check_meeting(previous: OurCommit, ours: OurCommit, where: str) -> Iterator[Finding]:
    """A window begins where the last one of its lane and epoch ended. After a step it may say the
    step's position, or still the window's own low; a reset begins anew.
    """
    if ours.kind == "reset" or ours.epoch != previous.epoch:
        return
    if ours.window is None or previous.window is None:
        if ours.window is not previous.window and ours.kind != "replace":
            yield Finding(
                Problem.WINDOW_GAP, where, "Only one of two commits in a row has a window."
            )
        return
    low, wanted = ours.window.get("low"), previous.watermark
    allowed: tuple[object, ...] = (wanted,)
    if isinstance(wanted, Position):
        allowed = (wanted.cursor, previous.window.get("low"))
    if low not in allowed:
        message = f"The window begins at {low}, the last one ended at {allowed[0]}."
        yield Finding(Problem.WINDOW_GAP, where, message)


def _check_window(ours: OurCommit, where: str) -> Iterator[Finding]:
    window = ours.window
    if window is None:
        return
    low, high = window.get("low"), window.get("high")
    # Only rows that went were looked for, or rows without a cursor were read.
    stands_still = low == high and (ours.counts.read == 0 or bool(window.get("with_nulls")))
    if low is not None and not stands_still and not _is_before(low, high, str(window.get("kind"))):
        yield Finding(Problem.WINDOW_BACKWARDS, where, f"The window [{low}, {high}) is empty.")
    if ours.final and ours.watermark != high:
        message = f"The watermark is {ours.watermark}, the window ends at {high}."
        yield Finding(Problem.WATERMARK_DIFFERS, where, message)


def _check_counts(ours: OurCommit, where: str) -> Iterator[Finding]:
    counts = ours.counts
    told = counts.filtered + counts.quarantined + counts.written
    if not told <= counts.read <= told + counts.deleted:
        deletes = f" ({counts.deleted} deletes)" if counts.deleted else ""
        message = (
            f"{counts.read} rows read are not {counts.filtered} filtered, {counts.quarantined} "
            f"quarantined and {counts.written} written{deletes}."
        )
        yield Finding(Problem.COUNTS_DIFFER, where, message)


def _is_before(low: Any, high: Any, kind: str) -> bool:
    try:
        if kind == "integer":
            return int(low) < int(high)
        return datetime.fromisoformat(str(low)) < datetime.fromisoformat(str(high))
    except (ValueError, TypeError):
        return str(low) < str(high)
