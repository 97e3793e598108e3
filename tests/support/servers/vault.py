"""A real Vault API server for tests: OpenBao in its development mode, which keeps all in memory.

A stop and start therefore empties it. For "Vault is away" stop it; for "Vault is sealed" use
`seal` and `unseal`, which keep what was written.
"""

import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import hvac

from servers.process import (
    HOST,
    Server,
    ServerMissingError,
    ServerStartError,
    free_port,
    make_folder,
)


@dataclass(frozen=True, slots=True)
class AppRole:
    """The two halves of an AppRole login."""

    role_id: str
    secret_id: str


@dataclass(slots=True)
class VaultServer:
    """The running server and its root token; KV version 2 is mounted at `secret`."""

    server: Server
    root_token: str

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server.port}"

    def client(self) -> Any:
        """Give a client with the root token, for arranging."""
        return hvac.Client(url=self.address, token=self.root_token)

    def write_secret(self, path: str, values: Mapping[str, Any], mount: str = "secret") -> None:
        """Write a KV version 2 secret; writing again makes a new version."""
        self.client().secrets.kv.v2.create_or_update_secret(
            path=path, secret=dict(values), mount_point=mount
        )

    def write_policy(self, name: str, paths: list[str], mount: str = "secret") -> None:
        """Let the holders of a policy read these KV version 2 paths and nothing else."""
        rules = "".join(
            f'path "{mount}/data/{path}" {{ capabilities = ["read"] }}\n' for path in paths
        )
        self.client().sys.create_or_update_policy(name=name, policy=rules)

    def create_approle(self, name: str, paths: list[str], ttl: str = "10m") -> AppRole:
        """Make an AppRole that may read these secrets, and one secret id for it."""
        client = self.client()
        if "approle/" not in client.sys.list_auth_methods()["data"]:
            client.sys.enable_auth_method("approle")
        self.write_policy(name, paths)
        client.auth.approle.create_or_update_approle(
            role_name=name, token_policies=[name], token_ttl=ttl, token_max_ttl=ttl
        )
        role_id = client.auth.approle.read_role_id(name)["data"]["role_id"]
        secret_id = client.auth.approle.generate_secret_id(name)["data"]["secret_id"]
        return AppRole(role_id, secret_id)

    def create_token(self, name: str, paths: list[str], ttl: str = "10m") -> str:
        """Make a token that may read these secrets."""
        self.write_policy(name, paths)
        answer = self.client().auth.token.create(policies=[name], ttl=ttl)
        token: str = answer["auth"]["client_token"]
        return token

    def seal(self) -> None:
        """Seal the server: it answers 503 to everything until `unseal`."""
        self.client().sys.seal()

    def unseal(self) -> None:
        """Open a sealed server again."""
        self.client().sys.submit_unseal_key(self._find_unseal_key())

    def _find_unseal_key(self) -> str:
        """Read the key out of the log; the server prints it half a second after it answers."""
        end_at = time.monotonic() + 10
        while time.monotonic() < end_at:
            found = re.findall(r"Unseal Key: (\S+)\n", self.server.log_path.read_text())
            if found:
                return str(found[-1])
            time.sleep(0.05)
        raise ServerStartError(f"no unseal key in {self.server.log_path}")

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server.start()

    def kill(self) -> None:
        self.server.kill()

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()


def find_bao() -> Path:
    """Return the `bao` command of this environment."""
    beside = Path(sys.executable).parent / "bao"
    found = str(beside) if beside.exists() else shutil.which("bao")
    if found is None:
        raise ServerMissingError("`bao` is not installed; run `make setup`")
    return Path(found)


def start_vault(
    port: int | None = None, owner_pid: int | None = None, root_token: str | None = None
) -> VaultServer:
    """Start an unsealed, empty server; raise `ServerMissingError` when `bao` is not installed."""
    chosen = port or free_port()
    token = root_token or f"root-{secrets.token_hex(8)}"
    server = Server(
        name="bao",
        command=[
            *(str(find_bao()), "server", "-dev", "-dev-no-store-token"),
            f"-dev-root-token-id={token}",
            f"-dev-listen-address={HOST}:{chosen}",
        ],
        port=chosen,
        folder=make_folder("vault"),
        ready=lambda: _answers(chosen),
        owner_pid=os.getpid() if owner_pid is None else owner_pid,
    )
    server.start()
    return VaultServer(server, token)


def _answers(port: int) -> bool:
    try:
        answer = httpx.get(f"http://{HOST}:{port}/v1/sys/mounts/secret", timeout=2)
    except httpx.HTTPError:
        return False
    return answer.status_code in (400, 403)
