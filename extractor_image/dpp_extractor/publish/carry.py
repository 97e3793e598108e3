"""What each of our commits says of the table around it, so that its reader needs no other commit.

Called by `body` (to write) and `anchor` (to read). It is additive to the format: a commit without
it, or with one that does not fit, is read the long way. Nothing in it is a second truth: it names
versions by their digest, and what is read by it is checked against them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dpp_core.names import LIVE_LANE
from dpp_extractor.publish.draft import Draft, instant_text
from dpp_extractor.publish.fold import Head, Place


@dataclass(frozen=True, slots=True)
class LanePlace:
    """The last commit of another lane."""

    seq: int
    version: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Carried:
    """The table as of one of our commits. `metadata` None = the commit has the metaData itself."""

    metadata: Place | None
    protocol: Mapping[str, Any]
    lanes: Mapping[str, LanePlace]
    read_at: datetime
    consumed: frozenset[str]


def build_carried(
    draft: Draft, head: Head, *, has_metadata: bool, protocol: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Build what a commit on `head` carries; None when nobody knows where the metaData lies.

    A lane that is finished and has its copy is left out: nobody goes on from it.
    """
    place = None if has_metadata else head.metadata_at
    if place is None and not has_metadata:
        return None
    return {
        "metadata": None if place is None else _place_fields(place),
        "protocol": dict(protocol),
        "lanes": {
            lane: {"seq": last.seq, "version": last.version, "sha256": last.sha256}
            for lane, last in sorted(head.lanes.items())
            if lane != draft.lane
            and (lane == LIVE_LANE or not last.final or lane not in head.copied)
        },
        "read_at": instant_text(max(draft.read_at, head.read_at or draft.read_at)),
        "consumed": sorted(head.consumed | set(draft.approved)),
    }


def parse_carried(fields: Mapping[str, Any] | None) -> Carried | None:
    """Read it back; None when it is not there or not of the form we know."""
    if fields is None:
        return None
    try:
        place = fields["metadata"]
        return Carried(
            metadata=Place(int(place["version"]), str(place["sha256"]), str(place["copy"]))
            if place is not None
            else None,
            protocol=dict(fields["protocol"]),
            lanes={
                str(lane): LanePlace(int(at["seq"]), int(at["version"]), str(at["sha256"]))
                for lane, at in fields["lanes"].items()
            },
            read_at=datetime.fromisoformat(fields["read_at"]),
            consumed=frozenset(map(str, fields["consumed"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _place_fields(place: Place) -> dict[str, Any]:
    return {"version": place.version, "sha256": place.sha256, "copy": place.copy}
