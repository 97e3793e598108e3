"""One connection to an API server: `kubectl` with a kubeconfig, and what tests do with it.

Used by every cluster test and by `make cluster-shell`. Nothing here knows how the server came to
be, so the same tests run on any cluster that a kubeconfig leads to.
"""

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Manifest = Mapping[str, Any]


class RefusedError(Exception):
    """kubectl ended with an error; the message is what it said."""


class NotSeenError(AssertionError):
    """What was waited for did not come; the message tells what was there instead."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """`kubectl` bound to one cluster and one identity."""

    binary: Path
    kubeconfig: Path

    def run(self, *arguments: str, text: str = "", timeout_seconds: float = 60) -> str:
        """Run kubectl and give what it prints; raise `RefusedError` with its words if it fails."""
        ended = subprocess.run(
            [str(self.binary), "--kubeconfig", str(self.kubeconfig), *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
        if ended.returncode != 0:
            raise RefusedError(f"kubectl {' '.join(arguments)}: {ended.stderr.strip()}")
        return ended.stdout

    def apply(self, *manifests: Manifest | Path, dry_run: bool = False) -> str:
        """Apply objects and YAML files (or folders of them) server-side, by one field manager.

        Applied twice, the second changes nothing.
        """
        arguments = ["apply", "--server-side", "--force-conflicts", "--field-manager=test"]
        if dry_run:
            arguments.append("--dry-run=server")
        paths = [item for item in manifests if isinstance(item, Path)]
        bodies = [dict(item) for item in manifests if not isinstance(item, Path)]
        said = [self.run(*arguments, "-f", str(path)) for path in paths]
        if bodies:
            said.append(self.run(*arguments, "-f", "-", text=yaml.safe_dump_all(bodies)))
        return "".join(said)

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
        """Give one object; raise `RefusedError` when it is not there."""
        where = ["-n", namespace] if namespace else []
        found: dict[str, Any] = json.loads(self.run("get", kind, name, *where, "-o", "json"))
        return found

    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Give all objects of a kind, in one namespace or (without one) in all."""
        where = ["-n", namespace] if namespace else ["-A"]
        if labels:
            where += ["-l", ",".join(f"{key}={value}" for key, value in labels.items())]
        items: list[dict[str, Any]] = json.loads(self.run("get", kind, *where, "-o", "json"))[
            "items"
        ]
        return items

    def delete(self, kind: str, name: str, namespace: str = "", *extra: str) -> None:
        """Delete one object; one that is gone already is no error."""
        where = ["-n", namespace] if namespace else []
        self.run("delete", kind, name, *where, "--ignore-not-found", *extra)

    def make_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """Make a namespace when it is not there and give its name."""
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": dict(labels or {})},
            }
        )
        return name


def wait_for(
    look: Callable[[], Any], what: str, timeout_seconds: float = 30, every_seconds: float = 0.2
) -> Any:
    """Look until the answer is true and give it; raise `NotSeenError` with the last answer."""
    deadline = time.monotonic() + timeout_seconds
    last: Any = None
    while time.monotonic() < deadline:
        try:
            last = look()
        except RefusedError as error:
            last = error
        else:
            if last:
                return last
        time.sleep(every_seconds)
    raise NotSeenError(f"not seen in {timeout_seconds:.0f} s: {what}; last: {last!r}")


def write_kubeconfig(path: Path, server: str, authority: Path, user: Mapping[str, Any]) -> Path:
    """Write a kubeconfig with one cluster and one user, readable by its owner alone."""
    named: Sequence[tuple[str, str, Mapping[str, Any]]] = (
        ("clusters", "cluster", {"server": server, "certificate-authority": str(authority)}),
        ("users", "user", user),
        ("contexts", "context", {"cluster": "dpp", "user": "dpp"}),
    )
    content: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": "dpp"}
    for plural, singular, value in named:
        content[plural] = [{"name": "dpp", singular: dict(value)}]
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content))
    return path
