"""The probes say what is wrong, and metrics can be read."""

import urllib.error
import urllib.request

import pytest

from dpp_operator.metrics import Metrics
from dpp_operator.probes import Probes


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/healthz", 200, "ok"),
        ("/readyz", 503, "the policy"),
        ("/metrics", 200, "dpp_queue_length"),
        ("/secrets", 404, "not found"),
    ],
)
def test_each_path_answers(path: str, status: int, says: str) -> None:
    probes = Probes(
        ("127.0.0.1", 0), Metrics().registry, alive=lambda: "", ready=lambda: "the policy is wrong"
    )
    probes.open()
    try:
        found, body = ask(probes.port, path)
    finally:
        probes.close()

    assert found == status
    assert says in body
