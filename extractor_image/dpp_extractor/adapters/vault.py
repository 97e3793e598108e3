"""Secrets from Vault or OpenBao (KV version 2) by AppRole, Token or a pod's own token. hvac's only home.

Called by `adapters.secrets` when a role's secret lies in Vault. A login serves all reads of a
process; a refused token is replaced once by logging in again. Not here: which secret belongs to
which role, leases.

    settings = read_vault_settings(environment)          # None without VAULT_ADDR
    with open_vault(settings, retry=retrying(RetryPolicy(), what="vault")) as read_path:
        secret = read_path("distributors/acme/erp")      # {"username": ..., "password": ...}

Reading is idempotent. Temporary failures become VaultUnavailableError (30), all others
CredentialsMissingError (21), by the table `guard.failures.VAULT`; what is not in the table is tried
once more and then InternalError (70).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import hvac
import requests

from dpp_core import logs
from dpp_core.errors import CredentialsMissingError, DppError, InternalError, VaultUnavailableError
from dpp_extractor.adapters.vault_login import VaultSettings, read_pod_token, read_token
from dpp_extractor.guard.failures import VAULT, Failure, Handling, find_failure, names_of
from dpp_extractor.guard.retry import Retry, RetryPolicy, retrying

T = TypeVar("T")
ReadPath = Callable[[str], Mapping[str, Any]]
CONNECT_TIMEOUT_SECONDS: Final = 3.05
READ_TIMEOUT_SECONDS: Final = 10.0
LONGEST_PATH_CHARACTERS: Final = 512
_DRIVER_ERRORS: Final = (
    hvac.exceptions.VaultError,
    requests.RequestException,
    # hvac hands on what it could not parse, and then looks into it
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)


@contextmanager
def open_vault(settings: VaultSettings, retry: Retry | None = None) -> Iterator[ReadPath]:
    """Give a function that reads a secret by its path; it logs in at the first call, not before."""
    session = _Session(settings, retry or retrying(RetryPolicy(), what="vault"))
    try:
        yield session.read
    finally:
        session.close()


def ping_vault(settings: VaultSettings, retry: Retry | None = None) -> str:
    """Log in and say who we are there, for `dpp ping`. Raises as a read does."""
    session = _Session(settings, retry or retrying(RetryPolicy(), what="vault"))
    try:
        return session.describe_login()
    finally:
        session.close()


def split_kv_path(path: str, mount: str) -> str:
    """Reduce a path as people write it (`secret/data/a/b`, `secret/a/b`, `/a/b`) to the one inside
    the mount.

    Raises CredentialsMissingError for an empty path, `.`/`..` segments and characters that have no
    place in one.
    """
    inner = path.strip("/")
    for prefix in (f"{mount}/data/", f"{mount}/"):
        if inner.startswith(prefix):
            inner = inner.removeprefix(prefix)
            break
    segments = inner.split("/")
    is_bad = any(segment in ("", ".", "..") for segment in segments)
    is_odd = not inner.isprintable() or any(mark in inner for mark in "?#*\\%")
    if is_bad or is_odd or len(path) > LONGEST_PATH_CHARACTERS:
        raise CredentialsMissingError(
            f"The Vault path {path[:80]!r} is not one: no segment may be empty, `.` or `..`, "
            "or hold any of ?#*\\%.",
            field="credentials.path",
            fix=f"Write it like distributors/acme/erp, inside the KV mount {mount}.",
        )
    return inner


class _Session:
    """One login and one HTTP session, for all reads of a process; must be closed."""

    def __init__(self, settings: VaultSettings, retry: Retry) -> None:
        self._settings = settings
        self._retry = retry
        self._http = requests.Session()
        self._http.verify = settings.ca_bundle or True
        self._http.hooks["response"].append(self._remember)
        self._status = 0
        self._retry_after_seconds = 0.0
        self._client: Any = None
        self._unclassified = 0

    def read(self, path: str) -> Mapping[str, Any]:
        settings = self._settings
        inner = split_kv_path(path, settings.mount)
        where = f"{settings.mount}/data/{inner}"
        answer = self._with_login(
            lambda client: client.secrets.kv.v2.read_secret_version(
                path=inner, mount_point=settings.mount, raise_on_deleted_version=True
            ),
            where,
        )
        found = answer.get("data", {}).get("data") if isinstance(answer, dict) else None
        if not isinstance(found, dict):
            raise CredentialsMissingError(
                f"Vault's answer for {where} holds no secret.",
                field="credentials.path",
                fix=f"Is {settings.mount} a KV version 2 engine? Set VAULT_KV_MOUNT otherwise.",
            )
        return found

    def describe_login(self) -> str:
        answer = self._with_login(
            lambda client: client.auth.token.lookup_self(), "auth/token/lookup-self"
        )
        policies = ", ".join(sorted(answer["data"].get("policies", [])))
        return f"{self._settings.method} login at {self._settings.address}, policies {policies}"

    def close(self) -> None:
        self._http.close()

    def _with_login(self, call: Callable[[Any], T], where: str) -> T:
        """Call with a login; when it is refused, log in anew and call once more."""
        try:
            return self._call(lambda: call(self._login()), where)
        except _RefreshError:
            self._client = None
        try:
            return self._call(lambda: call(self._login()), where)
        except _RefreshError as refused:
            raise _denied(self._settings, where) from refused.__cause__

    def _login(self) -> Any:
        if self._client is None:
            settings = self._settings
            client = hvac.Client(
                url=settings.address,
                token=read_token(settings),
                namespace=settings.namespace or None,
                timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
                session=self._http,
            )
            answer = self._ask_for_token(client)
            if answer is not None:
                logs.register_secret(answer["auth"]["client_token"])
            self._client = client
        return self._client

    def _ask_for_token(self, client: Any) -> Any:
        settings = self._settings
        if settings.kubernetes_role:
            return client.auth.kubernetes.login(
                role=settings.kubernetes_role,
                jwt=read_pod_token(settings),
                mount_point=settings.kubernetes_mount,
            )
        if settings.role_id:
            return client.auth.approle.login(
                role_id=settings.role_id,
                secret_id=settings.secret_id or None,
                mount_point=settings.approle_mount,
            )
        return None

    def _call(self, call: Callable[[], T], where: str) -> T:
        def once() -> T:
            self._status, self._retry_after_seconds = 0, 0.0
            try:
                return call()
            except _DRIVER_ERRORS as error:
                raise self._translate(error, where) from error

        return self._retry(once)

    def _translate(self, error: Exception, where: str) -> Exception:
        names = (
            (f"status {self._status}", *names_of(error)) if self._status >= 400 else names_of(error)
        )
        row = find_failure(VAULT, names)
        if row is None:
            self._unclassified += 1
            return self._translate_unclassified(error, where)
        is_login = "/login" in str(getattr(error, "url", "") or "")
        if row.handling is Handling.REFRESH and not is_login:
            return _RefreshError(where)
        translated = _build_error(row, error, where, self._settings, is_login)
        translated.retry_after_seconds = self._retry_after_seconds
        return translated

    def _translate_unclassified(self, error: Exception, where: str) -> DppError:
        kind = type(error).__name__
        if self._unclassified == 1:
            return VaultUnavailableError(f"Vault failed at {where} in an unknown way ({kind}).")
        return InternalError(
            f"Vault failed twice at {where} in an unknown way ({kind}, status {self._status}).",
            fix="Please report it; the table of failures lacks a row.",
        )

    def _remember(self, response: requests.Response, *args: Any, **kwargs: Any) -> None:
        self._status = response.status_code
        asked = response.headers.get("Retry-After", "")
        self._retry_after_seconds = float(asked) if asked.isdecimal() else 0.0


class _RefreshError(Exception):
    """The login was refused: inner signal between the two tries of `_with_login`, never seen
    outside.
    """


def _build_error(
    row: Failure, error: Exception, where: str, settings: VaultSettings, is_login: bool
) -> DppError:
    what = f"the {settings.method} login" if is_login else where
    message = f"Vault at {settings.address} gave no answer for {what}: {row.meaning}."
    if row.handling is Handling.RETRY:
        return VaultUnavailableError(message, fix="It is tried again; unseal or start Vault.")
    fixes = {
        "hvac.InvalidPath": "Put the secret there (`vault kv put`), or correct credentials.path or "
        "VAULT_KV_MOUNT.",
        "hvac.InvalidRequest": "Give the role id, a secret id that is valid now, and the right "
        "VAULT_APPROLE_MOUNT.",
        "requests.SSLError": "Give the authority's certificate in VAULT_CACERT.",
    }
    known = [fixes[name] for name in names_of(error) if name in fixes]
    fix = known[0] if known else "Check the VAULT_* settings."
    return (row.error or CredentialsMissingError)(message, field="credentials.path", fix=fix)


def _denied(settings: VaultSettings, where: str) -> CredentialsMissingError:
    return CredentialsMissingError(
        f"Vault at {settings.address} denies {where} to this {settings.method} login, "
        "also after a new login.",
        field="credentials.path",
        fix=f'Grant a policy with `path "{where}" {{ capabilities = ["read"] }}`, '
        "or give a valid login.",
    )
