"""The last commit of ours in a log, and the head as it carries it.

Called by `head`. The log is read backwards until one of our commits is found: all before it was
judged by the attempt that made it. What strangers did after it is handed back for `head` to fold.
Where the log was cleaned, a checkpoint names the seq and our own copy has the commit.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from dpp_core.errors import StreamError
from dpp_core.names import LIVE_LANE, Reason
from dpp_extractor.ports import Store
from dpp_extractor.publish.carry import Carried, parse_carried
from dpp_extractor.publish.checkpoint import (
    CheckpointState,
    CheckpointUnreadableError,
    read_state,
)
from dpp_extractor.publish.copies import (
    find_last_copy,
    read_by_place,
    read_copy,
    read_lane,
    read_version,
)
from dpp_extractor.publish.delta import Commit
from dpp_extractor.publish.draft import REPLACING_KINDS, OurCommit
from dpp_extractor.publish.fold import Asked, Head, Place, Trouble, find_ours
from dpp_extractor.publish.keys import Stream, is_our_app_id, lane_of_app_id
from dpp_extractor.publish.span import Span, find_whole_span

HELD_COMMITS: Final = 100
"""How many strangers' commits are kept while looking for ours; more are read a second time."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """Our last commit; `later` the strangers' after it, oldest first, None when they are too many.

    `has_copy` True = it was read from its copy, the log's own is gone.
    """

    commit: Commit
    ours: OurCommit
    later: tuple[Commit, ...] | None
    has_copy: bool = False


def find_anchor(store: Store, stream: Stream, span: Span) -> Anchor | None:
    """Look for our last commit, newest version first; None when there is none of ours at all.

    Raises StreamError (29) when it is gone from the log and from the copies, or when commits
    between it and the head are.
    """
    later: list[Commit] = []
    version = span.last
    while version >= span.first or not span.is_whole:
        if version < span.first:
            span = find_whole_span(store, stream) or replace(span, is_whole=True)
            continue
        commit = read_version(store, stream, version)
        ours = find_ours(commit)
        if ours is not None:
            _check_place(ours, commit)
            is_held = len(later) < HELD_COMMITS
            return Anchor(commit, ours, tuple(reversed(later)) if is_held else None)
        if len(later) < HELD_COMMITS:
            later.append(commit)
        version -= 1
    return _find_cleaned(store, stream, span) if span.first > 0 else None


def restore_head(
    store: Store, stream: Stream, anchor: Anchor, span: Span, asked: Asked
) -> Head | None:
    """Build the head as of the anchor from what it carries; None when it carries nothing we know."""
    carried = parse_carried(anchor.ours.carried)
    if carried is None:
        return None
    lanes = {anchor.ours.lane: anchor.ours}
    copied = {anchor.ours.lane} if anchor.has_copy else set()
    for lane, at in carried.lanes.items():
        lanes[lane], is_copied = read_lane(store, stream, lane, at.seq, at.version)
        _check_same(stream, lanes[lane], at.sha256)
        copied |= {lane} if is_copied else set()
    if asked.lane not in lanes and asked.lane != LIVE_LANE:
        finished = find_last_copy(store, stream, asked.lane)
        lanes |= {asked.lane: finished} if finished else {}
        copied |= {asked.lane} if finished else set()
    place = carried.metadata or Place(
        anchor.commit.version,
        anchor.commit.sha256,
        f"{anchor.ours.lane}/{anchor.ours.seq:020d}.json",
    )
    is_replacing = anchor.ours.kind in REPLACING_KINDS
    return Head(
        version=anchor.commit.version,
        lanes=lanes,
        own=find_own(store, stream, lanes.get(asked.lane), asked),
        metadata=_read_metadata(store, stream, anchor, span, carried),
        protocol=carried.protocol,
        files={file.path: file for file in anchor.commit.adds} if is_replacing else {},
        consumed=carried.consumed,
        read_at=carried.read_at,
        metadata_at=place,
        copied=frozenset(copied),
        has_files=is_replacing,
    )


def find_own(
    store: Store, stream: Stream, last: OurCommit | None, asked: Asked
) -> OurCommit | None:
    """Find the asked run's last commit, going back by copies from the lane's last one.

    Goes back to `known_seq`, or without one to the first commit older than the run. Each step is
    checked against the chain.
    """
    while asked.run_id and last is not None and asked.reaches(last):
        if asked.has_made(last):
            return last
        last = _read_before(store, stream, last) if last.seq > 1 else None
    return None


def build_strangers_head(store: Store, stream: Stream, span: Span) -> Head:
    """Give the head of a table that was never ours: it cannot be taken over."""
    commit = read_version(store, stream, span.first)
    return Head(
        version=span.last,
        metadata=commit.metadata,
        protocol=commit.protocol,
        trouble=Trouble(
            Reason.STREAM_FOREIGN_CHANGE, span.first, commit.operation, is_healed_by_reset=False
        ),
        has_files=False,
    )


def _read_before(store: Store, stream: Stream, later: OurCommit) -> OurCommit:
    body = read_copy(store, stream, later.lane, later.seq - 1)
    if body is not None:
        before = find_ours(body)
        if before is None or before.sha256 != later.prev_sha256:
            raise _broken_chain(stream, later)
        return before
    for version in range(later.version - 1, -1, -1):
        before = find_ours(read_version(store, stream, version))
        if before is not None and (before.lane, before.seq) == (later.lane, later.seq - 1):
            if before.sha256 != later.prev_sha256:
                raise _broken_chain(stream, later)
            return before
    raise _broken_chain(stream, later)


def _read_metadata(
    store: Store, stream: Stream, anchor: Anchor, span: Span, carried: Carried
) -> dict[str, Any]:
    if carried.metadata is None:
        metadata = anchor.commit.metadata
    elif (commit := read_by_place(store, stream, carried.metadata)) is not None:
        metadata = commit.metadata
    else:
        whole = span if span.is_whole else find_whole_span(store, stream)
        metadata = _read_newest_state(store, stream, whole or span).metadata
    if metadata is None:
        raise StreamError(
            f"Commit {anchor.ours.seq} of {stream.dataset} names a version for the table's columns "
            "that has none.",
            fix="Compare the log with the copies under _dpp/datasets; somebody changed a file of the log.",
        )
    return dict(metadata)


def _find_cleaned(store: Store, stream: Stream, span: Span) -> Anchor | None:
    """Our last commit is older than the log: the newest checkpoint has its seq, the copy the rest."""
    state = _read_newest_state(store, stream, span)
    found: list[tuple[OurCommit, Commit]] = []
    for app_id, seq in state.txns.items():
        if not is_our_app_id(app_id):
            continue
        commit = read_copy(store, stream, lane_of_app_id(app_id), seq)
        ours = find_ours(commit) if commit else None
        if commit is None or ours is None:
            raise StreamError(
                f"Commit {seq} of {stream.dataset} is gone from the table's log, and so is its copy.",
                fix="Restore _delta_log or _dpp/datasets from the bucket's versions.",
            )
        found.append((ours, commit))
    if not found:
        return None
    ours, commit = max(found, key=lambda pair: pair[0].version)
    if ours.version < span.first - 1:
        raise StreamError(
            f"Versions {ours.version + 1} to {span.first - 1} of {stream.dataset} were cleaned from the log "
            "before DPP could see what they did to the table.",
            fix="Restore them from the bucket's versions.",
        )
    return Anchor(commit, ours, None, has_copy=True)


def _read_newest_state(store: Store, stream: Stream, span: Span) -> CheckpointState:
    for checkpoint in reversed(span.checkpoints):
        try:
            return read_state(store, checkpoint)
        except CheckpointUnreadableError:
            continue
    raise StreamError(
        f"The log of {stream.dataset} begins with version {span.first}, and no checkpoint can be read.",
        fix="Restore _delta_log from the bucket's versions.",
    )


def _check_place(ours: OurCommit, commit: Commit) -> None:
    if (ours.version, ours.base_seq) != (commit.version, ours.seq - 1):
        raise StreamError(
            f"The chain of lane {ours.lane} breaks at version {commit.version}: it says seq {ours.seq} on base "
            f"{ours.base_seq}, version {ours.version}.",
            fix="Compare the log with the copies under _dpp/datasets; somebody changed a file of the log.",
        )


def _check_same(stream: Stream, found: OurCommit, sha256: str) -> None:
    if found.sha256 != sha256:
        raise _broken_chain(stream, found)


def _broken_chain(stream: Stream, at: OurCommit) -> StreamError:
    return StreamError(
        f"The chain of lane {at.lane} of {stream.dataset} breaks at seq {at.seq}, version {at.version}: the "
        "commit before it is missing or is not the one it was built on.",
        fix="Compare the log with the copies under _dpp/datasets; somebody changed a file of the log.",
    )
