"""The operator as a process of this machine against a real API server, as the account the chart gives it.

Used where the question is what the operator asks of an API server, not how its image runs. It can be killed and started
again; everything it needs is in a folder of its own.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from cluster import charts
from cluster.control_plane import ControlPlane
from servers.process import HOST, Server, free_port, make_folder

SYSTEM = "dpp-system"
ACCOUNT_KINDS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


@dataclass(slots=True)
class OperatorProcess:
    """The running process; `policy_file` may be written anew while it runs."""

    server: Server
    policy_file: Path

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server.port}"

    def write_policy(self, policy: dict[str, Any]) -> None:
        """Write the policy whole."""
        self.policy_file.write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")

    def ask(self, path: str) -> tuple[int, str]:
        """Ask a probe, or for the metrics."""
        answer = httpx.get(f"{self.url}{path}", timeout=5)
        return answer.status_code, answer.text

    def read_log(self) -> str:
        return self.server.log_path.read_text(encoding="utf-8")


def install_account(plane: ControlPlane) -> Path:
    """Give the operator's account the rights of the chart and no others; give its kubeconfig."""
    plane.kubectl.make_namespace(SYSTEM)
    objects = charts.parse(charts.render("dpp-operator", "--set", "crds.install=false"))
    rights = [each for each in objects if each["kind"] in ACCOUNT_KINDS]
    plane.kubectl.apply(*rights)
    account = next(each["metadata"]["name"] for each in rights if each["kind"] == "ServiceAccount")
    return plane.issue_account_kubeconfig(SYSTEM, account)


def remove_account(plane: ControlPlane) -> None:
    """Take the rights away again, so that the chart itself can be installed; twice is harmless."""
    objects = charts.parse(charts.render("dpp-operator", "--set", "crds.install=false"))
    for each in objects:
        if each["kind"] in ("ClusterRole", "ClusterRoleBinding"):
            plane.kubectl.delete(each["kind"], each["metadata"]["name"])


def start_operator(
    kubeconfig: Path, policy: dict[str, Any] | None, **settings: str
) -> OperatorProcess:
    """Start it and return when it is alive; without a policy it is alive and not ready."""
    folder, port = make_folder("operator"), free_port()
    policy_file = folder / "policy.yaml"
    environment = {
        "KUBECONFIG": str(kubeconfig),
        "DPP_POLICY_FILE": str(policy_file),
        "DPP_HTTP_HOST": HOST,
        "DPP_HTTP_PORT": str(port),
        "DPP_LOG_FORMAT": "json",
        "DPP_NAMESPACE": SYSTEM,
        "DPP_POLICY_LOOK_SECONDS": "0.5",
        **settings,
    }
    command = [sys.executable, "-m", "dpp_operator"]
    server = Server("operator", command, port, folder, lambda: True, environment)
    process = OperatorProcess(server, policy_file)
    if policy is not None:
        process.write_policy(policy)
    server.start()
    return process
