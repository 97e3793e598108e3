"""The request that crosses the Job border, byte for byte: what a released operator sends stays
readable.

The golden files are made by `python tests/contract/test_plan.py` and only ever added to.
"""

from pathlib import Path

import pytest

from dpp_core.cli.main import run as run_dpp
from dpp_core.documents.loading import load_extraction, load_policy, load_run
from dpp_core.handover import parse_request
from dpp_core.plan import resolve_bytes

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "docs" / "examples"
GOLDEN = HERE / "golden"
RUN, REQUEST = GOLDEN / "run.yaml", GOLDEN / "request-1.json"


def resolve_sample() -> bytes:
    extraction = load_extraction(EXAMPLES / "database.yaml")
    policy = load_policy(EXAMPLES / "policy.yaml")
    return resolve_bytes(extraction, policy, load_run(RUN))


def test_the_sample_resolves_to_the_golden_request() -> None:
    assert resolve_sample() == REQUEST.read_bytes().rstrip(b"\n")


def test_the_golden_request_can_be_read() -> None:
    request = parse_request(REQUEST.read_bytes())

    assert [unit.dataset for unit in request.units] == ["orders", "customers"]


def test_dpp_plan_prints_the_bytes_that_the_operator_hands_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sample, policy = str(EXAMPLES / "database.yaml"), str(EXAMPLES / "policy.yaml")

    code = run_dpp(["plan", "-f", sample, "--policy", policy, "--run", str(RUN), "-o", "json"])

    assert code == 0
    assert capsys.readouterr().out.encode().rstrip(b"\n") == resolve_sample()


if __name__ == "__main__":
    REQUEST.write_bytes(resolve_sample() + b"\n")
