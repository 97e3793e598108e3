"""Carry out the commit protocol against a store: put, read, judge, put again, until `protocol.step`
says stop.

Called by `unit` once all parts lie in the store. Nothing is decided here. Called twice with the
same Draft it ends with the same one commit: an attempt finds itself by attempt_id and seq, a
successor of the same run by run_id.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dpp_core.errors import (
    DeadlineError,
    DestinationUnavailableError,
    DppError,
    FencedError,
    InternalError,
    SchemaChangedError,
    StreamError,
    TemporaryFailure,
)
from dpp_core.names import LIVE_LANE, Reason
from dpp_extractor.ports import Put, Store
from dpp_extractor.publish import protocol
from dpp_extractor.publish.body import build_commit_bytes, carries_metadata
from dpp_extractor.publish.copies import put_copy
from dpp_extractor.publish.delta import Commit, parse_commit
from dpp_extractor.publish.draft import REPLACING_KINDS, Draft
from dpp_extractor.publish.fold import Head, advance, find_ours, observe
from dpp_extractor.publish.hooks import NO_HOOKS, Hooks
from dpp_extractor.publish.keys import Stream, log_key, table_prefix
from dpp_extractor.publish.protocol import Verdict


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit that exists. `already` = an earlier attempt of the same run had made it, not this
    one.

    `has_copy` is False when the store failed after the commit; the next run then writes the copy.
    """

    seq: int
    version: int
    read_at: datetime
    sha256: str
    already: bool = False
    has_copy: bool = True


@dataclass(frozen=True, slots=True)
class _Place:
    store: Store
    stream: Stream
    draft: Draft
    hooks: Hooks


@dataclass(slots=True)
class _Progress:
    """What one attempt remembers between two requests; `last` is the table at the last version that
    was read.
    """

    first: Head
    last: Head
    sent_version: int = -1
    body: bytes = b""
    tries: int = 0
    found: Commit | None = None


def commit(
    store: Store,
    stream: Stream,
    head: Head,
    draft: Draft,
    *,
    deadline_at: datetime,
    hooks: Hooks = NO_HOOKS,
) -> Committed:
    """Commit a draft on the head that was read before its source snapshot was opened.

    Raises FencedError (27), TemporaryFailure (75: overtaken, a part missing; DeadlineError: too late), StreamError
    (29: the table is not ours any more), DestinationUnavailableError (26: outcome unknown, the same
    run finds out when it is started again).
    """
    _check_draft(head, draft)
    place = _Place(store, stream, draft, hooks)
    progress = _Progress(head, head)
    attempt = _attempt(head, draft, deadline_at)
    state, request = protocol.begin(attempt, head.version, store.now())
    while not isinstance(request, protocol.Stop):
        state, request = protocol.step(state, _carry_out(place, progress, request))
    if request.verdict is Verdict.COMMITTED:
        return _committed(place, progress, attempt.seq, request.version)
    if request.verdict is Verdict.ALREADY_COMMITTED and progress.found is not None:
        return _already_committed(progress.found)
    raise _error_of(request, stream, draft, is_unanswered=progress.sent_version == request.version)


def _carry_out(place: _Place, progress: _Progress, request: protocol.Request) -> protocol.Event:
    match request:
        case protocol.PutCommit():
            return _put(place, progress, request)
        case protocol.GetVersion():
            return _get(place, progress, request.version)
        case protocol.CheckParts():
            return _check_parts(place)
    raise InternalError(f"The commit protocol asked for {request!r}.")


def _put(place: _Place, progress: _Progress, request: protocol.PutCommit) -> protocol.Event:
    if progress.sent_version == request.version:
        place.hooks.pause(progress.tries)
        progress.tries += 1
    else:
        is_first = request.built_on == progress.first.version
        table = progress.first if is_first else progress.last
        _check_columns(place.draft, table)
        progress.body = build_commit_bytes(
            place.draft,
            table,
            version=request.version,
            name=place.stream.dataset,
            at=place.store.now(),
        )
        progress.sent_version, progress.tries = request.version, 0
    place.hooks.at("commit_sent")
    answer = place.store.put_if_absent(log_key(place.stream, request.version), progress.body)
    place.hooks.at("commit_unread")
    return protocol.Answered(answer is Put.CREATED)


def _get(place: _Place, progress: _Progress, version: int) -> protocol.Event:
    body = place.store.get(log_key(place.stream, version))
    if body is None:
        return protocol.Absent(place.store.now())
    try:
        found = parse_commit(version, body)
    except StreamError:
        return protocol.Unreadable()
    seen = observe(progress.last, found)
    progress.found = found
    progress.last = advance(progress.last, [found])
    return protocol.Found(seen)


def _check_parts(place: _Place) -> protocol.Event:
    prefix = table_prefix(place.stream)
    entries = ((part, place.store.head(f"{prefix}/{part.path}")) for part in place.draft.parts)
    are_all_there = all(
        entry is not None and entry.size_bytes == part.size_bytes for part, entry in entries
    )
    return protocol.PartsChecked(are_all_there, place.store.now())


def _committed(place: _Place, progress: _Progress, seq: int, version: int) -> Committed:
    place.hooks.at("committed" if place.draft.final else "step_committed")
    has_copy = True
    try:
        put_copy(
            place.store,
            place.stream,
            lane=place.draft.lane,
            seq=seq,
            body=progress.body,
            hooks=place.hooks,
        )
        place.hooks.at("copied")
    except DestinationUnavailableError:
        has_copy = False
    return Committed(
        seq=seq,
        version=version,
        read_at=place.draft.read_at,
        sha256=hashlib.sha256(progress.body).hexdigest(),
        has_copy=has_copy,
    )


def _already_committed(found: Commit) -> Committed:
    ours = find_ours(found)
    if ours is None:
        raise InternalError(f"Version {found.version} was taken for ours and is not.")
    return Committed(ours.seq, ours.version, ours.read_at, ours.sha256, already=True)


def _attempt(head: Head, draft: Draft, deadline_at: datetime) -> protocol.Attempt:
    previous = head.lanes.get(draft.lane)
    return protocol.Attempt(
        lane=draft.lane,
        seq=(previous.seq if previous else 0) + 1,
        epoch=draft.epoch,
        kind=draft.kind,
        run_id=draft.run_id,
        attempt_id=draft.attempt_id,
        has_metadata=carries_metadata(draft, head),
        deadline_at=deadline_at,
        oldest_part_at=min((part.modified_at for part in draft.parts), default=None),
    )


def _check_draft(head: Head, draft: Draft) -> None:
    if head.read_at is not None and draft.read_at <= head.read_at:
        raise InternalError(f"read_at {draft.read_at} is not after the head's {head.read_at}.")
    if draft.kind in REPLACING_KINDS and not head.has_files:
        raise InternalError(f"A {draft.kind} needs a head that was read with its files.")
    if draft.lane != LIVE_LANE and (head.version < 0 or carries_metadata(draft, head)):
        raise SchemaChangedError(
            f"Lane {draft.lane} may neither create the table nor change its columns.",
            fix="Run the live lane first.",
        )


def _check_columns(draft: Draft, head: Head) -> None:
    """Stop a backfill whose columns are not the table's any more: it never writes metaData."""
    if draft.lane != LIVE_LANE and carries_metadata(draft, head):
        raise TemporaryFailure(
            f"The columns of the table changed while lane {draft.lane} was read.",
            fix="Run it again; it starts from the new head.",
        )


@dataclass(frozen=True, slots=True)
class _End:
    """How a verdict is told: the error's class, its reason, and a sentence with {version} and
    {dataset}.
    """

    error: type[DppError]
    reason: Reason
    sentence: str
    fix: str = ""


_AGAIN: Final = "Run it again; it starts from the new head."
_EPOCH: Final = (
    "Look at the table's history; to replace it by the source's state raise the dataset's epoch."
)
_ENDS: Final[dict[Verdict, _End]] = {
    Verdict.FENCED: _End(
        FencedError,
        Reason.FENCED,
        "Another run committed version {version} of {dataset} first.",
        "Nothing is to be done: its commit holds the rows, and the next run goes on from there.",
    ),
    Verdict.UNFINISHED: _End(
        TemporaryFailure,
        Reason.OVERTAKEN,
        "Another attempt of this run is committing {dataset} in steps, last version {version}.",
        _AGAIN,
    ),
    Verdict.OVERTAKEN: _End(
        TemporaryFailure,
        Reason.OVERTAKEN,
        "The reset of {dataset} was overtaken by version {version} of the old epoch.",
        _AGAIN,
    ),
    Verdict.COLUMNS_MOVED: _End(
        TemporaryFailure,
        Reason.OVERTAKEN,
        "Somebody changed the columns of {dataset} in version {version} while it was read.",
        _AGAIN,
    ),
    Verdict.PART_MISSING: _End(
        TemporaryFailure,
        Reason.OVERTAKEN,
        "A data file of {dataset} went away before version {version} could be committed.",
        "Run it again, and keep the vacuum's retention at seven days or more.",
    ),
    Verdict.LATE: _End(
        DeadlineError,
        Reason.DEADLINE_EXCEEDED,
        "Version {version} of {dataset} was not committed: less than a minute was left to the deadline.",
        "Raise run.deadlineSeconds, or run it again.",
    ),
    Verdict.RESTORED: _End(
        StreamError,
        Reason.STREAM_RESTORED,
        "Version {version} of {dataset} restored an older state of the table.",
        _EPOCH,
    ),
    Verdict.FOREIGN_CHANGE: _End(
        StreamError,
        Reason.STREAM_FOREIGN_CHANGE,
        "Version {version} of {dataset} changed the table in a way DPP cannot build on.",
        _EPOCH,
    ),
    Verdict.UNREADABLE: _End(
        StreamError,
        Reason.STREAM_CHAIN_BROKEN,
        "Version {version} of {dataset} is there and cannot be read.",
        "Restore the file from its copy under _dpp/datasets, or from the bucket's versions.",
    ),
}


_LEAVES_FREE: Final = (Verdict.LATE, Verdict.PART_MISSING)
"""Ends that leave the version free, so that a PUT of it that got no answer may yet arrive."""


def _error_of(
    stop: protocol.Stop, stream: Stream, draft: Draft, *, is_unanswered: bool
) -> DppError:
    end = _ENDS[stop.verdict]
    sentence = end.sentence.format(version=stop.version, dataset=stream.dataset)
    left = f"Run {draft.run_id} left nothing visible."
    if is_unanswered and stop.verdict in _LEAVES_FREE:
        left = f"Its write got no answer; should it still arrive, the next run finds it by {draft.run_id}."
    return end.error(f"{sentence} {left}", reason=end.reason, fix=end.fix)
