"""What a user can see has its entry: exit codes, reasons, secrets, and the words of the pages."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dpp_core.errors import EXIT_CODES
from dpp_core.names import Reason
from dpp_core.records import RunRecord
from dpp_extractor.adapters.secrets import OPTIONAL_KEYS, REQUIRED_KEYS
from dpp_extractor.metrics import build_index_metrics, build_metrics
from dpp_extractor.settings import ExtractorSettings

DOCS = Path(__file__).parents[2] / "docs"
NOT_YET_TROUBLE = {"SchemaStable", "IndexBehind"}


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_troubleshooting_has_one_entry_for_each_exit_code_and_no_other() -> None:
    entries = [int(code) for code in re.findall(r"^## (\d+):", read("troubleshooting.md"), re.M)]

    assert entries == sorted(EXIT_CODES)


@pytest.mark.parametrize("page", ["troubleshooting.md", "credentials.md", "guarantees.md"])
def test_every_reason_a_page_names_exists(page: str) -> None:
    known = {reason.value for reason in Reason}
    fields = {
        "Replace",
        "Append",
        "Upsert",
        "Exclude",
        "SetNull",
        "Unchanged",
        "AlreadyCommitted",
        "Blocked",
    }

    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", read(page)))

    assert named - known - fields == set()


def test_the_credentials_page_names_every_key_of_every_role() -> None:
    text = read("credentials.md")

    for role in ("source", "destination", "index"):
        line = next(line for line in text.splitlines() if line.startswith(f"| `{role}` |"))
        assert all(f"`{key}`" in line for key in REQUIRED_KEYS[role]), role
        assert all(f"`{key}`" in line for key in OPTIONAL_KEYS[role] if key != "token"), role


def test_the_settings_page_names_every_variable_with_its_own_row_and_no_other() -> None:
    named = re.findall(r"^\| `(DPP_\w+)`", read("settings.md"), flags=re.M)

    assert set(named) == {f"DPP_{name.upper()}" for name in ExtractorSettings.model_fields}


def test_the_observability_page_names_every_metric_and_no_other() -> None:
    named = re.findall(r"`(dpp_\w+)`", read("observability.md"))
    at = datetime(2025, 6, 30, tzinfo=UTC)
    record = RunRecord.model_construct(
        namespace="n", extraction="e", distributor="d", started_at=at, ended_at=at,
        exit_code=0, index="Off", units=(),
    )  # fmt: skip

    made = (build_metrics(record), build_index_metrics([("n", "e", "d", 0)]))
    assert set(named) == {family.name for registry in made for family in registry.collect()}


def test_every_reason_is_explained_somewhere() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))

    assert [reason.value for reason in Reason if f"`{reason.value}`" not in text] == []


def test_prose_has_semantic_newlines() -> None:
    """A line of prose holds one sentence, so that a changed sentence is one changed line."""
    for page in sorted(DOCS.glob("*.md")):
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for line in text.splitlines():
            if not line.startswith(("|", "#", "-", " ", "1", "2", "3", "4")):
                assert not re.search(r"[a-z`)]\. [A-Z]", line), f"{page.name}: {line}"


def commands() -> dict[str, str]:
    """Read the generated reference: each command's name and its help."""
    parts = re.split(r"^## dpp ?(\w*)$", read("reference/commands.md"), flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def calls() -> list[tuple[str, str]]:
    """Find every call of the command in the shell samples of the pages."""
    found = []
    for page in (DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))):
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```sh\n(.*?)^```", text, flags=re.M | re.S):
            lines = (line.partition("#")[0].strip() for line in block.splitlines())
            found += [(page.name, line) for line in lines if line.startswith("dpp ")]
    return found


def test_every_call_in_a_page_uses_commands_and_options_that_exist() -> None:
    known = commands()
    wrong = []
    for page, line in calls():
        _, name, *rest = line.split()
        options = [word.partition("=")[0] for word in rest if word.startswith("-")]
        if name not in known or any(option not in known[name] for option in options):
            wrong.append(f"{page}: {line}")

    assert len(calls()) > 10
    assert wrong == []
