"""What a connection to a compile-tested engine says and asks around a read, as plain text.

Called by a reader of that engine, and by the golden tests; others.md explains each statement to a
DBA. Pure. The order is the design's: `settings` once, `clock`, `horizon`, then `begin` opens the
view, the reads, `end`. Each may be sent again at any time; none writes to the source.
"""

from dataclasses import dataclass
from typing import Final

from dpp_extractor.extract.database.compiled.dialects import CompiledEngine


@dataclass(frozen=True, slots=True)
class Session:
    """The statements of one engine.

    `clock` gives `clock_at` in UTC. `horizon` gives the oldest open transaction of others (no row:
    there is none) by its age, counted by the server after `clock` was read, so that
    `clock_at - age_seconds` is never later than its true start; and its holder. `counter` gives the first
    number of the server's own row counter that an open transaction may still use. An empty text means
    that the engine has no such statement, an empty `begin` that it has no view over several reads.
    """

    settings: tuple[str, ...]
    clock: str
    horizon: str
    begin: tuple[str, ...]
    end: str
    counter: str = ""


_MSSQL_HORIZON: Final = """\
SELECT TOP 1 DATEDIFF_BIG(MILLISECOND, t.transaction_begin_time, SYSDATETIME()) / 1000.0 AS age_seconds,
    CONCAT('session ', s.session_id, ' (', s.login_name, ', ', s.program_name, ')') AS holder
FROM sys.dm_tran_active_transactions AS t
LEFT JOIN sys.dm_tran_session_transactions AS x ON x.transaction_id = t.transaction_id
LEFT JOIN sys.dm_exec_sessions AS s ON s.session_id = x.session_id
WHERE t.transaction_type IN (1, 4)
    AND (s.session_id IS NULL OR s.session_id <> @@SPID)
    AND NOT (COALESCE(s.program_name, '') LIKE 'dpp/%' AND s.login_name = SUSER_SNAME())
ORDER BY t.transaction_begin_time"""

_ORACLE_HORIZON: Final = """\
SELECT (SYSDATE - t.START_DATE) * 86400 AS age_seconds,
    'transaction ' || t.XIDUSN || '.' || t.XIDSLOT || '.' || t.XIDSQN AS holder
FROM SYS.GV_$TRANSACTION t
ORDER BY t.START_DATE
FETCH FIRST 1 ROWS ONLY"""

_DB2_HORIZON: Final = """\
SELECT (DAYS(CURRENT TIMESTAMP) - DAYS(u.UOW_START_TIME)) * 86400
        + MIDNIGHT_SECONDS(CURRENT TIMESTAMP) - MIDNIGHT_SECONDS(u.UOW_START_TIME) + 1 AS age_seconds,
    'application ' || VARCHAR(u.APPLICATION_HANDLE) AS holder
FROM TABLE(MON_GET_UNIT_OF_WORK(NULL, -2)) AS u
WHERE u.UOW_START_TIME IS NOT NULL
    AND u.UOW_STOP_TIME IS NULL
    AND u.APPLICATION_HANDLE <> MON_GET_APPLICATION_HANDLE()
ORDER BY u.UOW_START_TIME
FETCH FIRST 1 ROWS ONLY"""

_HANA_HORIZON: Final = """\
SELECT NANO100_BETWEEN(t.START_TIME, CURRENT_TIMESTAMP) / 10000000 AS age_seconds,
    'connection ' || t.CONNECTION_ID AS holder
FROM SYS.M_TRANSACTIONS t
WHERE t.TRANSACTION_TYPE = 'USER TRANSACTION'
    AND t.TRANSACTION_STATUS <> 'INACTIVE'
    AND t.CONNECTION_ID <> CURRENT_CONNECTION
ORDER BY t.START_TIME
LIMIT 1"""

SESSIONS: Final[dict[CompiledEngine, Session]] = {
    "mssql": Session(
        settings=("SET LOCK_TIMEOUT 10000", "SET DEADLOCK_PRIORITY LOW"),
        clock="SELECT SYSUTCDATETIME() AS clock_at",
        horizon=_MSSQL_HORIZON,
        begin=("SET TRANSACTION ISOLATION LEVEL SNAPSHOT", "BEGIN TRANSACTION"),
        end="ROLLBACK TRANSACTION",
        counter="SELECT CAST(MIN_ACTIVE_ROWVERSION() AS BIGINT) AS high",
    ),
    "oracle": Session(
        settings=(),
        clock="SELECT SYS_EXTRACT_UTC(SYSTIMESTAMP) AS clock_at FROM DUAL",
        horizon=_ORACLE_HORIZON,
        begin=("SET TRANSACTION READ ONLY",),
        end="ROLLBACK",
    ),
    "db2": Session(
        settings=("SET CURRENT LOCK TIMEOUT 10", "SET CURRENT ISOLATION = CS"),
        clock="SELECT CURRENT TIMESTAMP - CURRENT TIMEZONE AS clock_at FROM SYSIBM.SYSDUMMY1",
        horizon=_DB2_HORIZON,
        begin=(),
        end="ROLLBACK",
    ),
    "hana": Session(
        settings=("SET TRANSACTION LOCK WAIT TIMEOUT 10000",),
        clock="SELECT CURRENT_UTCTIMESTAMP AS clock_at FROM DUMMY",
        horizon=_HANA_HORIZON,
        begin=("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SET TRANSACTION READ ONLY"),
        end="ROLLBACK",
    ),
    "odbc": Session(
        settings=(), clock="SELECT {fn NOW()} AS clock_at", horizon="", begin=(), end=""
    ),
}
