"""What a database's failure means: one table by SQLSTATE, one by the words of a refused connection,
as data.

Called by the engines, which translate their driver's errors here and nowhere else. A message
carries the server's own words only for classes that cannot quote a value of a row.
"""

import re
from dataclasses import dataclass
from typing import Final

from dpp_core.errors import (
    CredentialsRefusedError,
    DppError,
    InternalError,
    ResourcesError,
    SourceObjectError,
    SourceUnavailableError,
    SpecError,
)
from dpp_core.names import Reason


@dataclass(frozen=True, slots=True)
class Failure:
    """A row: the error that a failure becomes, its meaning and what to do next."""

    error: type[DppError]
    meaning: str
    reason: Reason | None = None
    fix: str = ""


_UNREACHABLE: Final = Failure(
    SourceUnavailableError,
    "the connection was lost or refused",
    fix="Check address, port and network with `dpp ping`, then run it again: nothing is lost.",
)
_SHUTDOWN: Final = Failure(
    SourceUnavailableError,
    "the server is starting, stopping or ended the session",
    fix="Run it again when the server is up: nothing is lost.",
)
_FULL: Final = Failure(
    SourceUnavailableError,
    "the server is out of connections, memory or disk",
    fix="Run it again when the server has room: nothing is lost.",
)
_INTERRUPTED: Final = Failure(
    SourceUnavailableError,
    "the read was interrupted and may work next time",
    Reason.SOURCE_READ_FAILED,
    "Run it again: nothing is lost.",
)
_OWN_MEMORY: Final = Failure(
    ResourcesError,
    "this process ran out of memory",
    fix="Give the run more memory; nothing was committed for this dataset.",
)
_REFUSED: Final = Failure(
    CredentialsRefusedError,
    "the server refused user or password",
    fix="Correct the secret; it is not tried again with the same one.",
)
_BROKEN: Final = Failure(
    SourceObjectError,
    "the object itself fails when it is read",
    Reason.SOURCE_READ_FAILED,
    "Read it once by hand with the same user: the view, a function in it or its data is broken.",
)
_BUG: Final = Failure(
    InternalError, "the server does not accept the statement", Reason.SOURCE_READ_FAILED
)
_MISSING: Final = Failure(SourceObjectError, "it is not there", Reason.SOURCE_OBJECT_MISSING)
_DENIED: Final = Failure(
    SourceObjectError, "the user has no right to read it", Reason.SOURCE_OBJECT_DENIED
)
_UNCLASSIFIED: Final = Failure(
    InternalError, "a failure that is not classified", Reason.SOURCE_READ_FAILED
)
_TLS: Final = Failure(
    SpecError,
    "TLS with the server could not be set up",
    Reason.SOURCE_UNREACHABLE,
    "Check the server's certificate and name, the CA file, and `source.database.tls`.",
)

SQLSTATES: Final[dict[str, Failure]] = {
    "08": _UNREACHABLE,
    "08P01": _BUG,
    "0A": _BUG,
    "22": _BROKEN,
    "23": _BROKEN,
    "25": _BUG,
    "25006": _BROKEN,
    "25P03": _INTERRUPTED,
    "25P04": _INTERRUPTED,
    "26": _BUG,
    "28": _REFUSED,
    "2F": _BROKEN,
    "38": _BROKEN,
    "39": _BROKEN,
    "3D": _MISSING,
    "3F": _MISSING,
    "40": _INTERRUPTED,
    "42": _BUG,
    "42501": _DENIED,
    "42703": _MISSING,
    "42883": _BROKEN,
    "42P01": _MISSING,
    "53": _FULL,
    "54": _BROKEN,
    "55": _BROKEN,
    "55P03": _INTERRUPTED,
    "57": _SHUTDOWN,
    "57014": _INTERRUPTED,
    "57P04": _MISSING,
    "58": _BROKEN,
    "58030": _INTERRUPTED,
    "72": _INTERRUPTED,
    "P0": _BROKEN,
    "XX": _BROKEN,
    "XX000": _UNCLASSIFIED,
}
"""By SQLSTATE, the five characters before the class of two. 28 is never tried again: it may lock
the account.
"""

_MAY_QUOTE_VALUES: Final = frozenset({"22", "23", "38", "39", "P0", "XX"})

REFUSED_CONNECTIONS: Final = (
    (r"authentication due to timeout", _UNREACHABLE),
    (r"server login has been failing|query_wait_timeout|pooler|client_login_timeout", _UNREACHABLE),
    (r"starting up|shutting down|recovery mode|not (yet )?accepting connections", _SHUTDOWN),
    (r"terminating connection", _SHUTDOWN),
    (r"too many (connections|clients)|remaining connection slots|connection limit exceeded", _FULL),
    (r"no more connections allowed", _FULL),
    (r'database ".*" does not exist|no such database', _MISSING),
    (r"permission denied for database", _DENIED),
    (r"certificate|root\.crt|does not match host name|SSL|no encryption", _TLS),
    (r"FATAL|password|no pg_hba\.conf entry|no such user", _REFUSED),
)
"""The driver gives no SQLSTATE for a connection that never was, only words, first match wins. A
refusal in words that are not known (a server that speaks another language) counts as 28: the only
mistake that cannot be undone is to try a wrong password again and again.
"""


def find_failure(sqlstate: str | None, words: str = "") -> Failure:
    """Find the row of an SQLSTATE; without one the connection itself was lost, or, in the words of
    the driver, our own memory was used up.
    """
    if not sqlstate:
        return _OWN_MEMORY if "out of memory" in words else _UNREACHABLE
    return SQLSTATES.get(sqlstate) or SQLSTATES.get(sqlstate[:2]) or _UNCLASSIFIED


def find_refusal(words: str) -> Failure:
    """Find the row of a connection that was not made, by the driver's words."""
    for pattern, failure in REFUSED_CONNECTIONS:
        if re.search(pattern, words):
            return failure
    return _UNREACHABLE


def may_quote_values(sqlstate: str | None) -> bool:
    """True for classes whose messages can hold a value of a row, which no log may hold."""
    return bool(sqlstate) and sqlstate is not None and sqlstate[:2] in _MAY_QUOTE_VALUES


def build_error(failure: Failure, what: str, words: str = "", fix: str = "") -> DppError:
    """Build the error of a row: `what` was done, the meaning, and the server's first line where
    allowed.
    """
    said = words.strip().splitlines()[0].strip() if words.strip() else ""
    detail = f" ({said})" if said else ""
    return failure.error(
        f"{what}: {failure.meaning}{detail}.", reason=failure.reason, fix=fix or failure.fix
    )
