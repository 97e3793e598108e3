"""Say in which zone a MySQL or MariaDB server writes its DATETIMEs, such that no window runs ahead.

Called by `clocks`. Pure. The server names a zone, or an offset, or only `SYSTEM`: then its machine's
zone is known by its offsets alone, of which the least one holds all year. With it windows end up to
one summer-time hour early, and never late.
"""

import re
from collections.abc import Sequence
from typing import Final

_OFFSET: Final = re.compile(r"([+-])(\d\d?):(\d\d)")
_STEP_DAYS: Final = 14
_STEPS: Final = 28

_OFFSET_IN: Final = """
SELECT TIMESTAMPDIFF(MINUTE, t.at, CONVERT_TZ(t.at, '+00:00', 'SYSTEM'))
FROM (SELECT UTC_TIMESTAMP() + INTERVAL {days} DAY AS at) t
"""

ZONE_OFFSETS: Final = "UNION ALL".join(
    _OFFSET_IN.format(days=step * _STEP_DAYS) for step in range(_STEPS)
)
"""The offsets of the machine's zone in the year to come, one a fortnight."""


def decide_zone(name: str, offsets_minutes: Sequence[int]) -> str:
    """Give the name of a zone: the server's own, or the fixed one of its least offset.

    Half hours are cut down to the hour: the fixed zones know no others.
    """
    offset = _OFFSET.fullmatch(name)
    if offset:
        minutes = int(offset[2]) * 60 + int(offset[3])
        return _fixed_zone(-minutes if offset[1] == "-" else minutes)
    if name != "SYSTEM" or not offsets_minutes:
        return name
    return _fixed_zone(min(offsets_minutes))


def _fixed_zone(minutes: int) -> str:
    hours = minutes // 60
    # These names count westward: Etc/GMT-1 is one hour before Greenwich.
    return "UTC" if hours == 0 else f"Etc/GMT{-hours:+d}"
