"""SQL that shows the current state of a table, for readers that know Delta.

Called by `show --sql`. Pure text. Rule: data-log.md, "What a table means": the latest row by key over (`_dpp_read_at`,
`_dpp_order`), keys whose latest row is `delete` left out; a Replace table is its own current state.
"""

from typing import TYPE_CHECKING, Final

from dpp_core.errors import StreamError
from dpp_core.names import COLUMN_OP, COLUMN_ORDER, COLUMN_READ_AT, RESERVED_PREFIX, Reason

if TYPE_CHECKING:
    from dpp_extractor.publish.fold import Head
    from dpp_extractor.publish.keys import Stream

_RANK: Final = "_dpp_rank"


def build_current_sql(head: "Head", stream: "Stream", table_uri: str, dialect: str) -> str:
    """Build a CREATE VIEW `<dataset>_current` for duckdb, spark or trino.

    Raises StreamError (29, TableMissing) when nothing was committed yet.
    """
    schema, live = head.schema, head.live
    if schema is None or live is None:
        raise StreamError(
            f"{stream.dataset} has no commit yet.",
            reason=Reason.TABLE_MISSING,
            fix="Start a run first.",
        )
    by_source = {
        (field.metadata or {}).get(b"dpp.source_name", b"").decode(): field.name for field in schema
    }
    key = [by_source[name] for name in live.identity.get("key", ())]
    columns = [name for name in schema.names if not name.startswith(RESERVED_PREFIX)]
    table = _table(stream, table_uri, dialect)
    listed = ", ".join(_quoted(name, dialect) for name in columns)
    view = _quoted(f"{stream.dataset}_current", dialect)
    if live.identity.get("write") != "Append":
        return f"CREATE OR REPLACE VIEW {view} AS\nSELECT {listed}\nFROM {table};\n"
    by_key = ", ".join(_quoted(name, dialect) for name in key)
    return (
        f"CREATE OR REPLACE VIEW {view} AS\n"  # noqa: S608 - text for people; every name is quoted
        f"SELECT {listed}\n"
        f"FROM (\n"
        f"  SELECT *, row_number() OVER (\n"
        f"    PARTITION BY {by_key} ORDER BY {COLUMN_READ_AT} DESC, {COLUMN_ORDER} DESC\n"
        f"  ) AS {_RANK}\n"
        f"  FROM {table}\n"
        f") AS versions\n"
        f"WHERE {_RANK} = 1 AND {COLUMN_OP} <> 'delete';\n"
    )


def _table(stream: "Stream", table_uri: str, dialect: str) -> str:
    if dialect == "duckdb":
        return f"delta_scan('{table_uri.replace(chr(39), chr(39) * 2)}')"
    if dialect == "spark":
        return f"delta.`{table_uri.replace('`', '``')}`"
    schema = f"{stream.namespace}_{stream.extraction}".replace("-", "_")
    return f"delta.{_quoted(schema, dialect)}.{_quoted(stream.dataset, dialect)}"


def _quoted(name: str, dialect: str) -> str:
    mark = "`" if dialect == "spark" else '"'
    return f"{mark}{name.replace(mark, mark * 2)}{mark}"
