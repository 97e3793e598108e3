"""A webhook that honours the `vault.hashicorp.com/*` annotations and has pods run the real agent.

Started by `cluster.credentials` as a process of its own, so that tests can take it away. It follows
the documented behaviour of Vault's injector for what the operator asks for: one init container
`vault-agent-init` that logs in, renders each template to /vault/secrets and ends. Not the injector
itself, which is not to be had as a package; nothing of the product depends on this file.
"""

import base64
import json
import ssl
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PREFIX = "vault.hashicorp.com/"
AGENT_IMAGE = "localhost/dpp-vault-agent:1"
INIT_NAME = "vault-agent-init"
CONFIG_ANNOTATION = "dpp.test/agent-config"
SECRETS_FOLDER = "/vault/secrets"
SERVICE_ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
OWN_TOKEN_FOLDER = "/var/run/secrets/vault.hashicorp.com/serviceaccount"
DEFAULT_USER, DEFAULT_GROUP = 100, 1000

TRY_LABEL = "extraction.dpp.dev/try"
EXTRAS_FILE = "extras.json"

Json = dict[str, Any]
NO_EXTRAS: Mapping[str, Json] = {}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a pod's annotations ask of the injector, without their prefix."""

    values: Mapping[str, str]

    def get(self, name: str, default: str = "") -> str:
        return self.values.get(name, default)

    def is_on(self, name: str) -> bool:
        return self.get(name).lower() == "true"

    def list_secrets(self) -> Iterator[tuple[str, str]]:
        """Give each file's name with the path of its secret."""
        wanted = "agent-inject-secret-"
        for name, path in sorted(self.values.items()):
            if name.startswith(wanted):
                yield name.removeprefix(wanted), path


def read_asked(pod: Json) -> Asked:
    """Read what a pod asks for."""
    annotations = pod.get("metadata", {}).get("annotations") or {}
    return Asked({k.removeprefix(PREFIX): v for k, v in annotations.items() if PREFIX in k})


def build_patch(pod: Json, vault_address: str) -> list[Json]:
    """Give the JSON patch that makes a pod fetch its secrets first; empty when it asks for none.

    A pod that was changed already is left alone, so the webhook may be called twice.
    """
    asked = read_asked(pod)
    if not asked.is_on("agent-inject") or asked.get("agent-inject-status") == "injected":
        return []
    token_mount, token_path = _find_token(pod, asked)
    config = build_agent_config(asked, vault_address, token_path)
    annotations = {
        **pod["metadata"]["annotations"],
        f"{PREFIX}agent-inject-status": "injected",
        CONFIG_ANNOTATION: json.dumps(config),
    }
    spec = pod["spec"]
    secrets = {"name": "vault-secrets", "mountPath": SECRETS_FOLDER}
    wanted = [name for name in asked.get("agent-inject-containers").split(",") if name]
    containers = [
        {**container, "volumeMounts": [*container.get("volumeMounts", ()), secrets]}
        if not wanted or container["name"] in wanted
        else container
        for container in spec["containers"]
    ]
    init = _build_init(asked, [secrets, token_mount])
    initial = [init, *spec.get("initContainers", ())]
    return [
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
        {"op": "add", "path": "/spec/volumes", "value": [*spec.get("volumes", ()), *_VOLUMES]},
        {"op": "add", "path": "/spec/containers", "value": containers},
        {"op": "add", "path": "/spec/initContainers", "value": initial},
    ]


def build_agent_config(asked: Asked, vault_address: str, token_path: str) -> Json:
    """Give the agent's configuration: log in with the pod's token, render the files, end."""
    method = {
        "type": "kubernetes",
        "mount_path": asked.get("auth-path", "auth/kubernetes"),
        "exit_on_err": asked.is_on("agent-auto-auth-exit-on-err"),
        "config": {"role": asked.get("role"), "token_path": token_path},
    }
    return {
        "vault": {"address": asked.get("service", vault_address)},
        "exit_after_auth": asked.is_on("agent-pre-populate-only"),
        "pid_file": "/agent/home/.pid",
        "auto_auth": {
            "method": [method],
            "sink": [{"type": "file", "config": {"path": "/agent/home/.token"}}],
        },
        "template": [_build_template(asked, name, path) for name, path in asked.list_secrets()],
        "template_config": {"exit_on_retry_failure": True},
    }


def _build_template(asked: Asked, name: str, path: str) -> Json:
    plain = '{{ with secret "' + path + '" }}{{ range $k, $v := .Data.data }}{{ $k }}: {{ $v }}\n'
    template: Json = {
        "destination": f"{SECRETS_FOLDER}/{asked.get(f'agent-inject-file-{name}', name)}",
        "contents": asked.get(f"agent-inject-template-{name}", plain + "{{ end }}{{ end }}"),
        "left_delimiter": "{{",
        "right_delimiter": "}}",
    }
    if perms := asked.get(f"agent-inject-perms-{name}"):
        template["perms"] = perms
    return template


_VOLUMES: list[Json] = [
    {"name": "vault-secrets", "emptyDir": {"medium": "Memory"}},
    {"name": "vault-home", "emptyDir": {"medium": "Memory"}},
    {
        "name": "vault-config",
        "downwardAPI": {
            "items": [
                {
                    "path": "agent.json",
                    "fieldRef": {"fieldPath": f"metadata.annotations['{CONFIG_ANNOTATION}']"},
                }
            ]
        },
    },
]


def _build_init(asked: Asked, mounts: list[Json]) -> Json:
    user = int(asked.get("agent-run-as-user", str(DEFAULT_USER)))
    group = int(asked.get("agent-run-as-group", str(DEFAULT_GROUP)))
    container: Json = {
        "name": INIT_NAME,
        "image": AGENT_IMAGE,
        "imagePullPolicy": "Never",
        "args": ["agent", "-config=/agent/config/agent.json", "-log-level=info"],
        "env": [{"name": "HOME", "value": "/agent/home"}],
        "securityContext": {
            "runAsUser": user,
            "runAsGroup": group,
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {
                "cpu": asked.get("agent-requests-cpu", "250m"),
                "memory": asked.get("agent-requests-mem", "64Mi"),
            },
            "limits": {
                "cpu": asked.get("agent-limits-cpu", "500m"),
                "memory": asked.get("agent-limits-mem", "128Mi"),
            },
        },
        "volumeMounts": [
            *mounts,
            {"name": "vault-home", "mountPath": "/agent/home"},
            {"name": "vault-config", "mountPath": "/agent/config", "readOnly": True},
        ],
    }
    for operation in json.loads(asked.get("agent-init-json-patch", "[]")):
        field = operation["path"].removeprefix("/")
        if operation["op"] not in ("add", "replace") or "/" in field:
            raise ValueError(f"agent-init-json-patch: this webhook cannot do {operation}")
        container[field] = operation["value"]
    return container


def _find_token(pod: Json, asked: Asked) -> tuple[Json, str]:
    """Find the token that the agent logs in with: the named volume's, else the account's own."""
    volume_name = asked.get("agent-service-account-token-volume-name")
    for volume in pod["spec"].get("volumes", ()):
        if volume["name"] == volume_name:
            sources = volume["projected"]["sources"]
            token = next(s["serviceAccountToken"] for s in sources if "serviceAccountToken" in s)
            mount = {"name": volume_name, "mountPath": OWN_TOKEN_FOLDER, "readOnly": True}
            return mount, f"{OWN_TOKEN_FOLDER}/{token['path']}"
    for container in pod["spec"]["containers"]:
        for mount in container.get("volumeMounts", ()):
            if mount["mountPath"] == SERVICE_ACCOUNT_FOLDER:
                return dict(mount), f"{SERVICE_ACCOUNT_FOLDER}/token"
    raise ValueError("could not find a service account token that the agent could log in with")


def answer_review(review: Json, vault_address: str, extras: Mapping[str, Json] = NO_EXTRAS) -> Json:
    """Answer an AdmissionReview of a pod; a pod that cannot be served is refused with the reason.

    `extras` holds for a namespace what else a test does to its pods: another `vault_address`, more
    operations in `patch`, and with `first_try_only` these for the first try of a run alone.
    """
    request = review["request"]
    response: Json = {"uid": request["uid"], "allowed": True}
    extra = extras.get(request.get("namespace", ""), {})
    marks = request["object"].get("metadata", {}).get("labels") or {}
    try:
        patch = build_patch(request["object"], extra.get("vault_address", vault_address))
        if not extra.get("first_try_only") or marks.get(TRY_LABEL) == "1":
            patch = [*patch, *extra.get("patch", ())]
    except (ValueError, KeyError, StopIteration) as error:
        response |= {"allowed": False, "status": {"message": f"error injecting: {error}"}}
        patch = []
    if patch:
        body = base64.b64encode(json.dumps(patch).encode()).decode()
        response |= {"patchType": "JSONPatch", "patch": body}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def read_extras(folder: Path) -> Mapping[str, Json]:
    """Read what tests do to the pods of their namespaces now."""
    file = folder / EXTRAS_FILE
    extras: Mapping[str, Json] = json.loads(file.read_text()) if file.exists() else NO_EXTRAS
    return extras


def serve(address: str, port: int, folder: Path, vault_address: str) -> None:
    """Serve until the process is ended; `folder` holds injector.crt and injector.key."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            review = answer_review(json.loads(body), vault_address, read_extras(folder))
            answer = json.dumps(review).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing: requests carry pods."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "injector.crt", folder / "injector.key")
    server = ThreadingHTTPServer((address, port), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
