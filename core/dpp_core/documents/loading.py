"""From paths to kinds: load one extraction or policy, or look through many files and list every
finding.

Called by the command line. A single load raises one error that names the first finding;
`check_paths` never raises for what people wrote, it reports.
"""

import difflib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from dpp_core.documents.findings import (
    Finding,
    build_finding,
    build_findings,
    parse_field,
)
from dpp_core.documents.reading import (
    Document,
    UnreadableFileError,
    read_documents,
    read_text,
)
from dpp_core.errors import PolicyError, SpecError, SpecTooLargeError, TenancyError
from dpp_core.laptop import laptop_policy
from dpp_core.names import API_VERSION, GROUP, KIND_EXTRACTION, KIND_RUN
from dpp_core.plan import new_run, resolve
from dpp_core.policy import Policy
from dpp_core.run import ExtractionRun
from dpp_core.spec.dataset import DatasetSpec
from dpp_core.spec.extraction import Extraction
from dpp_core.spec.fields import Violation
from dpp_core.tenancy import check_tenancy

Model = TypeVar("Model", bound=BaseModel)

KINDS: Final[dict[str, type[BaseModel]]] = {KIND_EXTRACTION: Extraction, KIND_RUN: ExtractionRun}
_ANY_INSTANT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SUFFIXES: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Checked:
    """What looking through files gave: the objects that are right, every finding, and notes on what
    was left alone.
    """

    files: int
    objects: tuple[Extraction | ExtractionRun, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """An extraction and the datasets that its file lists. Without any, the extraction has one that
    stands for all.
    """

    extraction: Extraction
    listed: tuple[DatasetSpec, ...]


def load_documents(path: str | Path) -> list[Document]:
    """Read the YAML documents of one file. Raises SpecError naming file, line and what to do."""
    try:
        return read_documents(read_text(Path(path)), str(path))
    except UnreadableFileError as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise SpecError(f"{where}: {error.message}", fix=error.fix) from error


def load_extraction(path: str | Path) -> Extraction:
    """Load the one DistributorExtraction of a file. Raises SpecError (exit 20)."""
    return _load_one(path, Extraction, KIND_EXTRACTION)


def load_outline(path: str | Path) -> Outline:
    """Load a DistributorExtraction that may lack its datasets, to look at the source before they
    are chosen. Raises SpecError (exit 20).
    """
    completed: list[dict[str, Any]] = []

    def complete(content: Any) -> Any:
        spec = content.get("spec") if isinstance(content, dict) else None
        if not isinstance(spec, dict) or spec.get("datasets"):
            return content
        completed.append(spec)
        return {**content, "spec": {**spec, "datasets": [{"name": "everything"}]}}

    extraction = _load_one(path, Extraction, KIND_EXTRACTION, complete)
    return Outline(extraction, () if completed else extraction.spec.datasets)


def load_run(path: str | Path) -> ExtractionRun:
    """Load the one ExtractionRun of a file. Raises SpecError (exit 20)."""
    return _load_one(path, ExtractionRun, KIND_RUN)


def load_policy(path: str | Path) -> Policy:
    """Load a platform policy. Raises PolicyError naming the key (exit 20)."""
    try:
        documents = load_documents(path)
    except SpecError as error:
        raise PolicyError(error.message, fix=error.fix) from error
    if len(documents) != 1:
        raise PolicyError(
            f"{path}: a policy file holds one document, not {len(documents)}.",
            fix="Keep the policy alone in its file.",
        )
    model, findings = _parse(documents[0], Policy, "policy")
    if model is None:
        raise _build_error(PolicyError, findings)
    return model


def check_paths(paths: Iterable[str | Path], policy: Policy | None = None) -> Checked:
    """Look through files and folders (recursively) and list everything that is wrong with the kinds
    in them.

    With a policy, what a namespace may do is checked too. Other groups' objects are left alone with
    a note.
    """
    documents: list[Document] = []
    findings: list[Finding] = []
    notes: list[str] = []
    files = 0
    for path in map(Path, paths):
        for file in _list_files(path):
            files += 1
            _take_file(file, path.is_dir(), documents, findings, notes)
    objects: list[Extraction | ExtractionRun] = []
    seen: dict[tuple[str, ...], Document] = {}
    for document in documents:
        found, model = _check_document(document, policy)
        findings.extend(found)
        if model is not None:
            objects.append(model)
            found, noted = _check_unique(document, model, seen)
            findings.extend(found)
            notes.extend(noted)
    return Checked(files, tuple(objects), tuple(findings), tuple(notes))


def check_object(
    content: dict[str, Any], policy: Policy | None = None
) -> tuple[Extraction | ExtractionRun | None, tuple[Finding, ...]]:
    """Check one object as the API server holds it: the same findings as a file's, without lines.

    Pure; called by the operator. The object is None when it cannot be read.
    """
    findings, model = _check_document(Document("", 1, content), policy)
    return model, tuple(findings)


def _list_files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(_SUFFIXES) and not name.startswith("."):
                yield Path(folder, name)


def _take_file(
    file: Path,
    in_folder: bool,
    documents: list[Document],
    findings: list[Finding],
    notes: list[str],
) -> None:
    """Read a file into documents of ours, findings and notes; in a folder, what is not ours is only
    noted.
    """
    text = ""
    try:
        text = read_text(file)
        read = read_documents(text, str(file))
    except UnreadableFileError as error:
        if in_folder and text and GROUP not in text:
            notes.append(f"{file}: left alone, it is not plain YAML and names no {GROUP} object")
            return
        findings.append(_build_file_finding(str(file), error.line, error.message, error.fix))
        return
    ours = [each for document in read for each in _expand_list(document)]
    mine = [document for document in ours if _is_ours(document, in_folder)]
    others = len(ours) - len(mine)
    documents.extend(mine)
    if others:
        notes.append(f"{file}: {others} object(s) of other groups left alone")
    if not mine and not in_folder:
        message = f"the file holds no {KIND_EXTRACTION} and no {KIND_RUN}."
        findings.append(
            _build_file_finding(str(file), None, message, f"Begin with apiVersion: {API_VERSION}.")
        )


def _build_file_finding(file: str, line: int | None, message: str, fix: str) -> Finding:
    return Finding(file, 1, line, "", "(file)", message, "a file", fix)


def _expand_list(document: Document) -> Iterator[Document]:
    """Take the items out of a `kind: List`, as `kubectl get -o yaml` prints several objects."""
    content = document.content
    if not (isinstance(content, dict) and content.get("kind") == "List"):
        yield document
        return
    items = content.get("items")
    for index, item in enumerate(items if isinstance(items, list) else []):
        inside = ("items", index)
        lines = {place[2:]: line for place, line in document.lines.items() if place[:2] == inside}
        traps = tuple(
            replace(trap, place=trap.place[2:])
            for trap in document.traps
            if trap.place[:2] == inside
        )
        yield replace(document, content=item, lines=lines, traps=traps)


def _is_ours(document: Document, in_folder: bool) -> bool:
    content = document.content
    if not isinstance(content, dict):
        return not in_folder
    version, kind = str(content.get("apiVersion", "")), str(content.get("kind", ""))
    if GROUP in version or kind in KINDS:
        return True
    if not version and not kind:
        return not in_folder
    return "dpp.dev" in version


def _check_document(
    document: Document, policy: Policy | None
) -> tuple[list[Finding], Extraction | ExtractionRun | None]:
    wrong = _check_type(document)
    if wrong is not None:
        return [build_finding(document, "", parse_field(wrong.field), wrong)], None
    kind = document.content["kind"]
    owner = _name_object(document.content)
    model, findings = _parse(document, KINDS[kind], owner)
    if isinstance(model, Extraction) and policy is not None:
        findings.extend(
            build_finding(document, owner, parse_field(violation.field), violation)
            for violation in check_tenancy(model, policy)
        )
    if isinstance(model, Extraction):
        found = _check_size(model, policy)
        findings.extend(
            build_finding(document, owner, parse_field(violation.field), violation)
            for violation in found
        )
    if isinstance(model, Extraction | ExtractionRun):
        return findings, model
    return findings, None


def _check_size(extraction: Extraction, policy: Policy | None) -> list[Violation]:
    """Say whether what a run would be handed fits; what tenancy refuses is told elsewhere."""
    rules = policy or laptop_policy(".")
    names = [dataset.name for dataset in extraction.spec.datasets]
    try:
        resolve(extraction, rules, new_run(extraction, rules, _ANY_INSTANT, "any", datasets=names))
    except SpecTooLargeError as error:
        return [Violation(error.field, error.message, error.fix)]
    except TenancyError:
        return []
    return []


def _check_type(document: Document) -> Violation | None:
    content = document.content
    if not isinstance(content, dict):
        return Violation(
            "", "the document is not an object.", f"Begin with apiVersion: {API_VERSION}."
        )
    version, kind = content.get("apiVersion"), content.get("kind")
    if version != API_VERSION:
        return Violation(
            "apiVersion", f"apiVersion must be {API_VERSION}.", f"Write apiVersion: {API_VERSION}."
        )
    if kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, n=1, cutoff=0.5)
        return Violation(
            "kind",
            f"kind must be {' or '.join(KINDS)}.",
            f"Did you mean {near[0]}?" if near else f"Write kind: {KIND_EXTRACTION}.",
        )
    return None


def _check_unique(
    document: Document, model: Extraction | ExtractionRun, seen: dict[tuple[str, ...], Document]
) -> tuple[list[Finding], list[str]]:
    """Find a second object of one name: wrong within a file, worth a note between files.

    Bases, overlays and variants of one object in several files are usual; only one is applied.
    """
    identity = (model.kind, model.metadata.namespace, model.metadata.name)
    first = seen.setdefault(identity, document)
    if first is document:
        return [], []
    owner = _name_object(document.content)
    if first.file != document.file:
        return [], [f"{document.file}: {owner} is in {first.file} too; apply only one of them"]
    violation = Violation(
        "metadata.name",
        f"there is another {model.kind} of this namespace and name in document {first.index}.",
        "Give one of them another name or namespace.",
    )
    return [build_finding(document, owner, ("metadata", "name"), violation)], []


def _name_object(content: dict[str, Any]) -> str:
    metadata = content.get("metadata")
    if not isinstance(metadata, dict):
        return str(content.get("kind"))
    namespace, name = metadata.get("namespace") or "default", metadata.get("name") or "(no name)"
    return f"{content.get('kind')} {namespace}/{name}"


def _parse(document: Document, kind: type[Model], owner: str) -> tuple[Model | None, list[Finding]]:
    """Turn a document into a model, or into findings; doubtful YAML counts as wrong."""
    findings = [
        build_finding(document, owner, trap.place, Violation("", trap.message, trap.fix))
        for trap in document.traps
    ]
    try:
        model = kind.model_validate(_prune(document.content), by_alias=True, by_name=False)
    except ValidationError as error:
        trapped = {finding.field for finding in findings}
        findings.extend(
            finding
            for finding in build_findings(error, document, owner, kind)
            if finding.field not in trapped
        )
        return None, findings
    return (None if findings else model), findings


def _prune(value: Any) -> Any:
    """Leave out fields without a value, as the API server does."""
    if isinstance(value, dict):
        return {name: _prune(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_prune(each) for each in value]
    return value


def _load_one(
    path: str | Path,
    kind: type[Model],
    name: str,
    complete: Callable[[Any], Any] = lambda content: content,
) -> Model:
    candidates = [
        each
        for document in load_documents(path)
        for each in _expand_list(document)
        if not isinstance(each.content, dict) or each.content.get("kind") in (name, None)
    ]
    wrong_kind = [] if candidates else [d for d in load_documents(path) if _is_ours(d, True)]
    for document in candidates or wrong_kind:
        wrong = _check_type(document)
        if wrong is not None:
            place = parse_field(wrong.field)
            raise _build_error(SpecError, [build_finding(document, "", place, wrong)])
    if len(candidates) != 1:
        raise SpecError(
            f"{path}: one {name} is needed, the file holds {len(candidates) or 'none'}.",
            fix=f"Name a file with exactly one object of kind: {name}.",
        )
    chosen = replace(candidates[0], content=complete(candidates[0].content))
    model, findings = _parse(chosen, kind, _name_object(chosen.content))
    if model is None:
        raise _build_error(SpecError, findings)
    return model


def _build_error(kind: type[SpecError], findings: list[Finding]) -> SpecError:
    """Say the first finding whole and count the others."""
    first = findings[0]
    where = f"{first.file}:{first.line}" if first.line else first.file
    more = f" ({len(findings) - 1} more: see `dpp validate`)" if len(findings) > 1 else ""
    return kind(
        f"{where}: {first.field}: {first.message} Received {first.received}.{more}",
        field=first.field,
        fix=first.fix,
    )
