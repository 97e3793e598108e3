"""etcd, the API server and the controller-manager: the API of a cluster, with or without a node.

Alone it is the API-only mode: objects, schemas, CEL, RBAC and the Job controller are real, pods are
never run. It needs no root. The full cluster joins a node to it (`cluster.node`).
"""

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from signal import SIGKILL
from typing import Protocol

import httpx

from cluster.binaries import API_SERVER, CONTROLLER_MANAGER, ETCD, KUBECTL, require
from cluster.kubectl import Kubectl, wait_for, write_kubeconfig
from cluster.pki import Authority, KeyPair, make_authority
from servers.process import HOST, Server, free_port, make_folder

SERVICE_RANGE = "10.96.0.0/16"
POD_RANGE = "10.244.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
ISSUER = "https://kubernetes.default.svc"
ADVERTISED_WITHOUT_NODE = "192.0.2.1"
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: Metadata, verbs: [create, update, patch, delete]}
"""


class Api(Protocol):
    """What most tests need of a cluster: its administrator's `kubectl`."""

    @property
    def kubectl(self) -> Kubectl: ...

    def remove(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ForeignApi:
    """A cluster that somebody else made and ends."""

    kubectl: Kubectl

    def remove(self) -> None:
        """Leave it as it is."""


@dataclass(slots=True)
class ControlPlane:
    """A running API with its administrator's `kubectl`."""

    folder: Path
    address: str
    port: int
    token: str
    authority: Authority
    kubectl: Kubectl
    servers: list[Server] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        return self.kubectl.kubeconfig

    @property
    def audit_log(self) -> Path:
        """One JSON line for each write that the API server answered."""
        return self.folder / "audit.log"

    def issue_kubeconfig(self, name: str, user: str, group: str = "") -> Path:
        """Give a kubeconfig for another identity, known by its certificate."""
        pair = self.authority.issue(name, user, group)
        return self._write(name, _build_user(pair))

    def issue_account_kubeconfig(self, namespace: str, account: str) -> Path:
        """Give a kubeconfig that is a service account, by a token of an hour."""
        token = self.kubectl.run("create", "token", account, "-n", namespace).strip()
        return self._write(f"account-{namespace}-{account}", {"token": token})

    def as_account(self, namespace: str, account: str) -> Kubectl:
        """Give kubectl as a service account sees the cluster."""
        return Kubectl(self.kubectl.binary, self.issue_account_kubeconfig(namespace, account))

    def remove(self) -> None:
        """End every component, the last started first, and delete all data; twice is harmless."""
        while self.servers:
            self.servers.pop().stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, user: Mapping[str, str]) -> Path:
        path = self.folder / f"{name}.kubeconfig"
        return write_kubeconfig(path, self.url, self.authority.pair.certificate, user)


def start_control_plane(
    address: str = HOST, owner_pid: int | None = None, api_flags: Sequence[str] = ()
) -> ControlPlane:
    """Start an empty API on ports of its own at `address`; return when it serves.

    Raise `ServerMissingError` when a binary is not built, `ServerStartError` when one does not come
    up; then nothing stays behind. `api_flags` are added to the API server's.
    """
    binaries = {recipe.name: require(recipe) for recipe in (ETCD, API_SERVER, CONTROLLER_MANAGER)}
    kubectl_binary = require(KUBECTL)
    folder = make_folder("control-plane")
    authority = make_authority(folder / "pki")
    port = free_port(address)
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    kubeconfig = write_kubeconfig(
        folder / "admin.kubeconfig",
        f"https://{address}:{port}",
        authority.pair.certificate,
        {"token": token},
    )
    plane = ControlPlane(
        folder, address, port, token, authority, Kubectl(kubectl_binary, kubeconfig)
    )
    owner = os.getpid() if owner_pid is None else owner_pid
    try:
        etcd = _build_etcd(plane, binaries["etcd"], owner)
        _start(plane, etcd)
        api = _build_api_server(plane, binaries["kube-apiserver"], etcd.port, owner)
        api.command = [*api.command, *api_flags]
        _start(plane, api)
        _start(plane, _build_controller_manager(plane, binaries["kube-controller-manager"], owner))
        wait_for(
            lambda: plane.kubectl.list("serviceaccounts", "default"), "the default service account"
        )
    except BaseException:
        plane.remove()
        raise
    return plane


def _start(plane: ControlPlane, server: Server) -> None:
    plane.servers.append(server)
    server.start()


def _build_user(pair: KeyPair) -> dict[str, str]:
    return {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}


def _build_etcd(plane: ControlPlane, binary: Path, owner_pid: int) -> Server:
    port, peer_port = free_port(), free_port()
    client, peer = f"http://{HOST}:{port}", f"http://{HOST}:{peer_port}"
    return Server(
        name="etcd",
        command=[
            *(str(binary), "--name=dpp", f"--data-dir={plane.folder / 'etcd'}"),
            *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
            *(f"--initial-cluster=dpp={peer}", "--unsafe-no-fsync", "--log-level=warn"),
        ],
        port=port,
        folder=plane.folder,
        ready=partial(answers, f"{client}/health"),
        owner_pid=owner_pid,
    )


def _build_api_server(plane: ControlPlane, binary: Path, etcd_port: int, owner_pid: int) -> Server:
    pki = plane.authority.folder
    account = plane.authority.issue("service-accounts", "service-accounts")
    serving = plane.authority.issue(
        "api-server", "kube-apiserver", addresses=_list_names(plane.address)
    )
    to_kubelet = plane.authority.issue("api-to-kubelet", "api-to-kubelet", "system:masters")
    policy = plane.folder / "audit-policy.yaml"
    policy.write_text(AUDIT_POLICY)
    advertised = ADVERTISED_WITHOUT_NODE if plane.address == HOST else plane.address
    return Server(
        name="kube-apiserver",
        command=[
            *(str(binary), f"--etcd-servers=http://{HOST}:{etcd_port}"),
            *(f"--bind-address={plane.address}", f"--secure-port={plane.port}"),
            *(f"--advertise-address={advertised}", f"--service-cluster-ip-range={SERVICE_RANGE}"),
            *(f"--tls-cert-file={serving.certificate}", f"--tls-private-key-file={serving.key}"),
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--token-auth-file={plane.folder / 'tokens.csv'}",
            *("--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"),
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={account.certificate}",
            f"--service-account-signing-key-file={account.key}",
            f"--kubelet-client-certificate={to_kubelet.certificate}",
            f"--kubelet-client-key={to_kubelet.key}",
            f"--kubelet-certificate-authority={pki / 'ca.crt'}",
            "--kubelet-preferred-address-types=InternalIP",
            *(f"--audit-policy-file={policy}", f"--audit-log-path={plane.audit_log}"),
            "--allow-privileged=true",
        ],
        port=plane.port,
        folder=plane.folder,
        ready=partial(answers, f"{plane.url}/readyz", plane),
        owner_pid=owner_pid,
        stop_signal=SIGKILL,  # in order it would wait for every watch; what it answered is in etcd
        host=plane.address,
    )


def _build_controller_manager(plane: ControlPlane, binary: Path, owner_pid: int) -> Server:
    port = free_port()
    kubeconfig = plane.issue_kubeconfig("controller-manager", "system:kube-controller-manager")
    return Server(
        name="kube-controller-manager",
        command=[
            *(str(binary), f"--kubeconfig={kubeconfig}", f"--secure-port={port}"),
            *(
                f"--bind-address={HOST}",
                "--leader-elect=false",
                "--use-service-account-credentials",
            ),
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--service-account-private-key-file={plane.authority.folder / 'service-accounts.key'}",
            f"--root-ca-file={plane.authority.pair.certificate}",
            *(f"--cluster-cidr={POD_RANGE}", "--allocate-node-cidrs=true"),
            *(f"--service-cluster-ip-range={SERVICE_RANGE}", "--kube-api-qps=200"),
            *("--kube-api-burst=400", "--concurrent-job-syncs=20"),
        ],
        port=port,
        folder=plane.folder,
        ready=partial(answers, f"https://{HOST}:{port}/healthz"),
        owner_pid=owner_pid,
    )


def _list_names(address: str) -> list[str]:
    service = "kubernetes.default.svc"
    return [address, API_SERVICE_ADDRESS, "kubernetes", service, f"{service}.cluster.local"]


def answers(url: str, plane: ControlPlane | None = None) -> bool:
    """Say whether a component says that it is well."""
    headers = {"Authorization": f"Bearer {plane.token}"} if plane else {}
    try:
        return httpx.get(url, headers=headers, verify=False, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
