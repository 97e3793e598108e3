"""Process 1 of the test node: lays out the node's own world, starts its parts, buries the dead.

Started by `cluster.node` as `unshare --pid --net --mount ... python node_init.py FOLDER`; stands
alone on purpose (standard library, no import from here). The node's processes, mounts, links and
packet filters live in namespaces of their own, so all of them end when this process ends, however
that happens, and the machine around it is not touched. FOLDER/node.json says what to start; it is
waited for, since the API server comes up in between.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WAIT_SECONDS = 120
MEMORY_FOR_IMAGES_BYTES = 8 * 1024**3


def main(folder: Path) -> int:
    """Run the node until one of its parts ends or this process is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    _hide_the_machine(folder)
    settings = _read_when_there(folder / "node.json")
    _make_network(settings["link"], settings["node_address"], settings["pod_range"])
    for name in settings["cgroups"]:
        Path(name).mkdir(parents=True, exist_ok=True)
    parts = {}
    for name, command in settings["parts"].items():
        parts[_start(folder, name, command)] = name
        if name == settings["first"]:
            _wait_until_there(Path(settings["socket"]))  # the kubelet ends without it
    while True:
        pid, status = os.wait()
        if pid in parts:
            print(f"{parts[pid]} ended with status {status}", flush=True)
            return 1


def _hide_the_machine(folder: Path) -> None:
    """Give the node its own /run, logs and network state: shared among its parts, seen by nobody."""
    _run("mount", "--make-rshared", "/")
    in_memory = ["/run", "/var/lib/cni"]
    if _find_free_memory_bytes() > MEMORY_FOR_IMAGES_BYTES:
        in_memory.append(str(folder / "containerd"))  # else unpacking and deleting take a minute
    for path in in_memory:
        Path(path).mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "tmpfs", path)
    (folder / "log").mkdir(exist_ok=True)
    _run("mount", "--bind", str(folder / "log"), "/var/log")


def _find_free_memory_bytes() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    line = next(line for line in lines if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def _make_network(link: str, address: str, pod_range: str) -> None:
    """Set up the link to the machine; pods leave by it under the node's address."""
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "address", "add", f"{address}/30", "dev", link)
    _run("ip", "link", "set", link, "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    rules = f"""
table ip dpp-node {{
    chain leaving {{
        type nat hook postrouting priority srcnat;
        oifname "{link}" ip saddr {pod_range} masquerade
    }}
}}
"""
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


def _start(folder: Path, name: str, command: list[str]) -> int:
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log).pid


def _read_when_there(path: Path) -> dict[str, Any]:
    _wait_until_there(path)
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def _wait_until_there(path: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise SystemExit(f"{path} did not come in {WAIT_SECONDS} s")
        time.sleep(0.02)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
