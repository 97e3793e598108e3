"""Which failure of an outside system means what: a table, not code, so that it can be read, tested
and printed.

Called by the adapters, which give the names under which a driver's error is known and get the row
that applies, and by the documentation. Not here: drivers (they are known by name only) and waiting
(`retry`).

    row = find_failure(VAULT, names_of(error))          # None: not in the table, so unclassified
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dpp_core.errors import CredentialsMissingError, DppError, VaultUnavailableError


class Handling(StrEnum):
    """What is done about a failure."""

    RETRY = "Retry"
    """It passes by itself: try again until patience or the deadline ends."""
    REFRESH = "Refresh"
    """The login may be old: log in again once; the second time it is Stop."""
    STOP = "Stop"
    """Somebody must change something: up at once, naming what."""
    DONE = "Done"
    """What was asked for is already so."""
    SKIP = "Skip"
    """This one document cannot be kept there; the next may."""
    GIVE_UP = "GiveUp"
    """Do without that system for the rest of the run (the index only: it never ends a run)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A row: `names` are driver errors (`package.Class`) or answers (`status 503`)."""

    names: tuple[str, ...]
    handling: Handling
    meaning: str
    error: type[DppError] | None = None


VAULT: Final = (
    Failure(
        ("status 429", "hvac.RateLimitExceeded"),
        Handling.RETRY,
        "too many requests, or a standby node that does not answer reads",
        VaultUnavailableError,
    ),
    Failure(
        ("status 412", "hvac.PreconditionFailed"),
        Handling.RETRY,
        "a replica that has not caught up",
        VaultUnavailableError,
    ),
    Failure(
        ("status 472", "status 473"),
        Handling.RETRY,
        "a recovery or performance standby",
        VaultUnavailableError,
    ),
    Failure(
        ("status 503", "hvac.VaultDown"),
        Handling.RETRY,
        "sealed, in standby or in maintenance",
        VaultUnavailableError,
    ),
    Failure(
        ("status 500", "hvac.InternalServerError"),
        Handling.RETRY,
        "an internal error of the server",
        VaultUnavailableError,
    ),
    Failure(
        ("status 502", "status 504", "hvac.BadGateway"),
        Handling.RETRY,
        "a proxy in front of it that cannot reach it",
        VaultUnavailableError,
    ),
    Failure(
        ("requests.SSLError",),
        Handling.STOP,
        "its certificate does not verify",
        CredentialsMissingError,
    ),
    Failure(
        ("requests.InvalidURL", "requests.InvalidSchema", "requests.MissingSchema"),
        Handling.STOP,
        "its address is not a URL",
        CredentialsMissingError,
    ),
    Failure(
        ("requests.InvalidHeader", "requests.TooManyRedirects"),
        Handling.STOP,
        "the request cannot be sent like this",
        CredentialsMissingError,
    ),
    Failure(
        ("requests.ConnectionError",),
        Handling.RETRY,
        "it cannot be reached or cut the connection",
        VaultUnavailableError,
    ),
    Failure(
        ("requests.Timeout",),
        Handling.RETRY,
        "it did not answer in time",
        VaultUnavailableError,
    ),
    Failure(
        (
            "requests.ChunkedEncodingError",
            "requests.ContentDecodingError",
            "requests.JSONDecodeError",
        ),
        Handling.RETRY,
        "its answer was cut or garbled",
        VaultUnavailableError,
    ),
    Failure(
        ("status 403", "hvac.Forbidden"),
        Handling.REFRESH,
        "the token is old, or its policies do not grant the path",
        CredentialsMissingError,
    ),
    Failure(
        ("status 401", "hvac.Unauthorized"),
        Handling.REFRESH,
        "the login is not accepted",
        CredentialsMissingError,
    ),
    Failure(
        ("status 404", "hvac.InvalidPath"),
        Handling.STOP,
        "nothing is at the path, or its latest version was deleted",
        CredentialsMissingError,
    ),
    Failure(
        ("status 400", "hvac.InvalidRequest"),
        Handling.STOP,
        "the request is refused, as with a wrong role id or secret id",
        CredentialsMissingError,
    ),
    Failure(
        ("status 405", "hvac.UnsupportedOperation"),
        Handling.STOP,
        "the path does not know this operation",
        CredentialsMissingError,
    ),
    Failure(
        ("status 501", "hvac.VaultNotInitialized"),
        Handling.STOP,
        "the server was never initialised",
        CredentialsMissingError,
    ),
    Failure(
        ("hvac.ParamValidationError",),
        Handling.STOP,
        "a setting is not of the form it needs",
        CredentialsMissingError,
    ),
)
"""Vault and OpenBao, by hvac; where an answer's status and the driver's class both match, the
status wins.
"""

FERRET: Final = (
    Failure(
        ("code 11000", "pymongo.DuplicateKeyError"),
        Handling.DONE,
        "a document with this key, or a newer one, is there",
    ),
    Failure(
        ("bson.InvalidDocument", "pymongo.DocumentTooLarge", "code 2", "code 10334"),
        Handling.SKIP,
        "the document breaks a limit of the index",
    ),
    Failure(
        ("bson.InvalidStringData", "builtins.OverflowError", "builtins.RecursionError"),
        Handling.SKIP,
        "a value has no form there",
    ),
    Failure(
        ("code 13", "code 18"),
        Handling.GIVE_UP,
        "user, password or rights are not accepted",
    ),
    Failure(
        ("pymongo.ConfigurationError", "pymongo.InvalidURI", "builtins.ValueError"),
        Handling.GIVE_UP,
        "its address is not one",
    ),
    Failure(
        ("pymongo.ServerSelectionTimeoutError",),
        Handling.GIVE_UP,
        "no server answers at the address",
    ),
    Failure(
        (
            "pymongo.NetworkTimeout",
            "pymongo.WaitQueueTimeoutError",
            "code 50",
            "pymongo.ExecutionTimeout",
        ),
        Handling.GIVE_UP,
        "it did not answer in time",
    ),
    Failure(
        ("pymongo.NotPrimaryError", "pymongo.AutoReconnect", "pymongo.ConnectionFailure"),
        Handling.GIVE_UP,
        "the connection was lost or refused",
    ),
    Failure(
        ("pymongo.PyMongoError",),
        Handling.GIVE_UP,
        "anything else: a run does not wait for its index",
    ),
)
"""FerretDB, by pymongo. Never Retry: the log is the truth, and the index can be rebuilt from it."""


def find_failure(rows: Iterable[Failure], names: Iterable[str]) -> Failure | None:
    """Find the row of the first name that has one; names go from the most to the least specific."""
    by_name = {name: row for row in reversed(tuple(rows)) for name in row.names}
    return next((by_name[name] for name in names if name in by_name), None)


def names_of(error: BaseException) -> tuple[str, ...]:
    """List the names of a driver's error: its class and those it comes from, as `package.Class`."""
    return tuple(
        f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        for kind in type(error).__mro__
        if kind not in (object, BaseException, Exception)
    )
