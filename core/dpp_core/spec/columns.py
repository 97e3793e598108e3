"""The columns of one dataset: which are brought, under which names, and what their type cannot hold.

Rules that need the source's real columns are the extractor's, not ours.
"""

from typing import ClassVar

from pydantic import Field

from dpp_core.names import RESERVED_PREFIX, Unfit
from dpp_core.spec.fields import (
    Closed,
    ColumnName,
    ListMap,
    Rule,
    SetList,
    TargetColumn,
    are_distinct,
)

MOST_COLUMNS = 256
CASE_FIX = "Two columns equal but for case make a table unreadable: keep one of them."


def is_own(name: str) -> bool:
    """Say whether a column's name is one the product keeps for itself."""
    return name.casefold().startswith(RESERVED_PREFIX)


class ColumnsSpec(Closed):
    """Which columns are brought, and under which names."""

    include: tuple[ColumnName, ...] = Field(
        default=(),
        max_length=MOST_COLUMNS,
        json_schema_extra=dict(SetList),
        description="Only these source columns. Not together with exclude.",
    )
    exclude: tuple[ColumnName, ...] = Field(
        default=(),
        max_length=MOST_COLUMNS,
        json_schema_extra=dict(SetList),
        description="All source columns but these. Not together with include.",
    )
    rename: dict[ColumnName, TargetColumn] = Field(
        default_factory=dict,
        max_length=MOST_COLUMNS,
        description="New names: source column to table column. Others become snake_case by "
        "themselves.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "exclude",
            "include and exclude cannot both be given.",
            "Keep include (only these) or exclude (all but these).",
            lambda columns: not (columns.include and columns.exclude),
            "!(has(self.include) && size(self.include) > 0 && has(self.exclude) && "
            "size(self.exclude) > 0)",
        ),
        Rule(
            "include",
            "include names the same column twice, or two names equal but for case.",
            CASE_FIX,
            lambda columns: are_distinct(columns.include),
        ),
        Rule(
            "exclude",
            "exclude names the same column twice, or two names equal but for case.",
            "Keep one of them.",
            lambda columns: are_distinct(columns.exclude),
        ),
        Rule(
            "rename",
            "rename gives two columns the same new name.",
            "Give each column a name of its own.",
            lambda columns: are_distinct(tuple(columns.rename.values())),
        ),
        Rule(
            "rename",
            "rename names a column that include and exclude leave out.",
            "Include the column or remove its new name.",
            lambda columns: (
                not set(columns.rename) & set(columns.exclude)
                and (not columns.include or set(columns.rename) <= set(columns.include))
            ),
        ),
        Rule(
            "include",
            "include names a column that begins with _dpp_, which is the product's own.",
            "A source column of such a name cannot be brought: leave it out.",
            lambda columns: not any(is_own(name) for name in columns.include),
            "!has(self.include) || self.include.all(c, !c.lowerAscii().startsWith('_dpp_'))",
        ),
        Rule(
            "rename",
            "rename names a column that begins with _dpp_, which is the product's own.",
            "A source column of such a name cannot be brought: leave it out.",
            lambda columns: not any(is_own(name) for name in columns.rename),
            "!has(self.rename) || self.rename.all(c, !c.lowerAscii().startsWith('_dpp_'))",
        ),
    )


class ColumnValuesSpec(Closed):
    """What is done with the values of one column that its type cannot hold."""

    name: ColumnName = Field(description="The source column.")
    unfit: Unfit = Field(
        description="As values.unfit, for this column. A key column cannot have SetNull, a cursor "
        "neither SetNull nor Text."
    )


class ValuesSpec(Closed):
    """What is done with values that the table's type cannot hold, as an infinite timestamp."""

    unfit: Unfit = Field(
        default="Quarantine",
        description="For every column that is not named below. Quarantine: the row is set aside, "
        "whole. Fail: the dataset is blocked, nothing is committed. SetNull: the value becomes "
        "NULL and is counted. Text: the column is text in every row, as the source writes it. Key "
        "and cursor keep Quarantine where the word would take their value or form.",
    )
    columns: tuple[ColumnValuesSpec, ...] = Field(
        default=(),
        max_length=MOST_COLUMNS,
        json_schema_extra=dict(ListMap),
        description="Columns for which something else holds.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "columns",
            "columns names the same column twice, or two names equal but for case.",
            "Keep one of them.",
            lambda values: are_distinct([column.name for column in values.columns]),
        ),
    )
