"""The index in FerretDB: what was run and committed, quick to ask. pymongo's only home in the
extractor.

Called by `wiring`; the record stage saves through `ports.Index`. The log in the bucket is the truth
and this can be rebuilt from it, so nothing here ever ends a run: an outage answers False, is logged
once, and is remembered for the rest of the run, so that a dead server costs one wait of three
seconds and not one a document. `remove`, `find` and `ping` are for people's commands, which want to know.

    with open_index(secret, database="dpp") as index:       # connects at the first save, not before
        index.save("runs", {"run_id": ..., "attempt_id": ...}, document)     # True: it is there
        report_index = index.state                          # "Current" or "Behind"

Saving is idempotent: the id is a hash of the collection and the key, so saving twice leaves one
document, the later. Where the document has an `updated_at` instant (watermarks, catalog), an older
one never replaces a newer one: a run that was held up may save after its successor.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Literal

import bson
import bson.errors
import pymongo
import pymongo.errors
from bson.objectid import ObjectId

from dpp_core import logs
from dpp_core.errors import TemporaryFailure
from dpp_core.names import Reason
from dpp_extractor.adapters.ferret_document import (
    LARGEST_DOCUMENT_BYTES,
    build_document,
    build_id,
)
from dpp_extractor.guard.failures import FERRET, Failure, Handling, find_failure, names_of

IndexState = Literal["Current", "Behind"]
DATABASE: Final = "dpp"
SELECTION_TIMEOUT_MS: Final = 3_000
SOCKET_TIMEOUT_MS: Final = 5_000
KEY_INDEX: Final = "key"

_DRIVER_ERRORS: Final = (
    pymongo.errors.PyMongoError,
    bson.errors.BSONError,
    OSError,
    OverflowError,
    RecursionError,
    ValueError,
)


@contextmanager
def open_index(secret: Mapping[str, Any], database: str = DATABASE) -> Iterator["FerretIndex"]:
    """Give the index behind `secret["uri"]`, with `username` and `password` when they are not in
    the URI.

    Never raises: a wrong address shows at the first save, which answers False.
    """
    index = FerretIndex(lambda: _connect(secret), database)
    try:
        yield index
    finally:
        index.close()


class FerretIndex:
    """A `ports.Index` that gives up on its server at the first outage; must be closed."""

    def __init__(self, connect: Callable[[], Any], database: str) -> None:
        self._connect = connect
        self._database_name = database
        self._client: Any = None
        self._indexed: set[str] = set()
        self._is_down = False
        self._has_missed = False

    @property
    def state(self) -> IndexState:
        """Behind as soon as one document could not be saved in this run."""
        return "Behind" if self._has_missed else "Current"

    def save(self, collection: str, key: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
        """Put a document under its key; True when it, or a newer one, is there. Never raises for an
        outage.
        """
        if self._is_down:
            return self._miss()
        try:
            self._put(collection, key, document)
        except _DRIVER_ERRORS as error:
            return self._handle(error, collection)
        return True

    def remove(self, collection: str, match: Mapping[str, Any]) -> int:
        """Remove the documents that match and say how many. Raises TemporaryFailure (75), as `ping`."""
        return int(
            self._asked(lambda: self._database()[collection].delete_many(dict(match))).deleted_count
        )

    def find(self, collection: str, match: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Give the documents that match, without their ids. Raises TemporaryFailure (75), as `ping`."""
        return list(
            self._asked(lambda: list(self._database()[collection].find(dict(match), {"_id": 0})))
        )

    def ping(self) -> str:
        """Ask the server for its version, for people.

        Raises TemporaryFailure (75, IndexBehind): unlike a run, `dpp ping` wants to know.
        """
        facts = self._asked(lambda: self._database().client.server_info())  # noqa: PLW0108 - connects
        own = facts.get("ferretdbVersion") or facts.get("ferretdb", {}).get("version")
        wire = f"speaks MongoDB {facts.get('version', 'of unknown version')}"
        return f"FerretDB {own}, {wire}" if own else wire

    def close(self) -> None:
        """Close the connections; twice is the same as once."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except _DRIVER_ERRORS as error:
            row = _find_row(error)
            raise TemporaryFailure(
                f"The index does not answer: {row.meaning} ({type(error).__name__}).",
                reason=Reason.INDEX_BEHIND,
                fix="Runs go on without it; check the uri of the index secret and the server.",
            ) from error

    def _database(self) -> Any:
        if self._client is None:
            self._client = self._connect()
        return self._client[self._database_name]

    def _put(self, collection: str, key: Mapping[str, Any], document: Mapping[str, Any]) -> None:
        kept = build_document({**document, **key})
        if len(bson.encode(kept)) > LARGEST_DOCUMENT_BYTES:
            raise bson.errors.InvalidDocument(f"over {LARGEST_DOCUMENT_BYTES} bytes")
        target = self._database()[collection]
        if collection not in self._indexed:
            names = [(name, pymongo.ASCENDING) for name in sorted(build_document(key))]
            target.create_index(names, name=KEY_INDEX, unique=True)
            self._indexed.add(collection)
        match: dict[str, Any] = {"_id": ObjectId(build_id(collection, key))}
        if isinstance(kept.get("updated_at"), datetime):
            match["updated_at"] = {"$lte": kept["updated_at"]}
        target.replace_one(match, kept, upsert=True)

    def _handle(self, error: Exception, collection: str) -> bool:
        """Do what the table says about a failed save; the answer to `save`."""
        row = _find_row(error)
        if row.handling is Handling.DONE:
            return True
        logs.warning(
            "index_behind",
            collection=collection,
            error=type(error).__name__,
            message=row.meaning,
            rest="this document only" if row.handling is Handling.SKIP else "not tried again",
        )
        self._is_down = row.handling is not Handling.SKIP
        return self._miss()

    def _miss(self) -> bool:
        self._has_missed = True
        return False


def _find_row(error: Exception) -> Failure:
    code = getattr(error, "code", None)
    names = (f"code {code}", *names_of(error)) if code is not None else names_of(error)
    return find_failure(FERRET, names) or FERRET[-1]


def _connect(secret: Mapping[str, Any]) -> Any:
    """Build the client; it connects in the background and never retries by itself."""
    login = {name: secret[name] for name in ("username", "password") if secret.get(name)}
    return pymongo.MongoClient(
        secret["uri"],
        appname="dpp",
        serverSelectionTimeoutMS=SELECTION_TIMEOUT_MS,
        connectTimeoutMS=SELECTION_TIMEOUT_MS,
        socketTimeoutMS=SOCKET_TIMEOUT_MS,
        waitQueueTimeoutMS=SELECTION_TIMEOUT_MS,
        retryWrites=False,
        retryReads=False,
        tz_aware=True,
        **login,
    )
