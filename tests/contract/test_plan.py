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
RUN = GOLDEN / "run.yaml"
SAMPLES = {
    GOLDEN / "request-1.json": EXAMPLES / "database.yaml",
    GOLDEN / "request-2.json": GOLDEN / "values.yaml",
}


def resolve_sample(path: Path = EXAMPLES / "database.yaml") -> bytes:
    policy = load_policy(EXAMPLES / "policy.yaml")
    return resolve_bytes(load_extraction(path), policy, load_run(RUN))


@pytest.mark.parametrize("golden", SAMPLES, ids=lambda path: path.name)
def test_the_sample_resolves_to_the_golden_request(golden: Path) -> None:
    assert resolve_sample(SAMPLES[golden]) == golden.read_bytes().rstrip(b"\n")


@pytest.mark.parametrize("golden", SAMPLES, ids=lambda path: path.name)
def test_the_golden_request_can_be_read(golden: Path) -> None:
    request = parse_request(golden.read_bytes())

    assert [unit.dataset for unit in request.units] == ["orders", "customers"]


def test_dpp_plan_prints_the_bytes_that_the_operator_hands_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sample, policy = str(EXAMPLES / "database.yaml"), str(EXAMPLES / "policy.yaml")

    code = run_dpp(["plan", "-f", sample, "--policy", policy, "--run", str(RUN), "-o", "json"])

    assert code == 0
    assert capsys.readouterr().out.encode().rstrip(b"\n") == resolve_sample()


if __name__ == "__main__":
    for golden, sample in SAMPLES.items():
        golden.write_bytes(resolve_sample(sample) + b"\n")
