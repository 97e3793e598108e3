"""Add datasets to a resource's file and leave every other character of it as it was.

Called by `dpp discover --write`. Pure: text in, text out. Comments, order and style of what a person
wrote stay; what cannot be edited with certainty is refused, and the file is left alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from dpp_core.documents.reading import UnreadableFileError, read_documents
from dpp_core.errors import UsageError
from dpp_core.names import ANNOTATION_SELECT, KIND_EXTRACTION

_BEFORE: Final = ("credentials", "source", "distributor")
"""Datasets are written behind the first of these that is there, as the samples do."""
_WIDEST: Final = 1_000_000
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """A dataset to be added, and a remark for whoever reads the file."""

    dataset: Mapping[str, Any]
    remark: str = ""


def write_block(entries: Sequence[Entry], indent: int = 2) -> str:
    """Write a `datasets` block, one line each, as it stands under `spec:`."""
    space = " " * indent
    if not entries:
        return f"{space}datasets: []\n"
    return f"{space}datasets:\n" + "".join(_lines(entries, indent + 2))


def add_datasets(text: str, entries: Sequence[Entry], select: str = "") -> str:
    """Add datasets to the one DistributorExtraction of a file, and keep its selection as annotation.

    Raises UsageError when the file is of a form that cannot be edited with certainty. Adding nothing
    gives the text as it was.
    """
    before = _load(text)
    added = text
    if entries:
        added = _add_entries(added, _find(added), entries)
    if select:
        added = _annotate(added, _find(added), select)
    if _load(added) != _expect(before, entries, select):
        raise _refuse("its text cannot be edited with certainty")
    return added


def _find(text: str) -> yaml.MappingNode:
    try:
        documents = [each for each in yaml.compose_all(text, yaml.SafeLoader) if each is not None]
    except yaml.YAMLError as error:
        raise _refuse("it is not plain YAML") from error
    for node in documents:
        kind = _get(node, "kind")
        if isinstance(kind, yaml.ScalarNode) and kind.value == KIND_EXTRACTION:
            assert isinstance(node, yaml.MappingNode)
            return node
    raise _refuse(f"no document of it is a {KIND_EXTRACTION} by itself")


def _get(node: yaml.Node | None, name: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for key, value in pairs if key.value == name), None)


def _add_entries(text: str, root: yaml.MappingNode, entries: Sequence[Entry]) -> str:
    spec = _get(root, "spec")
    if not isinstance(spec, yaml.MappingNode) or spec.flow_style:
        raise _refuse("its spec is written in braces")
    there = _get(spec, "datasets")
    if there is None:
        neighbour = next(value for name in _BEFORE if (value := _get(spec, name)) is not None)
        block = write_block(entries, spec.start_mark.column)
        return _insert(text, _last_line(neighbour) + 1, block)
    if isinstance(there, yaml.SequenceNode) and there.value:
        if not there.flow_style:
            lines = _lines(entries, there.start_mark.column)
            return _insert(text, _last_line(there) + 1, "".join(lines))
        end = there.end_mark.index - 1
        comma = "" if text[:end].rstrip().endswith(",") else ", "
        return (
            text[:end]
            + comma
            + ", ".join(write_entry(each.dataset) for each in entries)
            + text[end:]
        )
    # Nothing is listed yet: `datasets:` or `datasets: []`.
    key = next(key for key, value in spec.value if value is there)
    cut = text[: key.end_mark.index] + ":" + text[there.end_mark.index :].lstrip(":")
    return _insert(cut, key.end_mark.line + 1, "".join(_lines(entries, key.start_mark.column + 2)))


def _annotate(text: str, root: yaml.MappingNode, select: str) -> str:
    metadata = _get(root, "metadata")
    if not isinstance(metadata, yaml.MappingNode):
        raise _refuse("it has no metadata")
    annotations = _get(metadata, "annotations")
    if not isinstance(annotations, yaml.MappingNode):
        if annotations is not None:
            raise _refuse("its annotations are empty")
        return _put(text, metadata, f"annotations: {write_entry({ANNOTATION_SELECT: select})}")
    there = _get(annotations, ANNOTATION_SELECT)
    if there is None:
        return _put(text, annotations, write_entry({ANNOTATION_SELECT: select})[1:-1])
    start, end = there.start_mark.index, there.end_mark.index
    return text[:start] + write_entry([select])[1:-1] + text[end:]


def _put(text: str, mapping: yaml.MappingNode, pair: str) -> str:
    """Put a pair behind the last one of a mapping that has one."""
    if mapping.flow_style:
        end = mapping.end_mark.index - 1
        return f"{text[:end].rstrip()}, {pair}{text[end:]}"
    space = " " * mapping.start_mark.column
    return _insert(text, _last_line(mapping) + 1, f"{space}{pair}\n")


def _insert(text: str, line: int, block: str) -> str:
    lines = text.splitlines(keepends=True)
    ending = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    if lines and line >= len(lines) and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += ending
    lines.insert(line, block.replace("\n", ending))
    return "".join(lines)


def _last_line(node: yaml.Node) -> int:
    """Find the last line that holds something of a node; comments behind it are not its own."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return max(_last_line(each) for each in (last if isinstance(last, tuple) else (last,)))
    is_block_text = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
    return int(node.end_mark.line) - (1 if is_block_text else 0)


def _lines(entries: Sequence[Entry], indent: int) -> list[str]:
    space = " " * indent
    return [
        f"{space}- {write_entry(each.dataset)}{f'  # {each.remark}' if each.remark else ''}\n"
        for each in entries
    ]


def write_entry(value: Any) -> str:
    """Write a dataset, or any value, on one line, as it may stand inside of braces."""
    return yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=_WIDEST,
    ).strip()


class _Dumper(yaml.SafeDumper):
    """Quotes what two readers of YAML would not understand alike, such as 08 and 1e3."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if _PLAIN.fullmatch(text) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent_text)


def _load(text: str) -> list[Any]:
    try:
        documents = read_documents(text, "the file")
    except UnreadableFileError as error:
        raise _refuse(error.message) from error
    if any(document.traps for document in documents):
        raise _refuse("a name in it can be read as something else")
    return [document.content for document in documents]


def _expect(before: list[Any], entries: Sequence[Entry], select: str) -> list[Any]:
    """Say what the file must hold afterwards: the same, with the datasets and the selection."""
    expected = []
    for each in before:
        is_ours = isinstance(each, dict) and each.get("kind") == KIND_EXTRACTION
        expected.append(_extend(each, entries, select) if is_ours else each)
    return expected


def _extend(document: dict[str, Any], entries: Sequence[Entry], select: str) -> dict[str, Any]:
    changed = dict(document)
    if entries:
        spec = document["spec"]
        datasets = [*(spec.get("datasets") or ()), *(dict(each.dataset) for each in entries)]
        changed["spec"] = {**spec, "datasets": datasets}
    if select:
        metadata = document["metadata"]
        annotations = {**(metadata.get("annotations") or {}), ANNOTATION_SELECT: select}
        changed["metadata"] = {**metadata, "annotations": annotations}
    return changed


def _refuse(why: str) -> UsageError:
    return UsageError(
        f"The datasets cannot be written into the file: {why}.",
        field="--write",
        fix="Print them with `-o yaml` and put them in by hand.",
    )
