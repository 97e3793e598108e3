"""Old control data goes away by age: records and plans of runs, and quarantined rows.

Called by `maintain` once an extraction. What is not named here stays for ever: claims, copies of
commits, hashes of seen rows, digests. Sweeping twice deletes nothing more.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from dpp_extractor.ports import Entry, Store
from dpp_extractor.publish.keys import Stream, control_prefix, extraction_prefix

Kind = Literal["runs", "plans", "quarantine"]

_KINDS: Final[tuple[tuple[Kind, re.Pattern[str]], ...]] = (
    ("runs", re.compile(r"[^/]+/[^/]+/_dpp/runs/[^/]+/[^/]+\.json")),
    ("plans", re.compile(r"[^/]+/[^/]+/_dpp/plans/[^/]+\.json")),
    ("quarantine", re.compile(r"[^/]+/[^/]+/_dpp/datasets/[^/]+/quarantine/[^/]+/[^/]+")),
)


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many days each kind is kept."""

    runs_days: int = 400
    plans_days: int = 400
    quarantine_days: int = 30

    def days(self, kind: Kind) -> int:
        by_kind = {
            "runs": self.runs_days,
            "plans": self.plans_days,
            "quarantine": self.quarantine_days,
        }
        return by_kind[kind]


@dataclass(frozen=True, slots=True)
class Swept:
    """What was, or would be, deleted of one kind."""

    kind: Kind
    keys: int
    size_bytes: int


def find_kind(key: str) -> Kind | None:
    """Return what a key is when it may ever be deleted, None for everything else."""
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(key)), None)


def choose_old(entries: Iterable[Entry], keep: Keep, now: datetime) -> Iterator[tuple[Kind, Entry]]:
    """Give what is older than it is kept."""
    for entry in entries:
        kind = find_kind(entry.key)
        if kind is not None and now - entry.modified_at > timedelta(days=keep.days(kind)):
            yield kind, entry


def sweep(store: Store, streams: Sequence[Stream], keep: Keep, *, apply: bool) -> tuple[Swept, ...]:
    """Count or, with `apply`, delete the old control data of one extraction's streams, on the
    store's clock.
    """
    counted: dict[Kind, tuple[int, int]] = {kind: (0, 0) for kind, _ in _KINDS}
    for kind, entry in choose_old(_list(store, streams), keep, store.now()):
        keys, size_bytes = counted[kind]
        counted[kind] = (keys + 1, size_bytes + entry.size_bytes)
        if apply:
            store.delete(entry.key)
    return tuple(Swept(kind, *counts) for kind, counts in counted.items())


def _list(store: Store, streams: Sequence[Stream]) -> Iterator[Entry]:
    """List only where something may be old, so that ten thousand copies cost nothing."""
    for base in {extraction_prefix(stream.namespace, stream.extraction) for stream in streams}:
        yield from store.list(f"{base}/_dpp/runs/")
        yield from store.list(f"{base}/_dpp/plans/")
    for stream in streams:
        yield from store.list(f"{control_prefix(stream)}/quarantine/")
