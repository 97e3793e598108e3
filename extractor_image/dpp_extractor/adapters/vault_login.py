"""How Vault is reached and who we are there, read from VAULT_* variables or files.

Called by `adapters.secrets` (to learn whether Vault is there at all) and `adapters.vault`. Not
here: hvac, so that a process without Vault never loads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dpp_core import logs
from dpp_core.errors import CredentialsMissingError


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """How to reach Vault and who we are there; secrets never show in its repr.

    Either `token` (or `token_file`), or `role_id` with `secret_id`, or in a pod `kubernetes_role` with the file of the
    pod's own token. `mount` is the KV engine's.
    """

    address: str
    namespace: str = ""
    ca_bundle: str = ""
    mount: str = "secret"
    approle_mount: str = "approle"
    token: str = field(default="", repr=False)
    token_file: str = ""
    role_id: str = field(default="", repr=False)
    secret_id: str = field(default="", repr=False)
    kubernetes_role: str = ""
    kubernetes_mount: str = "kubernetes"
    kubernetes_token_file: str = ""

    @property
    def method(self) -> str:
        if self.kubernetes_role:
            return "Kubernetes"
        return "AppRole" if self.role_id else "Token"


def read_vault_settings(environment: Mapping[str, str]) -> VaultSettings | None:
    """Read VAULT_ADDR, VAULT_NAMESPACE, VAULT_CACERT, VAULT_KV_MOUNT, VAULT_APPROLE_MOUNT and the
    login: VAULT_ROLE_ID with VAULT_SECRET_ID, or VAULT_TOKEN; each of the three also as `*_FILE`.
    In a pod the operator sets VAULT_KUBERNETES_ROLE, _MOUNT and _TOKEN_FILE. None without VAULT_ADDR.

    Raises CredentialsMissingError for an address that is not a URL, or a login that is not
    complete.
    """
    address = environment.get("VAULT_ADDR", "").strip()
    if not address:
        return None
    _check_address(address)
    settings = VaultSettings(
        address=address,
        namespace=environment.get("VAULT_NAMESPACE", ""),
        ca_bundle=environment.get("VAULT_CACERT", ""),
        mount=environment.get("VAULT_KV_MOUNT", "secret").strip("/"),
        approle_mount=environment.get("VAULT_APPROLE_MOUNT", "approle").strip("/"),
        token=environment.get("VAULT_TOKEN", "").strip(),
        token_file=environment.get("VAULT_TOKEN_FILE", ""),
        role_id=_value_or_file(environment, "VAULT_ROLE_ID"),
        secret_id=_value_or_file(environment, "VAULT_SECRET_ID"),
        kubernetes_role=environment.get("VAULT_KUBERNETES_ROLE", "").strip(),
        kubernetes_mount=environment.get("VAULT_KUBERNETES_MOUNT", "kubernetes").strip("/"),
        kubernetes_token_file=environment.get("VAULT_KUBERNETES_TOKEN_FILE", ""),
    )
    _check_login(settings)
    return settings


def _check_address(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise CredentialsMissingError(
            f"VAULT_ADDR {logs.redact(address)[:120]!r} is not an address.",
            fix="Write it like https://vault.example:8200, without user or password.",
        )
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        logs.warning("vault_without_tls", address=address)


def _check_login(settings: VaultSettings) -> None:
    if settings.role_id and not settings.secret_id:
        raise CredentialsMissingError(
            "VAULT_ROLE_ID is given without VAULT_SECRET_ID.",
            fix="Give both, or VAULT_TOKEN.",
        )
    if settings.kubernetes_role and not settings.kubernetes_token_file:
        raise CredentialsMissingError(
            "VAULT_KUBERNETES_ROLE is given without VAULT_KUBERNETES_TOKEN_FILE.", fix="Give both."
        )
    own = settings.kubernetes_role or settings.role_id
    if not (own or settings.token or settings.token_file):
        raise CredentialsMissingError(
            f"There is no login for Vault at {settings.address}.",
            fix="Set VAULT_ROLE_ID and VAULT_SECRET_ID, or VAULT_TOKEN (each also as *_FILE).",
        )
    for secret in (settings.token, settings.secret_id, settings.role_id):
        logs.register_secret(secret)


def read_token(settings: VaultSettings) -> str:
    """The token to begin with: read anew from its file each time, since an agent may have renewed
    it.
    """
    if settings.role_id or settings.kubernetes_role:
        return ""
    if settings.token:
        return settings.token
    token = _read_text(settings.token_file, "VAULT_TOKEN_FILE")
    logs.register_secret(token)
    return token


def read_pod_token(settings: VaultSettings) -> str:
    """The pod's own token: read anew from its file at each login, since the kubelet renews it."""
    token = _read_text(settings.kubernetes_token_file, "VAULT_KUBERNETES_TOKEN_FILE")
    logs.register_secret(token)
    return token


def _value_or_file(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    path = environment.get(f"{name}_FILE", "")
    return value or (_read_text(path, f"{name}_FILE") if path else "")


def _read_text(path: str, name: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsMissingError(
            f"{name} names {path}, which cannot be read: {type(error).__name__}.",
            fix="Mount the file, or give the value itself.",
        ) from error
    if not text:
        raise CredentialsMissingError(f"{name} names {path}, which is empty.")
    return text
