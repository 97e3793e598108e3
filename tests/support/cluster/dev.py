"""A cluster for a developer: `make cluster-up`, `make cluster-shell`, `make cluster-down`.

The same cluster that the tests use, kept in the background, with the project's kinds in it. `up`
twice starts one; `down` ends what `up` started and deletes its data.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cluster.binaries import HELM, require
from cluster.images import IMAGES
from cluster.node import COMPONENTS, Cluster, remove_dead_cgroups, start_cluster
from servers.process import CACHE, RECORDS, ServerMissingError, end_record, started_at, sweep

KEPT = CACHE / "cluster.json"
COMMANDS = CACHE / "cluster-bin"
CRDS = Path(__file__).resolve().parents[3] / "crds"


def main(arguments: list[str]) -> int:
    """Run `up`, `down` or `shell`."""
    commands = {"up": up, "down": down, "shell": shell}
    if len(arguments) != 1 or arguments[0] not in commands:
        print("usage: dev.py up|down|shell", file=sys.stderr)
        return 2
    try:
        return commands[arguments[0]]()
    except ServerMissingError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


def up() -> int:
    """Start a cluster unless one is kept already, with the kinds and the images that are built."""
    if _find_kept():
        print("cluster: runs already; `make cluster-shell` leads into it")
        return 0
    sweep()
    started = time.monotonic()
    cluster = start_cluster(owner_pid=0)
    cluster.kubectl.apply(CRDS)
    for image in IMAGES:
        build = image.read()
        if build.archive.exists():
            cluster.load_image(build.archive)
            print(f"image on the node: {build.reference}")
    _keep(cluster)
    print(f"cluster: ready after {time.monotonic() - started:.0f} s")
    print(f"  export KUBECONFIG={cluster.plane.kubeconfig}")
    print("  `make cluster-shell` gives a shell with kubectl and helm; `make cluster-down` ends it")
    return 0


def down() -> int:
    """End the kept cluster; twice is harmless."""
    for path in sorted(RECORDS.glob("*.json")):
        record = json.loads(path.read_text())
        if record["owner_pid"] == 0 and record["name"] in COMPONENTS:
            end_record(path)
            print(f"ended {record['name']}")
    remove_dead_cgroups()
    KEPT.unlink(missing_ok=True)
    return 0


def shell() -> int:
    """Open a shell in which kubectl and helm lead to the kept cluster."""
    kept = _find_kept()
    if kept is None:
        print("cluster: none is kept; run `make cluster-up` first", file=sys.stderr)
        return 1
    path = f"{COMMANDS}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "KUBECONFIG": kept["kubeconfig"], "PATH": path}
    return subprocess.run([os.environ.get("SHELL", "sh")], env=environment, check=False).returncode


def _keep(cluster: Cluster) -> None:
    assert cluster.keeper.process is not None
    COMMANDS.mkdir(parents=True, exist_ok=True)
    for name, binary in (("kubectl", cluster.kubectl.binary), ("helm", require(HELM))):
        link = COMMANDS / name
        link.unlink(missing_ok=True)
        link.symlink_to(binary)
    pid = cluster.keeper.process.pid
    kept = {
        "kubeconfig": str(cluster.plane.kubeconfig),
        "name": cluster.layout.name,
        "pid": pid,
        "started": started_at(pid),
        "machine_address": cluster.layout.machine_address,
        "socket": str(cluster.layout.socket),
    }
    KEPT.write_text(json.dumps(kept))


def _find_kept() -> dict[str, str] | None:
    if not KEPT.exists():
        return None
    kept: dict[str, str] = json.loads(KEPT.read_text())
    return kept if started_at(int(kept["pid"])) == kept["started"] else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
