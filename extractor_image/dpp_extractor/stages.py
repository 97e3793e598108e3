"""Each stage as `unit` calls it: the tools it needs handed in, its counts taken down, nothing decided.

Called by `unit` only. Stages know neither each other nor the tools; this is where the generator chain is put together,
so memory holds one batch a stage and one row group in the writer.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from dpp_core import logs
from dpp_core.errors import DestinationUnavailableError, DppError
from dpp_core.handover import RunRequest, Unit, build_request_bytes
from dpp_core.names import LIVE_LANE, UnitOutcome
from dpp_core.records import UnitRecord
from dpp_core.redaction import redact
from dpp_extractor.batch import Counts, Part, RawBatch, Rejected, Written
from dpp_extractor.check.rules import check_quarantine, check_rows, check_unfit
from dpp_extractor.deletes import NOTHING_GONE, Gone, find_gone
from dpp_extractor.guard.deadline import COMMIT_RESERVE_SECONDS, Deadline
from dpp_extractor.intent import Intent
from dpp_extractor.ports import Put, Snapshot, Tools
from dpp_extractor.publish import commit as publishing
from dpp_extractor.publish.admit import Block, decide_size
from dpp_extractor.publish.copies import read_copy
from dpp_extractor.publish.draft import Draft
from dpp_extractor.publish.fold import Head, find_ours
from dpp_extractor.publish.found import describe_commit
from dpp_extractor.publish.hooks import Hooks
from dpp_extractor.publish.keys import Stream, quarantine_key, table_prefix
from dpp_extractor.publish.schema import build_schema_string, parse_schema
from dpp_extractor.publish.upload import open_part
from dpp_extractor.record.catalog import (
    Described,
    build_catalog_document,
    build_commit,
    build_watermark,
    stream_key,
)
from dpp_extractor.record.run import compute_plan_digest
from dpp_extractor.standardise.columns import standardise_rows
from dpp_extractor.standardise.deletes import build_deletes, count_deletes, mark_deleted
from dpp_extractor.write.discard import DiscardSink
from dpp_extractor.write.parquet import PartSink, write_parts
from dpp_extractor.write.quarantine import build_quarantine, keep_under_table_names

_QUARANTINE_TRIES: Final = 5


@dataclass(slots=True)
class Tally:
    """What has passed so far; the only thing on the way that changes."""

    read_rows: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    rejected_bytes: int = 0
    nulled: Counter[str] = field(default_factory=Counter)
    written_bytes: int = 0
    deleted_rows: int = 0
    gone: Gone = NOTHING_GONE


@dataclass(frozen=True, slots=True)
class Way:
    """One attempt of a unit: what it wants, what it may use, and what has passed."""

    intent: Intent
    request: RunRequest
    tools: Tools
    stream: Stream
    attempt_id: str
    tally: Tally

    @property
    def is_published(self) -> bool:
        return self.request.publish == "Live"


def begin(intent: Intent, request: RunRequest, tools: Tools) -> Way:
    """Begin an attempt: it gets an id of its own, so nothing it writes can meet another attempt's files."""
    stream = Stream(request.namespace, request.extraction, intent.unit.dataset)
    return Way(intent, request, tools, stream, tools.new_id(), Tally())


@contextmanager
def compare(way: Way, snapshot: Snapshot, head: Head, blocks: tuple[Block, ...]) -> Iterator[Gone]:
    """Before stage 1: find the keys that went, where the unit asks for it; a drop too large ends the unit here."""
    if not way.intent.compares_keys or way.request.limit_rows is not None:
        yield NOTHING_GONE
        return
    with find_gone(way.intent, way.request, way.tools, snapshot, head, blocks) as gone:
        way.tally.gone = gone
        yield gone


def extract(way: Way, snapshot: Snapshot) -> Iterator[RawBatch]:
    """Stage 1: pull batches; a stop that was asked for, or the deadline, takes effect between two of them."""
    if way.intent.reads_nothing:
        return
    limit_rows = way.request.limit_rows
    deadline = Deadline(way.request.deadline_at, way.tools.store.now)
    _foresee(way, snapshot)
    for raw in snapshot.read(way.intent.table, way.intent.window, limit_rows):
        way.tools.stop.raise_if_stopped()
        deadline.raise_if_over(COMMIT_RESERVE_SECONDS)
        way.tally.read_rows += raw.rows.num_rows + len(raw.rejected)
        check_unfit(way.intent.unit.dataset, way.intent.table, raw.rejected)
        _set_aside(way, raw.rejected)
        way.tally.nulled.update(raw.nulled)
        yield raw
        way.tools.hook("batch_read")


def _foresee(way: Way, snapshot: Snapshot) -> None:
    """Tell whoever watches how many rows to expect; nobody else pays for the question."""
    if way.tools.expect is None:
        return
    rows = snapshot.estimate_rows(way.intent.table, way.intent.window)
    if rows is not None:
        limit = way.request.limit_rows
        way.tools.expect(way.intent.unit.dataset, rows if limit is None else min(rows, limit))


def standardise(way: Way, batches: Iterable[RawBatch]) -> Iterator[pa.RecordBatch]:
    """Stage 2: the table's names and types, and the `_dpp_` columns."""
    intent, order = way.intent, 0
    for raw in batches:
        rows = standardise_rows(raw.rows, intent.columns, intent.schema, intent.read_at, order)
        yield mark_deleted(rows, intent.mark)
        order += raw.rows.num_rows


def check(way: Way, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Stage 3: rows that break a rule leave for quarantine."""
    by_source = {column.source_name: column.name for column in way.intent.columns}
    key = [by_source[name] for name in way.intent.table.key]
    for rows in batches:
        checked = check_rows(rows, key)
        _set_aside(way, checked.rejected)
        yield checked.good


def write(way: Way, batches: Iterable[pa.RecordBatch], gone: Gone) -> tuple[Part, ...]:
    """Stage 5: Parquet parts, uploaded while they are written; with publish None nothing leaves the process.

    Delete rows come last: their `_dpp_order` is above that of every row read.
    """

    def open_sink(number: int) -> PartSink:
        if not way.is_published:
            return DiscardSink(number)
        return open_part(
            way.tools.store,
            way.stream,
            attempt_id=way.attempt_id,
            number=number,
            metadata=_object_metadata(way),
            hooks=_hooks(way),
        )

    parts = tuple(
        write_parts(
            _counted(way, itertools.chain(batches, _build_gone(way, gone))),
            way.intent.schema,
            open_sink,
            way.tools.store.now,
        )
    )
    way.tools.hook("parts_done")
    return parts


def settle(way: Way, parts: tuple[Part, ...], head: Head, blocks: tuple[Block, ...]) -> Written:
    """Weigh what was read against the guards, then bring rejected rows to safety before the watermark passes them."""
    intent, tally = way.intent, way.tally
    written_rows = sum(part.rows for part in parts) - tally.deleted_rows
    approved = intent.approved + tally.gone.approved
    if intent.kind == "replace" and way.request.limit_rows is None:
        approved += decide_size(head, intent.unit, written_rows, blocks)
    written = Written(
        attempt_id=way.attempt_id,
        parts=parts,
        counts=Counts(
            read=tally.read_rows,
            quarantined=len(tally.rejected),
            written=written_rows,
            future=intent.future_rows,
            nulled=_name_as_table(way, tally.nulled),
            deleted=tally.deleted_rows,
        ),
        size_bytes=sum(part.size_bytes for part in parts),
        approved=approved,
        is_news=bool(parts or tally.rejected or intent.always_commits),
        warnings=tally.gone.warnings,
    )
    if tally.rejected and way.is_published:
        written = dataclasses.replace(written, quarantine_keys=(_put_quarantine(way),))
    return written


def publish(way: Way, written: Written, head: Head, snapshot: Snapshot) -> publishing.Committed:
    """Stage 6: one conditional write; before it nothing can be seen, after it everything."""
    intent, request = way.intent, way.request
    draft = Draft(
        kind=intent.kind,
        run_id=request.run_id,
        run_created_at=request.created_at,
        attempt_id=way.attempt_id,
        generation=request.generation,
        epoch=intent.unit.epoch,
        identity=intent.identity,
        window=intent.window,
        watermark=intent.window.high if intent.window else None,
        source_snapshot=snapshot.snapshot_id,
        source_clock_at=snapshot.clocks.clock_at,
        counts=written.counts,
        schema=intent.schema,
        fingerprint=intent.fingerprint,
        parts=written.parts,
        read_at=intent.read_at,
        plan_digest=compute_plan_digest(build_request_bytes(request)),
        code_version=way.tools.code_version,
        image_digest=request.image,
        approved=written.approved,
    )
    return publishing.commit(
        way.tools.store,
        way.stream,
        head,
        draft,
        deadline_at=request.deadline_at,
        hooks=_hooks(way),
    )


def index(
    unit: Unit, done: UnitRecord, schema: pa.Schema, request: RunRequest, tools: Tools
) -> None:
    """Stage 7: tell the index of the commit. An index that is down is told by nobody; the data does not wait."""
    if tools.index is None:
        return
    stream = Stream(request.namespace, request.extraction, done.dataset)
    of = _describe(request, unit, f"{tools.store.uri}/{table_prefix(stream)}")
    key = stream_key(of)
    if done.outcome is UnitOutcome.ALREADY_COMMITTED:
        done = _read_commit(stream, done, tools)
    save = tools.index.save
    commit = build_commit(of, done, request.run_id)
    save("commits", {**key, "lane": LIVE_LANE, "seq": done.seq}, commit)
    watermark = build_watermark(of, done, request.run_id)
    save("watermarks", {**key, "lane": LIVE_LANE}, watermark)
    as_in_log = parse_schema(build_schema_string(schema))
    save("catalog", key, build_catalog_document(of, done, as_in_log))
    tools.hook("indexed")


def _describe(request: RunRequest, unit: Unit, table: str) -> Described:
    return Described(
        namespace=request.namespace,
        extraction=request.extraction,
        dataset=unit.dataset,
        distributor=request.distributor,
        table=table,
        object=unit.object,
        write=unit.write,
        key=unit.key,
        cursor=unit.incremental.cursor_text if unit.incremental else None,
    )


def _read_commit(stream: Stream, done: UnitRecord, tools: Tools) -> UnitRecord:
    """Read what another attempt committed: this one does not know all of it."""
    assert done.seq is not None
    try:
        commit = read_copy(tools.store, stream, LIVE_LANE, done.seq)
        ours = find_ours(commit) if commit is not None else None
    except DppError as error:
        logs.warning("index_behind", message=redact(str(error))[:300])
        return done
    return done if commit is None or ours is None else describe_commit(stream, commit, ours)


def _hooks(way: Way) -> Hooks:
    return Hooks(way.tools.hook, way.tools.pause)


def _set_aside(way: Way, rejected: Iterable[Rejected]) -> None:
    for row in rejected:
        way.tally.rejected.append(row)
        way.tally.rejected_bytes += sum(len(value or "") for value in row.values.values())
        check_quarantine(way.intent.unit.dataset, way.tally.rejected, way.tally.rejected_bytes)


def _name_as_table(way: Way, by_source: Counter[str]) -> dict[str, int]:
    columns = way.intent.columns
    return {c.name: by_source[c.source_name] for c in columns if by_source[c.source_name]}


def _counted(way: Way, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for rows in batches:
        way.tally.deleted_rows += count_deletes(rows)
        way.tally.written_bytes += rows.nbytes
        way.tools.progress(way.intent.unit.dataset, way.tally.read_rows, way.tally.written_bytes)
        yield rows


def _build_gone(way: Way, gone: Gone) -> Iterator[pa.RecordBatch]:
    """Begun after the last row was read: only then it is known which numbers are free."""
    intent = way.intent
    yield from build_deletes(gone.keys(), intent.schema, intent.read_at, way.tally.read_rows)


def _object_metadata(way: Way) -> dict[str, str]:
    request = way.request
    return {
        "run_id": request.run_id,
        "correlation_id": request.correlation_id,
        "distributor": request.distributor,
        "dataset": way.intent.unit.dataset,
    }


def _put_quarantine(way: Way) -> str:
    names = {column.source_name: column.name for column in way.intent.columns}
    body = build_quarantine(keep_under_table_names(way.tally.rejected, names))
    key = quarantine_key(way.stream, way.request.run_id, f"{way.attempt_id}.jsonl")
    store = way.tools.store
    for tries in range(_QUARANTINE_TRIES):
        if store.put_if_absent(key, body) is Put.CREATED or store.get(key) == body:
            return key
        way.tools.pause(tries)
    raise DestinationUnavailableError(
        f"The rejected rows of {way.intent.unit.dataset} could not be written to {store.uri}/{key}; nothing was "
        "committed.",
        fix="Look at the store's health; the next run reads the same rows again.",
    )
