"""The cluster itself: what its node can do that the other tests build on, and that nothing stays.

Pods run the extractor's image, since Python is all they need.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.kubectl import RefusedError, wait_for
from cluster.node import Cluster
from servers.process import started_at, sweep

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
NAMESPACE = "node-tests"
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def build_pod(name: str, image: str, script: str) -> dict[str, Any]:
    """Give a pod that meets the restricted standard and runs one Python script."""
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["python", "-c", script],
        "securityContext": CONTAINER_SECURITY,
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": POD_SECURITY,
            "containers": [container],
        },
    }


@pytest.fixture(scope="module")
def image(cluster: Cluster, extractor_image: str) -> str:
    cluster.kubectl.make_namespace(NAMESPACE, RESTRICTED)
    return extractor_image


def run_pod(cluster: Cluster, pod: dict[str, Any]) -> dict[str, Any]:
    """Run a pod to its end and give its main container's terminated state."""
    cluster.kubectl.apply(pod)
    name = pod["metadata"]["name"]
    state: dict[str, Any] = wait_for(
        lambda: _find_end(cluster.kubectl.get("pod", name, NAMESPACE)), f"the end of {name}", 60
    )
    return state


def _find_end(pod: dict[str, Any]) -> Any:
    statuses = pod["status"].get("containerStatuses") or [{}]
    return statuses[0].get("state", {}).get("terminated")


def test_a_restricted_pod_runs_and_its_message_comes_back(cluster: Cluster, image: str) -> None:
    script = "open('/dev/termination-log', 'w').write('done'); print('hello'); raise SystemExit(7)"

    ended = run_pod(cluster, build_pod("message", image, script))

    assert (ended["exitCode"], ended["message"]) == (7, "done")
    assert cluster.kubectl.run("logs", "message", "-n", NAMESPACE) == "hello\n"


def test_a_pod_that_is_not_restricted_is_refused(cluster: Cluster, image: str) -> None:
    pod = build_pod("free", image, "")
    pod["spec"]["securityContext"] = {}

    with pytest.raises(RefusedError, match="violates PodSecurity"):
        cluster.kubectl.apply(pod)


def test_a_pod_finds_the_api_server_and_servers_on_the_machine(
    cluster: Cluster, image: str, vault_server: Any
) -> None:
    proxy = cluster.expose(vault_server.server.port)
    cluster.give_name("erp.acme.example")
    script = f"""
import socket, time, urllib.request
print(socket.gethostbyname("kubernetes.default.svc.cluster.local"))
socket.create_connection(("kubernetes.default.svc", 443), 5)
for _ in range(50):
    try:
        socket.gethostbyname("erp.acme.example"); break
    except OSError: time.sleep(0.1)
print(urllib.request.urlopen("http://erp.acme.example:{proxy.port}/v1/sys/health", timeout=5).status)
try:
    socket.gethostbyname("www.elsewhere.test")
except OSError:
    print("nothing else")
"""

    ended = run_pod(cluster, build_pod("names", image, script))

    said = cluster.kubectl.run("logs", "names", "-n", NAMESPACE)
    assert ended["exitCode"] == 0, said
    assert said.splitlines() == ["10.96.0.1", "200", "nothing else"]


def test_a_container_over_its_memory_is_killed(cluster: Cluster, image: str) -> None:
    ended = run_pod(
        cluster, build_pod("greedy", image, "x = bytearray(300_000_000); print(len(x))")
    )

    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


def test_a_jobs_exit_code_decides_whether_it_is_tried_again(cluster: Cluster, image: str) -> None:
    template = build_pod("any", image, "raise SystemExit(22)")["spec"]
    codes = {"containerName": "main", "operator": "In", "values": [22]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "fail-job", "namespace": NAMESPACE},
        "spec": {
            "backoffLimit": 3,
            "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": codes}]},
            "template": {"spec": template},
        },
    }

    cluster.kubectl.apply(job)

    status = wait_for(
        lambda: cluster.kubectl.get("job", "fail-job", NAMESPACE)["status"].get("conditions"),
        "a condition of the Job",
        60,
    )
    assert "PodFailurePolicy" in {condition["reason"] for condition in status}
    assert len(cluster.kubectl.list("pods", NAMESPACE, {"job-name": "fail-job"})) == 1


def test_the_machine_sees_only_one_link_of_the_node(cluster: Cluster) -> None:
    links = {path.name for path in Path("/sys/class/net").iterdir()}
    rules = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)

    seen = {link for link in links if link.startswith(("dpp-", "cni", "veth"))}
    assert cluster.layout.machine_link in seen
    assert all(link.startswith("dpp-host") for link in seen), "others may run clusters here too"
    assert "kube-proxy" not in rules.stdout
    assert "dpp" not in rules.stdout


def test_a_run_that_was_killed_leaves_nothing_after_the_next_sweep(cluster: Cluster) -> None:
    script = (
        "import time; from cluster.node import start_cluster; c = start_cluster(); "
        "print(c.layout.machine_link, c.layout.name, c.keeper.process.pid, flush=True); "
        "time.sleep(300)"
    )
    support = Path(__file__).parent.parent / "support"
    run = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(support)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    link, name, keeper = run.stdout.readline().split()
    assert Path("/sys/class/net", link).exists()

    run.send_signal(signal.SIGKILL)
    run.wait(10)
    sweep()  # another run's sweep may have been faster

    wait_for(lambda: started_at(int(keeper)) is None, "the end of the node's first process")
    wait_for(lambda: not Path("/sys/class/net", link).exists(), "the link's end")
    assert cluster.keeper.is_running
    assert name != cluster.layout.name
