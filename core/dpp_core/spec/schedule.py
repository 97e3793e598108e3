"""When runs are due, and the small calculations that need no clock: cron with H spread by name,
zone names.

Validated everywhere; obeyed by the operator. The command line ignores schedules: it runs when told.
"""

import hashlib
import re
import zoneinfo
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final, Literal

from cronsim import CronSim, CronSimError
from pydantic import Field, StringConstraints

from dpp_core.spec.fields import (
    Closed,
    Form,
    Label63,
    Rule,
    Seconds,
    Text64,
    build_not_yet,
)

_RANGES: Final = ((0, 59), (0, 23), (1, 28), (1, 12), (0, 6))
_H: Final = re.compile(r"(?<![A-Z])H(?![A-Z])(?:\((\d+)-(\d+)\))?(?:/(\d+))?")

CronText = Annotated[
    str,
    StringConstraints(min_length=9, max_length=120),
    Form(
        r"^[0-9A-Za-z*/,#()-]+( [0-9A-Za-z*/,#()-]+){4}$",
        "must be five fields separated by single spaces: minute hour day-of-month month "
        "day-of-week, as in 'H 2 * * *' "
        "(H is a fixed value chosen from the name, which spreads load; no seconds, no @daily).",
    ),
]

ZoneName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    Form(
        r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$",
        "must be a name of the time zone database, as in Europe/Berlin or UTC.",
    ),
]


def expand_cron(expression: str, seed: str) -> str:
    """Replace each H by a value fixed by `seed` (namespace/name), as Jenkins does: `H 2 * * *` →
    `17 2 * * *`.

    `H(a-b)` stays within a range, `H/n` steps by n from a fixed offset. Raises ValueError when a
    range is empty or outside its field.
    """
    fields = expression.split(" ")
    return " ".join(_expand_field(field, place, seed) for place, field in enumerate(fields))


def _expand_field(field: str, place: int, seed: str) -> str:
    lowest, highest = _RANGES[place]
    digest = int.from_bytes(hashlib.sha256(f"{seed}\0{place}".encode()).digest()[:8], "big")

    def replace(match: re.Match[str]) -> str:
        low = int(match[1]) if match[1] else lowest
        high = int(match[2]) if match[2] else highest
        if not lowest <= low <= high <= highest:
            raise ValueError(f"{match[0]} is outside {lowest}-{highest}")
        if not match[3]:
            return str(low + digest % (high - low + 1))
        step = int(match[3])
        if not 1 <= step <= high - low + 1:
            raise ValueError(f"the step of {match[0]} is outside 1-{high - low + 1}")
        return f"{low + digest % step}-{high}/{step}"

    return _H.sub(replace, field)


def is_cron(expression: str) -> bool:
    """Say whether a cron expression of five fields, H allowed, can be read and is ever due."""
    try:
        expanded = expand_cron(expression, "any")
        next(CronSim(expanded, datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, ValueError, StopIteration, IndexError):
        return False
    return True


def is_zone(name: str) -> bool:
    """Say whether a name is in the time zone database (spelling and case as there)."""
    if name.startswith(("posix", "right/")) or name in ("localtime", "Factory"):
        return False
    try:
        return zoneinfo.ZoneInfo(name).key == name
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False


class ScheduleSpec(Closed):
    """When runs are due. Obeyed by the operator; the command line runs when told."""

    cron: tuple[CronText, ...] = Field(
        min_length=1,
        max_length=8,
        description="One or more cron expressions of five fields; H spreads load by a value "
        "fixed by the object's name.",
    )
    time_zone: ZoneName = Field(
        default="UTC", description="Time zone in which cron is read, as in Europe/Berlin."
    )
    first_run: Literal["Now", "Scheduled"] = Field(
        default="Now",
        description="Whether a new object runs at once or waits for its first due time.",
    )
    catch_up_policy: Literal["Coalesce", "EachWindow", "Skip"] = Field(
        default="Coalesce",
        description="What happens to due times that were missed. Coalesce makes one run of them; "
        "EachWindow and Skip are "
        "not supported yet.",
    )
    starting_deadline_seconds: Seconds | None = Field(
        default=None, description="A due time missed by more than this is let go."
    )
    calendar: Label63 | None = Field(
        default=None,
        description="A calendar of the policy with times not to run. Not supported yet.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "cron",
            "cron cannot be read, or is never due.",
            "Write five fields within their ranges: minute 0-59, hour 0-23, day 1-31, month "
            "1-12, weekday 0-7, "
            "as in 'H 2 * * *'.",
            lambda schedule: all(is_cron(expression) for expression in schedule.cron),
        ),
        Rule(
            "timeZone",
            "timeZone is not in the time zone database.",
            "Write a name such as Europe/Berlin or UTC, spelt as there; not an offset or an "
            "abbreviation.",
            lambda schedule: is_zone(schedule.time_zone),
        ),
        build_not_yet(
            "catchUpPolicy",
            "catchUpPolicy other than Coalesce",
            lambda schedule: schedule.catch_up_policy == "Coalesce",
            "self.catchUpPolicy == 'Coalesce'",
            "Use Coalesce.",
        ),
        build_not_yet(
            "calendar",
            "calendar",
            lambda schedule: schedule.calendar is None,
            "!has(self.calendar)",
            "Remove calendar.",
        ),
    )


class TriggerSpec(Closed):
    """Asks for a run by hand."""

    manual: Text64 = Field(
        description="Any new text asks for one run; echoed in status.lastManualTrigger when it "
        "is done."
    )
