"""Find a table or view in MySQL's or MariaDB's catalogue: its columns, types, keys, and what the user
may read.

Called by `snapshot`. A schema is a database here, and `table` alone means the one connected to. What
an account may not read its catalogue does not show: so an object that is not shown is asked for
once, to tell a missing one from one without a grant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pymysql
from sqlalchemy import Select, literal_column, select
from sqlalchemy.dialects.mysql.base import MySQLDialect

from dpp_core.errors import DppError, SourceObjectError, SpecError
from dpp_core.handover import Unit
from dpp_core.names import Reason
from dpp_extractor.batch import SourceColumn, SourceTable
from dpp_extractor.extract.database.columns import name_nearest, select_table
from dpp_extractor.extract.database.mysql.bounds import compile_statement
from dpp_extractor.extract.database.mysql.connect import fetch, quote_account, run, translate
from dpp_extractor.extract.database.mysql.types import Forms, Shown, map_type
from dpp_extractor.extract.database.query import Relation

_DENIED: Final = frozenset({1044, 1142, 1143})
_MISSING: Final = frozenset({1049, 1146})

_HERE: Final = "SELECT DATABASE(), CURRENT_USER(), @@lower_case_table_names"

_RELATIONS: Final = """
SELECT table_schema, table_name, engine
FROM information_schema.tables
WHERE table_schema = %s AND table_name = %s AND table_type <> 'SEQUENCE'
"""

_NAMES: Final = """
SELECT IF(table_schema = DATABASE(), table_name, CONCAT(table_schema, '.', table_name)) AS name
FROM information_schema.tables
WHERE table_schema NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')
ORDER BY table_schema <> DATABASE(), name
LIMIT 5000
"""

_COLUMNS: Final = """
SELECT column_name, data_type, column_type, is_nullable, privileges, numeric_precision,
    numeric_scale, datetime_precision, character_set_name
FROM information_schema.columns
WHERE table_schema = %s AND table_name = %s
ORDER BY ordinal_position
"""

_UNIQUE: Final = """
SELECT index_name, column_name, nullable
FROM information_schema.statistics
WHERE table_schema = %s AND table_name = %s AND non_unique = 0
ORDER BY index_name, seq_in_index
"""

KEEPS_KEYS: Final = frozenset({"innodb", "myisam", "aria", "memory", "rocksdb", "ndbcluster"})
"""Engines that hold a unique key themselves; others only pass on what somebody else holds."""


@dataclass(frozen=True, slots=True)
class Found:
    """An object as found: who it is, and the form each of its columns is asked for in."""

    relation: Relation
    table: SourceTable
    forms: Forms
    grant: str


def find_object(connection: Any, unit: Unit) -> Found:
    """Describe the unit's object. SourceObjectError (31) when missing or denied, SpecError (20)
    otherwise.
    """
    here, login, folds = fetch(connection, _HERE)[0]
    relation, engine = _find_relation(connection, unit, here or "", folds=folds != "0")
    grant = build_grant(relation, login or "")
    refusal = _ask(connection, unit, relation, grant)
    if refusal is not None:
        raise refusal
    shown = fetch(connection, _COLUMNS, (relation.schema, relation.name))
    mapped = {name or "": map_type(read_shown(row)) for name, *row in shown}
    columns = [
        SourceColumn(
            name=name or "",
            source_type=row[1] or "",
            arrow_type=mapped[name or ""].arrow_type,
            nullable=row[2] != "NO",
            fidelity=mapped[name or ""].fidelity,
            second_digits=mapped[name or ""].second_digits,
            may_be_unfit=not mapped[name or ""].always_fits,
        )
        for name, *row in shown
    ]
    keys = _unique_keys(connection, relation) if engine in KEEPS_KEYS else []
    table = select_table(unit, columns, keys)
    denied = {name for name, *row in shown if "select" not in (row[3] or "").split(",")}
    for column in table.columns:
        if column.name in denied:
            raise _denied(unit, grant, f" column {column.name!r} of")
    forms = {name: each.form for name, each in mapped.items() if each.form is not None}
    return Found(relation, table, forms, grant)


def split_names(name: str, here: str) -> list[tuple[str, str]]:
    """List what an object name can mean: in the database connected to, or in one named before any
    of its dots.
    """
    meanings = [(here, name)]
    meanings += [
        (name[:place], name[place + 1 :]) for place, sign in enumerate(name) if sign == "."
    ]
    return [meaning for meaning in meanings if all(meaning)]


def build_grant(relation: Relation, login: str) -> str:
    """Write the statement that lets a user, named as `user@host`, read a table."""
    return f"GRANT SELECT ON {_quoted(relation)} TO {quote_account(login)};"


def _quoted(relation: Relation) -> str:
    quote = MySQLDialect().identifier_preparer.quote_identifier
    return f"{quote(relation.schema)}.{quote(relation.name)}"


def _find_relation(connection: Any, unit: Unit, here: str, *, folds: bool) -> tuple[Relation, str]:
    meanings = split_names(unit.object, here)
    found: list[tuple[Relation, str]] = []
    for schema, name in meanings:
        rows = fetch(connection, _RELATIONS, (schema, name))
        # The catalogue's own comparison may take other letters for the same.
        alike = [row for row in rows if folds or (row[0], row[1]) == (schema, name)]
        found += [(Relation(row[0] or "", row[1] or ""), (row[2] or "").lower()) for row in alike]
    if len(found) > 1:
        meant = " or ".join(f"{each.name!r} in {each.schema!r}" for each, _ in found)
        raise SpecError(
            f"Source object {unit.object!r} can be {meant}.",
            field=f"datasets[{unit.dataset}].object",
            fix="Give it a name with only one meaning, for instance through a view.",
        )
    if found:
        return found[0]
    raise _absent(connection, unit, meanings)


def _absent(connection: Any, unit: Unit, meanings: Sequence[tuple[str, str]]) -> DppError:
    login = fetch(connection, _HERE)[0][1] or ""
    for meaning in meanings:
        relation = Relation(*meaning)
        refusal = _ask(connection, unit, relation, build_grant(relation, login))
        if refusal is not None and refusal.reason is Reason.SOURCE_OBJECT_DENIED:
            return refusal
    names = [name or "" for (name,) in fetch(connection, _NAMES)]
    same = [name for name in names if name.casefold().rpartition(".")[2] == unit.object.casefold()]
    hint = f" Did you mean {same[0]!r}?" if same else name_nearest(unit.object, names)
    return SourceObjectError(
        f"The source has no table or view {unit.object!r}.{hint}",
        field=f"datasets[{unit.dataset}].object",
        fix=(
            "Write it as `table` (in the database connected to) or `database.table`, as the server "
            "spells it."
        ),
    )


def _ask(connection: Any, unit: Unit, relation: Relation, grant: str) -> DppError | None:
    """Ask for no row of an object, and give what stands against it."""
    try:
        nothing: Select[Any] = select(literal_column("1")).select_from(relation.clause()).limit(0)
        run(connection, compile_statement(nothing))
    except pymysql.err.Error as error:
        number = error.args[0]
        if number in _DENIED:
            return _denied(unit, grant)
        if number in _MISSING:
            return SourceObjectError(f"The source has no table or view {unit.object!r}.")
        return translate(error, f"Describing {unit.object!r}")
    return None


def _unique_keys(connection: Any, relation: Relation) -> list[list[str]]:
    keys: dict[str, list[tuple[str | None, str | None]]] = {}
    for index, column, nullable in fetch(connection, _UNIQUE, (relation.schema, relation.name)):
        keys.setdefault(index or "", []).append((column, nullable))
    # A key with a NULL in it may occur twice, and an expression has no name.
    return [
        [column or "" for column, _ in parts]
        for parts in keys.values()
        if all(column is not None and nullable != "YES" for column, nullable in parts)
    ]


def read_shown(row: Sequence[str | None]) -> Shown:
    """Take what the catalogue says of a type: data type, whole type, nullable, privileges, digits,
    scale, digits of seconds, character set.
    """
    name, declared, _, _, digits, scale, second_digits, charset = row
    return Shown(
        name=(name or "").lower(),
        declared=(declared or "").lower(),
        digits=int(digits or 0),
        scale=int(scale or 0),
        second_digits=int(second_digits or 0),
        charset=(charset or "").lower(),
    )


def _denied(unit: Unit, grant: str, part: str = "") -> SourceObjectError:
    return SourceObjectError(
        f"The user has no right to read{part} source object {unit.object!r}.",
        reason=Reason.SOURCE_OBJECT_DENIED,
        field=f"datasets[{unit.dataset}].object",
        fix=f"Run as an administrator: {grant}",
    )
