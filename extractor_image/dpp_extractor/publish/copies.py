"""Byte copies of our commits, beside the table: our state survives any cleaning of Delta's log.

Called by `commit` right after a commit, and by `head` for a copy that a killed run left out. Put
twice, nothing happens.
"""

from typing import Final

from dpp_core.errors import DestinationUnavailableError, StreamError
from dpp_extractor.ports import Put, Store
from dpp_extractor.publish.hooks import Hooks
from dpp_extractor.publish.keys import Stream, copy_key

_TRIES: Final = 5


def put_copy(
    store: Store, stream: Stream, *, lane: str, seq: int, body: bytes, hooks: Hooks
) -> None:
    """Put the copy of commit `seq` unless it is there.

    Raises StreamError (29) when another copy is there, DestinationUnavailableError (26) when the
    store gives no answer.
    """
    key = copy_key(stream, lane, seq)
    present = store.get(key)
    for tries in range(_TRIES):
        if present is None and store.put_if_absent(key, body) is Put.CREATED:
            return
        present = present if present is not None else store.get(key)
        if present is not None:
            _check_equal(store, key, present, body)
            return
        hooks.pause(tries)
    raise DestinationUnavailableError(
        f"{store.uri}/{key} could not be written in {_TRIES} tries.",
        fix="The commit itself is safe; the next run writes the copy.",
    )


def _check_equal(store: Store, key: str, present: bytes, body: bytes) -> None:
    if present != body:
        raise StreamError(
            f"{store.uri}/{key} differs from the commit in the table's log.",
            fix="Find out which of the two was changed; the bucket's versions tell.",
        )
