"""A full cluster: the control plane on this machine, joined by one node in namespaces of its own.

The node (containerd, kubelet, kube-proxy, DNS) runs behind `node_init`, in its own process, mount
and network namespaces: when that one process ends, all of it is gone, also after a killed run
(`servers.process.sweep` ends it by its record). On the machine itself only a link to the node is
made, which goes with it, and cgroups named like its folder. Several clusters can run side by side.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import SIGKILL
from tempfile import gettempdir

from cluster.archives import write_archive
from cluster.binaries import COREDNS, KUBELET, PAUSE, PROXY, SCHEDULER, require
from cluster.control_plane import POD_RANGE, ControlPlane, answers, start_control_plane
from cluster.kubectl import Kubectl, wait_for, write_kubeconfig
from cluster.node_files import (
    DNS_USER,
    PAUSE_IMAGE,
    Layout,
    build_containerd,
    build_corefile,
    build_dns_objects,
    build_kubelet,
    build_network,
)
from servers.process import (
    CACHE,
    HOST,
    MachineLacksError,
    Server,
    ServerMissingError,
    ServerStartError,
    free_port,
    make_folder,
)
from servers.proxy import Proxy, start_proxy

MOST_CLUSTERS = 16
CGROUPS = Path("/sys/fs/cgroup")
COMPONENTS = (
    *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "node", "injector"),
)
NAMESPACES = ("--pid", "--net", "--mount", "--ipc", "--uts", "--fork")
COMMANDS = ("containerd", "ctr", "runc", "nft", "ip", "unshare")
MISSING_COMMANDS = (
    "needs the commands {names}; as root run `make cluster-up`, or `apt-get install containerd runc "
    "containernetworking-plugins iproute2 nftables util-linux`"
)


@dataclass(slots=True)
class Cluster:
    """A running cluster with one node. Everything that `ControlPlane` has is in `plane`."""

    plane: ControlPlane
    layout: Layout
    keeper: Server
    proxies: list[Proxy]

    @property
    def kubectl(self) -> Kubectl:
        return self.plane.kubectl

    def load_image(self, archive: Path) -> None:
        """Bring an image archive onto the node; pods name it with imagePullPolicy Never."""
        _ctr(self.layout, "images", "import", str(archive))

    def expose(self, port: int) -> Proxy:
        """Make a loopback server reachable for pods, at `machine_address` and the proxy's port."""
        proxy = start_proxy(port, self.layout.machine_address)
        self.proxies.append(proxy)
        return proxy

    def give_name(self, *names: str) -> None:
        """Let pods find the machine under these names below `.example` too, within a second."""
        with (self.layout.folder / "hosts").open("a") as hosts:
            hosts.writelines(f"{self.layout.machine_address} {name}\n" for name in names)

    def remove(self) -> None:
        """End the node, then the control plane, and delete everything; twice is harmless."""
        while self.proxies:
            self.proxies.pop().close()
        self.keeper.stop()
        self.plane.remove()
        shutil.rmtree(self.layout.folder, ignore_errors=True)
        remove_dead_cgroups()


def start_cluster(owner_pid: int | None = None, api_flags: Sequence[str] = ()) -> Cluster:
    """Start a cluster with one Ready node; raise `ServerMissingError` where that cannot be."""
    _check_machine()
    binaries = {recipe.name: require(recipe) for recipe in (SCHEDULER, KUBELET, PROXY, COREDNS)}
    pause = require(PAUSE)
    remove_dead_cgroups()
    layout, keeper = _found_node(owner_pid)
    try:
        plane = start_control_plane(layout.machine_address, owner_pid, api_flags)
    except BaseException:
        keeper.remove()
        raise
    cluster = Cluster(plane, layout, keeper, [])
    try:
        _start_scheduler(plane, binaries["kube-scheduler"], owner_pid)
        plane.kubectl.apply(*build_dns_objects(layout))  # a DNS server without rights waits long
        _write_node(cluster, binaries)
        _load_pause(cluster, pause)
        wait_for(partial(_is_ready, cluster), "the node Ready", 120)
    except BaseException:
        _tell_logs(layout)
        cluster.remove()
        raise
    return cluster


def remove_dead_cgroups() -> None:
    """Remove the groups of nodes whose folder is gone; those of other running nodes stay."""
    for top in CGROUPS.glob("*/dpp-node-*"):
        if Path(gettempdir(), top.name).exists():
            continue
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                continue


def _check_machine() -> None:
    if os.geteuid() != 0 or sys.platform != "linux":
        raise MachineLacksError("the cluster's node needs root on Linux; the rest runs without")
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        raise ServerMissingError(MISSING_COMMANDS.format(names=", ".join(missing)))
    trial = subprocess.run(
        [*("unshare", *NAMESPACES), "true"], capture_output=True, text=True, check=False
    )
    if trial.returncode != 0:
        raise MachineLacksError(
            f"the cluster's node needs namespaces of its own: {trial.stderr.strip()}; the rest runs without"
        )


def _found_node(owner_pid: int | None) -> tuple[Layout, Server]:
    """Take a number that no other cluster has, and start the node's first process with its link."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        layout = Layout(_choose_number(), make_folder("node"))
        keeper = _start_keeper(layout, owner_pid)
        try:
            _make_link(layout, keeper)
        except BaseException:
            keeper.remove()
            raise
    return layout, keeper


def _choose_number() -> int:
    for number in range(MOST_CLUSTERS):
        if not Path("/sys/class/net", Layout(number, Path("/")).machine_link).exists():
            return number
    raise ServerMissingError(f"{MOST_CLUSTERS} clusters run here already; `make cluster-down`")


def _start_keeper(layout: Layout, owner_pid: int | None) -> Server:
    """Start process 1 of the node's namespaces; it then waits for its instructions.

    SIGKILL is the way to end it: it takes the whole process namespace along.
    """
    keeper = Server(
        name="node",
        command=[
            *("unshare", *NAMESPACES),
            *("--kill-child=KILL", "--mount-proc", "--propagation=private"),
            *(sys.executable, str(Path(__file__).with_name("node_init.py")), str(layout.folder)),
        ],
        port=0,
        folder=layout.folder,
        ready=(layout.folder / "log").exists,
        owner_pid=os.getpid() if owner_pid is None else owner_pid,
        stop_signal=SIGKILL,
    )
    keeper.start()
    return keeper


def _make_link(layout: Layout, keeper: Server) -> None:
    assert keeper.process is not None
    ours, address = layout.machine_link, layout.machine_address
    for command in (
        f"link add {ours} type veth peer name {layout.link} netns {keeper.process.pid}",
        f"address add {address}/30 dev {ours}",
        f"link set {ours} up",
    ):
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)


def _start_scheduler(plane: ControlPlane, binary: Path, owner_pid: int | None) -> None:
    port = free_port()
    kubeconfig = plane.issue_kubeconfig("scheduler", "system:kube-scheduler")
    server = Server(
        name="kube-scheduler",
        command=[
            *(str(binary), f"--kubeconfig={kubeconfig}", f"--secure-port={port}"),
            *(f"--bind-address={HOST}", "--leader-elect=false"),
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
        ],
        port=port,
        folder=plane.folder,
        ready=partial(answers, f"https://{HOST}:{port}/healthz"),
        owner_pid=os.getpid() if owner_pid is None else owner_pid,
    )
    plane.servers.append(server)
    server.start()


def _write_node(cluster: Cluster, binaries: dict[str, Path]) -> None:
    """Write what the node's parts need, at last node.json, upon which they start."""
    plane, layout = cluster.plane, cluster.layout
    folder, authority = layout.folder, plane.authority
    node = authority.issue("kubelet", f"system:node:{layout.name}", "system:nodes")
    kubeconfigs = {
        "kubelet": write_kubeconfig(
            folder / "kubelet.kubeconfig",
            plane.url,
            authority.pair.certificate,
            {"client-certificate": str(node.certificate), "client-key": str(node.key)},
        ),
        "kube-proxy": plane.issue_kubeconfig("kube-proxy", "system:kube-proxy"),
        "coredns": plane.issue_kubeconfig("coredns", DNS_USER),
    }
    serving = authority.issue("kubelet-serving", "kubelet", addresses=[layout.node_address])
    texts = {
        "containerd.toml": build_containerd(layout),
        "cni/10-dpp.conflist": build_network(POD_RANGE),
        "kubelet.yaml": build_kubelet(
            layout, authority.pair.certificate, serving.certificate, serving.key
        ),
        "Corefile": build_corefile(layout, kubeconfigs["coredns"]),
        "resolv.conf": "",
        "hosts": "",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    settings = {
        "link": layout.link,
        "node_address": layout.node_address,
        "pod_range": POD_RANGE,
        "cgroups": [str(group / layout.group) for group in CGROUPS.iterdir() if group.is_dir()],
        "first": "containerd",
        "socket": str(layout.socket),
        "parts": _build_parts(layout, binaries, kubeconfigs),
    }
    unfinished = folder / "node.json.unfinished"
    unfinished.write_text(json.dumps(settings))
    unfinished.rename(folder / "node.json")


def _build_parts(
    layout: Layout, binaries: dict[str, Path], kubeconfigs: dict[str, Path]
) -> dict[str, list[str]]:
    folder = layout.folder
    kubelet = [
        *(str(binaries["kubelet"]), f"--config={folder}/kubelet.yaml"),
        *(f"--kubeconfig={kubeconfigs['kubelet']}", f"--hostname-override={layout.name}"),
        *(f"--root-dir={folder}/kubelet", f"--node-ip={layout.node_address}"),
        f"--cert-dir={folder}/kubelet-pki",
    ]
    proxy = [
        *(str(binaries["kube-proxy"]), f"--kubeconfig={kubeconfigs['kube-proxy']}"),
        *("--proxy-mode=nftables", f"--cluster-cidr={POD_RANGE}"),
        *(f"--hostname-override={layout.name}", "--conntrack-max-per-core=0"),
        *("--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s"),
    ]
    return {
        "containerd": ["containerd", "--config", f"{folder}/containerd.toml"],
        "coredns": [str(binaries["coredns"]), "-conf", f"{folder}/Corefile"],
        "kubelet": kubelet,
        "kube-proxy": proxy,
    }


def _load_pause(cluster: Cluster, binary: Path) -> None:
    archive = write_archive(cluster.layout.folder / "pause.tar", PAUSE_IMAGE, binary)
    wait_for(partial(_is_serving, cluster), "containerd", 60)
    cluster.load_image(archive)


def _is_serving(cluster: Cluster) -> bool:
    _check_alive(cluster)
    command = ["ctr", "-a", str(cluster.layout.socket), "version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _is_ready(cluster: Cluster) -> bool:
    _check_alive(cluster)
    node = cluster.kubectl.get("node", cluster.layout.name)
    conditions = {item["type"]: item["status"] for item in node["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


def _check_alive(cluster: Cluster) -> None:
    if not cluster.keeper.is_running:
        raise ServerStartError("the node ended while it was started; its logs are above")


def _ctr(layout: Layout, *arguments: str) -> None:
    command = ["ctr", "-a", str(layout.socket), "-n", "k8s.io", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {ended.stderr}")


def _tell_logs(layout: Layout) -> None:
    for log in sorted(layout.folder.glob("*.log")):
        print(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}", file=sys.stderr)
