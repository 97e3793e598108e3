"""Find out whether a store keeps conditional writes before a stream trusts it with a commit.

Called by `run` before the first claim in a store and by `dpp ping --destination`. A store that
ignores the condition would give a stream two owners, and one that lies in a listing would hide
commits, so both are refused, never worked around. Calling it twice is harmless: each call has its
own keys under `_dpp_probe/` and removes them.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from dpp_core.errors import DestinationUnavailableError, StreamError
from dpp_core.names import Reason
from dpp_extractor.ports import Put, Store
from dpp_extractor.publish.hooks import NO_HOOKS, Hooks
from dpp_extractor.publish.keys import PROBE_PREFIX

RACE_KEYS: Final = 20
RACE_WRITERS: Final = 8
SKEW_LIMIT_SECONDS: Final = 60
_TRIES: Final = 8


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found: the store's clock less the caller's, and how many keys were raced for."""

    skew_seconds: float
    raced_keys: int = 0

    @property
    def is_clock_off(self) -> bool:
        return abs(self.skew_seconds) > SKEW_LIMIT_SECONDS


def probe(
    store: Store,
    *,
    token: str,
    now: Callable[[], datetime],
    race_keys: int = 0,
    hooks: Hooks = NO_HOOKS,
) -> Probe:
    """Probe a store: absent is created, present is not, reads and listings show what was put; then
    races.

    `token` makes the keys this call's own. Raises StreamError (29, ConditionalWritesIgnored) for a
    store that cannot be trusted, DestinationUnavailableError (26) for one that does not answer.
    """
    prefix = f"{PROBE_PREFIX}/{token}"
    singles = [f"{prefix}/single-{number}" for number in range(3)]
    keys = [f"{prefix}/race-{number:03d}" for number in range(race_keys)]
    try:
        if store.get(f"{prefix}/absent") is not None or list(store.list(f"{prefix}/")):
            raise _lies(store, "answers with what nobody put there")
        for key in singles:
            _probe_one(store, key, hooks)
        _probe_listing(store, prefix, singles)
        if keys:
            _race(store, keys)
        skew_seconds = (store.now() - now()).total_seconds()
    finally:
        _clean_up(store, [*singles, *keys])
    hooks.at("preflight")
    return Probe(skew_seconds, race_keys)


def _probe_one(store: Store, key: str, hooks: Hooks) -> None:
    first, second = b"first", b"second"
    for tries in range(_TRIES):
        if store.put_if_absent(key, first) is Put.CREATED or store.get(key) == first:
            break
        hooks.pause(tries)
    else:
        raise DestinationUnavailableError(
            f"{store.uri}/{key} could not be written in {_TRIES} tries.",
            fix="Look at the store's health and at the right to put objects.",
        )
    if store.put_if_absent(key, second) is Put.CREATED or store.get(key) != first:
        raise _ignored(store, "wrote over a key that was there")


def _probe_listing(store: Store, prefix: str, keys: list[str]) -> None:
    """Compare listings with what was just put: all of it in order, and only what lies behind a key."""
    listed = [entry.key for entry in store.list(f"{prefix}/")]
    if listed != keys:
        raise _lies(store, f"lists {_names(listed)} right after {_names(keys)} were written")
    behind = [entry.key for entry in store.list(f"{prefix}/", keys[0])]
    if behind != keys[1:]:
        raise _lies(store, f"lists {_names(behind)} where {_names(keys[1:])} were asked for")


def _names(keys: list[str]) -> str:
    return ", ".join(key.rpartition("/")[2] for key in keys) or "nothing"


def _race(store: Store, keys: list[str]) -> None:
    bodies = [f"writer-{writer}".encode() for writer in range(RACE_WRITERS)]
    with ThreadPoolExecutor(RACE_WRITERS) as pool:
        for key in keys:
            answers = list(pool.map(partial(store.put_if_absent, key), bodies))
            _check_race(store, key, bodies, answers)


def _check_race(store: Store, key: str, bodies: list[bytes], answers: list[Put]) -> None:
    winners = [body for body, answer in zip(bodies, answers, strict=True) if answer is Put.CREATED]
    kept = store.get(key)
    if len(winners) > 1 or (winners and kept != winners[0]):
        raise _ignored(store, f"gave {len(winners)} of {RACE_WRITERS} racing writers the same key")


def _clean_up(store: Store, keys: Iterable[str]) -> None:
    for key in keys:
        try:
            store.delete(key)
        except DestinationUnavailableError:
            return  # a store without the right to delete keeps a few bytes under _dpp_probe/


def _ignored(store: Store, what: str) -> StreamError:
    return StreamError(
        f"The store {store.uri} {what}: it ignores conditional writes.",
        reason=Reason.CONDITIONAL_WRITES_IGNORED,
        fix="Use a store that honours If-None-Match; two runs could otherwise commit the same version.",
    )


def _lies(store: Store, what: str) -> StreamError:
    return StreamError(
        f"The store {store.uri} {what}: its answers cannot be trusted.",
        reason=Reason.CONDITIONAL_WRITES_IGNORED,
        fix="Use a store whose reads and listings are consistent; a log could not be read safely.",
    )
