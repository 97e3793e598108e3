"""The project's kinds on a real API server: what is right is kept, what is wrong is refused.

The rows of the table of wrong resources that a schema or a CEL rule can catch are applied one by
one; each must be refused with the same field path that `dpp validate` names for it.
"""

import re

import pytest

import wrong_resources
from cluster.control_plane import Api
from cluster.kubectl import RefusedError, wait_for
from wrong_resources import Row

REFUSED_BY_API = [row for row in wrong_resources.list_rows() if row.layer in ("schema", "cel")]


@pytest.fixture(scope="module")
def namespace(api_with_kinds: Api) -> str:
    return api_with_kinds.kubectl.make_namespace("acme")


def test_a_right_extraction_is_kept_as_it_was_written(api_with_kinds: Api, namespace: str) -> None:
    sample = wrong_resources.build_base("database")

    api_with_kinds.kubectl.apply(sample)

    kept = api_with_kinds.kubectl.get("dx", "acme", namespace)
    assert kept["spec"]["datasets"][0]["incremental"]["cursor"] == "updated_at"
    assert kept["status"]["observedGeneration"] == -1


def test_a_right_run_is_kept_and_only_its_cancel_may_change(
    api_with_kinds: Api, namespace: str
) -> None:
    sample = wrong_resources.build_base("run")
    api_with_kinds.kubectl.apply(sample)

    sample["spec"]["createdAt"] = "2026-01-01T03:00:00Z"
    with pytest.raises(RefusedError, match="spec"):
        api_with_kinds.kubectl.apply(sample)


def test_the_controller_manager_answers_a_job_with_a_pod(
    api_with_kinds: Api, namespace: str
) -> None:
    api_with_kinds.kubectl.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "one", "namespace": namespace},
            "spec": {
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [{"name": "main", "image": "localhost/none"}],
                    }
                }
            },
        }
    )

    pods = wait_for(
        lambda: api_with_kinds.kubectl.list("pods", namespace, {"job-name": "one"}), "a pod"
    )

    assert pods[0]["metadata"]["ownerReferences"][0]["name"] == "one"


@pytest.mark.parametrize("row", REFUSED_BY_API, ids=lambda row: row.id)
def test_a_wrong_resource_is_refused_at_apply_with_its_field(
    row: Row, api_with_kinds: Api, namespace: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        api_with_kinds.kubectl.run(
            "create", "--dry-run=server", "--validate=strict", "-f", "-", text=row.body.decode()
        )

    said = str(caught.value)
    assert is_named(row.field, said), said


def is_named(field: str, said: str) -> bool:
    """Say whether a refusal names the field, or an unknown one in it where it has the wrong type."""
    paths = {normalise(path) for path in list_paths(said)}
    wanted = normalise(field)
    is_unknown_below = "unknown field" in said and any(p.startswith(f"{wanted}.") for p in paths)
    return wanted in paths or is_unknown_below


def list_paths(said: str) -> list[str]:
    """Give every field path that an API server's refusal names.

    Of entries that are there twice it names the second, where `dpp validate` names their list.
    """
    of_lists = re.findall(r"([\w.\[\]]+)\[\d+\]: Duplicate value", said)
    return of_lists + re.findall(r"""[A-Za-z]\w*(?:\.[\w-]+|\[[^\]]*\])*""", said)


def normalise(path: str) -> str:
    """Write `a["b"]`, `a[b]` and `a.b` in one way."""
    return re.sub(r"\[\"?([^\]\"0-9][^\]\"]*)\"?\]", r".\1", path)
