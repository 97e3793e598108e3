"""Read a table's head: what `unit` does for every dataset before the source's snapshot is opened.

Called by `run` (all units first) and by `dpp show`. Usually three requests: a LIST from a hint on,
our last commit, and the commit that holds the columns. A table of ten commits and one of ten
thousand cost the same. `find_head` writes nothing; `heal_copies` only puts missing copies of our own
commits, each if absent, so calling them twice is harmless.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from dpp_core.errors import StreamError
from dpp_core.names import Reason
from dpp_extractor.ports import Store
from dpp_extractor.publish.anchor import build_strangers_head, find_anchor, restore_head
from dpp_extractor.publish.copies import differs, put_copy, read_version
from dpp_extractor.publish.delta import Commit
from dpp_extractor.publish.files import read_files
from dpp_extractor.publish.fold import NO_TABLE, Asked, Head, advance
from dpp_extractor.publish.hooks import NO_HOOKS, Hooks
from dpp_extractor.publish.keys import (
    Stream,
    copies_prefix,
    copy_key,
    log_key,
    log_prefix,
    parse_log_version,
)
from dpp_extractor.publish.span import Span, find_span


def read_head(
    store: Store,
    stream: Stream,
    asked: Asked,
    *,
    hooks: Hooks = NO_HOOKS,
    can_write: bool = True,
) -> Head:
    """Read the stream's head and heal missing copies of our last commits (not with `can_write`
    False).

    Raises StreamError (29): TableMissing, StreamBehind, StreamChainBroken, StreamFormatNewer. What
    a stranger did to the table is in `Head.trouble`; `admit` decides on it, because a reset may
    heal it.
    """
    head = find_head(store, stream, asked)
    if can_write:
        head = heal_copies(store, stream, head, hooks)
    hooks.at("heads_read")
    return head


def find_head(store: Store, stream: Stream, asked: Asked) -> Head:
    """Read the stream's head and write nothing. Raises as `read_head` does."""
    span = find_span(store, stream, asked.known_seq)
    if span is None:
        _check_never_was(store, stream)
        head = NO_TABLE
    else:
        head = _read_span(store, stream, span, asked)
    _check_known_seq(head, asked, stream)
    return head


def heal_copies(store: Store, stream: Stream, head: Head, hooks: Hooks = NO_HOOKS) -> Head:
    """Look at the copy of each lane's last commit and put it when it is missing; return the head
    that knows. Raises StreamError (29) when a copy differs from the log.
    """
    for lane, last in sorted(head.lanes.items()):
        if lane in head.copied:
            continue
        key = copy_key(stream, lane, last.seq)
        body = store.get(key)
        if body is None:
            body = _read_again(store, stream, last.version, last.sha256)
            put_copy(store, stream, lane=lane, seq=last.seq, body=body, hooks=hooks)
        elif hashlib.sha256(body).hexdigest() != last.sha256:
            raise differs(store, key)
    return replace(head, copied=frozenset(head.lanes))


def read_versions(store: Store, stream: Stream, after: int = -1) -> Iterator[Commit]:
    """Yield every version after `after`, ascending, one in memory at a time. Gaps are the fold's to
    find.
    """
    start_after = log_key(stream, after) if after >= 0 else ""
    for entry in store.list(log_prefix(stream), start_after):
        version = parse_log_version(entry.key)
        if version is not None and entry.key == log_key(stream, version):
            yield read_version(store, stream, version)


def read_history(store: Store, stream: Stream, limit: int = 20) -> tuple[Commit, ...]:
    """Return the last versions, newest first, for `dpp show` and `dpp log`."""
    versions = [
        version
        for entry in store.list(log_prefix(stream))
        if (version := parse_log_version(entry.key)) is not None
    ]
    return tuple(
        read_version(store, stream, version) for version in sorted(versions, reverse=True)[:limit]
    )


def _read_span(store: Store, stream: Stream, span: Span, asked: Asked) -> Head:
    anchor = find_anchor(store, stream, span)
    if anchor is None:
        return build_strangers_head(store, stream, span)
    head = restore_head(store, stream, anchor, span, asked)
    if head is None:
        return advance(NO_TABLE, read_versions(store, stream), asked)
    later = anchor.later
    if later is None:
        head = advance(head, read_versions(store, stream, after=head.version), asked)
    else:
        head = advance(head, later, asked)
    if head.has_files or not asked.needs_files(head.live):
        return head
    return replace(head, files=read_files(store, stream, span, head.version), has_files=True)


def _read_again(store: Store, stream: Stream, version: int, sha256: str) -> bytes:
    body = store.get(log_key(stream, version))
    if body is None or hashlib.sha256(body).hexdigest() != sha256:
        raise StreamError(
            f"Version {version} of {stream.dataset} changed while it was read.",
            fix="Nothing may write over a file of the log; find out who did.",
        )
    return body


def _check_never_was(store: Store, stream: Stream) -> None:
    first = next(iter(store.list(copies_prefix(stream))), None)
    if first is not None:
        raise StreamError(
            f"The table of {stream.dataset} is gone from {store.uri}, but its commits are known, such as {first.key}.",
            reason=Reason.TABLE_MISSING,
            fix="Restore the table's folder, or remove the dataset's control data to start over knowingly.",
        )


def _check_known_seq(head: Head, asked: Asked, stream: Stream) -> None:
    last = head.lanes.get(asked.lane)
    seq = last.seq if last else 0
    if asked.known_seq is not None and seq < asked.known_seq:
        raise StreamError(
            f"The log of {stream.dataset} ends with commit {seq}, but commit {asked.known_seq} was known.",
            reason=Reason.STREAM_BEHIND,
            fix="The bucket was rolled back or points elsewhere: restore it, or bring the extraction's folder along. "
            "To begin anew in another destination raise the dataset's epoch.",
        )
