"""The tests' own injector follows the documented annotations, so what runs behind it means something."""

import json
from typing import Any

import pytest

from cluster.injector import answer_review, build_patch

ADDRESS = "http://172.31.255.2:8200"
TOKEN = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}


def build_pod(**annotations: str) -> dict[str, Any]:
    asked = {
        "agent-inject": "true",
        "role": "dpp-acme",
        "agent-pre-populate-only": "true",
        "agent-inject-containers": "extractor",
        "agent-service-account-token-volume-name": "own-token",
        "agent-inject-secret-source.json": "secret/data/acme",
        **{name.replace("_", "-"): value for name, value in annotations.items()},
    }
    return {
        "metadata": {"annotations": {f"vault.hashicorp.com/{k}": v for k, v in asked.items()}},
        "spec": {
            "containers": [{"name": "extractor"}, {"name": "other"}],
            "volumes": [{"name": "own-token", "projected": {"sources": [TOKEN]}}],
        },
    }


def apply(pod: dict[str, Any]) -> dict[str, Any]:
    """Carry out the patch's operations, which are all of the kind `add` at a known place."""
    for operation in build_patch(pod, ADDRESS):
        _, place, field = operation["path"].split("/")
        pod[place][field] = operation["value"]
    return pod


def read_config(pod: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(pod["metadata"]["annotations"]["dpp.test/agent-config"])
    return config


def test_a_pod_that_asks_for_nothing_is_left_alone() -> None:
    assert build_patch({"metadata": {}, "spec": {"containers": []}}, ADDRESS) == []


def test_a_pod_is_changed_once() -> None:
    changed = apply(build_pod())

    assert build_patch(changed, ADDRESS) == []


def test_only_the_named_container_sees_the_secrets() -> None:
    extractor, other = apply(build_pod())["spec"]["containers"]

    assert [mount["mountPath"] for mount in extractor["volumeMounts"]] == ["/vault/secrets"]
    assert "volumeMounts" not in other or other["volumeMounts"] == []


def test_the_agent_logs_in_as_the_pod_and_ends_when_it_is_done() -> None:
    config = read_config(apply(build_pod(**{"agent-auto-auth-exit-on-err": "true"})))

    method = config["auto_auth"]["method"][0]
    assert method["config"]["role"] == "dpp-acme"
    assert method["config"]["token_path"].endswith("/token")
    assert method["exit_on_err"] is True
    assert config["exit_after_auth"] is True
    assert config["vault"]["address"] == ADDRESS


def test_a_template_is_taken_over_with_its_permissions() -> None:
    given = {
        "agent-inject-template-source.json": "{{ toJSON . }}",
        "agent-inject-perms-source.json": "0400",
    }

    template = read_config(apply(build_pod(**given)))["template"][0]

    assert template["destination"] == "/vault/secrets/source.json"
    assert template["contents"] == "{{ toJSON . }}"
    assert template["perms"] == "0400"


def test_the_patch_of_the_init_container_is_carried_out() -> None:
    patch = [{"op": "add", "path": "/terminationMessagePolicy", "value": "FallbackToLogsOnError"}]

    init = apply(build_pod(**{"agent-init-json-patch": json.dumps(patch)}))["spec"][
        "initContainers"
    ][0]

    assert init["name"] == "vault-agent-init"
    assert init["terminationMessagePolicy"] == "FallbackToLogsOnError"


@pytest.mark.parametrize("volume", ["", "missing"], ids=["none-named", "not-there"])
def test_a_pod_without_a_token_is_refused_with_the_reason(volume: str) -> None:
    pod = build_pod(**{"agent-service-account-token-volume-name": volume})
    review = {"request": {"uid": "1", "object": pod}}

    response = answer_review(review, ADDRESS)["response"]

    assert response["allowed"] is False
    assert "service account token" in response["status"]["message"]


@pytest.mark.parametrize(("number", "is_changed"), [("1", True), ("2", False)])
def test_a_tests_own_change_is_for_its_namespace_and_for_the_first_try(
    number: str, is_changed: bool
) -> None:
    pod = {"metadata": {"labels": {"extraction.dpp.dev/try": number}}, "spec": {}}
    change = {"op": "add", "path": "/spec/hostNetwork", "value": True}
    extras = {"acme": {"patch": [change], "first_try_only": True}}

    answers = [
        answer_review({"request": {"uid": "1", "namespace": name, "object": pod}}, ADDRESS, extras)[
            "response"
        ]
        for name in ("acme", "other")
    ]

    assert ["patch" in answer for answer in answers] == [is_changed, False]
