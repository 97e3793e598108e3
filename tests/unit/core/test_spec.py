"""What a DistributorExtraction may say, and how rules and forms are written down."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from dpp_core.crd import build_schema
from dpp_core.documents.loading import load_extraction
from dpp_core.policy import Policy
from dpp_core.run import ExtractionRunSpec
from dpp_core.spec.extraction import Extraction, ExtractionSpec
from dpp_core.spec.fields import Closed
from dpp_core.spec.schedule import expand_cron, is_cron, is_zone
from dpp_core.status import ExtractionStatus, RunStatus

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
MODELS = (ExtractionSpec, ExtractionRunSpec, ExtractionStatus, RunStatus, Policy)


def walk(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from walk(part, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walk(schema["additionalProperties"], f"{path}.<name>")


def list_parts() -> list[tuple[str, dict[str, Any]]]:
    return [part for model in MODELS for part in walk(build_schema(model), model.__name__)]


def list_models(model: type[BaseModel] = Closed) -> list[type[BaseModel]]:
    found = [model]
    for each in model.__subclasses__():
        found.extend(list_models(each))
    return found


@pytest.mark.parametrize("name", ["database.yaml", "sqlite.yaml"])
def test_a_minimal_sample_is_right_and_at_most_15_lines_long(name: str) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]

    extraction = load_extraction(EXAMPLES / name)

    assert len(lines) <= 15
    assert extraction.spec.datasets


def test_what_is_not_given_has_a_static_default() -> None:
    spec = load_extraction(EXAMPLES / "database.yaml").spec

    assert spec.deletion_policy == "Retain"
    assert spec.suspend is False
    assert spec.credentials is not None
    assert spec.credentials.delivery == "Agent"
    assert [dataset.epoch for dataset in spec.datasets] == [0, 0]
    assert [dataset.deletes for dataset in spec.datasets] == ["Ignore", "Ignore"]


def test_a_spec_cannot_be_changed() -> None:
    spec = load_extraction(EXAMPLES / "database.yaml").spec

    with pytest.raises(ValidationError, match="frozen"):
        spec.distributor = "globex"  # type: ignore[misc]


def test_what_the_api_server_writes_into_metadata_is_left_alone() -> None:
    content = yaml.safe_load((EXAMPLES / "database.yaml").read_text(encoding="utf-8"))
    content["metadata"] |= {"resourceVersion": "7", "managedFields": [{}], "generation": 3}
    content["status"] = {"observedGeneration": 3}

    extraction = Extraction.model_validate(content)

    assert extraction.metadata.generation == 3


@pytest.mark.parametrize(
    ("path", "part"), list_parts(), ids=lambda part: part if isinstance(part, str) else ""
)
def test_every_part_is_described_and_bounded(path: str, part: dict[str, Any]) -> None:
    kind = part.get("type")

    assert "[]" in path.rsplit(".", 1)[-1] or "<name>" in path or part.get("description"), path
    assert kind in {"object", "array", "string", "integer", "boolean"}
    if kind == "string":
        assert "maxLength" in part or "enum" in part or part.get("format") == "date-time"
    if kind == "array":
        assert "maxItems" in part
    if "additionalProperties" in part:
        assert "maxProperties" in part
    if kind == "integer":
        assert "minimum" in part
        assert "maximum" in part


@pytest.mark.parametrize("model", list_models(), ids=lambda model: model.__name__)
def test_every_rule_says_what_is_wrong_and_what_to_do(model: type[BaseModel]) -> None:
    for rule in getattr(model, "RULES", ()):
        names = {field.alias for field in model.model_fields.values()}
        assert rule.message.endswith(".")
        assert rule.fix.endswith(".")
        assert rule.field in {*names, ""}
        assert set(re.findall(r"(?<!has\()self\.([a-zA-Z]+)", rule.cel)) <= {
            *names,
            "all",
            "exists",
        }


def test_all_rules_broken_at_once_are_all_named() -> None:
    with pytest.raises(ValidationError) as caught:
        ExtractionSpec.model_validate(
            {
                "distributor": "acme",
                "source": {"erp": "x", "database": {"engine": "oracle", "database": "a=b"}},
                "datasets": [{"name": "a"}],
                "destination": {"profile": "lake"},
            }
        )

    text = str(caught.value)
    assert "not supported yet" in text
    assert "host is needed" in text
    assert "plain database name" in text


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 2 * * *", "0 2 * * *"),
        ("H 2 * * *", r"[0-5]?\d 2 \* \* \*"),
        ("H H(2-4) * * *", r"[0-5]?\d [2-4] \* \* \*"),
        ("H/15 * * * *", r"(\d|1[0-4])-59/15 \* \* \* \*"),
        ("H 3 * * THU", r"[0-5]?\d 3 \* \* THU"),
        ("0 0 H * *", r"0 0 ([1-9]|1\d|2[0-8]) \* \*"),
    ],
)
def test_h_becomes_a_value_of_its_field(expression: str, expected: str) -> None:
    expanded = expand_cron(expression, "acme/acme")

    assert expanded == expected or re.fullmatch(expected, expanded)


def test_h_is_the_same_for_one_name_and_spread_over_many() -> None:
    once = [expand_cron("H 2 * * *", f"ns/{name}") for name in range(300)]

    assert once == [expand_cron("H 2 * * *", f"ns/{name}") for name in range(300)]
    assert len(set(once)) > 50


@pytest.mark.parametrize(
    ("expression", "is_right"),
    [
        ("H 2 * * *", True),
        ("*/5 * * * 1-5", True),
        ("0 3 29 2 *", True),
        ("0 0 31 4 *", False),
        ("60 0 * * *", False),
        ("H/0 0 * * *", False),
        ("H(9-2) 0 * * *", False),
        ("a b c d e", False),
    ],
)
def test_a_cron_expression_must_be_readable_and_due_some_day(
    expression: str, is_right: bool
) -> None:
    assert is_cron(expression) is is_right


@pytest.mark.parametrize(
    ("name", "is_right"),
    [
        ("Europe/Berlin", True),
        ("UTC", True),
        ("America/Argentina/Buenos_Aires", True),
        ("Europe/berlin", False),
        ("Mars/Olympus", False),
        ("localtime", False),
        ("posix/UTC", False),
        ("Europe", False),
        ("../etc/passwd", False),
        ("", False),
    ],
)
def test_a_zone_is_a_name_of_the_database(name: str, is_right: bool) -> None:
    assert is_zone(name) is is_right
