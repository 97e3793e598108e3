"""Which secret a role gets, and from where: a file, the agent's files, the environment, or Vault.

Called by `wiring` (and `dpp ping`). Roles are `source`, `destination`, `index` and `keys`. Nothing
connects anywhere before a secret is complete: a file that is missing, empty, torn or without its
keys is CredentialsMissingError (21) naming file and key. Every secret value is registered for
redaction as it is read. Not here: hvac, and what a secret opens.

    places = SecretPlaces(environment=os.environ, file=Path("secrets.yaml"), vault_paths={"source":
    path}) with open_secrets(places) as read_secret:              # ReadSecret of ports.py
        secret = read_secret("source")                     # {"username": "...", "password": "..."}
    find_delivery(places, "source")                        # Delivery(kind="File",
    place="secrets.yaml")

For each role the first of these that is there wins: 1. `--secrets FILE`: one JSON or YAML file with
a mapping for each role; 2. `<agent_dir>/<role>.json`; 3. DPP_<ROLE>_<KEY> variables such as
DPP_SOURCE_PASSWORD (also as `..._FILE`); 4. Vault, when VAULT_ADDR is set and the role has a path.
Without any, `source` is an error; the others are an empty mapping: the destination then uses the
cloud's ambient credentials, and there is no index. Reading is idempotent; a file that was rotated
meanwhile is read anew.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from dpp_core import logs
from dpp_core.errors import CredentialsMissingError
from dpp_extractor.adapters.secret_file import read_secret_file, warn_if_open_to_others
from dpp_extractor.adapters.vault_login import read_vault_settings
from dpp_extractor.guard.retry import Retry
from dpp_extractor.ports import ReadSecret

Secret = Mapping[str, Any]
ReadPath = Callable[[str], Secret]
DeliveryKind = Literal["File", "Agent", "Environment", "Vault", "Ambient"]

ROLES: Final = ("source", "destination", "index", "keys")
REQUIRED_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "source": ("username", "password"),
    "destination": ("access_key_id", "secret_access_key"),
    "index": ("uri",),
    "keys": (),
}
OPTIONAL_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "source": ("hosts", "token"),
    "destination": ("session_token",),
    "index": ("username", "password"),
    "keys": (),
}
OPEN_KEYS: Final = frozenset(
    {"username", "user", "host", "hosts", "port", "database", "region", "endpoint", "bucket", "uri"}
)
"""Values under these keys are shown in logs; of a URI only the password is taken out, by pattern.
"""
LARGEST_VALUE_CHARACTERS: Final = 64 * 1024
MOST_KEYS: Final = 64
_AMBIENT_SECRETS: Final = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True, slots=True)
class SecretPlaces:
    """Where to look. `vault_paths` maps a role to its path (credentials.path, a destination's
    credentials).
    """

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    file: Path | None = None
    agent_dir: Path = Path("/vault/secrets")
    vault_paths: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a role's secret is delivered, and the place, for people; never a value."""

    kind: DeliveryKind
    place: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.place})" if self.place else self.kind


@contextmanager
def open_secrets(places: SecretPlaces, retry: Retry | None = None) -> Iterator[ReadSecret]:
    """Give a function that reads the secret of a role; Vault is logged in to only when a role needs
    it.

    `retry` is for Vault. Raises CredentialsMissingError (21) or, after patient tries,
    VaultUnavailableError (30).
    """
    register_ambient_secrets(places.environment)
    with ExitStack() as closing:
        opened: list[ReadPath] = []

        def read_path(path: str) -> Secret:
            if not opened:
                opened.append(closing.enter_context(_open_vault(places, retry)))
            return opened[0](path)

        def read_secret(role: str) -> Secret:
            delivery = find_delivery(places, role)
            secret = _read(places, role, delivery, read_path)
            if secret or role == "destination":
                logs.info("secret_read", role=role, delivery=delivery.kind, place=delivery.place)
            return secret

        yield read_secret


def find_delivery(places: SecretPlaces, role: str) -> Delivery:
    """Say where a role's secret comes from, without reading it.

    Raises CredentialsMissingError (21) when the source's is nowhere, naming every place that was
    looked at.
    """
    if role not in ROLES:
        raise CredentialsMissingError(f"There is no role {role!r}; roles are {', '.join(ROLES)}.")
    if places.file is not None and (role == "source" or role in read_secret_file(places.file)):
        return Delivery("File", str(places.file))
    agent_file = places.agent_dir / f"{role}.json"
    if agent_file.exists():
        return Delivery("Agent", str(agent_file))
    if _environment_keys(places.environment, role):
        return Delivery("Environment", _variable(role, "*"))
    path = _vault_path(places, role)
    if path and places.environment.get("VAULT_ADDR"):
        return Delivery("Vault", path)
    is_needed = role != "index" and bool(path) and not _has_ambient(places.environment)
    if role == "source" or is_needed:
        _refuse_nowhere(places, role, agent_file)
    return Delivery("Ambient", "")


def register_ambient_secrets(environment: Mapping[str, str]) -> None:
    """Have the cloud's ambient secrets taken out of every line, though we never read them
    ourselves.
    """
    for name in _AMBIENT_SECRETS:
        logs.register_secret(environment.get(name, ""))


def _read(places: SecretPlaces, role: str, delivery: Delivery, read_path: ReadPath) -> Secret:
    found: Any
    match delivery.kind:
        case "File":
            found = read_secret_file(Path(delivery.place)).get(role)
            warn_if_open_to_others(Path(delivery.place))
        case "Agent":
            found = read_secret_file(Path(delivery.place))
        case "Environment":
            found = _read_environment(places.environment, role)
        case "Vault":
            found = read_path(delivery.place)
        case "Ambient":
            return {}
    return check_secret(role, found, str(delivery))


def check_secret(role: str, found: Any, place: str) -> Secret:
    """Check that a secret has its keys, as texts or lists of texts of bounded size; register its
    values.

    Pure but for the register. Raises CredentialsMissingError (21) naming place and key, never a
    value.
    """
    if not isinstance(found, Mapping):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        _refuse(role, place, f"holds {what} where a mapping of keys to texts is needed")
    if len(found) > MOST_KEYS:
        _refuse(role, place, f"has {len(found)} keys; at most {MOST_KEYS} are allowed")
    missing = [key for key in REQUIRED_KEYS[role] if found.get(key) in (None, "", [])]
    if missing:
        _refuse(role, place, f"has no {' and no '.join(missing)}")
    return {str(key): _check_value(role, str(key), value, place) for key, value in found.items()}


def _check_value(role: str, key: str, value: Any, place: str) -> str | list[str]:
    texts = value if isinstance(value, list) else [value]
    for text in texts:
        if not isinstance(text, str):
            _refuse(
                role, place, f"has a {type(text).__name__} as {key}; write it as a text in quotes"
            )
        if len(text) > LARGEST_VALUE_CHARACTERS or len(texts) > MOST_KEYS:
            _refuse(role, place, f"has a {key} over {LARGEST_VALUE_CHARACTERS} characters")
        if "\0" in text:
            _refuse(role, place, f"has a NUL character in {key}")
        if key not in OPEN_KEYS:
            logs.register_secret(text)
    return list(texts) if isinstance(value, list) else str(value)


def _environment_keys(environment: Mapping[str, str], role: str) -> tuple[str, ...]:
    known = REQUIRED_KEYS[role] + OPTIONAL_KEYS[role]
    return tuple(
        key
        for key in known
        if environment.get(_variable(role, key)) or environment.get(_variable(role, key) + "_FILE")
    )


def _read_environment(environment: Mapping[str, str], role: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in _environment_keys(environment, role):
        name = _variable(role, key)
        value = environment.get(name) or _read_value(Path(environment[f"{name}_FILE"]), name)
        found[key] = value.split(",") if key == "hosts" else value
    return found


def _read_value(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsMissingError(
            f"{name}_FILE names {path}, which cannot be read ({type(error).__name__})."
        ) from error


def _variable(role: str, key: str) -> str:
    return f"DPP_{role.upper()}_{key.upper()}"


@contextmanager
def _open_vault(places: SecretPlaces, retry: Retry | None) -> Iterator[ReadPath]:
    settings = read_vault_settings(places.environment)
    assert settings is not None, "find_delivery chose Vault, so VAULT_ADDR is set"
    from dpp_extractor.adapters.vault import open_vault

    with open_vault(settings, retry) as read_path:
        yield read_path


def _refuse(role: str, place: str, what: str) -> NoReturn:
    raise CredentialsMissingError(
        f"The secret for {role} from {place} {what}.",
        fix=f"It needs {', '.join(REQUIRED_KEYS[role]) or 'texts'}.",
    )


def _refuse_nowhere(places: SecretPlaces, role: str, agent_file: Path) -> NoReturn:
    path = _vault_path(places, role)
    vault = f"VAULT_ADDR to read {path} from" if path else "path in Vault"
    variables = " and ".join(_variable(role, key) for key in REQUIRED_KEYS[role])
    raise CredentialsMissingError(
        f"There are no credentials for the {role}: no --secrets file, no {agent_file}, "
        f"no {variables}, no {vault}.",
        field="credentials",
        fix="Give one of them.",
    )


def _vault_path(places: SecretPlaces, role: str) -> str:
    path = places.vault_paths.get(role, "")
    return "" if path == "Ambient" else path


def _has_ambient(environment: Mapping[str, str]) -> bool:
    """Say whether cloud credentials are in the environment, so that Vault's are not needed."""
    return bool(environment.get("AWS_ACCESS_KEY_ID"))
