"""Decide what a changed source schema means for the table: go on, widen, add, or stop for a person.

Called by `unit` once a dataset. Pure. Rules: data-log.md, "Schema change": a nullable column may be added, integers,
floats and decimals may widen in place; a renamed, removed or narrowed column is blocked (25) until approved.
"""

import hashlib
from dataclasses import dataclass

import pyarrow as pa

from dpp_core.errors import SchemaChangedError
from dpp_extractor.standardise.columns import FIDELITY, RETIRED, SOURCE_NAME, UNFIT

_INTEGERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64())


@dataclass(frozen=True, slots=True)
class SchemaPlan:
    """The schema to write with. `block` is set when a person must approve; `schema` then is the one after approval."""

    schema: pa.Schema
    is_changed: bool
    added: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    block: SchemaChangedError | None = None


def decide_schema(
    dataset: str, current: pa.Schema | None, planned: pa.Schema, *, replaces_all: bool
) -> SchemaPlan:
    """Compare the table's schema with the source's.

    `replaces_all`: the commit removes every live file (Replace, reset), so an approved change may take the source's
    schema as it is; otherwise a column that went stays in the table and is NULL from now on.
    """
    if current is None:
        return SchemaPlan(planned, is_changed=True)
    by_name = {field.name: field for field in planned}
    fields: list[pa.Field] = []
    widened: list[str] = []
    problems: list[str] = []
    is_approvable = True
    for field in current:
        new = by_name.get(field.name)
        if new is None:
            if not _is_retired(field):
                problems.append(_missing(field, current, planned))
            fields.append(_retired(field))
        elif new.type == field.type:
            is_news = _is_retired(field) or _is_held_otherwise(field, new, replaces_all)
            fields.append(new if is_news else field)
        elif is_widening(field.type, new.type):
            widened.append(field.name)
            fields.append(new)
        else:
            problems.append(f"{field.name} was {field.type} and is {new.type} now")
            is_approvable = is_approvable and (replaces_all or is_widening(new.type, field.type))
            fields.append(field)
    added = [field for field in planned if field.name not in current.names]
    merged = _with_system_last([*fields, *added])
    if problems:
        schema = planned if replaces_all else merged
        fingerprint = schema_fingerprint(planned) if is_approvable else ""
        return SchemaPlan(
            schema, True, block=_blocked(dataset, problems, replaces_all, fingerprint)
        )
    return SchemaPlan(
        merged, bool(widened or added), tuple(field.name for field in added), tuple(widened)
    )


def is_widening(old: pa.DataType, new: pa.DataType) -> bool:
    """Say whether every old value keeps its value under the new type, in place for all readers."""
    if old in _INTEGERS and new in _INTEGERS:
        return _INTEGERS.index(new) > _INTEGERS.index(old)
    if pa.types.is_float32(old) and pa.types.is_float64(new):
        return True
    if pa.types.is_decimal(old) and pa.types.is_decimal(new):
        return bool(new.scale == old.scale and new.precision > old.precision)
    return False


def schema_fingerprint(schema: pa.Schema) -> str:
    """Hash names and types in order; field metadata does not count."""
    text = ";".join(f"{field.name}:{field.type}" for field in schema)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:32]


def _is_held_otherwise(field: pa.Field, new: pa.Field, replaces_all: bool) -> bool:
    """Say whether readers must be told how values are held from now on. Where old rows stay, so does
    the word that some of their values became NULL.
    """
    old_words, new_words = field.metadata or {}, new.metadata or {}
    if new_words.get(UNFIT) != old_words.get(UNFIT):
        return replaces_all or UNFIT in new_words
    return bool(new_words.get(FIDELITY) != old_words.get(FIDELITY))


def _is_retired(field: pa.Field) -> bool:
    return RETIRED in (field.metadata or {})


def _retired(field: pa.Field) -> pa.Field:
    """Mark a column that the source no longer has; it stays in the table, and is not asked about again."""
    return field.with_metadata({**(field.metadata or {}), RETIRED: b"true"})


def _with_system_last(fields: list[pa.Field]) -> pa.Schema:
    system = [field for field in fields if field.name.startswith("_dpp_")]
    return pa.schema([field for field in fields if not field.name.startswith("_dpp_")] + system)


def _missing(field: pa.Field, current: pa.Schema, planned: pa.Schema) -> str:
    new = [other.name for other in planned if other.name not in current.names]
    renamed = [name for name in new if planned.field(name).type == field.type]
    source = (field.metadata or {}).get(SOURCE_NAME, field.name.encode()).decode()
    hint = f" (renamed to {renamed[0]}?)" if len(renamed) == 1 else ""
    return f"{field.name} (source column {source!r}) is gone{hint}"


def _blocked(
    dataset: str, problems: list[str], replaces_all: bool, fingerprint: str
) -> SchemaChangedError:
    undo = "Undo the change at the source, keep the old name with columns.rename, "
    if not fingerprint:
        fix = undo + "or raise the dataset's epoch: values of the new type do not fit the table."
    elif replaces_all:
        fix = undo + "or approve this run: the table then takes the new schema."
    else:
        fix = (
            undo
            + "or approve this run: a column that is gone then stays in the table and is NULL from now on, "
            "and a narrower type is written as the table's."
        )
    return SchemaChangedError(
        f"The schema of {dataset} changed: {'; '.join(problems)}. Nothing was committed.",
        field="approve",
        fix=fix,
        fingerprint=fingerprint,
    )
