"""When runs are due: cron with `H` filled in, time zones, and the deterministic names of runs.

Called by `turn`. Pure. A zone's clock that is set back (or forward) makes a fixed time due once, a starred one as often
as it is met, as Debian's cron does; near such an hour the calculation begins four hours before it, because a
calculation that begins inside it is wrong.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from dpp_core.spec.schedule import ScheduleSpec, expand_cron

_CLEAR_OF_CHANGES: Final = timedelta(hours=4)
_LONGEST_SEARCH: Final = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class Due:
    """The latest due time after the anchor that has come, and the next one to come."""

    at: datetime | None
    next_at: datetime | None


def fill_in(schedule: ScheduleSpec, namespace: str, name: str) -> tuple[str, ...]:
    """Fill in each H by the object's own fixed value."""
    return tuple(expand_cron(expression, f"{namespace}/{name}") for expression in schedule.cron)


def find_due(crons: tuple[str, ...], zone: str, anchor: datetime, now: datetime) -> Due:
    """Find the latest due time in (anchor, now] and the first after now; many crons count as one."""
    place: tzinfo = UTC if zone == "UTC" else ZoneInfo(zone)
    came = [at for cron in crons if (at := find_last(cron, place, anchor, now))]
    coming = [at for cron in crons if (at := find_next(cron, place, now))]
    return Due(max(came, default=None), min(coming, default=None))


def find_next(cron: str, zone: tzinfo, after: datetime) -> datetime | None:
    """Find the first due time after an instant; None when there is none within ten years."""
    for at in _walk(cron, zone, after):
        if at > after:
            return at
    return None


def find_last(cron: str, zone: tzinfo, anchor: datetime, until: datetime) -> datetime | None:
    """Find the latest due time in (anchor, until], as walking forward would meet it."""
    if anchor >= until:
        return None
    begin = _find_before(cron, zone, until)
    last = None
    for at in _walk(cron, zone, max(anchor, begin)):
        if at > until:
            break
        last = at
    return last if last is not None and last > anchor else None


def _find_before(cron: str, zone: tzinfo, until: datetime) -> datetime:
    """Find an instant before the latest due time, to walk forward from; walking back alone is not exact."""
    begin = (until + _CLEAR_OF_CHANGES).astimezone(zone)
    for local in CronSim(cron, begin, reverse=True):
        at: datetime = local.astimezone(UTC)
        if at <= until:
            return at - timedelta(seconds=1)
    return until


def _walk(cron: str, zone: tzinfo, after: datetime) -> Iterator[datetime]:
    begin = (after - _CLEAR_OF_CHANGES).astimezone(zone)
    for local in CronSim(cron, begin):
        at: datetime = local.astimezone(UTC)
        if at - after > _LONGEST_SEARCH:
            return
        yield at


def name_due(name: str, uid: str, at: datetime) -> str:
    """Name the run of a due time: the same time of the same object gives the same name, whoever asks when."""
    stamp = at.astimezone(UTC).strftime("%Y%m%d%H%M")
    return f"{name}-{stamp}-{_digest(uid, stamp)[:6]}"


def name_first(name: str, uid: str) -> str:
    """Name the run that a new object begins with."""
    return f"{name}-first-{_digest(uid, 'first')}"


def name_manual(name: str, uid: str, trigger: str) -> str:
    """Name the run that a trigger asks for."""
    return f"{name}-manual-{_digest(uid, 'manual', trigger)}"


def name_again(name: str, uid: str, failed: str) -> str:
    """Name the run that makes up for one that failed for a passing reason."""
    return f"{name}-again-{_digest(uid, 'again', failed)}"


def name_upkeep(name: str, uid: str, mark: str) -> str:
    """Name the Maintain run of a mark that a table has passed."""
    return f"{name}-maintain-{_digest(uid, 'maintain', mark)}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]
