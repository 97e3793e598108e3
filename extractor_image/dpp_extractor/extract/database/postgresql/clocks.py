"""Take PostgreSQL's clock and its horizon, in this order, before any snapshot is opened.

Called by `snapshot`. The horizon is the earliest start of any open transaction of another session,
in any database of the server: one that has not written yet will stamp its start. Only our own
read-only sessions do not count. Sessions of other databases cannot write these tables and hold the
window back needlessly; that is the price of one simple rule.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from dpp_core.errors import SourceUnavailableError
from dpp_core.names import Reason
from dpp_extractor.extract.database.postgresql.connect import APPLICATION_PREFIX, translated
from dpp_extractor.extract.database.window import LAG_WITHOUT_HORIZON_SECONDS
from dpp_extractor.ports import Clocks

# A standby that replayed all it received is as late as the network only while something is sending
# to it; else its clock says nothing about the primary's rows, and the last replayed commit's time
# is all that is known.
_CLOCK: Final = text("""
SELECT
    CASE
        WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.clock_timestamp()
        WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn()
            AND EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver)
            THEN pg_catalog.clock_timestamp()
        ELSE pg_catalog.pg_last_xact_replay_timestamp()
    END AS clock_at,
    pg_catalog.pg_is_in_recovery() AS is_replica,
    pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
    pg_catalog.quote_ident(current_user) AS login,
    (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'TimeZone') AS zone
""")

# Anything but the server's own housekeeping can write rows. A session with track_activities off
# shows no start.
_SESSIONS: Final = text("""
SELECT a.xact_start AS started_at, a.state = 'disabled' AS is_hidden,
    pg_catalog.format('pid %s (%s, %s)', a.pid, a.usename, pg_catalog.left(a.application_name, 40))
    AS holder
FROM pg_catalog.pg_stat_activity a
WHERE a.pid <> pg_catalog.pg_backend_pid()
    AND (a.xact_start IS NOT NULL OR (a.state = 'disabled' AND a.backend_type = 'client backend'))
    AND coalesce(a.backend_type, '') NOT IN
        ('autovacuum launcher', 'autovacuum worker', 'walsender', 'parallel worker')
    AND NOT coalesce(
        a.usename = current_user AND pg_catalog.starts_with(a.application_name, :prefix), false)
UNION ALL
SELECT p.prepared - pg_catalog.make_interval(secs => :prepared_lag), false,
    pg_catalog.format('prepared transaction %s', pg_catalog.left(p.gid, 40))
FROM pg_catalog.pg_prepared_xacts p
ORDER BY is_hidden DESC, started_at
LIMIT 1
""")


def read_clocks(connection: Connection) -> Clocks:
    """Read clock, then horizon, each in a transaction of its own. Twice gives two later
    readings.
    """
    with translated("Reading the source's clock"):
        clock = connection.execute(_CLOCK).one()
        connection.commit()
    if clock.clock_at is None:
        raise SourceUnavailableError(
            "The source is a replica that has replayed no transaction yet, so its clock is not "
            "known.",
            fix="Wait until it follows its primary, or read from the primary.",
        )
    if clock.is_replica:
        return _blind(
            clock.clock_at, clock.zone, "a replica does not see its primary's transactions"
        )
    if not clock.sees_all:
        fix = f"GRANT pg_monitor TO {clock.login};"
        return _blind(clock.clock_at, clock.zone, "the user is no member of pg_monitor", fix)
    with translated("Reading the source's open transactions"):
        oldest = connection.execute(
            _SESSIONS,
            {"prefix": APPLICATION_PREFIX, "prepared_lag": LAG_WITHOUT_HORIZON_SECONDS},
        ).first()
        connection.commit()
    if oldest is None:
        return Clocks(clock.clock_at, clock.clock_at, zone=clock.zone)
    if oldest.is_hidden:
        return _blind(
            clock.clock_at, clock.zone, "a session hides its transaction (track_activities off)"
        )
    age_seconds = (clock.clock_at - oldest.started_at).total_seconds()
    holder = f"{oldest.holder} open for {max(0, round(age_seconds))} s"
    return Clocks(clock.clock_at, oldest.started_at, holder, zone=clock.zone)


def explain_horizon(connection: Connection) -> str:
    """Say in one clause whether a horizon is to be had, and what would give one."""
    clocks = read_clocks(connection)
    if clocks.horizon_at is not None:
        return "horizon available"
    return f"no horizon ({clocks.holder}; windows lag {LAG_WITHOUT_HORIZON_SECONDS} s)"


def _blind(clock_at: datetime, zone: str, why: str, fix: str = "") -> Clocks:
    return Clocks(clock_at, None, why, Reason.NO_HORIZON.value, zone=zone, fix=fix)
