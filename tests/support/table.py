"""A stream on any store for tests of the log: uploads rows, reads heads, commits drafts.

Used by unit tests (on the store in memory) and integration tests (on a folder or bucket, read back
by real readers). It goes through the product's own publish functions, never around them.
"""

import io
import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dpp_extractor.batch import Counts, Part
from dpp_extractor.ports import Store
from dpp_extractor.publish.commit import Committed, commit
from dpp_extractor.publish.draft import Draft
from dpp_extractor.publish.fold import Asked, Head
from dpp_extractor.publish.head import read_head
from dpp_extractor.publish.hooks import Hooks, do_nothing, wait_never
from dpp_extractor.publish.identity import Identity
from dpp_extractor.publish.keys import Stream
from dpp_extractor.publish.upload import open_part
from dpp_extractor.write.parquet import build_stats

STREAM = Stream("acme", "shop", "orders")
CREATED_AT = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
QUIET = Hooks(do_nothing, wait_never)
IDENTITY = Identity("postgresql", "erp:5432", "erp", "public.orders", ("id",), "", "", "Replace")
NUMBERS = pa.schema([pa.field("id", pa.int64()), pa.field("name", pa.string())])


def number_rows(ids: list[int], name: str = "n") -> pa.Table:
    """Build rows of NUMBERS."""
    return pa.table({"id": ids, "name": [f"{name}{value}" for value in ids]}, schema=NUMBERS)


@dataclass(slots=True)
class TableWriter:
    """Commits to one stream; every attempt has its own id."""

    store: Store
    stream: Stream = STREAM
    attempts: Any = field(default_factory=lambda: itertools.count(1))

    def head(self, run_id: str = "run-1", **asked: Any) -> Head:
        """Read the head as a run of this name would."""
        fields = {"created_at": CREATED_AT - timedelta(days=9000), **asked}
        return read_head(self.store, self.stream, Asked(run_id=run_id, **fields), hooks=QUIET)

    def upload(self, attempt_id: str, rows: pa.Table, number: int = 0) -> Part:
        """Write rows as one part of an attempt, with exact statistics."""
        sink = open_part(self.store, self.stream, attempt_id=attempt_id, number=number, metadata={})
        buffer = io.BytesIO()
        collected: list[Any] = []
        pq.write_table(rows, buffer, metadata_collector=collected, coerce_timestamps="us")
        sink.write(buffer.getvalue())
        stored = sink.finish()
        return Part(
            path=sink.path,
            size_bytes=stored.size_bytes,
            rows=rows.num_rows,
            checksum=stored.checksum,
            stats=build_stats(collected[0], rows.schema),
            modified_at=self.store.now(),
        )

    def draft(self, head: Head, rows: pa.Table | None, **changes: Any) -> Draft:
        """Build a draft with one uploaded part (none for None), later than every read at the head."""
        attempt_id = changes.pop("attempt_id", f"attempt-{next(self.attempts)}")
        parts = (self.upload(attempt_id, rows),) if rows is not None else ()
        written = rows.num_rows if rows is not None else 0
        read_at = (head.read_at or CREATED_AT) + timedelta(seconds=1)
        draft = Draft(
            kind="append",
            run_id=f"run-of-{attempt_id}",
            run_created_at=CREATED_AT,
            attempt_id=attempt_id,
            generation=1,
            epoch=0,
            identity=IDENTITY,
            window=None,
            watermark=None,
            source_snapshot="snapshot-1",
            source_clock_at=CREATED_AT,
            counts=Counts(read=written, written=written),
            schema=rows.schema if rows is not None else NUMBERS,
            fingerprint="fingerprint",
            parts=parts,
            read_at=read_at,
            plan_digest="sha256:plan",
            code_version="0.1.0",
        )
        return replace(draft, **changes)

    def commit(self, head: Head, draft: Draft, hooks: Hooks = QUIET, **limits: Any) -> Committed:
        """Commit with an hour to the deadline unless told otherwise."""
        deadline_at = limits.get("deadline_at", self.store.now() + timedelta(hours=1))
        return commit(self.store, self.stream, head, draft, deadline_at=deadline_at, hooks=hooks)

    def add(self, rows: pa.Table | None, **changes: Any) -> Committed:
        """Read the head and commit on it at once."""
        head = self.head()
        return self.commit(head, self.draft(head, rows, **changes))
