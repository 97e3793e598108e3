"""How a pod gets its secrets: the Vault injector's documented annotations, or a token and an address to ask itself.

Called by `job`. Pure. Agent: one JSON file a role under /vault/secrets, written before our container starts; an agent
that fails ends with its cause in the pod's status. Direct: the extractor logs in with the pod's projected token. Either
way the token is mounted by us, is short-lived, and no Kubernetes token is in the extractor's container.
"""

from collections.abc import Mapping
from typing import Any, Final

from dpp_core.handover import RunRequest
from dpp_core.policy import VaultPolicy
from dpp_operator import labels

PREFIX: Final = "vault.hashicorp.com"
TOKEN_VOLUME: Final = "dpp-vault-token"  # noqa: S105 - the name of a volume
TOKEN_FOLDER: Final = "/var/run/secrets/dpp/vault"  # noqa: S105 - a path
TOKEN_SECONDS: Final = 3600
USER: Final = 65532
_PATCH: Final = '[{"op":"add","path":"/terminationMessagePolicy","value":"FallbackToLogsOnError"}]'


def list_paths(request: RunRequest) -> dict[str, str]:
    """List each role's path in Vault; roles without one have no secret there."""
    paths = {"source": request.credentials.path}
    if request.destination.credentials not in ("", "Ambient"):
        paths["destination"] = request.destination.credentials
    if request.index:
        paths["index"] = request.index
    return {role: path for role, path in paths.items() if path}


def build_annotations(request: RunRequest, vault: VaultPolicy | None) -> dict[str, str]:
    """Build the injector's annotations; none for Direct, or when no secret lies in Vault."""
    paths = list_paths(request)
    if not paths or request.credentials.delivery != "Agent":
        return {}
    found = {
        "agent-inject": "true",
        "agent-pre-populate-only": "true",
        "agent-inject-containers": labels.CONTAINER,
        "agent-auto-auth-exit-on-err": "true",
        "agent-init-json-patch": _PATCH,
        "agent-run-as-user": str(USER),
        "agent-run-as-group": str(USER),
        "agent-requests-cpu": "25m",
        "agent-requests-mem": "32Mi",
        "agent-limits-cpu": "500m",
        "agent-limits-mem": "128Mi",
        "agent-service-account-token-volume-name": TOKEN_VOLUME,
    }
    if request.credentials.vault_role:
        found["role"] = request.credentials.vault_role
    if vault is not None and vault.auth_mount != "kubernetes":
        found["auth-path"] = f"auth/{vault.auth_mount}"
    for role, path in paths.items():
        full = find_kv_path(path, vault)
        found[f"agent-inject-secret-{role}.json"] = full
        found[f"agent-inject-template-{role}.json"] = (
            f'{{{{- with secret "{full}" -}}}}{{{{ .Data.data | toJSON }}}}{{{{- end -}}}}'
        )
        found[f"agent-inject-perms-{role}.json"] = "0400"
    return {f"{PREFIX}/{name}": value for name, value in sorted(found.items())}


def find_kv_path(path: str, vault: VaultPolicy | None) -> str:
    """Spell a path as the KV version 2 engine reads it: `<mount>/data/<path>`."""
    mount = (vault.kv_mount if vault else None) or "secret"
    for prefix in (f"{mount}/data/", f"{mount}/"):
        if path.startswith(prefix):
            return f"{mount}/data/{path.removeprefix(prefix)}"
    return f"{mount}/data/{path}"


def build_volumes(request: RunRequest, vault: VaultPolicy | None) -> list[dict[str, Any]]:
    """Build the projected token that the agent, or the extractor itself, logs in with."""
    if not list_paths(request):
        return []
    token: dict[str, Any] = {"path": "token", "expirationSeconds": TOKEN_SECONDS}
    if vault is not None and vault.audience:
        token["audience"] = vault.audience
    return [{"name": TOKEN_VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}}]


def build_environment(request: RunRequest, vault: VaultPolicy | None) -> Mapping[str, str]:
    """Build what a Direct delivery needs to find Vault; the role and the token's file name who the pod is."""
    if request.credentials.delivery != "Direct" or vault is None:
        return {}
    found = {
        "VAULT_ADDR": vault.address,
        "VAULT_KUBERNETES_MOUNT": vault.auth_mount,
        "VAULT_KUBERNETES_ROLE": request.credentials.vault_role,
        "VAULT_KUBERNETES_TOKEN_FILE": f"{TOKEN_FOLDER}/token",
    }
    if vault.kv_mount:
        found["VAULT_KV_MOUNT"] = vault.kv_mount
    if vault.ca_bundle:
        found["VAULT_CACERT"] = vault.ca_bundle
    return found


def build_mounts(request: RunRequest) -> list[dict[str, Any]]:
    """Build the mount of the token in our own container: for Direct only."""
    if request.credentials.delivery != "Direct" or not list_paths(request):
        return []
    return [{"name": TOKEN_VOLUME, "mountPath": TOKEN_FOLDER, "readOnly": True}]
