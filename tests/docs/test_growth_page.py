"""The page about changes of a resource has a row for each test of them."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_of_a_change_is_named_on_the_page() -> None:
    page = (ROOT / "docs" / "growth.md").read_text(encoding="utf-8")
    source = (ROOT / "tests" / "integration" / "test_growth.py").read_text(encoding="utf-8")
    tests = [
        each.name
        for each in ast.parse(source).body
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    ]

    assert len(tests) >= 12
    assert [name for name in tests if f"`{name}`" not in page] == []
