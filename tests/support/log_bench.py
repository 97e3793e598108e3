"""What a commit costs: requests and time to read a head, to put a small file, and to commit and record.

`make bench-log` prints one table, for logs of ten and of ten thousand commits; a test holds the bounds. The logs are
made by the product's own commits on a store in memory and then laid into the folder of a real S3 server; delta-rs makes
the checkpoint. The measured runs are whole runs of the product on that server, only their source is in memory.
"""

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from deltalake import DeltaTable

from dpp_core import ids
from dpp_extractor.adapters.bucket import BucketSettings, open_bucket
from dpp_extractor.batch import Counts, Part
from dpp_extractor.extract.database.window import cursor_kind
from dpp_extractor.ports import Store, Tools
from dpp_extractor.publish.commit import commit
from dpp_extractor.publish.draft import Draft
from dpp_extractor.publish.fold import Asked, advance
from dpp_extractor.publish.head import find_head
from dpp_extractor.publish.identity import build_identity
from dpp_extractor.publish.keys import Stream, claim_key, table_prefix
from dpp_extractor.run import run
from run_bench import APPEND, Bench
from servers.s3 import S3Server, start_s3

STREAM = Stream("acme", "shop", "orders")
CHECKPOINT_EVERY = 100
HEAD_REQUESTS = 5
TAIL_REQUESTS = 4
FILE_REQUESTS = 1
OVERHEAD_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Cost:
    """One run: requests and seconds of each part; the one LIST a run makes for all its datasets is not in `head`."""

    head_requests: int
    file_requests: int
    tail_requests: int
    head_seconds: float
    tail_seconds: float


@dataclass(slots=True)
class Watch:
    """Notes every request of a store and every hook, with its instant."""

    notes: list[tuple[float, str]] = field(default_factory=list)

    def note(self, what: str) -> None:
        self.notes.append((time.perf_counter(), what))

    def attach(self, store: Store) -> None:
        events = store._client.meta.events  # type: ignore[attr-defined]
        events.register("before-send.s3", self._sent)
        events.register("after-call.s3", lambda **_: self.note("answered"))

    def _sent(self, request: Any, **_: Any) -> None:
        self.note(f"{request.method} {request.url}")

    def cost(self) -> Cost:
        """Add up. The head ends at the hook `heads_read`, the tail begins when the last data file is answered."""
        hooks = {what: at for at, what in self.notes if what.startswith("hook ")}
        began_at = self.notes[0][0]
        sent = [(at, what) for at, what in self.notes if " http" in what]
        files = [at for at, what in sent if "/data/" in what]
        tail_at = min(at for at, what in self.notes if what == "answered" and at > files[-1])
        heads_at, recorded_at = hooks["hook heads_read"], hooks["hook recorded"]
        heads = [what for at, what in sent if at <= heads_at and "_dpp%2Fruns" not in what]
        tail = [at for at, _ in sent if tail_at <= at <= recorded_at]
        return Cost(len(heads), len(files), len(tail), heads_at - began_at, recorded_at - tail_at)


@dataclass(frozen=True, slots=True)
class Log:
    """A table of so many commits on an S3 server."""

    bench: Bench
    server: S3Server
    bucket: str

    def store(self) -> Store:
        return open_bucket(
            BucketSettings(
                bucket=self.bucket,
                endpoint=self.server.endpoint,
                region=self.server.region,
                access_key=self.server.access_key,
                secret_key=self.server.secret_key,
            )
        )

    def measure(self, *, is_seq_known: bool) -> Cost:
        """Run once with one new row and count."""
        store, watch = self.store(), Watch()
        seq = None
        if is_seq_known:
            live = find_head(store, STREAM, Asked("", _now(), files=False)).live
            seq = live.seq if live else 0
        store.now()  # opens the connection, as the secret's and the plan's reading would not
        self.bench.source.tick(60)
        number = int(self.bench.source.clock.timestamp())
        row = {"id": number, "item": "ink", "updated_at": self.bench.source.clock}
        self.bench.source.put("orders", row)
        self.bench.source.tick(60)
        unit = APPEND.model_copy(update={"known_seq": seq})
        later_at = _now() + timedelta(minutes=30)  # the last run is not one of the last minutes
        request = self.bench.request(
            unit, created_at=later_at, deadline_at=later_at, run_id=ids.new_id()
        )
        watch.attach(store)
        watch.note("began")
        report = run(request, self._tools(store, watch))
        if report.exit_code:
            raise SystemExit(f"the run failed: {report}")
        return watch.cost()

    def _tools(self, store: Store, watch: Watch) -> Tools:
        return replace(
            self.bench.tools(),
            store=store,
            now=_now,
            new_id=ids.new_id,
            hook=lambda point: watch.note(f"hook {point}"),
        )


def make_log(server: S3Server, commits: int) -> Log:
    """Make a table of so many commits, with a checkpoint at each hundredth that is not among the last hundred."""
    bench = Bench()
    bench.source.put("orders", {"id": 1, "item": "pen", "updated_at": bench.source.clock})
    bench.tick(60)
    bench.run(APPEND)
    _commit_on(bench, commits - 1)
    bucket, root = server.make_bucket(), server.server.folder / "buckets"
    for key, body in bench.store.objects.items():
        place = root / bucket / key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body)
    table = root / bucket / table_prefix(STREAM)
    last = (commits - 1) // CHECKPOINT_EVERY * CHECKPOINT_EVERY
    for version in {last // 2 // CHECKPOINT_EVERY * CHECKPOINT_EVERY, last} - {0}:
        DeltaTable(str(table), version=version).create_checkpoint()
    return Log(bench, server, bucket)


def _commit_on(bench: Bench, commits: int) -> None:
    """Commit on by the product's own function, with the facts of the first run, one small file each."""
    head = replace(bench.head(), files={}, has_files=False)
    live, schema = head.live, head.schema
    if live is None or schema is None:
        raise SystemExit("the first run made no table")
    request = bench.request(APPEND)
    column = next(
        each for each in bench.source.tables["orders"].columns if each.name == "updated_at"
    )
    identity = build_identity(request.source, APPEND, cursor_kind(column))
    for number in range(commits):
        bench.store.tick(1)
        at = bench.store.now()
        part = Part(f"data/{number}/part-00000.parquet", 900, 1, "sha256:x", {"numRecords": 1}, at)
        draft = Draft(
            kind="append",
            run_id=f"made-{number}",
            run_created_at=at,
            attempt_id=f"made-{number}",
            generation=1,
            epoch=0,
            identity=identity,
            window=None,
            watermark=live.watermark,
            source_snapshot="made",
            source_clock_at=at,
            counts=Counts(read=1, written=1),
            schema=schema,
            fingerprint=live.fingerprint,
            parts=(part,),
            read_at=(head.read_at or at) + timedelta(microseconds=1),
            plan_digest="made",
            code_version="made",
        )
        commit(bench.store, STREAM, head, draft, deadline_at=at + timedelta(hours=1))
        head = replace(
            advance(head, _last_version(bench, head.version)), copied=frozenset(head.lanes)
        )


def _last_version(bench: Bench, version: int) -> Iterator[Any]:
    from dpp_extractor.publish.copies import read_version

    yield read_version(bench.store, STREAM, version + 1)


def _now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def serve() -> Iterator[S3Server]:
    """Serve S3 from a folder of its own until the block ends."""
    server = start_s3()
    try:
        yield server
    finally:
        server.server.remove()


def print_costs(rounds: int = 30) -> bool:
    """Print the table; return whether the bounds hold for a run that knows its seq, as scheduled runs do."""
    print(f"{rounds} runs each; times are the median and, behind the slash, the best, in ms\n")
    print(
        "| commits | seq known | head | small file | commit to record | head ms | tail ms | both ms |"
    )
    print("|---|---|---|---|---|---|---|---|")
    holds = True
    with serve() as server:
        for commits in (10, 10_000):
            log = make_log(server, commits)
            for is_seq_known in (True, False):
                costs = [log.measure(is_seq_known=is_seq_known) for _ in range(rounds)]
                is_within = _print_row(commits, is_seq_known, costs)
                holds &= is_within or not is_seq_known
            print(f"| | a plain GET | 1 | | | {_plain_get(log)} | | |", flush=True)
    limit = f"{HEAD_REQUESTS} + {FILE_REQUESTS} + {TAIL_REQUESTS} requests, {OVERHEAD_SECONDS * 1000:.0f} ms"
    print(f"\nBounds with the seq known: {limit}: {'held' if holds else 'NOT held'}.")
    return holds


def _plain_get(log: Log, rounds: int = 100) -> str:
    """Time one small GET by the same client: what this machine asks for a request just now."""
    store, times = log.store(), []
    for _ in range(rounds):
        began_at = time.perf_counter()
        store.get(claim_key(STREAM))
        times.append(time.perf_counter() - began_at)
    return f"{statistics.median(times) * 1000:.1f} / {min(times) * 1000:.1f}"


def _print_row(commits: int, is_seq_known: bool, costs: list[Cost]) -> bool:
    requests = [
        max(getattr(cost, f"{name}_requests") for cost in costs)
        for name in ("head", "file", "tail")
    ]
    heads = [cost.head_seconds for cost in costs]
    tails = [cost.tail_seconds for cost in costs]
    both = [head + tail for head, tail in zip(heads, tails, strict=True)]
    times = " | ".join(
        f"{statistics.median(each) * 1000:.1f} / {min(each) * 1000:.1f}"
        for each in (heads, tails, both)
    )
    counts = " | ".join(map(str, requests))
    print(f"| {commits:,} | {'yes' if is_seq_known else 'no'} | {counts} | {times} |", flush=True)
    bounds = (HEAD_REQUESTS, FILE_REQUESTS, TAIL_REQUESTS)
    is_few = all(count <= bound for count, bound in zip(requests, bounds, strict=True))
    return is_few and statistics.median(both) <= OVERHEAD_SECONDS


if __name__ == "__main__":
    sys.exit(0 if print_costs() else 1)
