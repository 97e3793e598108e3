"""One dataset of an extraction: which object is read, how its change is found, how it is written.

Resolved by `plan` into a hand-over `Unit`. Rules that need the source's real columns are the
extractor's, not ours.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from dpp_core.names import Unfit
from dpp_core.spec.columns import CASE_FIX, ColumnsSpec, ValuesSpec, is_own
from dpp_core.spec.fields import (
    Closed,
    ColumnName,
    DatasetName,
    Epoch,
    Flag,
    Label63,
    ListMap,
    Rule,
    Seconds,
    Text64,
    Text256,
    are_distinct,
    build_not_yet,
)


class IncrementalSpec(Closed):
    """How a dataset's change is found: rows whose cursor lies in the window since the last run."""

    cursor: ColumnName = Field(
        description="Source column that grows with every change: an instant, a date or an integer."
    )
    initial: Text64 | None = Field(
        default=None,
        description="Where the first window begins, as text in the cursor's own form; everything "
        "when not given.",
    )
    lag_seconds: Annotated[int, Field(strict=True, ge=0, le=604_800)] | None = Field(
        default=None,
        description="Seconds the window stays behind the source's clock, so that rows stamped "
        "before they are committed "
        "are not missed. At least 1 (0 only for sqlite); 300 where open transactions cannot be "
        "seen. With an integer cursor: where they cannot be seen, how long a run waits for them.",
    )
    lookback_seconds: Seconds | None = Field(
        default=None,
        description="Seconds read again below the window for late rows. Above 0 it is not "
        "supported yet.",
    )
    lookback_rows: Annotated[int, Field(strict=True, ge=0, le=100_000_000)] | None = Field(
        default=None,
        description="For integer cursors: how far below the window is read again. Above 0 it is "
        "not supported yet.",
    )
    nulls: Literal["Exclude", "Include", "Coalesce"] | None = Field(
        default=None,
        description="What happens to rows without a cursor. Exclude leaves them out; Include "
        "reads all of them in each run; Coalesce compares the column named in coalesce instead. "
        "When not given such rows block the dataset.",
    )
    coalesce: ColumnName | None = Field(
        default=None,
        description="With nulls: Coalesce, the source column that stands in where the cursor is "
        "NULL, of the cursor's own kind.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        build_not_yet(
            "lookbackSeconds",
            "lookbackSeconds above 0",
            lambda incremental: not incremental.lookback_seconds,
            "!has(self.lookbackSeconds) || self.lookbackSeconds == 0",
            "Remove it; a larger lagSeconds also catches late rows.",
        ),
        build_not_yet(
            "lookbackRows",
            "lookbackRows above 0",
            lambda incremental: not incremental.lookback_rows,
            "!has(self.lookbackRows) || self.lookbackRows == 0",
            "Remove it.",
        ),
        Rule(
            "coalesce",
            "coalesce and nulls: Coalesce belong together; one of them is missing.",
            "Give both, or neither.",
            lambda incremental: (
                (incremental.nulls == "Coalesce") == (incremental.coalesce is not None)
            ),
            "(has(self.nulls) && self.nulls == 'Coalesce') == has(self.coalesce)",
        ),
        Rule(
            "coalesce",
            "coalesce must be a source column other than the cursor; names that begin with _dpp_ "
            "are the product's own.",
            "Name the column that stands in for a NULL cursor, such as created_at.",
            lambda incremental: (
                incremental.coalesce is None
                or (incremental.coalesce != incremental.cursor and not is_own(incremental.coalesce))
            ),
            "!has(self.coalesce) || (self.coalesce != self.cursor && "
            "!self.coalesce.lowerAscii().startsWith('_dpp_'))",
        ),
        Rule(
            "cursor",
            "cursor must be a source column; names that begin with _dpp_ are the product's own.",
            "Name the column of the source that grows with every change.",
            lambda incremental: not is_own(incremental.cursor),
            "!self.cursor.lowerAscii().startsWith('_dpp_')",
        ),
    )


class SoftDeleteSpec(Closed):
    """The column by which a source marks a row as deleted."""

    column: ColumnName = Field(description="Source column that marks deleted rows.")
    value: Text64 | None = Field(
        default=None,
        description="Value that means deleted, as the table shows it: true, 1, D. When not given "
        "any value but NULL means it, as in deleted_at.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "column",
            "column must be a source column; names that begin with _dpp_ are the product's own.",
            "Name the column of the source that marks deleted rows.",
            lambda soft: not is_own(soft.column),
            "!self.column.lowerAscii().startsWith('_dpp_')",
        ),
    )


class ContractSpec(Closed):
    """A data contract held in a ConfigMap. Not supported yet."""

    config_map: Label63 = Field(description="Name of the ConfigMap in the same namespace.")
    key: Text256 = Field(default="contract.yaml", description="Key in the ConfigMap.")


class DatasetSpec(Closed):
    """One dataset: one object of the source, one table at the destination."""

    name: DatasetName = Field(description="Name of the table, and of the dataset everywhere else.")
    object: Text256 | None = Field(
        default=None,
        description="The source's own name of the table or view, plain or schema.table, any "
        "printable characters; the "
        "dataset's name when not given.",
    )
    key: tuple[ColumnName, ...] = Field(
        default=(),
        max_length=8,
        description="Columns that together identify a row. Needed for incremental.",
    )
    columns: ColumnsSpec | None = Field(
        default=None,
        description="Which columns are brought, and under which names; all when not given.",
    )
    incremental: IncrementalSpec | None = Field(
        default=None,
        description="Bring only what changed since the last run; without it each run reads "
        "everything.",
    )
    write: Literal["Replace", "Append", "Upsert"] | None = Field(
        default=None,
        description="Replace: the table is the source as of the last read (default without "
        "incremental). Append: every "
        "version read is a row (default with incremental). Upsert is not supported yet.",
    )
    epoch: Epoch = Field(
        default=0,
        description="Raise by one to read everything anew, for instance after the source's "
        "history was rewritten.",
    )
    deletes: Literal["Ignore", "KeyDiff", "SoftDeleteColumn", "Cdc"] = Field(
        default="Ignore",
        description="How rows deleted in the source are found with incremental. KeyDiff: each run "
        "reads the keys of the whole object and adds a delete row for each that went. "
        "SoftDeleteColumn: the source marks them. Cdc is not supported yet.",
    )
    soft_delete: SoftDeleteSpec | None = Field(
        default=None, description="Which column marks deleted rows; with SoftDeleteColumn only."
    )
    values: ValuesSpec | None = Field(
        default=None,
        description="What is done with values that the table's type cannot hold; their rows go "
        "to quarantine when not given.",
    )
    contract: ContractSpec | None = Field(
        default=None, description="Rules the rows are held to. Not supported yet."
    )
    suspend: Flag = Field(default=False, description="Leave this dataset out of runs for now.")

    RULES: ClassVar[tuple[Rule, ...]] = (
        build_not_yet(
            "write",
            "write: Upsert",
            lambda dataset: dataset.write != "Upsert",
            "!has(self.write) || self.write != 'Upsert'",
            "Use Append; `dpp show --sql` prints the view of the current state.",
        ),
        build_not_yet(
            "deletes",
            "deletes: Cdc",
            lambda dataset: dataset.deletes != "Cdc",
            "self.deletes != 'Cdc'",
            "Use KeyDiff, or SoftDeleteColumn where the source marks its deleted rows.",
        ),
        Rule(
            "deletes",
            "deletes needs incremental: a table that each run replaces leaves deleted rows out by "
            "itself.",
            "Remove deletes, or add incremental: {cursor: <column>} and a key.",
            lambda dataset: dataset.deletes == "Ignore" or dataset.incremental is not None,
            "self.deletes == 'Ignore' || has(self.incremental)",
        ),
        Rule(
            "softDelete",
            "softDelete and deletes: SoftDeleteColumn belong together; one of them is missing.",
            "Give both, or neither.",
            lambda dataset: (
                (dataset.deletes == "SoftDeleteColumn") == (dataset.soft_delete is not None)
            ),
            "(self.deletes == 'SoftDeleteColumn') == has(self.softDelete)",
        ),
        build_not_yet(
            "contract",
            "contract",
            lambda dataset: dataset.contract is None,
            "!has(self.contract)",
            "Remove contract.",
        ),
        Rule(
            "write",
            "write: Replace cannot be combined with incremental: a table that holds only the "
            "change is not the source.",
            "Remove incremental, or use write: Append.",
            lambda dataset: dataset.write != "Replace" or dataset.incremental is None,
            "!(has(self.write) && self.write == 'Replace' && has(self.incremental))",
        ),
        Rule(
            "write",
            "write: Append needs incremental: without a cursor every run would append the whole "
            "table again.",
            "Add incremental: {cursor: <column>}, or use write: Replace.",
            lambda dataset: dataset.write != "Append" or dataset.incremental is not None,
            "!(has(self.write) && self.write == 'Append' && !has(self.incremental))",
        ),
        Rule(
            "key",
            "key is needed with incremental (write: Append): the current state is the latest row "
            "by key.",
            "Add key: [<columns that identify a row>].",
            lambda dataset: dataset.incremental is None or len(dataset.key) > 0,
            "!has(self.incremental) || (has(self.key) && size(self.key) > 0)",
        ),
        Rule(
            "key",
            "key names a column twice, or two columns equal but for case.",
            CASE_FIX,
            lambda dataset: are_distinct(dataset.key),
            "!has(self.key) || self.key.all(a, self.key.exists_one(b, b.lowerAscii() == "
            "a.lowerAscii()))",
        ),
        Rule(
            "key",
            "key must be source columns; names that begin with _dpp_ are the product's own.",
            "Name the columns of the source that identify a row.",
            lambda dataset: not any(is_own(name) for name in dataset.key),
            "!has(self.key) || self.key.all(c, !c.lowerAscii().startsWith('_dpp_'))",
        ),
        Rule(
            "columns",
            "columns leaves out a column that key, incremental or softDelete.column needs.",
            "Include it, or take it out of exclude.",
            lambda dataset: _brings_needed(
                dataset.columns, dataset.key, dataset.incremental, dataset.soft_delete
            ),
        ),
        Rule(
            "values",
            "values names a column that columns leaves out.",
            "Include the column, or take it out of values.",
            lambda dataset: _brings_all(dataset.columns, _unfit_names(dataset)),
        ),
        Rule(
            "values",
            "values sets a key column to NULL: a row without its key is no row.",
            "Use Fail, Text or Quarantine for it.",
            lambda dataset: not _unfit_names(dataset, "SetNull") & set(dataset.key),
        ),
        Rule(
            "values",
            "values gives the cursor another form than the windows compare.",
            "Use Fail or Quarantine for it.",
            lambda dataset: (
                dataset.incremental is None
                or not _compared(dataset.incremental) & _unfit_names(dataset, "SetNull", "Text")
            ),
        ),
    )


def _compared(incremental: IncrementalSpec) -> set[str]:
    """Name the columns that windows compare."""
    return {incremental.cursor} | ({incremental.coalesce} if incremental.coalesce else set())


def _unfit_names(dataset: DatasetSpec, *kinds: Unfit) -> set[str]:
    """Name the columns to which values gives one of these words; any word when none is given."""
    columns = dataset.values.columns if dataset.values else ()
    return {column.name for column in columns if not kinds or column.unfit in kinds}


def _brings_needed(
    columns: ColumnsSpec | None,
    key: tuple[str, ...],
    incremental: IncrementalSpec | None,
    soft: SoftDeleteSpec | None,
) -> bool:
    """Say whether key, cursor and mark are among the columns brought, as far as the file can tell."""
    needed = {
        *key,
        *(_compared(incremental) if incremental else ()),
        *([soft.column] if soft else ()),
    }
    return _brings_all(columns, needed)


def _brings_all(columns: ColumnsSpec | None, needed: set[str]) -> bool:
    if columns is None:
        return True
    include, exclude = set(columns.include), set(columns.exclude)
    return not needed & exclude and (not include or needed <= include)


DATASETS_LIST = dict(ListMap)
