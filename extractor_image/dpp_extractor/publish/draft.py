"""What a unit wants to commit (`Draft`), and what one of our commits says (`OurCommit`).

`unit` fills a Draft when all parts lie in the store; `body` turns it into bytes, `fold` reads them
back. Pure. The field names of `commitInfo.dpp` are frozen: readers of old commits must find them
for ever, so changes are additive only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import pyarrow as pa

from dpp_core.errors import StreamError
from dpp_core.names import COMMIT_FORMAT, LIVE_LANE, Reason
from dpp_extractor.batch import Counts, Part, Window
from dpp_extractor.publish.identity import Identity, build_identity_fields

Kind = Literal["append", "replace", "reset", "backfill"]
REPLACING_KINDS: Final = ("replace", "reset")


@dataclass(frozen=True, slots=True)
class Position:
    """Where a step ended: the last row's cursor and key as canonical text; the next low is this,
    exclusive.
    """

    cursor: str
    key: tuple[str, ...]


Watermark = str | Position
"""`high` of a finished window as canonical text (see batch.Window), or the Position after a step.
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """All that goes into one commit but what depends on the version it lands on.

    `parts` lie finished in the store. `watermark` is the state after; None on a Replace without a
    cursor. `schema` carries field metadata and the `_dpp_*` columns. `approved` names the runs
    whose block this commit lets through.
    """

    kind: Kind
    run_id: str
    run_created_at: datetime
    attempt_id: str
    generation: int
    epoch: int
    identity: Identity
    window: Window | None
    watermark: Watermark | None
    source_snapshot: str
    source_clock_at: datetime
    counts: Counts
    schema: pa.Schema
    fingerprint: str
    parts: tuple[Part, ...]
    read_at: datetime
    plan_digest: str
    code_version: str
    image_digest: str = ""
    final: bool = True
    approved: tuple[str, ...] = ()
    lane: str = LIVE_LANE


@dataclass(frozen=True, slots=True)
class OurCommit:
    """One of our commits as found in the log; `sha256` is of its bytes, `committed_at` of the
    writer's store clock.
    """

    lane: str
    seq: int
    base_seq: int
    version: int
    epoch: int
    kind: str
    run_id: str
    attempt_id: str
    final: bool
    read_at: datetime
    committed_at: datetime
    watermark: Watermark | None
    identity: Mapping[str, Any]
    counts: Counts
    fingerprint: str
    approved: tuple[str, ...]
    prev_sha256: str | None
    sha256: str
    window: Mapping[str, Any] | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    generation: int = 0
    code_version: str = ""
    carried: Mapping[str, Any] | None = None
    """What it says of the table around it, as it stands in the commit; see `carry`."""


def build_dpp(draft: Draft, *, previous: OurCommit | None, version: int) -> dict[str, Any]:
    """Build `commitInfo.dpp` for the commit that follows `previous` in its lane."""
    base_seq = previous.seq if previous else 0
    return {
        "format": COMMIT_FORMAT,
        "min_reader": COMMIT_FORMAT,
        "lane": draft.lane,
        "seq": base_seq + 1,
        "base_seq": base_seq,
        "version": version,
        "epoch": draft.epoch,
        "read_at": instant_text(draft.read_at),
        "final": draft.final,
        "approved": list(draft.approved),
        "run_created_at": instant_text(draft.run_created_at),
        "kind": draft.kind,
        "attempt_id": draft.attempt_id,
        "run_id": draft.run_id,
        "generation": draft.generation,
        "prev_sha256": previous.sha256 if previous else None,
        "identity": build_identity_fields(draft.identity),
        "window": _window_fields(draft.window),
        "watermark": _watermark_fields(draft.watermark),
        "source": {
            "snapshot": draft.source_snapshot,
            "clock": instant_text(draft.source_clock_at),
        },
        "counts": _counts_fields(draft.counts),
        "contract": None,
        "schema_fingerprint": draft.fingerprint,
        "plan_digest": draft.plan_digest,
        "key_ids": [],
        "row_digest": None,
        "image_digest": draft.image_digest,
        "code_version": draft.code_version,
    }


def parse_our_commit(info: Mapping[str, Any], sha256: str) -> OurCommit:
    """Read a `commitInfo` with our `dpp` object.

    Raises StreamError (29): StreamFormatNewer when a newer extractor wrote it, StreamChainBroken
    when it is damaged.
    """
    fields = info["dpp"]
    try:
        if fields["min_reader"] > COMMIT_FORMAT:
            raise StreamError(
                f"The commit of run {fields.get('run_id')!r} needs a reader of format {fields['min_reader']}; "
                f"this extractor reads up to {COMMIT_FORMAT}.",
                reason=Reason.STREAM_FORMAT_NEWER,
                fix="Use the extractor image that wrote it, or a newer one.",
            )
        return _our_commit(info, fields, sha256)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StreamError(
            f"A commit of ours cannot be read: {type(error).__name__} {error}.",
            fix="Compare it with its copy under _dpp/datasets; restore the log from there.",
        ) from error


def instant_text(moment: datetime) -> str:
    """Render an instant as ISO 8601 with microseconds in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _our_commit(info: Mapping[str, Any], fields: Mapping[str, Any], sha256: str) -> OurCommit:
    return OurCommit(
        lane=str(fields["lane"]),
        seq=int(fields["seq"]),
        base_seq=int(fields["base_seq"]),
        version=int(fields["version"]),
        epoch=int(fields["epoch"]),
        kind=str(fields["kind"]),
        run_id=str(fields["run_id"]),
        attempt_id=str(fields["attempt_id"]),
        final=bool(fields["final"]),
        read_at=datetime.fromisoformat(fields["read_at"]),
        committed_at=datetime.fromtimestamp(info["timestamp"] / 1000, UTC),
        watermark=_parse_watermark(fields["watermark"]),
        identity=dict(fields["identity"]),
        counts=_parse_counts(fields["counts"]),
        fingerprint=str(fields["schema_fingerprint"]),
        approved=tuple(fields["approved"]),
        prev_sha256=fields["prev_sha256"],
        sha256=sha256,
        window=fields.get("window"),
        source=fields.get("source") or {},
        generation=int(fields.get("generation") or 0),
        code_version=str(fields.get("code_version") or ""),
        carried=fields.get("carried"),
    )


def _window_fields(window: Window | None) -> dict[str, Any] | None:
    if window is None:
        return None
    return {
        "cursor": window.cursor,
        "kind": window.kind,
        "low": window.low,
        "high": window.high,
        "holder": window.holder,
        "reason": window.reason,
        **({"with_nulls": True} if window.with_nulls else {}),
    }


def _watermark_fields(watermark: Watermark | None) -> Any:
    if isinstance(watermark, Position):
        return {"cursor": watermark.cursor, "key": list(watermark.key)}
    return watermark


def _parse_watermark(value: Any) -> Watermark | None:
    if isinstance(value, Mapping):
        return Position(str(value["cursor"]), tuple(value["key"]))
    return None if value is None else str(value)


def _counts_fields(counts: Counts) -> dict[str, Any]:
    nulled = {"nulled": dict(counts.nulled)} if counts.nulled else {}
    deleted = {"deleted": counts.deleted} if counts.deleted else {}
    return nulled | {
        "read": counts.read,
        "filtered": counts.filtered,
        "quarantined": counts.quarantined,
        "written": counts.written,
        "future": counts.future,
        **deleted,
    }


def _parse_counts(fields: Mapping[str, Any]) -> Counts:
    known = ("read", "filtered", "quarantined", "written", "future", "deleted")
    nulled = {str(name): int(count) for name, count in fields.get("nulled", {}).items()}
    return Counts(**{name: int(fields.get(name, 0)) for name in known}, nulled=nulled)
