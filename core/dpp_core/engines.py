"""Which databases there are, how far each is taken, and what the window's horizon asks of it.

The one table that `dpp engines`, the kinds' check of `engine`, the laptop policy, default ports and
the reference page read. Pure data: no driver, no SQL. To take an engine further change its row.
"""

from dataclasses import dataclass
from typing import Final, Literal

Engine = Literal[
    "postgresql", "sqlite", "mysql", "mariadb", "mssql", "oracle", "db2", "hana", "odbc"
]
Level = Literal["read", "compile-tested", "planned"]
"""`read`: read and tested on a real server. `compile-tested`: its SQL is written and compared with golden
files, but has never met a server, and the kinds refuse it. `planned`: only its name is taken.
"""


@dataclass(frozen=True, slots=True)
class EngineRow:
    """What is known of one engine.

    `driver` reads it, or would. `port` is used when the resource names none; None: there is no usual
    one. `horizon` is where the source shows its open transactions, and `grant` what an account needs
    to see those of others; both empty: nowhere, and windows stay 300 s behind.
    """

    name: Engine
    product: str
    level: Level
    driver: str
    port: int | None
    horizon: str
    grant: str


ENGINES: Final[tuple[EngineRow, ...]] = (
    EngineRow(
        "postgresql", "PostgreSQL", "read", "psycopg", 5432, "pg_stat_activity", "pg_monitor"
    ),
    EngineRow(
        "sqlite", "SQLite", "read", "sqlite3", None, "BEGIN IMMEDIATE", "write access to the file"
    ),
    EngineRow(
        "mysql", "MySQL (tried on MariaDB only)", "read", "PyMySQL", 3306, "INNODB_TRX", "PROCESS"
    ),
    EngineRow("mariadb", "MariaDB", "read", "PyMySQL", 3306, "INNODB_TRX", "PROCESS"),
    EngineRow(
        "mssql",
        "Microsoft SQL Server",
        "compile-tested",
        "ODBC Driver 18",
        1433,
        "dm_tran_active_transactions; MIN_ACTIVE_ROWVERSION()",
        "VIEW SERVER STATE; none",
    ),
    EngineRow(
        "oracle",
        "Oracle Database",
        "compile-tested",
        "oracledb",
        1521,
        "GV$TRANSACTION",
        "SELECT on SYS.GV_$TRANSACTION",
    ),
    EngineRow(
        "db2",
        "IBM Db2",
        "compile-tested",
        "Db2 ODBC/CLI driver",
        50000,
        "MON_GET_UNIT_OF_WORK",
        "EXECUTE on it",
    ),
    EngineRow(
        "hana", "SAP HANA", "compile-tested", "hdbcli", 30015, "M_TRANSACTIONS", "CATALOG READ"
    ),
    EngineRow(
        "odbc", "any with an ODBC driver", "compile-tested", "the product's own", None, "", ""
    ),
)

ENGINES_READY: Final[tuple[Engine, ...]] = tuple(row.name for row in ENGINES if row.level == "read")
"""What the kinds accept."""

DEFAULT_PORTS: Final[dict[str, int]] = {row.name: row.port for row in ENGINES if row.port}


def say_ready(joined: str = "and") -> str:
    """Name the engines that are read, for a sentence: `postgresql and sqlite`."""
    *first, last = ENGINES_READY
    return f"{', '.join(first)} {joined} {last}" if first else last
