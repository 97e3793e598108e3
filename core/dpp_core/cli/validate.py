"""`dpp validate`: what a pull request runs. Every finding with file, line, field, value and fix.

The same models, rules and tenancy check as the operator's; the API server refuses its part of the
same set at the same path.
"""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dpp_core.cli.output import print_json, say
from dpp_core.documents.findings import Finding
from dpp_core.documents.loading import Checked, check_paths, load_policy
from dpp_core.errors import SpecError, UsageError

EXAMPLES = """\b
Examples:
  dpp validate acme.yaml
  dpp validate tenants/ --policy policy.yaml
  dpp validate . -o github           annotations on a pull request
"""


class Form(StrEnum):
    """Forms in which findings are printed."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("validate", epilog=EXAMPLES)(validate)


def validate(
    paths: Annotated[
        list[Path], typer.Argument(help="Files, and folders to look through.", show_default=False)
    ],
    policy: Annotated[
        Path | None,
        typer.Option(
            help="Platform policy: checks what each namespace may do.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Form, typer.Option("--output", "-o", help="text, json, or github (annotations).")
    ] = Form.TEXT,
) -> None:
    """Check resources without a cluster. Exit code 0 when all are right, 20 when not."""
    for path in paths:
        if not path.exists():
            raise UsageError(f"There is no file or folder {path}.", fix="Check the path.")
    rules = load_policy(policy) if policy is not None else None
    checked = check_paths(paths, rules)
    if output is Form.JSON:
        print_json(build_result(checked))
    elif output is Form.GITHUB:
        for finding in checked.findings:
            print(render_annotation(finding))
    else:
        _print_text(checked)
    if checked.findings:
        raise typer.Exit(SpecError.exit_code)


def build_result(checked: Checked) -> dict[str, object]:
    """Build the JSON result: counts, findings, notes."""
    return {
        "files": checked.files,
        "objects": [
            {"kind": each.kind, "namespace": each.metadata.namespace, "name": each.metadata.name}
            for each in checked.objects
        ],
        "findings": list(checked.findings),
        "notes": list(checked.notes),
    }


def render_finding(finding: Finding) -> str:
    """Render a finding as two lines: where and what, then value and fix."""
    where = f"{finding.file}:{finding.line}" if finding.line else finding.file
    owner = f"{finding.object}: " if finding.object else ""
    first = f"{where}: {owner}{finding.field}: {finding.message}"
    return f"{first}\n    received {finding.received}. {finding.fix}".rstrip()


def render_annotation(finding: Finding) -> str:
    """Render a finding as a GitHub workflow command."""
    text = f"{finding.field}: {finding.message} Received {finding.received}. {finding.fix}"
    place = f"file={_escape(finding.file, inside=True)},line={finding.line or 1}"
    title = _escape(finding.object or "resource", inside=True)
    return f"::error {place},title={title}::{_escape(text)}"


def _escape(text: str, *, inside: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if inside else text


def _print_text(checked: Checked) -> None:
    for finding in checked.findings:
        print(render_finding(finding))
    sys.stdout.flush()
    for note in checked.notes:
        say(f"note: {note}")
    say(_summarise(checked))


def _summarise(checked: Checked) -> str:
    files = f"{checked.files} file" + ("" if checked.files == 1 else "s")
    right = f"{len(checked.objects)} object" + ("" if len(checked.objects) == 1 else "s")
    if not checked.findings:
        return f"{files}, {right}: all right"
    wrong = _count(checked.findings)
    return f"{files}: {wrong}; {right} could be read"


def _count(findings: Sequence[Finding]) -> str:
    number = len(findings)
    objects = len({(finding.file, finding.document) for finding in findings})
    what = f"{number} finding" + ("" if number == 1 else "s")
    return f"{what} in {objects} document" + ("" if objects == 1 else "s")
