"""The pages of the operator name what there is: each reason, setting, metric and condition, and nothing else."""

import re
from pathlib import Path

from dpp_core.errors import EXIT_CODES
from dpp_core.names import Reason
from dpp_core.status import OF_EXTRACTION
from dpp_operator.metrics import Metrics
from dpp_operator.settings import OperatorSettings

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "operator.md").read_text(encoding="utf-8")


def test_the_reasons_page_has_one_row_for_each_reason_in_the_lists_order() -> None:
    page = (DOCS / "reference" / "reasons.md").read_text(encoding="utf-8")

    rows = re.findall(r"^\| `(\w+)` \| .{5,} \| .{5,} \|$", page, flags=re.M)

    assert rows == [reason.value for reason in Reason]


def test_every_setting_has_its_row_and_no_other() -> None:
    section = PAGE.partition("## Settings")[2].partition("##")[0]

    named = set(re.findall(r"`(DPP_\w+)`", section))

    assert named == {f"DPP_{name.upper()}" for name in OperatorSettings.model_fields}


def test_every_metric_has_its_row_and_no_other() -> None:
    named = re.findall(r"^\| `(dpp_\w+)`", PAGE, flags=re.M)

    known = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in Metrics().registry.collect()
    }
    assert set(named) == known


def test_every_condition_is_explained_and_every_code_has_its_next_step() -> None:
    says = PAGE.partition("## What it says")[2]
    ends = PAGE.partition("## What an end leads to")[2].partition("##")[0]
    rows = re.findall(r"^\| ([\d, a-z]+) \|", ends, flags=re.M)
    named = {int(code) for row in rows for code in re.findall(r"\d+", row)}

    assert [each for each in OF_EXTRACTION if f"`{each}`" not in says] == []
    assert named - {137} == set(EXIT_CODES) - {2}
