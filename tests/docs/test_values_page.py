"""The page of values is the matrix that is tried on real servers, and the matrix misses no type."""

import importlib.util
from pathlib import Path

import pytest

from value_matrix import load_sections

SCRIPT = Path(__file__).parents[2] / "docs" / "reference" / "values.py"
SECTIONS = load_sections()
WORDS = {
    "postgresql": (
        *("numeric", "NaN", "infinity", "BC", "time", "interval", "uuid", "json", "xml", "[]"),
        *("range", "composite", "bytea", "bit", "enum", "domain", "char(", "money", "inet"),
        *("Geometry", "timestamptz", "timestamp", "UTF-8", "mojibake"),
    ),
    "sqlite": ("DECIMAL", "DATETIME", "TIMESTAMPTZ", "zero dates", "BLOB", "UTF-8", "Geometry"),
    "mariadb": (
        *("unsigned", "year", "set(", "enum", "bit", "tinyint(1)", "decimal(65,30)", "Zero dates"),
        *("25:00:00", "timestamp", "json", "Geometry", "utf8mb3", "latin1", "mojibake", "blob"),
        *("inet6", "uuid", "char(", "datetime", "UTF-8"),
    ),
}


def test_the_page_of_values_is_current() -> None:
    spec = importlib.util.spec_from_file_location("values_page", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    page = SCRIPT.with_name("values.md").read_text(encoding="utf-8")

    assert page == script.render_values(), "run `make docs-reference` and commit"


def test_the_matrix_is_large_and_tries_no_value_twice() -> None:
    tried = [(each.title, row.type, row.given) for each in SECTIONS for row in each.rows]

    assert len(tried) >= 80
    assert len(set(tried)) == len(tried)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_every_row_says_how_it_is_held_or_what_becomes_of_it(section) -> None:
    for row in section.rows:
        assert (row.held is None) is not (row.unfit is None), row
        assert row.text is None or row.unfit is not None, row
        assert row.fidelity in ("exact", "widened", "floored", "text"), row


@pytest.mark.parametrize("engine", WORDS)
def test_every_type_that_is_asked_about_has_its_home(engine: str) -> None:
    told = "\n".join(
        f"{row.type} {row.home} {row.given} {section.title}"
        for section in SECTIONS
        if section.engine == engine
        for row in section.rows
    )

    assert [word for word in WORDS[engine] if word not in told] == []
