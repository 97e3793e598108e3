"""Where everything lies under a destination's root: the one place that spells keys.

Called by the stages that write and by `dpp show`. Pure text: no store is touched here. Every part
of a key is checked, because names with other characters were read wrong or silently doubled by
Delta readers, and because a key with `..` must never reach a folder.
"""

import re
from dataclasses import dataclass
from typing import Final

from dpp_core.errors import InternalError
from dpp_core.names import LIVE_APP_ID, LIVE_LANE

PROBE_PREFIX: Final = "_dpp_probe"
_SAFE_PART: Final = re.compile(r"[A-Za-z0-9._-]+")
_LOG_NAME: Final = re.compile(r"(\d{20})\.json")
_BACKFILL_LANE: Final = "backfill-"
_BACKFILL_APP_ID: Final = "dpp:backfill:"


@dataclass(frozen=True, slots=True)
class Stream:
    """One dataset of one extraction: the unit that is claimed, fenced and committed."""

    namespace: str
    extraction: str
    dataset: str


def extraction_prefix(namespace: str, extraction: str) -> str:
    """Return `<namespace>/<extraction>`, under which one extraction keeps everything."""
    return _joined(namespace, extraction)


def table_prefix(stream: Stream) -> str:
    """Return the table's root, what a reader opens."""
    return _joined(stream.namespace, stream.extraction, stream.dataset)


def log_prefix(stream: Stream) -> str:
    return f"{table_prefix(stream)}/_delta_log/"


def log_key(stream: Stream, version: int) -> str:
    return f"{log_prefix(stream)}{version:020d}.json"


def parse_log_version(key: str) -> int | None:
    """Return the version a log key names, None for checkpoints, checksums and anything else."""
    match = _LOG_NAME.fullmatch(key.rsplit("/", 1)[-1])
    return int(match.group(1)) if match else None


def data_path(attempt_id: str, number: int) -> str:
    """Return a data file's path relative to the table, as the `add` action names it."""
    return _joined("data", attempt_id, f"part-{number:05d}.parquet")


def data_key(stream: Stream, attempt_id: str, number: int) -> str:
    return f"{table_prefix(stream)}/{data_path(attempt_id, number)}"


def control_prefix(stream: Stream) -> str:
    """Return where a dataset's control data lies: outside the table, so table readers cannot read
    it.
    """
    return _joined(stream.namespace, stream.extraction, "_dpp", "datasets", stream.dataset)


def claim_key(stream: Stream) -> str:
    return f"{control_prefix(stream)}/claim.json"


def copies_prefix(stream: Stream) -> str:
    return f"{control_prefix(stream)}/commits/"


def copy_key(stream: Stream, lane: str, seq: int) -> str:
    return f"{control_prefix(stream)}/commits/{_joined(lane, f'{seq:020d}.json')}"


def seen_key(stream: Stream, lane: str, seq: int) -> str:
    return f"{control_prefix(stream)}/seen/{_joined(lane, f'{seq:020d}')}"


def quarantine_key(stream: Stream, run_id: str, name: str) -> str:
    return f"{control_prefix(stream)}/quarantine/{_joined(run_id, name)}"


def plan_key(namespace: str, extraction: str, run_id: str) -> str:
    return _joined(namespace, extraction, "_dpp", "plans", f"{run_id}.json")


def runs_prefix(namespace: str, extraction: str, run_id: str) -> str:
    return _joined(namespace, extraction, "_dpp", "runs", run_id) + "/"


def run_key(namespace: str, extraction: str, run_id: str, attempt_id: str) -> str:
    return _joined(namespace, extraction, "_dpp", "runs", run_id, f"{attempt_id}.json")


def app_id(lane: str) -> str:
    """Return the `txn.appId` of a lane: `dpp`, or `dpp:backfill:<xrun>`."""
    if lane == LIVE_LANE:
        return LIVE_APP_ID
    return _BACKFILL_APP_ID + lane.removeprefix(_BACKFILL_LANE)


def lane_of_app_id(value: str) -> str:
    """Return the lane of one of our `txn.appId`s."""
    if value == LIVE_APP_ID:
        return LIVE_LANE
    return _BACKFILL_LANE + value.removeprefix(_BACKFILL_APP_ID)


def is_our_app_id(value: str) -> bool:
    return value == LIVE_APP_ID or value.startswith(_BACKFILL_APP_ID)


def _joined(*parts: str) -> str:
    for part in parts:
        if not _SAFE_PART.fullmatch(part) or part in {".", ".."}:
            raise InternalError(
                f"The key part {part!r} of {parts!r} may only hold letters, digits, dot, dash and underscore."
            )
    return "/".join(parts)
