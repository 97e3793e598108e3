"""The page of failures is the tables of the code."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "docs" / "reference" / "failures.py"


def test_the_page_of_failures_is_current() -> None:
    spec = importlib.util.spec_from_file_location("failures_page", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    page = SCRIPT.with_name("failures.md").read_text(encoding="utf-8")

    assert page == script.render_failures(), "run `python docs/reference/failures.py`"
