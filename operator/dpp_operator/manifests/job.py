"""The Job of one try: one pod that runs once, may nothing in the cluster, and ends by the exit-code table.

Called by `apply`. Pure. Kubernetes never repeats a try by itself but after a disruption (`backoffLimit: 0`): whether
there is another one is the operator's decision, by code, with the policy's waits, and each has a name of its own.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dpp_core.errors import EXIT_CODES
from dpp_core.handover import RunRequest
from dpp_core.names import API_VERSION, KIND_RUN
from dpp_core.policy import Policy
from dpp_operator import labels
from dpp_operator.manifests import vault
from dpp_operator.manifests.size import find_memory, find_size

Object = dict[str, Any]

LONGEST_NAME: Final = 63
KEPT_SECONDS: Final = 86_400
GRACE_SECONDS: Final = 60
CA_FOLDER: Final = "/etc/dpp-ca"
REQUEST_FOLDER: Final = "/etc/dpp"
_LEFT_ALONE: Final = {"argocd.argoproj.io/ignore-resource-updates": "true"}
"""Argo CD need not look at an application again for each change of a Job or pod."""


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a Job is made from. `run_uid` is the run's, which owns it."""

    run_name: str
    run_uid: str
    number: int
    request: bytes
    image: str
    size: str
    earlier_codes: tuple[int, ...]
    deadline_seconds: int


def name_job(run_name: str, number: int) -> str:
    """Name the Job of a try: the run's name and the try; a name that is too long, or has dots, gets a hash."""
    suffix = f"-{number}"
    plain = run_name.replace(".", "-")
    if plain == run_name and len(run_name) + len(suffix) <= LONGEST_NAME:
        return f"{run_name}{suffix}"
    digest = hashlib.sha256(run_name.encode()).hexdigest()[:8]
    room = LONGEST_NAME - len(suffix) - len(digest) - 1
    return f"{plain[:room].rstrip('-')}-{digest}{suffix}"


def build_job(plan: JobPlan, policy: Policy) -> Object:
    """Build the Job. The same plan gives the same object."""
    request = RunRequest.model_validate_json(plan.request)
    marks = {
        labels.MANAGED_BY: labels.OPERATOR,
        labels.EXTRACTION: request.extraction,
        labels.RUN: plan.run_name,
        labels.TRY: str(plan.number),
    }
    codes = ",".join(map(str, plan.earlier_codes))
    metadata = {
        "name": name_job(plan.run_name, plan.number),
        "namespace": request.namespace,
        "labels": marks,
        "annotations": {labels.EARLIER_CODES: codes, **_LEFT_ALONE},
        "ownerReferences": [_build_owner(plan)],
    }
    annotations = {
        labels.REQUEST: plan.request.decode(),
        **_LEFT_ALONE,
        **vault.build_annotations(request, policy.vault),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": plan.deadline_seconds,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": build_failure_rules()},
            "template": {
                "metadata": {"labels": marks, "annotations": annotations},
                "spec": _build_pod(plan, request, policy),
            },
        },
    }


def _build_owner(plan: JobPlan) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND_RUN,
        "name": plan.run_name,
        "uid": plan.run_uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def build_failure_rules() -> list[Object]:
    """Turn the exit-code table into rules: a disruption does not count, what cannot pass fails the Job at once.

    Rules name our container: the Vault agent ends with 1, which is no code of ours.
    """
    stops = [code for code, row in EXIT_CODES.items() if not row.is_temporary and code >= 20]
    counts = [code for code, row in EXIT_CODES.items() if row.is_temporary]
    return [
        {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        },
        _build_rule("FailJob", [*stops, 137]),
        _build_rule("Count", counts),
    ]


def _build_rule(action: str, codes: list[int]) -> Object:
    return {
        "action": action,
        "onExitCodes": {
            "containerName": labels.CONTAINER,
            "operator": "In",
            "values": sorted(codes),
        },
    }


def _build_pod(plan: JobPlan, request: RunRequest, policy: Policy) -> Object:
    pods = policy.pods
    pod: Object = {
        "restartPolicy": "Never",
        "serviceAccountName": labels.SERVICE_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": vault.USER,
            "runAsGroup": vault.USER,
            "fsGroup": vault.USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_build_container(plan, request, policy)],
        "volumes": _build_volumes(plan, request, policy),
    }
    if pods.tolerations:
        pod["tolerations"] = [
            each.model_dump(mode="json", by_alias=True, exclude_none=True)
            for each in pods.tolerations
        ]
    if pods.node_selector:
        pod["nodeSelector"] = dict(pods.node_selector)
    if pods.priority_class:
        pod["priorityClassName"] = pods.priority_class
    if pods.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in pods.image_pull_secrets]
    return pod


def _build_container(plan: JobPlan, request: RunRequest, policy: Policy) -> Object:
    mounts: list[Object] = [
        {"name": "request", "mountPath": REQUEST_FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
        *vault.build_mounts(request),
    ]
    if policy.pods.ca_bundle:
        mounts.append({"name": "ca", "mountPath": CA_FOLDER, "readOnly": True})
    environment = sorted(_build_environment(request, policy).items())
    return {
        "name": labels.CONTAINER,
        "image": plan.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": name, "value": value} for name, value in environment],
        "resources": _build_resources(plan, policy),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "File",
        "volumeMounts": mounts,
    }


def _build_resources(plan: JobPlan, policy: Policy) -> Object:
    resources = find_size(policy, plan.size)
    memory = find_memory(resources, plan.earlier_codes.count(28))
    bounded = {"memory": memory, "ephemeral-storage": resources.disk}
    return {"requests": {"cpu": resources.cpu, **bounded}, "limits": bounded}


def _build_environment(request: RunRequest, policy: Policy) -> Mapping[str, str]:
    found = {
        "DPP_LOG_FORMAT": "json",
        "DPP_REQUEST_FILE": f"{REQUEST_FOLDER}/request.json",
        **vault.build_environment(request, policy.vault),
    }
    if policy.pods.proxy:
        found |= {"HTTPS_PROXY": policy.pods.proxy, "HTTP_PROXY": policy.pods.proxy}
    if policy.pods.ca_bundle:
        bundle = f"{CA_FOLDER}/ca.crt"
        found |= {"DPP_CA_FILE": bundle, "AWS_CA_BUNDLE": bundle, "SSL_CERT_FILE": bundle}
        if "VAULT_ADDR" in found:
            found.setdefault("VAULT_CACERT", bundle)
    return found


def _build_volumes(plan: JobPlan, request: RunRequest, policy: Policy) -> list[Object]:
    field = {"fieldPath": f"metadata.annotations['{labels.REQUEST}']"}
    volumes: list[Object] = [
        {
            "name": "request",
            "downwardAPI": {"items": [{"path": "request.json", "fieldRef": field}]},
        },
        {"name": "tmp", "emptyDir": {"sizeLimit": find_size(policy, plan.size).disk}},
        *vault.build_volumes(request, policy.vault),
    ]
    if policy.pods.ca_bundle:
        volumes.append({"name": "ca", "configMap": {"name": policy.pods.ca_bundle}})
    return volumes
