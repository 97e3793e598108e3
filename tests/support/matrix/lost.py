"""A thousand commits on the real S3 server while three answers in ten to conditional writes are lost.

No process is started here: the product's own head, upload and commit work in this one, against the store through the
proxy. An answer is lost after the write was applied; a few writes never arrive, and a few are refused with 503. Nobody
else writes to the table, so every conflict that is reported is a false one.
"""

import time
from dataclasses import dataclass
from typing import Final

from deltalake import DeltaTable

from dpp_core.errors import DestinationUnavailableError, DppError
from dpp_extractor.adapters.bucket import BucketSettings, open_bucket
from dpp_extractor.guard.retry import RetryPolicy, retrying
from dpp_extractor.ports import Store
from dpp_extractor.publish.hooks import Hooks, do_nothing
from dpp_extractor.publish.keys import Stream
from matrix.findings import Case, Findings
from matrix.ground import Ground, chance
from matrix.logbook import check_log
from servers.s3_proxy import Fate, Plan, S3Proxy, Seen
from table import TableWriter, number_rows

LOST_SHARE: Final = 0.30
NEVER_SHARE: Final = 0.05
REFUSED_SHARE: Final = 0.05
HOOKS: Final = Hooks(do_nothing, lambda tries: time.sleep(0.002 * min(tries + 1, 10)))


@dataclass(frozen=True, slots=True)
class Lake:
    """One stream that is written without a source."""

    ground: Ground
    name: str

    @property
    def prefix(self) -> str:
        return f"acme/{self.name}/"

    @property
    def stream(self) -> Stream:
        return Stream("acme", self.name, "orders")

    def open(self, endpoint: str = "") -> Store:
        s3 = self.ground.s3
        settings = BucketSettings(
            bucket=self.ground.bucket,
            endpoint=endpoint or s3.endpoint,
            region=s3.region,
            access_key=s3.access_key,
            secret_key=s3.secret_key,
            read_seconds=10,
        )
        return open_bucket(settings, retrying(RetryPolicy(0.01, 0.1, 6), what="destination"))

    def ids(self) -> list[int]:
        """Read the table by a reader that is not ours."""
        uri = f"s3://{self.ground.bucket}/{self.prefix}orders"
        table = DeltaTable(uri, storage_options=self.ground.s3.storage_options())
        return sorted(table.to_pyarrow_table(columns=["id"]).column("id").to_pylist())


def try_lost(ground: Ground, proxy: S3Proxy, commits: int, seed: int) -> Case:
    """Commit that many times, one row each, and hold the table against what was committed."""
    begun_at = time.monotonic()
    lake, findings = Lake(ground, f"lost{seed}-{next(ground.count)}"), Findings()
    writer = TableWriter(lake.open(proxy.endpoint), lake.stream)
    proxy.reset(_lose(seed))
    seq = 0
    for number in range(commits):
        seq = _commit(writer, number, seq, f"{lake.name}-{number}", findings)
    faults = len(proxy.done)
    answers = sum(each.is_conditional for each in proxy.seen)
    proxy.reset()
    writer.head()
    _check(lake, commits, findings)
    note = f"{faults} of {answers} conditional writes met a fault"
    seconds = time.monotonic() - begun_at
    return Case(
        "lost-answers", f"{LOST_SHARE:.0%} lost", str(seed), commits, findings, seconds, note
    )


def _lose(seed: int) -> Plan:
    rng = chance("lost", seed)

    def plan(seen: Seen) -> Fate:
        if not seen.is_conditional:
            return Fate.PASS
        drawn = rng.random()
        if drawn < LOST_SHARE:
            return Fate.DROP_AFTER
        if drawn < LOST_SHARE + NEVER_SHARE:
            return Fate.DROP_BEFORE
        return Fate.ANSWER_503 if drawn < LOST_SHARE + NEVER_SHARE + REFUSED_SHARE else Fate.PASS

    return plan


def _commit(writer: TableWriter, number: int, seq: int, attempt: str, findings: Findings) -> int:
    """Commit one row and give the table's seq. A copy that could not be put is left to the next head."""
    try:
        head = writer.head(f"run-of-{attempt}", known_seq=seq, files=False)
        draft = writer.draft(head, number_rows([number]), attempt_id=attempt)
        committed = writer.commit(head, draft, HOOKS)
    except DestinationUnavailableError as error:
        findings.unclassified.append(f"commit {number} has no outcome: {error}")
        return seq
    except DppError as error:
        findings.unclassified.append(f"commit {number} met a false conflict: {error}")
        return seq
    if committed.already or committed.seq != seq + 1:
        findings.duplicate.append(f"commit {number} came out as {committed}")
    return committed.seq


def _check(lake: Lake, commits: int, findings: Findings) -> None:
    ids = lake.ids()
    findings.lost += [f"row {each}" for each in sorted(set(range(commits)) - set(ids))]
    findings.phantom += [f"row {each}" for each in sorted(set(ids) - set(range(commits)))]
    findings.duplicate += [f"row {each}" for each in sorted(set(ids)) if ids.count(each) > 1]
    findings.add(check_log(lake, "orders"))
