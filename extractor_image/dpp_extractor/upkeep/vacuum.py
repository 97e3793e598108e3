"""Files that no version within the retention needs go away; by age only, and never without being asked.

Called by `maintain`. deltalake finds and deletes: what was removed from the table longer ago than
the retention, and what attempts that were killed left behind, judged by its own age. Before anything
is deleted the list is held against the table and the store by this module: a file that is live or
young on it stops the vacuum. Twice deletes nothing more.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from dpp_core.errors import DestinationUnavailableError, StreamError, UsageError
from dpp_core.names import Reason
from dpp_core.spec.extraction import LONGEST_RUN_SECONDS
from dpp_extractor.ports import Entry, Store
from dpp_extractor.publish.fold import Asked, Head
from dpp_extractor.publish.head import read_head
from dpp_extractor.publish.keys import Stream, table_prefix
from dpp_extractor.upkeep.child import Bounds, Work, carry_out
from dpp_extractor.upkeep.place import Place

DEFAULT_HOURS: Final = 168
PROPERTY: Final = "delta.deletedFileRetentionDuration"
SKEW_SECONDS: Final = 60
_UNIT_HOURS: Final[Mapping[str, float]] = {
    "week": 168.0,
    "day": 24.0,
    "hour": 1.0,
    "minute": 1 / 60,
    "second": 1 / 3600,
    "millisecond": 1 / 3_600_000,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """How old is old, None = as short as is safe; and whether to delete."""

    retention_hours: int | None = None
    apply: bool = False


@dataclass(frozen=True, slots=True)
class Vacuum:
    """What was, or with `is_dry_run` would be, deleted."""

    paths: tuple[str, ...]
    size_bytes: int
    retention_hours: int
    is_dry_run: bool


def parse_interval_hours(text: str) -> float | None:
    """Read `interval 7 days` as hours; None for any other spelling, which engines ignore too."""
    words = text.lower().split()
    if len(words) != 3 or words[0] != "interval" or not words[1].isdigit():
        return None
    unit = _UNIT_HOURS.get(words[2].removesuffix("s"))
    return None if unit is None else int(words[1]) * unit


def decide_floor_hours(configuration: Mapping[str, Any]) -> int:
    """Return the shortest retention: the table's own, and twice the longest run there can be."""
    own = parse_interval_hours(str(configuration.get(PROPERTY, "")))
    longest = 2 * LONGEST_RUN_SECONDS / 3600
    return math.ceil(max(own if own is not None else DEFAULT_HOURS, longest))


def vacuum(
    store: Store, stream: Stream, place: Place, bounds: Bounds, *, rule: Rule, now: datetime
) -> Vacuum | None:
    """List or, when the rule says so, delete what is old; None without a table.

    Raises UsageError (2) below it, StreamError
    (29) for a table that is not ours any more or a list that is wrong, and what `child.carry_out`
    raises.
    """
    head = _read_head(store, stream)
    if head.version < 0:
        return None
    floor = decide_floor_hours((head.metadata or {}).get("configuration") or {})
    hours = floor if rule.retention_hours is None else rule.retention_hours
    if hours < floor:
        raise UsageError(
            f"A retention of {hours} hours could delete files that a run is about to commit.",
            field="--retention-hours",
            fix=f"Give {floor} or more for {stream.dataset}.",
        )
    _check_clock(store, now)
    arguments = {"retention_hours": hours, "dry_run": True}
    paths = carry_out(Work("vacuum", place, arguments), bounds)["paths"]
    found = _list_files(store, stream)
    size_bytes = sum(found[path].size_bytes for path in paths if path in found)
    check_list(paths, _read_head(store, stream), found, store.now() - timedelta(hours=hours))
    if rule.apply and paths:
        arguments["dry_run"] = False
        paths = carry_out(Work("vacuum", place, arguments), bounds)["paths"]
    return Vacuum(tuple(paths), size_bytes, hours, is_dry_run=not rule.apply)


def check_list(
    paths: list[str], head: Head, found: Mapping[str, Entry], oldest_kept_at: datetime
) -> None:
    """Raise StreamError (29) when a file to be deleted is live, or younger than the retention."""
    for path in paths:
        entry = found.get(path)
        is_young = entry is not None and entry.modified_at > oldest_kept_at
        if path in head.files or is_young:
            raise StreamError(
                f"The vacuum would delete {path}, which is {'in the table' if path in head.files else 'too young'}; "
                "nothing was deleted.",
                reason=Reason.STREAM_FOREIGN_CHANGE,
                fix="Look at the table with `dpp verify`, and report this.",
            )


def _check_clock(store: Store, now: datetime) -> None:
    skew_seconds = abs((store.now() - now).total_seconds())
    if skew_seconds > SKEW_SECONDS:
        raise DestinationUnavailableError(
            f"This machine's clock and the store's are {skew_seconds:.0f} s apart; ages cannot be told.",
            fix="Set the clock right, then vacuum again.",
        )


def _list_files(store: Store, stream: Stream) -> dict[str, Entry]:
    prefix = f"{table_prefix(stream)}/"
    return {entry.key.removeprefix(prefix): entry for entry in store.list(prefix)}


def _read_head(store: Store, stream: Stream) -> Head:
    never = datetime.max.replace(tzinfo=store.now().tzinfo)
    head = read_head(store, stream, Asked("", never), can_write=False)
    if head.trouble is not None and not head.trouble.is_healed_by_reset:
        raise StreamError(
            f"{stream.dataset} is another's table since version {head.trouble.version}.",
            reason=head.trouble.reason,
            fix="Move that table away first.",
        )
    return head
