"""What a Kubernetes node consists of, built from Go modules once a machine.

The recipes stand beside those of the other servers in tests/support/go and use the same cache.
`API_RECIPES` are enough for the API alone, `NODE_RECIPES` make pods run, `HELM` installs charts.
"""

from pathlib import Path

from servers.built import Recipe, require_binary

KUBERNETES_VERSION = "1.35.4"
_VERSION_PACKAGE = "k8s.io/component-base/version"
_KUBERNETES_LDFLAGS = " ".join(
    [
        "-s -w",
        f"-X {_VERSION_PACKAGE}.gitVersion=v{KUBERNETES_VERSION}",
        f"-X {_VERSION_PACKAGE}.gitMajor=1",
        f"-X {_VERSION_PACKAGE}.gitMinor=35",
    ]
)


def _kubernetes(name: str, cold_seconds: int) -> Recipe:
    return Recipe(
        name=name,
        package=f"k8s.io/kubernetes/cmd/{name}",
        module="k8s.io/kubernetes",
        cold_seconds=cold_seconds,
        folder_name="kubernetes",
        ldflags=_KUBERNETES_LDFLAGS,
    )


ETCD = Recipe(
    name="etcd",
    package="go.etcd.io/etcd/server/v3",
    module="go.etcd.io/etcd/server/v3",
    cold_seconds=40,
)
API_SERVER = _kubernetes("kube-apiserver", 170)
CONTROLLER_MANAGER = _kubernetes("kube-controller-manager", 60)
KUBECTL = _kubernetes("kubectl", 30)
SCHEDULER = _kubernetes("kube-scheduler", 20)
KUBELET = _kubernetes("kubelet", 60)
PROXY = _kubernetes("kube-proxy", 20)
COREDNS = Recipe(
    name="coredns",
    package=".",
    module="github.com/coredns/coredns",
    cold_seconds=60,
)
HELM = Recipe(
    name="helm",
    package="helm.sh/helm/v3/cmd/helm",
    module="helm.sh/helm/v3",
    cold_seconds=70,
)
PAUSE = Recipe(name="pause", package=".", module="dpp.dev/support/pause", cold_seconds=3)
API_RECIPES = (ETCD, API_SERVER, CONTROLLER_MANAGER, KUBECTL)
NODE_RECIPES = (PAUSE, SCHEDULER, KUBELET, PROXY, COREDNS)
ALL_RECIPES = (*API_RECIPES, HELM, *NODE_RECIPES)


def require(recipe: Recipe) -> Path:
    """Return a built binary, or say how to get it."""
    return require_binary(recipe)
