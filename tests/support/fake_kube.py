"""An API server in memory, as far as the operator can tell: names, uids, versions, owners, and who wrote what.

It keeps the parts of the real one that the operator relies on; tests/cluster asks a real one.
`kill_at` makes the n-th write the last one, as when the operator is killed right behind it.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from dpp_core.errors import TemporaryFailure
from dpp_operator.kube.client import EVENTS, EXTRACTIONS, JOBS, PODS, RUNS, Kind

Object = dict[str, Any]
KINDS = {kind.name: kind for kind in (EXTRACTIONS, RUNS, JOBS, PODS, EVENTS)}


def _copy(thing: Any) -> Object:
    copied: Object = json.loads(json.dumps(thing))
    return copied


class KilledError(Exception):
    """The operator died right after a write."""


class FakeKube:
    """A `Kube` in memory. `writes` lists (verb, kind, name) of everything the operator wrote."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._versions = itertools.count(1)
        self._things: dict[tuple[str, str, str], Object] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.events: list[tuple[str, Kind, Object]] = []
        self.denials: dict[str, str] = {}
        self.kill_at = 0
        self.is_down = False

    # --- what the operator uses ---------------------------------------------------------------

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        self._check()
        thing = self._things.get((kind.name, namespace, name))
        return _copy(thing) if thing else None

    def list_objects(self, kind: Kind, namespace: str = "") -> Iterator[Object]:
        self._check()
        for (name, place, _), thing in sorted(self._things.items()):
            if name == kind.name and namespace in ("", place):
                yield _copy(thing)

    def create(self, kind: Kind, namespace: str, body: Mapping[str, Any]) -> Object | None:
        self._check()
        name = body["metadata"]["name"]
        if (kind.name, namespace, name) in self._things:
            return None
        made = self.put(kind, {**_copy(dict(body))}, namespace)
        self._wrote("create", kind, name)
        return made

    def apply_status(self, kind: Kind, body: Mapping[str, Any]) -> Object | None:
        return self._apply(kind, body, "status")

    def apply_owner(self, kind: Kind, body: Mapping[str, Any]) -> Object | None:
        return self._apply(kind, body, "ownerReferences")

    def delete(self, kind: Kind, namespace: str, name: str, uid: str = "") -> None:
        self._check()
        known = self._things.get((kind.name, namespace, name))
        if known is None or (uid and known["metadata"]["uid"] != uid):
            return
        self.remove(kind, namespace, name)
        self._wrote("delete", kind, name)

    def find_denial(self, namespace: str, job_name: str) -> str:
        return self.denials.get(job_name, "")

    # --- what the test and the world do -------------------------------------------------------

    def put(self, kind: Kind, thing: Object, namespace: str = "") -> Object:
        """Create or replace an object as somebody else would; a spec that changes raises the generation."""
        place = namespace or thing["metadata"]["namespace"]
        name = thing["metadata"]["name"]
        known = self._things.get((kind.name, place, name))
        version = next(self._versions)
        metadata: Object = {
            "uid": f"uid-{version}",
            "creationTimestamp": self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "generation": 1,
            **(known["metadata"] if known else {}),
            **thing["metadata"],
            "namespace": place,
            "resourceVersion": str(version),
        }
        if known is not None and known.get("spec") != thing.get("spec"):
            metadata["generation"] = known["metadata"]["generation"] + 1
        kept = {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            **_copy({**(known or {}), **thing}),
            "metadata": metadata,
        }
        self._things[(kind.name, place, name)] = kept
        self.events.append(("MODIFIED" if known else "ADDED", kind, _copy(kept)))
        return _copy(kept)

    def remove(self, kind: Kind, namespace: str, name: str) -> None:
        """Remove an object and everything it owns."""
        gone = self._things.pop((kind.name, namespace, name), None)
        if gone is None:
            return
        self.events.append(("DELETED", kind, gone))
        for (other, place, each), thing in list(self._things.items()):
            owners = thing["metadata"].get("ownerReferences") or ()
            if any(owner["uid"] == gone["metadata"]["uid"] for owner in owners):
                self.remove(KINDS[other], place, each)

    def find(self, kind: Kind, namespace: str = "") -> list[Object]:
        """List objects for looking at."""
        return [
            _copy(thing)
            for (name, place, _), thing in sorted(self._things.items())
            if name == kind.name and namespace in ("", place)
        ]

    def count(self, verb: str, kind: Kind) -> int:
        """Count the operator's writes of one sort."""
        return sum(1 for each in self.writes if each[:2] == (verb, kind.name))

    def _apply(self, kind: Kind, body: Mapping[str, Any], part: str) -> Object | None:
        self._check()
        metadata = body["metadata"]
        known = self._things.get((kind.name, metadata["namespace"], metadata["name"]))
        if known is None or known["metadata"]["uid"] != metadata["uid"]:
            return None
        thing = _copy(known)
        if part == "status":
            thing["status"] = _copy(body["status"])
        else:
            thing["metadata"][part] = _copy(metadata[part])
        made = self.put(kind, thing)
        self._wrote(part, kind, metadata["name"])
        return made

    def _check(self) -> None:
        if self.is_down:
            raise TemporaryFailure("The API server does not answer.")

    def _wrote(self, verb: str, kind: Kind, name: str) -> None:
        if kind is EVENTS:
            return
        self.writes.append((verb, kind.name, name))
        if self.kill_at and len(self.writes) == self.kill_at:
            self.kill_at = 0
            raise KilledError(f"{verb} {kind.name} {name}")
