"""What lies beside a table: the copies of its commits, quarantined rows, records of runs, its claim.

Called by `verify`. Each is held against the log. What a live run writes while this reads is no
damage: lists are taken before the log is read, single objects are asked for after it.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from dpp_core.errors import StreamError
from dpp_core.names import LIVE_LANE, UnitOutcome
from dpp_core.records import RunRecord
from dpp_extractor.ports import Entry, Store
from dpp_extractor.publish.claim import read_claim
from dpp_extractor.publish.draft import OurCommit
from dpp_extractor.publish.keys import (
    Stream,
    claim_key,
    copies_prefix,
    copy_key,
    extraction_prefix,
    quarantine_key,
)
from dpp_extractor.upkeep.chain import Chains
from dpp_extractor.upkeep.findings import Finding, Problem

NEWEST_RECORDS: Final = 200


def list_copies(store: Store, stream: Stream) -> set[tuple[str, int]]:
    """List the copies that are there, as (lane, seq)."""
    prefix = copies_prefix(stream)
    parts = (entry.key.removeprefix(prefix).partition("/") for entry in store.list(prefix))
    return {
        (lane, int(name.removesuffix(".json")))
        for lane, _, name in parts
        if name.removesuffix(".json").isdigit()
    }


def list_records(store: Store, stream: Stream, *, all_of_them: bool) -> tuple[str, ...]:
    """List the records of the extraction's runs, only the newest unless all are wanted."""
    prefix = f"{extraction_prefix(stream.namespace, stream.extraction)}/_dpp/runs/"
    entries: Iterable[Entry] = store.list(prefix)
    if not all_of_them:
        entries = heapq.nlargest(NEWEST_RECORDS, entries, key=lambda entry: entry.modified_at)
    return tuple(entry.key for entry in entries)


def check_claim(store: Store, stream: Stream) -> Iterator[Finding]:
    """Give what is wrong with the stream's claim."""
    try:
        owner = read_claim(store, stream)
    except StreamError as error:
        yield Finding(Problem.CLAIM_MISSING, claim_key(stream), error.message)
        return
    if owner is None:
        message = "Nobody owns this stream; another extraction could take it."
        yield Finding(Problem.CLAIM_MISSING, claim_key(stream), message)


def check_copy(
    key: str, ours: OurCommit, body: bytes, copy: bytes | None, *, is_last: bool
) -> Iterator[Finding]:
    """Hold a commit against its copy. That of a lane's last commit may be yet to come."""
    if copy is None and is_last:
        message = "The last commit has no copy yet; the next run writes it."
        yield Finding(Problem.LAST_COPY_MISSING, key, message)
    elif copy is None:
        yield Finding(Problem.COPY_MISSING, key, f"Commit {ours.seq} has no copy.")
    elif copy != body:
        yield Finding(Problem.COPY_DIFFERS, key, f"It is not version {ours.version} byte for byte.")


def check_lonely(
    stream: Stream, copies: Iterable[tuple[str, int]], made: Mapping[tuple[str, int], str]
) -> Iterator[Finding]:
    """Give the copies whose commits are not in the log."""
    for lane, seq in sorted(set(copies) - set(made)):
        message = f"Commit {seq} of lane {lane} is not in the table's log."
        yield Finding(Problem.COPY_ALONE, copy_key(stream, lane, seq), message)


def check_quarantine(
    store: Store, stream: Stream, commits: Iterable[OurCommit], *, kept_days: int, now: datetime
) -> Iterator[Finding]:
    """Hold quarantined rows against the counts of commits that are younger than they are kept."""
    for ours in commits:
        if now - ours.committed_at > timedelta(days=kept_days):
            continue
        key = quarantine_key(stream, ours.run_id, f"{ours.attempt_id}.jsonl")
        body = store.get(key)
        rows = body.count(b"\n") if body is not None else 0
        if body is None:
            message = (
                f"Commit {ours.seq} quarantined {ours.counts.quarantined} rows; they are gone."
            )
            yield Finding(Problem.QUARANTINE_MISSING, key, message)
        elif rows != ours.counts.quarantined:
            message = f"It holds {rows} rows, commit {ours.seq} says {ours.counts.quarantined}."
            yield Finding(Problem.QUARANTINE_DIFFERS, key, message)


def check_records(
    store: Store, stream: Stream, keys: Iterable[str], chains: Chains, since: datetime | None
) -> Iterator[Finding]:
    """Give the records that know of commits which the log does not have; those of an earlier table
    of this name do not count.
    """
    good = (UnitOutcome.COMMITTED, UnitOutcome.ALREADY_COMMITTED)
    for key in keys:
        record = _read_record(store.get(key))
        if record is None or since is None or record.ended_at < since:
            continue
        for unit in record.units:
            if unit.dataset != stream.dataset or unit.outcome not in good or unit.seq is None:
                continue
            if chains.made.get((LIVE_LANE, unit.seq)) != record.run_id:
                message = (
                    f"Run {record.run_id} committed seq {unit.seq}; the log does not have that."
                )
                yield Finding(Problem.RECORD_AHEAD, key, message)


def _read_record(body: bytes | None) -> RunRecord | None:
    try:
        return RunRecord.model_validate_json(body) if body else None
    except ValidationError:
        return None
