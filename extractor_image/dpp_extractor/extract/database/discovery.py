"""Propose datasets for what a source's catalogue shows: a name, the key, and how change is found.

Called by `dpp discover` and `dpp plan --connect`. Pure. A proposal is a beginning that a person
reads: nobody can see from a catalogue whether an application stamps every change, so each cursor
comes with the reason for it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import pyarrow as pa
from pydantic import ValidationError

from dpp_core.spec.dataset import DatasetSpec
from dpp_extractor.batch import FoundColumn, FoundObject
from dpp_extractor.extract.database.selection import Selection

_LONGEST_NAME: Final = 63
_MOST_KEY_COLUMNS: Final = 8
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_CHANGE: Final = frozenset(
    {
        *("update", "updated", "upd", "udate", "lupdate", "lastupdate", "touched"),
        *("modify", "modified", "modification", "mod", "lastmod", "lastmodified"),
        *("change", "changed", "changedate", "lastchange"),
        *("geaendert", "aenderung", "aendr", "aedat"),
    }
)
_VERSION: Final = frozenset({"rowversion", "changeseq", "rowver", "lsn"})
_BIRTH: Final = frozenset(
    {
        *("create", "created", "creation", "insert", "inserted"),
        *("erfasst", "angelegt", "erdat"),
    }
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A column that may tell change, and the indexes that begin with it.

    `doubts` are the reasons to look at it before trusting it.
    """

    name: str
    source_type: str
    indexes: tuple[str, ...]
    doubts: tuple[str, ...]
    rank: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """What could be extracted of one object. `dataset` is None where it cannot be read."""

    found: FoundObject
    dataset: str | None
    cursors: tuple[Cursor, ...]
    note: str

    @property
    def entry(self) -> dict[str, Any] | None:
        """The dataset as a resource writes it; None where there is nothing to read."""
        return _build_entry(self) if self.dataset is not None else None


def propose(objects: Sequence[FoundObject], taken: Iterable[str] = ()) -> tuple[Proposal, ...]:
    """Propose a dataset for each object, in their order; names are valid, unique and not `taken`."""
    names = set(taken)
    return tuple(_propose(each, names) for each in objects)


def choose(found: Iterable[FoundObject], selection: Selection) -> list[FoundObject]:
    """Choose what a selection stands for: tables, and views that it names one by one.

    Most views only show again what their tables hold.
    """
    return [
        each
        for each in found
        if selection.is_wanted(each.object, each.full_name)
        and (each.kind == "table" or selection.is_named(each))
    ]


def find_cursors(columns: Iterable[FoundColumn]) -> tuple[Cursor, ...]:
    """Find the columns whose names and types say that they grow with every change, best first."""
    found = [cursor for column in columns if (cursor := _judge(column)) is not None]
    return tuple(sorted(found, key=lambda cursor: (cursor.rank, cursor.name)))


def _propose(found: FoundObject, taken: set[str]) -> Proposal:
    if found.grant:
        return Proposal(found, None, (), f"not readable; as its owner: {found.grant}")
    cursors = find_cursors(found.columns)
    proposal = Proposal(
        found, _name_dataset(found.object, taken), cursors, _explain(found, cursors)
    )
    try:
        DatasetSpec.model_validate(proposal.entry)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        note = f"cannot be written in a resource: {wrong['loc'][0]}: {wrong['msg']}"
        return Proposal(found, None, cursors, note)
    return proposal


def _explain(found: FoundObject, cursors: Sequence[Cursor]) -> str:
    if len(found.key) > _MOST_KEY_COLUMNS:
        return f"its key has {len(found.key)} columns, more than {_MOST_KEY_COLUMNS}: read in full"
    if not found.key:
        return "no unique key: read in full"
    if not cursors:
        births = [each.name for each in found.columns if _words(each.name) & _BIRTH]
        only = f" ({births[0]!r} tells inserts only)" if births else ""
        return f"no column that tells change{only}: read in full"
    return "; ".join(cursors[0].doubts)


def _build_entry(proposal: Proposal) -> dict[str, Any]:
    found = proposal.found
    dataset: dict[str, Any] = {"name": proposal.dataset}
    if found.object != proposal.dataset:
        dataset["object"] = found.object
    if 0 < len(found.key) <= _MOST_KEY_COLUMNS:
        dataset["key"] = list(found.key)
        if proposal.cursors:
            dataset["incremental"] = {"cursor": proposal.cursors[0].name}
    return dataset


def _judge(column: FoundColumn) -> Cursor | None:
    words = _words(column.name)
    is_instant = pa.types.is_timestamp(column.arrow_type)
    is_date = pa.types.is_date(column.arrow_type)
    is_number = pa.types.is_integer(column.arrow_type)
    tells_change = bool(words & _CHANGE) and (is_instant or is_date)
    if not (tells_change or (is_number and words & _VERSION)):
        return None
    doubts = []
    if column.nullable:
        doubts.append(f"{column.name!r} can be NULL: such rows block the dataset")
    if is_date:
        doubts.append(f"{column.name!r} has days only: today's rows come tomorrow")
    if not column.indexes:
        doubts.append(f"no index begins with {column.name!r}: each run reads the whole table")
    return Cursor(
        name=column.name,
        source_type=column.source_type,
        indexes=column.indexes,
        doubts=tuple(doubts),
        rank=4 * is_date + 2 * column.nullable + (not column.indexes),
    )


def _words(name: str) -> frozenset[str]:
    """Split a name as `LastUpdate` or `updated_at`; two neighbours also count as one word."""
    words = [word.casefold() for word in _WORDS.findall(name)]
    pairs = [first + second for first, second in pairwise(words)]
    return frozenset([*words, *pairs])


def _name_dataset(object_name: str, taken: set[str]) -> str:
    parts = [part for part in re.split(r"[^A-Za-z0-9]+", object_name) if part]
    plain = "_".join(word for part in parts for word in _split(part)).casefold()
    name = plain[:_LONGEST_NAME] or "dataset"
    number = 2
    while name in taken:
        ending = f"_{number}"
        name = f"{plain[: _LONGEST_NAME - len(ending)] or 'dataset'}{ending}"
        number += 1
    taken.add(name)
    return name


def _split(part: str) -> list[str]:
    """Keep a part of one case whole; split `OrderLines` where its case says so."""
    return [part] if part.isupper() or part.islower() else _WORDS.findall(part)
