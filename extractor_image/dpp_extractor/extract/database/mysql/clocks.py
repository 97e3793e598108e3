"""Take the clock of MySQL or MariaDB and its horizon, in this order, before any snapshot is opened.

Called by `snapshot`. The horizon is the earliest start of any open transaction, and of any running
statement, of another session: `NOW()` is the start of the statement, also inside a procedure that
runs for minutes, and InnoDB counts a transaction only from its first touch of a table. Sessions in a
transaction that was opened as READ ONLY do not count, so that our own long reads hold nothing back.

InnoDB shows its transactions from a cache, which is not renewed while somebody asks for it more
often than ten times a second. So a transaction of our own is opened first: when it is not shown,
the answer is old and is asked for again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pymysql

from dpp_core.errors import SourceObjectError, SourceUnavailableError
from dpp_core.names import Reason
from dpp_extractor.extract.database.mysql.connect import (
    Session,
    fetch,
    fetch_named,
    fetch_pairs,
    quote_account,
    run,
    translated,
)
from dpp_extractor.extract.database.mysql.zones import ZONE_OFFSETS, decide_zone
from dpp_extractor.extract.database.window import LAG_WITHOUT_HORIZON_SECONDS
from dpp_extractor.ports import Clocks

_FRESH_TRIES: Final = 6
_DENIED: Final = frozenset({1044, 1142, 1227})
_SYNTAX: Final = 1064

_CLOCK: Final = "SELECT UTC_TIMESTAMP(6), @@global.time_zone, CONNECTION_ID(), @@global.read_only"
_LOGIN: Final = "SELECT CURRENT_USER()"

# Whose statements write nothing of their own, or nothing here.
_STATEMENTS: Final = """
SELECT id, user, {seconds}
FROM information_schema.processlist
WHERE id <> CONNECTION_ID()
    AND command NOT IN ('Sleep', 'Binlog Dump', 'Binlog Dump GTID')
    AND user NOT IN ('system user', 'event_scheduler', 'unauthenticated user')
"""
_SECONDS: Final = {"MariaDB": "time_ms / 1000", "MySQL": "time + 1"}

# The start is shown in the zone of the server's machine. In the hour which that repeats in autumn,
# a time can mean two instants: the earlier one is taken.
_TRANSACTIONS: Final = """
SELECT thread, is_read_only,
    IF(CONVERT_TZ(at - INTERVAL 1 HOUR, '+00:00', 'SYSTEM') = shown, at - INTERVAL 1 HOUR, at)
FROM (
    SELECT trx_mysql_thread_id AS thread, trx_is_read_only AS is_read_only, trx_started AS shown,
        CONVERT_TZ(trx_started, 'SYSTEM', '+00:00') AS at
    FROM information_schema.innodb_trx
) t
"""

_STATUS: Final = """
SHOW GLOBAL STATUS
WHERE Variable_name IN ('wsrep_cluster_size', 'Slave_running', 'Slaves_running')
"""
_GROUP: Final = "SHOW GLOBAL VARIABLES LIKE 'group_replication_group_name'"
_REPLICA: Final = {
    "MariaDB": ("SHOW ALL SLAVES STATUS",),
    "MySQL": ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS"),
}


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open transaction; thread 0 is a prepared one whose session is gone."""

    thread: int
    is_read_only: bool
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Statement:
    """A running statement of another session."""

    thread: int
    user: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Unseen:
    """Why open transactions cannot be seen, and the statement that lets them be; "" when none does."""

    why: str
    fix: str = ""


def read_clocks(session: Session) -> Clocks:
    """Read clock, then horizon. Twice gives two later readings."""
    connection = session.connection
    with translated("Reading the source's clock"):
        clock, zone_name, own, read_only = fetch(connection, _CLOCK)[0]
        clock_at = _instant(clock)
        zone = decide_zone(zone_name or "", _read_offsets(connection, zone_name or ""))
        status = fetch_pairs(connection, _STATUS)
        delay = _read_delay(session, is_hinted=_is_replica(status, read_only))
    if delay is not None:
        why = "a replica does not see its primary's transactions"
        return _blind(clock_at - timedelta(seconds=delay + 1), zone, why)
    if _is_cluster(connection, status):
        return _blind(clock_at, zone, "the other nodes of its cluster may have open transactions")
    with translated("Reading the source's open transactions"):
        seen = _read_sessions(session, int(own or 0), clock_at)
    if isinstance(seen, Unseen):
        return _blind(clock_at, zone, seen.why, seen.fix)
    return decide_horizon(clock_at, zone, *seen)


def decide_horizon(
    clock_at: datetime,
    zone: str,
    transactions: Sequence[Transaction],
    statements: Sequence[Statement],
) -> Clocks:
    """Find the earliest start of what may still write. Pure."""
    readers = {each.thread for each in transactions if each.is_read_only}
    starts = [
        (clock_at - timedelta(seconds=each.seconds), f"thread {each.thread} ({each.user})")
        for each in statements
        if each.thread not in readers
    ]
    for each in transactions:
        if each.is_read_only:
            continue
        if each.thread:
            starts.append((each.started_at, f"thread {each.thread}"))
        else:
            lag = timedelta(seconds=LAG_WITHOUT_HORIZON_SECONDS)
            starts.append((each.started_at - lag, "a prepared transaction"))
    started_at, holder = min(starts, default=(clock_at, ""))
    if started_at >= clock_at:
        return Clocks(clock_at, clock_at, zone=zone)
    age_seconds = round((clock_at - started_at).total_seconds())
    return Clocks(clock_at, started_at, f"{holder} open for {age_seconds} s", zone=zone)


def explain_horizon(session: Session) -> str:
    """Say in one clause whether a horizon is to be had, and what would give one."""
    clocks = read_clocks(session)
    if clocks.horizon_at is not None:
        return "horizon available"
    return f"no horizon ({clocks.holder}; windows lag {LAG_WITHOUT_HORIZON_SECONDS} s)"


def is_fresh(transactions: Collection[Transaction], own: int, clock_at: datetime) -> bool:
    """True when our own transaction, opened after the clock was read, is among those shown."""
    begun = clock_at - timedelta(seconds=2)
    return any(each.thread == own and each.started_at >= begun for each in transactions)


def _read_sessions(
    session: Session, own: int, clock_at: datetime
) -> tuple[list[Transaction], list[Statement]] | Unseen:
    """Read statements, then transactions: one that ends in between leaves its open transaction."""
    connection = session.connection
    try:
        run(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        try:
            shown = fetch(connection, _STATEMENTS.format(seconds=_SECONDS[session.product]))
            statements = [
                Statement(int(thread or 0), str(user), max(0.0, float(seconds or 0)))
                for thread, user, seconds in shown
            ]
            for _ in range(_FRESH_TRIES):
                transactions = _read_transactions(connection)
                if is_fresh(transactions, own, clock_at):
                    return transactions, statements
                fetch(connection, "SELECT SLEEP(0.12)")
        finally:
            run(connection, "ROLLBACK")
    except pymysql.err.Error as error:
        if error.args[0] in _DENIED:
            login = fetch(connection, _LOGIN)[0][0] or ""
            grant = f"GRANT PROCESS ON *.* TO {quote_account(login)};"
            return Unseen("the user has no PROCESS right", grant)
        raise
    return Unseen("InnoDB's list of transactions is asked for too often by others to be current")


def _read_transactions(connection: Any) -> list[Transaction]:
    return [
        Transaction(int(thread or 0), read_only == "1", _instant(started))
        for thread, read_only, started in fetch(connection, _TRANSACTIONS)
    ]


def _read_offsets(connection: Any, zone_name: str) -> list[int]:
    if zone_name != "SYSTEM":
        return []
    return [int(minutes) for (minutes,) in fetch(connection, ZONE_OFFSETS) if minutes is not None]


def _is_replica(status: dict[str, str], read_only: str | None) -> bool:
    runs = status.get("Slave_running") == "ON" or status.get("Slaves_running", "0") not in ("0", "")
    return runs or read_only not in ("0", "OFF", None)


def _is_cluster(connection: Any, status: dict[str, str]) -> bool:
    size = status.get("wsrep_cluster_size") or "0"
    with translated("Reading whether the source is a cluster"):
        group = fetch_pairs(connection, _GROUP).get("group_replication_group_name")
    return (size.isdigit() and int(size) > 1) or bool(group)


def _read_delay(session: Session, *, is_hinted: bool) -> int | None:
    """Say how many seconds a replica is behind, None for a server that follows nobody.

    SourceUnavailableError when it follows but does not run, SourceObjectError when it seems to be a
    replica and the account may not see how far behind it is.
    """
    for statement in _REPLICA[session.product]:
        try:
            rows = fetch_named(session.connection, statement)
        except pymysql.err.Error as error:
            if error.args[0] == _SYNTAX:
                continue
            if error.args[0] in _DENIED:
                break
            raise
        return max((_delay_of(row) for row in rows), default=None)
    if is_hinted:
        grant = "SLAVE MONITOR" if session.product == "MariaDB" else "REPLICATION CLIENT"
        raise SourceObjectError(
            "The source is a replica, or read-only, and the user may not see how far behind it is.",
            reason=Reason.SOURCE_OBJECT_DENIED,
            fix=f"GRANT {grant} ON *.* to the user, or read from the primary.",
        )
    return None


def _delay_of(row: dict[str, str | None]) -> int:
    seconds = row.get("Seconds_Behind_Source") or row.get("Seconds_Behind_Master")
    if seconds is None:
        raise SourceUnavailableError(
            "The source is a replica whose replication does not run, so its clock says nothing "
            "about its rows.",
            fix="Start its replication, or read from the primary.",
        )
    return int(seconds)


def _instant(text: str | None) -> datetime:
    return datetime.fromisoformat(text or "").replace(tzinfo=UTC)


def _blind(clock_at: datetime, zone: str, why: str, fix: str = "") -> Clocks:
    return Clocks(clock_at, None, why, Reason.NO_HORIZON.value, zone=zone, fix=fix)
