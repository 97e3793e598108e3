"""Byte copies of our commits, beside the table: our state survives any cleaning of Delta's log.

Called by `commit` right after a commit, by `head` for a copy that a killed run left out, and by
`anchor` to read a commit by its lane and seq. Put twice, nothing happens.
"""

from collections import deque
from dataclasses import replace
from typing import Final

from dpp_core.errors import DestinationUnavailableError, StreamError
from dpp_extractor.ports import Put, Store
from dpp_extractor.publish.delta import Commit, parse_commit
from dpp_extractor.publish.draft import OurCommit
from dpp_extractor.publish.fold import Place, find_ours
from dpp_extractor.publish.hooks import Hooks
from dpp_extractor.publish.keys import Stream, copies_prefix, copy_key, log_key

_TRIES: Final = 8


def put_copy(
    store: Store, stream: Stream, *, lane: str, seq: int, body: bytes, hooks: Hooks
) -> None:
    """Put the copy of commit `seq` unless it is there; one request when it is not.

    Raises StreamError (29) when another copy is there, DestinationUnavailableError (26) when the
    store gives no answer.
    """
    key = copy_key(stream, lane, seq)
    for tries in range(_TRIES):
        if store.put_if_absent(key, body) is Put.CREATED:
            return
        present = store.get(key)
        if present is not None:
            if present != body:
                raise differs(store, key)
            return
        hooks.pause(tries)
    raise DestinationUnavailableError(
        f"{store.uri}/{key} could not be written in {_TRIES} tries.",
        fix="The commit itself is safe; the next run writes the copy.",
    )


def read_version(store: Store, stream: Stream, version: int) -> Commit:
    """Read a version that is known to be there. Raises StreamError (29) when it is not, or is torn."""
    key = log_key(stream, version)
    body = store.get(key)
    if body is None:
        raise StreamError(
            f"{store.uri}/{key} should be there and cannot be read.",
            fix="Read again; if it stays, restore the file from the bucket's versions.",
        )
    return parse_commit(version, body)


def read_copy(store: Store, stream: Stream, lane: str, seq: int) -> Commit | None:
    """Read a commit by its copy; the version is the one it says itself. None when there is no copy."""
    body = store.get(copy_key(stream, lane, seq))
    return _parse_copy(body) if body is not None else None


def read_lane(
    store: Store, stream: Stream, lane: str, seq: int, version: int
) -> tuple[OurCommit, bool]:
    """Read a commit of a lane, and whether it was found as a copy. Raises StreamError (29)."""
    copy = read_copy(store, stream, lane, seq)
    commit = copy or read_version(store, stream, version)
    ours = find_ours(commit)
    if ours is None or (ours.lane, ours.seq) != (lane, seq):
        raise StreamError(
            f"Version {version} of {stream.dataset} is not commit {seq} of lane {lane}.",
            fix="Compare the log with the copies under _dpp/datasets; somebody changed a file of the log.",
        )
    return ours, copy is not None


def read_by_place(store: Store, stream: Stream, place: Place) -> Commit | None:
    """Read a commit by its version, or by its copy when the log was cleaned; None when both are gone.

    Raises StreamError (29) when it is not what it was.
    """
    body = store.get(log_key(stream, place.version))
    if body is None and place.copy:
        body = store.get(copies_prefix(stream) + place.copy)
    if body is None:
        return None
    commit = parse_commit(place.version, body)
    if commit.sha256 != place.sha256:
        raise StreamError(
            f"Version {place.version} of {stream.dataset} is not what it was when DPP built on it.",
            fix="Nothing may write over a file of the log; restore it from the bucket's versions.",
        )
    return commit


def find_last_copy(store: Store, stream: Stream, lane: str) -> OurCommit | None:
    """Return the last commit of a lane that has one; for lanes that are finished."""
    prefix = copies_prefix(stream) + f"{lane}/"
    last = deque(store.list(prefix), maxlen=1)
    body = store.get(last[0].key) if last else None
    return find_ours(_parse_copy(body)) if body is not None else None


def differs(store: Store, key: str) -> StreamError:
    return StreamError(
        f"{store.uri}/{key} differs from the commit in the table's log.",
        fix="Find out which of the two was changed; the bucket's versions tell.",
    )


def _parse_copy(body: bytes) -> Commit:
    said = parse_commit(-1, body)
    version = (said.info.get("dpp") or {}).get("version", -1)
    return replace(said, version=int(version))
