"""What a failure of MySQL or MariaDB means: one table by error number, as data.

Called by `connect`. These servers give one SQLSTATE (42000) to a missing right and to a mistyped
statement alike, so that the number decides and the SQLSTATE only where no number is listed.
"""

from typing import Final

from dpp_core.errors import (
    CredentialsRefusedError,
    SourceObjectError,
    SourceUnavailableError,
    SpecError,
    TemporaryFailure,
)
from dpp_core.names import Reason
from dpp_extractor.extract.database.failures import SQLSTATES, Failure, find_failure

_UNREACHABLE: Final = SQLSTATES["08"]
_SHUTDOWN: Final = SQLSTATES["57"]
_FULL: Final = SQLSTATES["53"]
_INTERRUPTED: Final = SQLSTATES["40"]
_REFUSED: Final = SQLSTATES["28"]
_BROKEN: Final = SQLSTATES["38"]
_BUG: Final = SQLSTATES["42"]
_MISSING: Final = SQLSTATES["42P01"]
_DENIED: Final = SQLSTATES["42501"]
_BLOCKED: Final = Failure(
    SourceUnavailableError,
    "the server refuses this client's address after too many broken connections",
    fix="Let its administrator run FLUSH HOSTS, then run it again: nothing is lost.",
)
_EXPIRED: Final = Failure(
    CredentialsRefusedError,
    "the account is locked, or its password has expired",
    fix="Let the server's administrator unlock it or set a new password, and correct the secret.",
)
METHOD: Final = Failure(
    SpecError,
    "the account's way of proving itself is not spoken here",
    Reason.SOURCE_UNREACHABLE,
    "Give it mysql_native_password, or caching_sha2_password together with "
    "`source.database.tls.mode: Require` or stricter.",
)
_WIDE: Final = Failure(
    SourceObjectError,
    "a row is greater than the server's max_allowed_packet",
    Reason.SOURCE_READ_FAILED,
    "Raise max_allowed_packet on the server, or leave its greatest column out.",
)
TLS: Final = Failure(
    SpecError,
    "TLS with the server could not be set up",
    Reason.SOURCE_UNREACHABLE,
    "Check the server's certificate and name, the CA file, and `source.database.tls`.",
)
REWRITTEN: Final = Failure(
    TemporaryFailure,
    "the table was rewritten after the snapshot was taken, so its rows cannot be seen in it",
    Reason.SOURCE_READ_FAILED,
    "The next run reads it as it is then.",
)

NUMBERS: Final[dict[int, Failure]] = {
    **dict.fromkeys((2002, 2003, 2005, 2006, 2013, 2055), _UNREACHABLE),
    **dict.fromkeys((1042, 1043, 1152, *range(1158, 1162), 1184), _UNREACHABLE),
    **dict.fromkeys((1053, 1077, 1078, 1079, 1080, 1927, 3169), _SHUTDOWN),
    **dict.fromkeys((1040, 1203, 1226, 1135), _FULL),
    **dict.fromkeys((3, 28, 1021, 1037, 1038, 1041, 1114, 1206), _FULL),
    **dict.fromkeys((1020, 1205, 1213, 1317, 1969, 3024), _INTERRUPTED),
    **dict.fromkeys((1045, 1130, 1251, 1698, 1873), _REFUSED),
    **dict.fromkeys((1820, 1862, 3118, 4151), _EXPIRED),
    **dict.fromkeys((1524, 1275, 2054, 2059, 2061), METHOD),
    **dict.fromkeys((2026, 3159), TLS),
    **dict.fromkeys((1044, 1142, 1143, 1227, 1370, 1410), _DENIED),
    **dict.fromkeys((1049, 1051, 1054, 1146, 1932), _MISSING),
    **dict.fromkeys((126, 127, 130, 144, 145, 1034, 1035, 1194, 1195), _BROKEN),
    **dict.fromkeys((1301, 1356, 1449, 1690, 1707, 1792, 1296, 1429, 1430, 1242), _BROKEN),
    **dict.fromkeys((1305, 1304, 1644, 1365, 1292, 1366, 1411), _BROKEN),
    **dict.fromkeys((1064, 1149, 1193), _BUG),
    1129: _BLOCKED,
    1153: _WIDE,
    1412: REWRITTEN,
}
"""Refused and expired logins are never tried again with the same secret: it may lock the account."""

_MAY_QUOTE_VALUES: Final = frozenset({1242, 1292, 1301, 1365, 1366, 1411, 1644, 1690, 1707})


def find_number(number: int, sqlstate: str | None) -> Failure:
    """Find the row of an error number; one that is not listed goes by its SQLSTATE, if any."""
    if number in NUMBERS:
        return NUMBERS[number]
    # HY000 is "general error", and 0 is the driver's word for a connection that is closed.
    if number == 0:
        return _UNREACHABLE
    return find_failure(sqlstate or "XX000")


def may_quote_values(number: int, sqlstate: str | None) -> bool:
    """True for errors whose words can hold a value of a row, which no log may hold."""
    return number in _MAY_QUOTE_VALUES or (sqlstate or "")[:2] in {"22", "23", "45"}
