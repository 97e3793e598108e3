"""Ask the optimiser of MySQL or MariaDB how many rows a statement would give.

Called by `snapshot`. The plan's outermost part has one line a table: rows, and how many of a hundred
are left by the conditions; together their product. It is a guess, from the engine's own statistics.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import pymysql

from dpp_extractor.extract.database.mysql.connect import Product, Session, fetch_named

# The share that is left is shown by each in its own words; the form must not be the session's.
_EXPLAIN: Final[dict[Product, str]] = {
    "MariaDB": "EXPLAIN EXTENDED",
    "MySQL": "EXPLAIN FORMAT=TRADITIONAL",
}
_HIDDEN_VIEW: Final = 1345
"""A view whose tables the account may not see: it may be read, but not be explained."""

_OUTERMOST: Final = "1"


def read_estimate(session: Session, statement: str) -> int | None:
    """Estimate a statement's rows; None when the server tells nothing of it."""
    try:
        lines = fetch_named(session.connection, f"{_EXPLAIN[session.product]} {statement}")
    except pymysql.err.Error as error:
        if error.args[0] == _HIDDEN_VIEW:
            return None
        raise
    return multiply(lines)


def multiply(lines: Iterable[Mapping[str, str | None]]) -> int | None:
    """Multiply what the outermost part's tables give. Pure; None without any line of it."""
    outermost = [line for line in lines if line.get("id") == _OUTERMOST]
    if not outermost:
        return None
    rows = 1.0
    for line in outermost:
        # A part that cannot give anything has no rows at all.
        rows *= float(line.get("rows") or 0) * float(line.get("filtered") or 100) / 100
    return round(rows)
