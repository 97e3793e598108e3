"""Read a table's head: what `unit` does for every dataset before the source's snapshot is opened.

Called by `run` (all units first) and by `dpp show`. It reads the whole log, version by version, and
keeps only the fold; a reader that starts at a checkpoint may take the place of `read_versions`
without anything else noticing. Calling it twice is harmless: it writes nothing but missing copies
of our own commits, each put only if absent.
"""

import hashlib
from collections.abc import Iterator

from dpp_core.errors import StreamError
from dpp_core.names import Reason
from dpp_extractor.ports import Store
from dpp_extractor.publish.copies import put_copy
from dpp_extractor.publish.delta import Commit, parse_commit
from dpp_extractor.publish.fold import NO_TABLE, Asked, Head, advance
from dpp_extractor.publish.hooks import NO_HOOKS, Hooks
from dpp_extractor.publish.keys import (
    Stream,
    copies_prefix,
    log_key,
    log_prefix,
    parse_log_version,
)


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
    head = advance(NO_TABLE, read_versions(store, stream), asked)
    if head.version < 0:
        _check_never_was(store, stream)
    _check_known_seq(head, asked, stream)
    if can_write:
        _put_missing_copies(store, stream, head, hooks)
    hooks.at("heads_read")
    return head


def read_versions(store: Store, stream: Stream, after: int = -1) -> Iterator[Commit]:
    """Yield every version after `after`, ascending, one in memory at a time. Gaps are the fold's to
    find.
    """
    start_after = log_key(stream, after) if after >= 0 else ""
    for entry in store.list(log_prefix(stream), start_after):
        version = parse_log_version(entry.key)
        if version is not None:
            yield parse_commit(version, _read(store, entry.key))


def read_history(store: Store, stream: Stream, limit: int = 20) -> tuple[Commit, ...]:
    """Return the last versions, newest first, for `dpp show` and `dpp log`."""
    versions = [
        version
        for entry in store.list(log_prefix(stream))
        if (version := parse_log_version(entry.key)) is not None
    ]
    return tuple(
        parse_commit(version, _read(store, log_key(stream, version)))
        for version in sorted(versions, reverse=True)[:limit]
    )


def _read(store: Store, key: str) -> bytes:
    body = store.get(key)
    if body is None:
        raise StreamError(
            f"{store.uri}/{key} was listed and cannot be read.",
            fix="Read again; if it stays, restore the file from the bucket's versions.",
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
            fix="The bucket was rolled back or points elsewhere; restore it before the next run.",
        )


def _put_missing_copies(store: Store, stream: Stream, head: Head, hooks: Hooks) -> None:
    for lane, last in sorted(head.lanes.items()):
        body = _read(store, log_key(stream, last.version))
        if hashlib.sha256(body).hexdigest() != last.sha256:
            raise StreamError(
                f"Version {last.version} of {stream.dataset} changed while it was read.",
                fix="Nothing may write over a file of the log; find out who did.",
            )
        put_copy(store, stream, lane=lane, seq=last.seq, body=body, hooks=hooks)
