"""Hold a table against the journal of its source: was anything lost, made up, doubled or torn?

The journal says of every version of every row what it was, and when it was committed. A version that was surely alive
when a commit's snapshot was taken, and whose stamp lies in the commit's window, must be in that commit; one that was
committed or replaced within MARGIN of the snapshot may be or not. Nothing of the product is used here.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import Any, Final

from deltalake import DeltaTable

from matrix.findings import Findings
from matrix.ground import Shop
from matrix.logbook import Entry, read_log

MARGIN: Final = timedelta(milliseconds=150)
"""Between a commit's time as the source tells it and its being visible to all, on a busy machine."""
JOURNAL: Final = """SELECT place, xmin::text::bigint, pg_xact_commit_timestamp(xmin), dataset, op, id, version,
    tag, note, stamp FROM {name}.journal ORDER BY place"""
FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)

Key = tuple[int, int]
"""A version of a row: its id and its number."""


@dataclass(frozen=True, slots=True)
class Version:
    """One write of the journal; `ended_at` is when the next write of the same row was committed."""

    tx: int
    committed_at: datetime
    ended_at: datetime
    op: str
    id: int
    version: int
    content: tuple[str, str | None, str]
    is_last: bool

    def was_alive(self, at: datetime) -> bool:
        """Say whether it was surely there at an instant."""
        return self.committed_at < at - MARGIN and at + MARGIN < self.ended_at


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table, as far as the ledger goes."""

    id: int
    version: int
    content: tuple[str, str | None, str]
    read_at: datetime
    order: int


def read_journal(shop: Shop, dataset: str) -> list[Version]:
    """Read what was committed, each write with the end of its life."""
    with shop.ground.connect() as connection:
        found = connection.execute(JOURNAL.format(name=shop.name).encode()).fetchall()
    of_dataset = [row for row in found if row[3] == dataset]
    following: dict[int, datetime] = {}
    versions = []
    for _, tx, committed_at, _, op, row_id, version, tag, note, stamp in reversed(of_dataset):
        ended_at = following.get(row_id, FOREVER)
        content = (tag, note, stamp)
        is_last = row_id not in following
        versions.append(Version(tx, committed_at, ended_at, op, row_id, version, content, is_last))
        following[row_id] = committed_at
    return versions[::-1]


def read_rows(shop: Shop, dataset: str, version: int | None = None) -> list[Row]:
    """Read the table by a reader that is not ours, now or as of a version."""
    table = DeltaTable(shop.uri(dataset), version=version, storage_options=shop.options)
    names = ["id", "version", "tag", "note", shop.cursor, "_dpp_read_at", "_dpp_order"]
    read = table.to_pyarrow_table(columns=names).to_pylist()
    return [
        Row(
            row["id"],
            row["version"],
            (row["tag"], row["note"], _text(row[shop.cursor])),
            row["_dpp_read_at"],
            row["_dpp_order"],
        )
        for row in read
    ]


def check_tables(shop: Shop) -> Findings:
    """Hold both tables against journal and source, at every commit and at the end."""
    findings = Findings()
    if "orders" in shop.datasets:
        _check_append(shop, findings)
    if "items" in shop.datasets:
        _check_replace(shop, findings)
    return findings


def covers(shop: Shop) -> bool:
    """Say whether the last window of `orders` reaches beyond every stamp there is."""
    with shop.ground.connect() as connection:
        statement = f"SELECT max(stamp) FROM {shop.name}.journal WHERE dataset = 'orders'"
        (last,) = connection.execute(statement.encode()).fetchone() or (None,)
    commits = [entry.ours for entry in read_log(shop, "orders") if entry.ours]
    return bool(commits) and last < _bound(commits[-1]["window"]["high"])


def _check_append(shop: Shop, findings: Findings) -> None:
    journal, rows = read_journal(shop, "orders"), read_rows(shop, "orders")
    known = {(each.id, each.version): each for each in journal if each.op != "delete"}
    windows = {
        entry.read_at: entry.ours["window"] for entry in read_log(shop, "orders") if entry.ours
    }
    check_known("orders", rows, known, findings)
    check_once("orders", rows, findings)
    for row in rows:
        window = windows.get(row.read_at)
        if window is None or not _is_in(row.content[2], window):
            findings.phantom.append(f"orders {row.id}/{row.version} is outside {window}")
    came = {(row.id, row.version, row.read_at) for row in rows}
    for read_at, window in windows.items():
        due = [e for e in known.values() if e.was_alive(read_at) and _is_in(e.content[2], window)]
        check_due("orders", due, {e: (e.id, e.version, read_at) in came for e in due}, findings)
    current: dict[int, Row] = {}
    for row in sorted(rows, key=lambda row: (row.read_at, row.order)):
        current[row.id] = row
    _check_source(shop, "orders", current, findings)


def _check_replace(shop: Shop, findings: Findings) -> None:
    journal = read_journal(shop, "items")
    known = {(each.id, each.version): each for each in journal if each.op != "delete"}
    by_tx = group_by_tx(journal)
    rows: list[Row] = []
    for entry in read_log(shop, "items"):
        if entry.ours is None:
            continue
        rows = read_rows(shop, "items", entry.version)
        check_known("items", rows, known, findings)
        check_once("items", rows, findings)
        there = {row.id: row.version for row in rows}
        due = [each for each in known.values() if each.was_alive(entry.read_at)]
        check_due("items", due, {e: there.get(e.id) == e.version for e in due}, findings)
        check_gone(journal, there, entry, findings)
        check_whole(by_tx, there, entry, findings)
    _check_source(shop, "items", {row.id: row for row in rows}, findings)


def check_known(
    dataset: str, rows: Iterable[Row], known: Mapping[Key, Version], findings: Findings
) -> None:
    for row in rows:
        written = known.get((row.id, row.version))
        if written is None or written.content != row.content:
            findings.phantom.append(f"{dataset} {row.id}/{row.version} {row.content}: {written}")


def check_once(dataset: str, rows: Iterable[Row], findings: Findings) -> None:
    counted = Counter((row.id, row.version) for row in rows)
    twice = [key for key, times in counted.items() if times > 1]
    findings.duplicate += [f"{dataset} {row_id}/{version}" for row_id, version in twice]
    places = Counter((row.read_at, row.order) for row in rows)
    shared = [place for place, times in places.items() if times > 1]
    findings.duplicate += [f"{dataset}: two rows at {place}" for place in shared]


def check_due(
    dataset: str, due: list[Version], is_there: Mapping[Version, bool], findings: Findings
) -> None:
    parts: dict[int, set[bool]] = defaultdict(set)
    for each in due:
        parts[each.tx].add(is_there[each])
        if not is_there[each]:
            findings.lost.append(f"{dataset} {each.id}/{each.version} was due: {each}")
    findings.torn += [f"{dataset}: transaction {tx}" for tx, seen in parts.items() if len(seen) > 1]


def check_gone(
    journal: list[Version], there: Mapping[int, int], entry: Entry, findings: Findings
) -> None:
    for each in journal:
        if each.op == "delete" and each.was_alive(entry.read_at) and each.id in there:
            findings.phantom.append(f"items {each.id} was deleted before version {entry.version}")


def group_by_tx(journal: list[Version]) -> dict[int, list[Version]]:
    grouped: dict[int, list[Version]] = defaultdict(list)
    for each in journal:
        grouped[each.tx].append(each)
    return grouped


def check_whole(
    by_tx: Mapping[int, list[Version]], there: Mapping[int, int], entry: Entry, findings: Findings
) -> None:
    """A transaction is in a full read with all its writes or with none."""
    for tx, writes in by_tx.items():
        seen = {is_seen(each, there.get(each.id)) for each in writes} - {None}
        if len(seen) > 1:
            findings.torn.append(f"items: transaction {tx} is half in version {entry.version}")


def is_seen(write: Version, version: int | None) -> bool | None:
    """Say whether a write is in a state of the table; None where the state does not tell."""
    if version is None:
        return False if write.is_last and write.op != "delete" else None
    return version > write.version if write.op == "delete" else version >= write.version


def _check_source(shop: Shop, dataset: str, current: Mapping[int, Row], findings: Findings) -> None:
    """Hold the current state against the source itself; an Append table does not see deletes."""
    with shop.ground.connect() as connection:
        statement = f"SELECT id, version, tag, note, fat, {shop.cursor} FROM {shop.name}.{dataset}"
        found = connection.execute(statement.encode()).fetchall()
    for row_id, version, tag, note, _, stamp in found:
        row = current.get(row_id)
        if row is None or (row.version, row.content) != (version, (tag, note, _text(stamp))):
            findings.lost.append(f"{dataset} {row_id}/{version} is not current: {row}")
    if dataset == "items":
        extra = set(current) - {row[0] for row in found}
        findings.phantom += [f"items {row_id} is not in the source" for row_id in extra]
    fat = {row[0]: md5(row[4]).hexdigest() for row in found if row[4] is not None}
    if fat:
        _check_fat(shop, dataset, fat, findings)


def _check_fat(shop: Shop, dataset: str, fat: Mapping[int, str], findings: Findings) -> None:
    table = DeltaTable(shop.uri(dataset), storage_options=shop.options)
    rows = table.to_pyarrow_table(columns=["id", "fat", "_dpp_read_at"]).to_pylist()
    held = {row["id"]: row["fat"] for row in sorted(rows, key=lambda row: row["_dpp_read_at"])}
    for row_id, digest in fat.items():
        if md5(held.get(row_id) or b"").hexdigest() != digest:
            findings.torn.append(f"{dataset} {row_id}: its large value is not whole")


def _is_in(stamp: str, window: Mapping[str, Any]) -> bool:
    low = window.get("low")
    return (low is None or _bound(low) <= stamp) and stamp < _bound(window["high"])


def _bound(text: str) -> str:
    """Bring a window's bound into the journal's form of a stamp, which sorts as text."""
    return _text(int(text)) if text.isdigit() else text.removesuffix("+00:00")


def _text(stamp: Any) -> str:
    if isinstance(stamp, datetime):
        return stamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{stamp:012d}"
