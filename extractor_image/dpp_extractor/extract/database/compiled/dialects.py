"""Write the statements of `query` as the text of one server that is only compile-tested.

Called by a reader of that engine, and by the golden tests. SQL Server and Oracle have a dialect in
SQLAlchemy. Db2, HANA and ODBC stand on the default one, with the clause that limits rows stated
here (decision 0009). No driver is imported and nothing connects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import BigInteger, Select, cast
from sqlalchemy.dialects.mssql.base import MSDialect, MSSQLCompiler
from sqlalchemy.dialects.oracle.base import OracleDialect
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql.compiler import SQLCompiler

from dpp_core.errors import SpecError
from dpp_extractor.batch import SourceColumn
from dpp_extractor.extract.database.compiled.bounds import is_rowversion
from dpp_extractor.extract.database.query import Expression, Form

CompiledEngine = Literal["mssql", "oracle", "db2", "hana", "odbc"]


@dataclass(frozen=True, slots=True)
class NameRule:
    """What a name may be on a server: at most `most` of `unit`, without any of `never`."""

    most: int | None = None
    unit: Literal["bytes", "UTF-16 units"] = "bytes"
    never: str = "\0"


NAME_RULES: Final[dict[CompiledEngine, NameRule]] = {
    "mssql": NameRule(128, "UTF-16 units"),
    # Oracle has no way to write a double quote inside a name, not even doubled.
    "oracle": NameRule(128, "bytes", '\0"'),
    "db2": NameRule(128, "bytes"),
    "hana": NameRule(127, "UTF-16 units"),
    "odbc": NameRule(),
}


def compile_statement(engine: CompiledEngine, statement: Select[Any]) -> str:
    """Write a statement with its bounds in it, ready to be sent without parameters.

    The named style keeps `%` single; the only literals are counts and what `bounds` wrote.
    """
    dialect = _DIALECTS[engine](paramstyle="named")
    return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def check_names(engine: CompiledEngine, names: Sequence[str]) -> None:
    """Refuse a name that the server cannot have, before it says so in its own words (SpecError,
    20).
    """
    rule = NAME_RULES[engine]
    for name in names:
        size = len(name.encode("utf-8" if rule.unit == "bytes" else "utf-16-le", "surrogatepass"))
        size = size if rule.unit == "bytes" else size // 2
        bad = next((sign for sign in rule.never if sign in name), None)
        if bad is None and name and (rule.most is None or size <= rule.most):
            continue
        problem = (
            f"holds {bad!r}, which no name of this server can"
            if bad is not None
            else f"is {size} {rule.unit} long; allowed are 1 to {rule.most or 'any number'}"
        )
        raise SpecError(
            f"The name {name[:40]!r} {problem}.",
            field="datasets",
            fix="Write the object's or column's name as the source spells it.",
        )


def read_form(engine: CompiledEngine, column: SourceColumn) -> Form | None:
    """Say in which form a column is asked for; None: as it is. A rowversion is read as the number
    that its windows count in.
    """
    return _as_number if engine == "mssql" and is_rowversion(column.source_type) else None


def _as_number(expression: Expression) -> Expression:
    return cast(expression, BigInteger())


class _SqlServerCompiler(MSSQLCompiler):
    def visit_count_func(self, fn: Any, **kwargs: Any) -> str:
        """COUNT ends in an error beyond 2,147,483,647 rows."""
        return f"count_big{self.function_argspec(fn, **kwargs)}"


class _SqlServer(MSDialect):
    statement_compiler = _SqlServerCompiler


class _Db2Compiler(SQLCompiler):
    def visit_count_func(self, fn: Any, **kwargs: Any) -> str:
        """COUNT ends in an error beyond 2,147,483,647 rows."""
        return f"count_big{self.function_argspec(fn, **kwargs)}"

    def limit_clause(self, select: Any, **kwargs: Any) -> str:
        """LIMIT is known to Db2 for LUW from 11.1 on only."""
        count = self.process(select._limit_clause, **kwargs)
        return f"\n FETCH FIRST {count} ROWS ONLY"


class _Db2(DefaultDialect):
    statement_compiler = _Db2Compiler


class _OdbcCompiler(SQLCompiler):
    def limit_clause(self, select: Any, **kwargs: Any) -> str:
        """No clause is known to all products: the reader takes so many rows and closes."""
        return ""


class _Odbc(DefaultDialect):
    statement_compiler = _OdbcCompiler


_DIALECTS: Final[dict[CompiledEngine, Any]] = {
    "mssql": _SqlServer,
    "oracle": OracleDialect,
    "db2": _Db2,
    "hana": DefaultDialect,
    "odbc": _Odbc,
}
