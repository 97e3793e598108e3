"""What is known of the cluster, in memory: filled by the watches, by lists, and by the answers to our own writes.

Called by `handlers`, `watch`, `apply` and `worker`. An older state never replaces a newer one of the same object, so
the answer to a write holds until the watch has caught up. Only what is needed is kept.
"""

import threading
from collections.abc import Iterable
from typing import Any

from dpp_core.names import KIND_EXTRACTION, KIND_RUN
from dpp_operator import labels

Object = dict[str, Any]
Key = tuple[str, str]


def find_key(thing: Object) -> Key | None:
    """Find the extraction that an object belongs to; None when it belongs to none."""
    metadata = thing["metadata"]
    if thing["kind"] == KIND_EXTRACTION:
        name = metadata["name"]
    elif thing["kind"] == KIND_RUN:
        name = (thing.get("spec") or {}).get("extraction")
    else:
        name = (metadata.get("labels") or {}).get(labels.EXTRACTION)
    return (metadata["namespace"], name) if name else None


def find_secret(extraction: Object) -> tuple[str, str] | None:
    """Find which secret is sent to which host; extractions that share both share a circuit."""
    spec = extraction.get("spec") or {}
    path = (spec.get("credentials") or {}).get("path")
    host = ((spec.get("source") or {}).get("database") or {}).get("host")
    return (path, host or "") if path else None


class Objects:
    """Objects by kind and name, and by the extraction they belong to; safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_name: dict[tuple[str, str, str], Object] = {}
        self._by_key: dict[tuple[str, Key], set[str]] = {}
        self._by_secret: dict[tuple[str, str], set[Key]] = {}

    def store(self, thing: Object) -> bool:
        """Keep an object; False when the same or a newer state is known."""
        kept = _trim(thing)
        with self._lock:
            return self._store(kept)

    def drop(self, thing: Object) -> None:
        """Forget an object that was deleted; a new one of the same name stays."""
        with self._lock:
            self._drop(thing)

    def replace(
        self, kind: str, things: Iterable[Object], namespaces: Iterable[str] = ()
    ) -> set[Key]:
        """Take a whole list of a kind as the truth, and say which extractions it changes."""
        trimmed = [_trim(thing) for thing in things]
        changed: set[Key] = set()
        with self._lock:
            listed = {
                (thing["metadata"]["namespace"], thing["metadata"]["name"]) for thing in trimmed
            }
            places = set(namespaces)
            for known in [each for name, each in self._by_name.items() if name[0] == kind]:
                metadata = known["metadata"]
                is_here = not places or metadata["namespace"] in places
                if is_here and (metadata["namespace"], metadata["name"]) not in listed:
                    changed |= {key} if (key := find_key(known)) else set()
                    self._drop(known)
            for thing in trimmed:
                if self._store(thing) and (key := find_key(thing)):
                    changed.add(key)
        return changed

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Get one object."""
        with self._lock:
            return self._by_name.get((kind, namespace, name))

    def list_of(self, kind: str, key: Key) -> list[Object]:
        """List the objects of a kind that belong to an extraction, by name."""
        with self._lock:
            names = sorted(self._by_key.get((kind, key), ()))
            return [self._by_name[(kind, key[0], name)] for name in names]

    def list_all(self, kind: str) -> list[Object]:
        """List every object of a kind."""
        with self._lock:
            return [thing for name, thing in self._by_name.items() if name[0] == kind]

    def list_sharing(self, extraction: Object) -> list[Object]:
        """List the other extractions that send the same secret to the same host."""
        secret, own = find_secret(extraction), find_key(extraction)
        with self._lock:
            keys = sorted(self._by_secret.get(secret, ())) if secret else []
            return [self._by_name[(KIND_EXTRACTION, *key)] for key in keys if key != own]

    def list_keys(self) -> set[Key]:
        """List every extraction that anything is known of."""
        with self._lock:
            return {key for _, key in self._by_key}

    def _store(self, thing: Object) -> bool:
        name = _name(thing)
        known = self._by_name.get(name)
        if known is not None and not _is_newer(thing, known):
            return False
        if known is not None:
            self._drop(known)
        self._by_name[name] = thing
        key = find_key(thing)
        if key is not None:
            self._by_key.setdefault((thing["kind"], key), set()).add(thing["metadata"]["name"])
        if thing["kind"] == KIND_EXTRACTION and key and (secret := find_secret(thing)):
            self._by_secret.setdefault(secret, set()).add(key)
        return True

    def _drop(self, thing: Object) -> None:
        name = _name(thing)
        known = self._by_name.get(name)
        if known is None or known["metadata"].get("uid") != thing["metadata"].get("uid"):
            return
        del self._by_name[name]
        key = find_key(known)
        if key is not None:
            place = (known["kind"], key)
            names = self._by_key.get(place, set())
            names.discard(known["metadata"]["name"])
            if not names:
                self._by_key.pop(place, None)
            if known["kind"] == KIND_EXTRACTION and (secret := find_secret(known)):
                self._by_secret.get(secret, set()).discard(key)


def _name(thing: Object) -> tuple[str, str, str]:
    return thing["kind"], thing["metadata"]["namespace"], thing["metadata"]["name"]


def _is_newer(thing: Object, known: Object) -> bool:
    """Say whether a state replaces the known one: by resource version, or by age for another object of its name."""
    new, old = thing["metadata"], known["metadata"]
    if new.get("uid") != old.get("uid"):
        return str(new.get("creationTimestamp")) >= str(old.get("creationTimestamp"))
    try:
        return int(new["resourceVersion"]) > int(old["resourceVersion"])
    except (KeyError, ValueError):
        return bool(new != old or thing != known)


def _trim(thing: Object) -> Object:
    """Leave out what nobody here reads: who manages which field, and the specs of pods."""
    metadata = {name: value for name, value in thing["metadata"].items() if name != "managedFields"}
    if thing["kind"] == "Pod":
        metadata.pop("annotations", None)
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "status": thing.get("status") or {},
        }
    return {**thing, "metadata": metadata}
