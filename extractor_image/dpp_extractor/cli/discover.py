"""`dpp discover`: what the source holds, and the datasets block for it.

Registered by the entry point `dpp.commands`. It reads the source's catalogue and no row of a table.
With `--write` it adds to the file what the file does not list yet; nothing else is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpp_core import logs
from dpp_core.cli.output import print_json, print_table, say
from dpp_core.cli.plan import FileOption, PolicyOption, SecretsOption, choose_policy
from dpp_core.cli.selecting import SelectOption, choose_forms, join_forms
from dpp_core.documents.loading import Outline, load_outline
from dpp_core.documents.writing import Entry, add_datasets, write_block
from dpp_core.errors import UsageError
from dpp_core.plan import new_run, resolve
from dpp_core.spec.extraction import MOST_DATASETS
from dpp_extractor.cli.source import open_for_looking

if TYPE_CHECKING:
    from dpp_extractor.batch import FoundObject
    from dpp_extractor.extract.database.discovery import Cursor, Proposal
    from dpp_extractor.extract.database.selection import Selection

EXAMPLES = """\b
Examples:
  dpp discover -f acme.yaml                            every table and view
  dpp discover -f acme.yaml --select 'sales.*' --select '!*.tmp_*'
  dpp discover -f acme.yaml --select 'sales.*' -o yaml the datasets block, to be read and kept
  dpp discover -f acme.yaml --select 'sales.*' --write add it to the file, and keep the selection
  dpp discover -f acme.yaml --write                    add what has come since then
"""

_UNITS = ("B", "kB", "MB", "GB", "TB")


class Form(StrEnum):
    """How the findings are printed."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Findings:
    """What a source holds: every object asked for, which of them are listed already, and those
    proposals that the file could be given.
    """

    proposals: "tuple[Proposal, ...]"
    listed: dict[str, str]
    new: "tuple[Proposal, ...]"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("discover", epilog=EXAMPLES)(discover)


def discover(
    file: FileOption,
    policy: PolicyOption = None,
    secrets_file: SecretsOption = None,
    select: SelectOption = None,
    write: Annotated[
        bool, typer.Option("--write", help="Add to the file what it does not list yet.")
    ] = False,
    output: Annotated[
        Form, typer.Option("--output", "-o", help="text, json, or yaml: the datasets block.")
    ] = Form.TEXT,
) -> None:
    """List the source's tables and views with keys, sizes and cursors, and propose datasets.

    The file needs its source and may lack its datasets. What it lists already is not proposed again;
    views are proposed when they are named one by one. It reads the catalogue, no row of a table.
    """
    from dpp_extractor.extract.database.selection import Selection

    logs.set_up_logging("WARNING", "json" if output is Form.JSON else "text")
    outline = load_outline(file)
    selection = Selection(choose_forms(outline.extraction, select))
    found = _look(outline, policy, secrets_file, selection)
    _tell_idle(selection.list_idle(found), is_given=bool(select))
    findings = sift(found, outline, selection)
    _print(findings, output)
    if write:
        _write(file, outline, findings, selection if select else None)
    elif len(findings.new) + len(outline.listed) > MOST_DATASETS:
        say(f"An extraction has at most {MOST_DATASETS} datasets: choose with --select.")


def sift(found: "Sequence[FoundObject]", outline: Outline, selection: "Selection") -> Findings:
    """Sort what was found into what is listed and what could be."""
    from dpp_extractor.extract.database.discovery import choose, propose
    from dpp_extractor.extract.database.selection import find_named

    shown = [each for each in found if each.kind != "part" or selection.is_named(each)]
    pairs = [(find_named(shown, each.object or each.name), each) for each in outline.listed]
    listed = {there.object: dataset.name for there, dataset in pairs if there is not None}
    proposals = propose(shown, taken=[each.name for each in outline.listed])
    chosen = {each.object for each in choose(shown, selection)}
    new = [
        each
        for each in proposals
        if each.found.object in chosen and each.found.object not in listed and each.entry
    ]
    return Findings(proposals, listed, tuple(new))


def _look(
    outline: Outline, policy: Path | None, secrets_file: Path | None, selection: "Selection"
) -> "tuple[FoundObject, ...]":
    rules, extraction = choose_policy(policy, None), outline.extraction
    datasets = [each.name for each in extraction.spec.datasets]
    run = new_run(extraction, rules, datetime.now(UTC), "look", datasets=datasets)
    with open_for_looking(resolve(extraction, rules, run), secrets_file) as opened:
        return opened.source.discover(selection.is_wanted)


def _tell_idle(forms: Sequence[str], *, is_given: bool) -> None:
    """Refuse a form of the command line that fits nothing, and only tell one of the file."""
    if not forms:
        return
    error = UsageError(
        f"No table or view has a name of the form {forms[0]!r}.",
        field="--select",
        fix="Names are compared with their case; --select '*' shows them all.",
    )
    if is_given:
        raise error
    say(f"{error.message} {error.fix}")


def _print(findings: Findings, output: Form) -> None:
    if output is Form.JSON:
        objects = [_tell(each, findings) for each in findings.proposals]
        print_json({"objects": objects, "datasets": [each.entry for each in findings.new]})
    elif output is Form.YAML:
        print(write_block(_entries(findings)), end="")
    else:
        columns = ("OBJECT", "KIND", "ROWS", "SIZE", "KEY", "CURSORS", "DATASET", "NOTE")
        print_table(columns, [_row(each, findings) for each in findings.proposals])


def _write(file: Path, outline: Outline, findings: Findings, selection: "Selection | None") -> None:
    """Add what is new to the file; a second time there is nothing new, and the file stays."""
    count = len(findings.new) + len(outline.listed)
    if count > MOST_DATASETS:
        raise UsageError(
            f"{file} would list {count} datasets; an extraction has at most {MOST_DATASETS}.",
            field="--select",
            fix="Choose fewer with --select, or divide the source over several extractions.",
        )
    text = file.read_bytes().decode()
    kept = join_forms(selection.forms) if selection is not None else ""
    changed = add_datasets(text, _entries(findings), kept)
    if changed != text:
        file.write_bytes(changed.encode())
    say(f"{len(findings.new)} datasets were added to {file}, which lists {count} now.")


def _entries(findings: Findings) -> list[Entry]:
    return [Entry(each.entry, each.note) for each in findings.new if each.entry is not None]


def _row(proposal: "Proposal", findings: Findings) -> tuple[object, ...]:
    found = proposal.found
    return (
        found.object,
        found.kind,
        found.rows,
        _name_size(found.size_bytes),
        found.key,
        "; ".join(_name_cursor(each) for each in proposal.cursors),
        findings.listed.get(found.object),
        proposal.note,
    )


def _name_cursor(cursor: "Cursor") -> str:
    return f"{cursor.name} ({', '.join(cursor.indexes) or 'no index'})"


def _name_size(size_bytes: int | None) -> str:
    """Write a size for people, in steps of a thousand."""
    if size_bytes is None:
        return ""
    size, unit = float(size_bytes), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if size >= 10 or unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def _tell(proposal: "Proposal", findings: Findings) -> dict[str, Any]:
    found = proposal.found
    return {
        "object": found.object,
        "kind": found.kind,
        "rows": found.rows,
        "sizeBytes": found.size_bytes,
        "key": found.key,
        "columns": [
            {
                "name": each.name,
                "type": each.source_type,
                "nullable": each.nullable,
                "indexes": each.indexes,
            }
            for each in found.columns
        ],
        "cursors": [
            {
                "name": each.name,
                "type": each.source_type,
                "indexes": each.indexes,
                "doubts": each.doubts,
            }
            for each in proposal.cursors
        ],
        "listedAs": findings.listed.get(found.object),
        "entry": None if found.object in findings.listed else proposal.entry,
        "grant": found.grant,
        "note": proposal.note,
    }
