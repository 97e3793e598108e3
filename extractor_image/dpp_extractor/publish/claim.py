"""Who owns a stream: the claim, put once and never changed.

Called by `run` before anything else of a stream is written. The same owner goes on where the log
stands, also after the loss of the cluster; another one is refused. Claiming twice does nothing.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from dpp_core.errors import DestinationUnavailableError, StreamError
from dpp_core.names import Reason
from dpp_extractor.ports import Put, Store
from dpp_extractor.publish.hooks import NO_HOOKS, Hooks
from dpp_extractor.publish.keys import Stream, claim_key, table_prefix

_TRIES: Final = 8


@dataclass(frozen=True, slots=True)
class Owner:
    """Cluster (a name people choose), namespace, extraction and distributor: what may write this
    stream.
    """

    cluster: str
    namespace: str
    extraction: str
    distributor: str


def claim(store: Store, stream: Stream, owner: Owner, *, hooks: Hooks = NO_HOOKS) -> None:
    """Claim the stream for its owner, or find that it is.

    Raises StreamError (29, StreamOwnedByAnother), DestinationUnavailableError (26) when the store
    gives no answer.
    """
    body = json.dumps(asdict(owner), sort_keys=True, separators=(",", ":")).encode()
    for tries in range(_TRIES):
        present = read_claim(store, stream)
        if present is not None:
            _check_same(store, stream, present, owner)
            break
        if store.put_if_absent(claim_key(stream), body) is Put.CREATED:
            break
        if tries:
            hooks.pause(tries)
    else:
        raise DestinationUnavailableError(
            f"{store.uri}/{claim_key(stream)} could not be written in {_TRIES} tries.",
            fix="Look at the store's health and at the right to put objects.",
        )
    hooks.at("claimed")


def check_claim(store: Store, stream: Stream, owner: Owner) -> bool:
    """Find that nobody else owns the stream, write nothing, and return whether the owner does."""
    present = read_claim(store, stream)
    if present is not None:
        _check_same(store, stream, present, owner)
    return present is not None


def read_claim(store: Store, stream: Stream) -> Owner | None:
    """Return the stream's owner, None when nobody claimed it. Raises StreamError (29) when it
    cannot be read.
    """
    body = store.get(claim_key(stream))
    if body is None:
        return None
    try:
        fields: dict[str, Any] = json.loads(body)
        return Owner(**{name: str(fields[name]) for name in Owner.__dataclass_fields__})
    except (ValueError, KeyError, TypeError) as error:
        raise StreamError(
            f"The claim {store.uri}/{claim_key(stream)} cannot be read: {error}.",
            reason=Reason.STREAM_OWNED_BY_ANOTHER,
            fix="Restore it from the bucket's versions.",
        ) from error


def _check_same(store: Store, stream: Stream, present: Owner, owner: Owner) -> None:
    if present != owner:
        differences = ", ".join(
            f"{name} {value!r} (this run: {getattr(owner, name)!r})"
            for name, value in asdict(present).items()
            if value != getattr(owner, name)
        )
        raise StreamError(
            f"{store.uri}/{table_prefix(stream)} belongs to another owner: {differences}.",
            reason=Reason.STREAM_OWNED_BY_ANOTHER,
            fix="Use another destination or extraction name, or correct cluster or distributor.",
        )
