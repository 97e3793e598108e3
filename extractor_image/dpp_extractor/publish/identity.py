"""Which source content a stream holds: the hash that says "the same", and the readable parts that
say what differs.

Called by `unit` to build a Draft and by `admit` to compare with the head. Pure. No user name and no
secret belong in here: it is written into the table's log.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dpp_core.handover import DatabaseSource, Unit

_LOCATION: Final = ("host", "database")
"""What may move while the content stays the same; an approval covers these alone."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Engine, place, object, key, cursor with its type, and how it is written."""

    engine: str
    host: str
    database: str
    object: str
    key: tuple[str, ...]
    cursor: str
    cursor_type: str
    write: str


def build_identity(source: DatabaseSource, unit: Unit, cursor_type: str) -> Identity:
    """Build the identity of a unit; `cursor_type` is batch.Window's kind, empty without a cursor."""
    host = f"{source.host}:{source.port}" if source.port else source.host
    return Identity(
        engine=source.engine,
        host=host,
        database=source.database,
        object=unit.object,
        key=unit.key,
        cursor=unit.incremental.cursor_text if unit.incremental else "",
        cursor_type=cursor_type,
        write=unit.write,
    )


def identity_hash(identity: Identity) -> str:
    text = json.dumps(_parts(identity), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def build_identity_fields(identity: Identity) -> dict[str, Any]:
    """Build what the commit keeps: the parts, and their hash."""
    return {**_parts(identity), "hash": identity_hash(identity)}


def list_differences(committed: Mapping[str, Any], identity: Identity) -> tuple[str, ...]:
    """Return the names of the parts that differ, in a fixed order."""
    return tuple(name for name, value in _parts(identity).items() if committed.get(name) != value)


def is_move(differences: tuple[str, ...]) -> bool:
    """Return whether only the place differs, which an approval may let through."""
    return bool(differences) and set(differences) <= set(_LOCATION)


def move_fingerprint(committed: Mapping[str, Any], identity: Identity) -> str:
    """Return what an approval must match: this move and no other."""
    text = f"{committed.get('hash')}>{identity_hash(identity)}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parts(identity: Identity) -> dict[str, Any]:
    return {
        "engine": identity.engine,
        "host": identity.host,
        "database": identity.database,
        "object": identity.object,
        "key": list(identity.key),
        "cursor": identity.cursor,
        "cursor_type": identity.cursor_type,
        "write": identity.write,
    }
