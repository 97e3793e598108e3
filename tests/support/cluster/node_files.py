"""The configuration files of the test node's parts, as text: containerd, its network, the kubelet.

Pure: paths and addresses in, text out. The facts behind the unusual lines are named beside them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PAUSE_IMAGE = "localhost/dpp-pause:1"
CLUSTER_DOMAIN = "cluster.local"
DNS_SERVICE_ADDRESS = "10.96.0.10"
DNS_USER = "dpp:dns"
CNI_BINARIES = "/usr/lib/cni"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where one node lives: its number on this machine, its folder, its two addresses."""

    number: int
    folder: Path

    @property
    def name(self) -> str:
        return f"dpp-node-{self.number}"

    @property
    def group(self) -> str:
        """Its groups for CPU and memory; no other node ever has the same."""
        return self.folder.name

    @property
    def link(self) -> str:
        """The node's end of its link to the machine."""
        return f"dpp-node{self.number}"

    @property
    def machine_link(self) -> str:
        """The machine's end of it."""
        return f"dpp-host{self.number}"

    @property
    def node_address(self) -> str:
        return f"172.31.255.{4 * self.number + 1}"

    @property
    def machine_address(self) -> str:
        """Where pods reach the machine's servers, and the API server listens."""
        return f"172.31.255.{4 * self.number + 2}"

    @property
    def socket(self) -> Path:
        return self.folder / "containerd.sock"


def build_containerd(layout: Layout) -> str:
    """Give containerd's configuration: own folders, own socket, our pause image.

    `restrict_oom_score_adj`: without CAP_SYS_RESOURCE on the machine runc could not start a pod.
    """
    folder = layout.folder
    return f"""\
version = 2
root = "{folder}/containerd"
state = "/run/dpp-containerd"
[grpc]
  address = "{layout.socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "{PAUSE_IMAGE}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_BINARIES}"
    conf_dir = "{folder}/cni"
"""


def build_network(pod_range: str) -> str:
    """Give the pod network: one bridge, addresses by hand of the host. It enforces no NetworkPolicy."""
    bridge = {
        "type": "bridge",
        "bridge": "dpp-pods",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": pod_range}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": "/run/dpp-addresses",
        },
    }
    network = {"cniVersion": "1.0.0", "name": "dpp", "plugins": [bridge]}
    return json.dumps(network, indent=2)


def build_kubelet(layout: Layout, authority: Path, certificate: Path, key: Path) -> str:
    """Give the kubelet's configuration, for cgroup v1 machines with swap and full disks too."""
    content: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": layout.node_address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "containerRuntimeEndpoint": f"unix://{layout.socket}",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.group}",
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "volumeStatsAggPeriod": "10s",
        "serializeImagePulls": False,
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "resolvConf": str(layout.folder / "resolv.conf"),
        "podLogsDir": str(layout.folder / "pods"),
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "readOnlyPort": 0,
    }
    return yaml.safe_dump(content)


def build_corefile(layout: Layout, kubeconfig: Path) -> str:
    """Give the cluster's names, the names below `.example` that tests give, and no others.

    The zones have blocks of their own, since within one `template` would go before all others.
    """
    return f"""\
{CLUSTER_DOMAIN}:53 in-addr.arpa:53 {{
    bind {layout.node_address}
    errors
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig}
        ttl 1
    }}
}}
example:53 {{
    bind {layout.node_address}
    errors
    hosts {layout.folder / "hosts"} {{
        ttl 1
        reload 500ms
    }}
}}
.:53 {{
    bind {layout.node_address}
    template ANY ANY . {{
        rcode NXDOMAIN
    }}
}}
"""


def build_dns_objects(layout: Layout) -> list[dict[str, object]]:
    """Give the Service behind which the node's DNS server answers, and its right to look."""
    ports = [
        {"name": f"dns-{protocol.lower()}", "port": 53, "protocol": protocol}
        for protocol in ("UDP", "TCP")
    ]
    place = {"name": "kube-dns", "namespace": "kube-system"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": place,
            "spec": {"clusterIP": DNS_SERVICE_ADDRESS, "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**place, "labels": {"kubernetes.io/service-name": "kube-dns"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [layout.node_address]}],
            "ports": ports,
        },
        *_build_dns_rights(),
    ]


def _build_dns_rights() -> list[dict[str, object]]:
    group, look = "rbac.authorization.k8s.io", ["list", "watch"]
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": DNS_USER},
            "rules": [
                {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": look},
                {
                    "apiGroups": ["discovery.k8s.io"],
                    "resources": ["endpointslices"],
                    "verbs": look,
                },
            ],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": DNS_USER},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": DNS_USER},
            "subjects": [{"apiGroup": group, "kind": "User", "name": DNS_USER}],
        },
    ]
