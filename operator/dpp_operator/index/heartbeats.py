"""Heartbeats of running extractions, read from FerretDB. pymongo's home in the operator.

Called by `worker` for extractions with a run under way. Progress is a courtesy: an index that is away gives none, is
asked again only after a while, and changes no decision. Reading is idempotent and never raises.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pymongo
import pymongo.errors

from dpp_core import logs
from dpp_operator.reconcile.facts import Heartbeat

DATABASE: Final = "dpp"
COLLECTION: Final = "heartbeats"
TIMEOUT_MS: Final = 2_000
REST_SECONDS: Final = 60.0
OLDEST_SECONDS: Final = 300.0


class Heartbeats:
    """Reads heartbeats by run; must be closed."""

    def __init__(self, uri: str, clock: Callable[[], float]) -> None:
        self._uri = uri
        self._clock = clock
        self._lock = threading.Lock()
        self._client: Any = None
        self._rests_until = 0.0

    def read(self, run_ids: Sequence[str]) -> dict[str, Heartbeat]:
        """Read the latest heartbeat of each run that has one; nothing while the index is away."""
        with self._lock:
            if not self._uri or not run_ids or self._clock() < self._rests_until:
                return {}
            try:
                found = list(self._collection().find({"run_id": {"$in": list(run_ids)}}))
            except (pymongo.errors.PyMongoError, OSError, ValueError) as error:
                self._rests_until = self._clock() + REST_SECONDS
                logs.warning("index_away", error=type(error).__name__)
                return {}
        return {
            str(each["run_id"]): beat
            for each in found
            if (beat := read_heartbeat(each)) is not None
        }

    def close(self) -> None:
        """Close the connections; twice is the same as once."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _collection(self) -> Any:
        if self._client is None:
            self._client = pymongo.MongoClient(
                self._uri,
                appname="dpp-operator",
                serverSelectionTimeoutMS=TIMEOUT_MS,
                connectTimeoutMS=TIMEOUT_MS,
                socketTimeoutMS=TIMEOUT_MS,
                retryReads=False,
                tz_aware=True,
            )
        return self._client[DATABASE][COLLECTION]


def read_heartbeat(document: dict[str, Any]) -> Heartbeat | None:
    """Read a document as the extractor wrote it; None when it says nothing to this version."""
    try:
        at = document["updated_at"]
        moment = at if isinstance(at, datetime) else datetime.fromisoformat(str(at))
        units = {str(each["dataset"]): int(each["rows"]) for each in document.get("units", ())}
    except (LookupError, TypeError, ValueError):
        return None
    return Heartbeat(moment.astimezone(UTC), sum(units.values()), units)
