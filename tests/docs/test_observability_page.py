"""Every event and metric a person can meet is on the page, and nothing that does not exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
SOURCES = [
    path
    for folder in ("core/dpp_core", "extractor_image/dpp_extractor")
    for path in (ROOT / folder).rglob("*.py")
]
ONLY_IN_A_JOB = {
    "not_run",
    "termination_message_not_written",
    "killed_by_test_seam",
    "signalled_by_test_seam",
}


def logged_events() -> set[str]:
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _is_log(node.func) and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    found.add(str(first.value))
    return found


def _is_log(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute):
        is_logs = isinstance(function.value, ast.Name) and function.value.id == "logs"
        return is_logs and function.attr in ("info", "warning", "error")
    return isinstance(function, ast.Name) and function.id in ("error", "log")


def named_events() -> set[str]:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and "DPP_" not in line]
    return {name for row in rows for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])}


def test_every_event_is_on_the_page() -> None:
    assert logged_events() - ONLY_IN_A_JOB - named_events() == set()


def test_the_page_names_no_event_that_is_never_logged() -> None:
    literals = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)

    assert [event for event in named_events() if f'"{event}"' not in literals] == []


def test_every_metric_is_on_the_page_and_no_other() -> None:
    code = (ROOT / "extractor_image/dpp_extractor/metrics.py").read_text(encoding="utf-8")

    assert set(re.findall(r"`(dpp_[a-z_]+)`", PAGE)) == set(
        re.findall(r'"(dpp_(?:run|unit|index)_[a-z_]+)"', code)
    )
