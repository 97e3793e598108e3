"""The reference pages are what the code says; stale is red."""

import json
import runpy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGES: dict[str, str] = runpy.run_path(str(REFERENCE / "generate.py"))["list_pages"]()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_committed_page_is_current(name: str) -> None:
    committed = (REFERENCE / name).read_text(encoding="utf-8")

    assert committed == PAGES[name], "run `make docs-reference` and commit"


def test_the_sample_policy_meets_the_policys_schema() -> None:
    schema: dict[str, Any] = json.loads((REFERENCE / "policy.schema.json").read_text())
    sample = yaml.safe_load((REFERENCE.parent / "examples" / "policy.yaml").read_text())

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(sample, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(sample | {"clusters": "x"}, schema)
