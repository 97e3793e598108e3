"""Secrets from a real Vault API server: both logins, every refusal, every outage."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from dpp_core.errors import CredentialsMissingError, VaultUnavailableError
from dpp_extractor.adapters.secrets import SecretPlaces, open_secrets
from dpp_extractor.adapters.vault import open_vault, ping_vault
from dpp_extractor.adapters.vault_login import VaultSettings, read_vault_settings
from dpp_extractor.guard.retry import RetryPolicy, retrying
from log_capture import Captured, captured_logs
from servers.process import free_port
from servers.vault import VaultServer

PATH = "distributors/acme/erp"
SECRET = {"username": "dpp", "password": "planted-pässword-1"}


@pytest.fixture(autouse=True)
def logged() -> Iterator[Captured]:
    with captured_logs() as captured:
        yield captured


@pytest.fixture
def vault(vault_server: VaultServer) -> VaultServer:
    vault_server.write_secret(PATH, SECRET)
    return vault_server


def quick_retry(attempts: int = 3, on_wait: Callable[[], None] = lambda: None):  # type: ignore[no-untyped-def]
    return retrying(RetryPolicy(attempts=attempts), sleep=lambda _: on_wait(), what="vault")


def by_token(vault: VaultServer, token: str) -> VaultSettings:
    return VaultSettings(address=vault.address, token=token)


def by_approle(vault: VaultServer, name: str, paths: list[str]) -> VaultSettings:
    role = vault.create_approle(name, paths)
    return VaultSettings(address=vault.address, role_id=role.role_id, secret_id=role.secret_id)


@pytest.mark.parametrize(
    "path", [PATH, f"/{PATH}", f"secret/{PATH}", f"secret/data/{PATH}"], ids=lambda path: path
)
def test_a_token_reads_a_secret_however_its_path_is_written(vault: VaultServer, path: str) -> None:
    settings = by_token(vault, vault.create_token("acme", [PATH]))

    with open_vault(settings) as read_path:
        assert read_path(path) == SECRET
        assert read_path(path) == SECRET


def test_an_approle_reads_with_one_login(vault: VaultServer) -> None:
    vault.create_approle("acme-once", [PATH])
    approle = vault.client().auth.approle
    approle.create_or_update_approle("acme-once", secret_id_num_uses=1)
    role_id = approle.read_role_id("acme-once")["data"]["role_id"]
    once = approle.generate_secret_id("acme-once")["data"]["secret_id"]
    settings = VaultSettings(address=vault.address, role_id=role_id, secret_id=once)

    with open_vault(settings) as read_path:
        assert read_path(PATH) == SECRET
        assert read_path(PATH) == SECRET


def test_a_new_version_is_read_at_the_next_read(vault: VaultServer) -> None:
    with open_vault(by_token(vault, vault.root_token)) as read_path:
        before = read_path(PATH)
        vault.write_secret(PATH, {**SECRET, "password": "rotated-password-2"})

        assert (before["password"], read_path(PATH)["password"]) == (
            SECRET["password"],
            "rotated-password-2",
        )


def test_another_mount_is_read(vault: VaultServer) -> None:
    client = vault.client()
    if "team/kv/" not in client.sys.list_mounted_secrets_engines()["data"]:
        client.sys.enable_secrets_engine("kv", path="team/kv", options={"version": "2"})
    vault.write_secret("acme/erp", SECRET, mount="team/kv")
    settings = VaultSettings(address=vault.address, token=vault.root_token, mount="team/kv")

    with open_vault(settings) as read_path:
        assert read_path("acme/erp") == SECRET
        assert read_path("team/kv/data/acme/erp") == SECRET


def test_a_revoked_login_is_replaced_once(vault: VaultServer) -> None:
    settings = by_approle(vault, "acme-relogin", [PATH])

    with open_vault(settings) as read_path:
        read_path(PATH)
        accessors = vault.client().auth.token.list_accessors()["data"]["keys"]
        for accessor in accessors:
            found = vault.client().auth.token.lookup_accessor(accessor)["data"]
            if "acme-relogin" in found["policies"]:
                vault.client().auth.token.revoke_accessor(accessor)

        assert read_path(PATH) == SECRET


def test_a_renewed_token_file_is_read_again(vault: VaultServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(vault.create_token("acme", [PATH]))
    settings = VaultSettings(address=vault.address, token_file=str(file))

    with open_vault(settings) as read_path:
        read_path(PATH)
        vault.client().auth.token.revoke(file.read_text())
        file.write_text(vault.create_token("acme", [PATH]))

        assert read_path(PATH) == SECRET


@pytest.mark.parametrize(
    ("arrange", "said"),
    [
        pytest.param(
            lambda vault: by_token(vault, vault.create_token("other", ["other/*"])),
            ["denies", f"secret/data/{PATH}", "capabilities"],
            id="path not granted to the token",
        ),
        pytest.param(
            lambda vault: by_approle(vault, "other-role", ["other/*"]),
            ["denies", f"secret/data/{PATH}", "AppRole", "after a new login"],
            id="path not granted to the role",
        ),
        pytest.param(
            lambda vault: by_token(vault, "s.nosuchtoken000000000000"),
            ["denies", "valid login"],
            id="token unknown",
        ),
        pytest.param(
            lambda vault: VaultSettings(
                address=vault.address,
                role_id="no-such-role",
                secret_id=vault.create_approle("acme", [PATH]).secret_id,
            ),
            ["AppRole login", "role id"],
            id="role id wrong",
        ),
        pytest.param(
            lambda vault: VaultSettings(
                address=vault.address,
                role_id=vault.create_approle("acme", [PATH]).role_id,
                secret_id="00000000-0000-0000-0000-000000000000",
            ),
            ["AppRole login", "secret id"],
            id="secret id wrong",
        ),
        pytest.param(
            lambda vault: VaultSettings(
                address=vault.address, role_id="a", secret_id="b", approle_mount="nowhere"
            ),
            ["AppRole login"],
            id="login mount wrong",
        ),
        pytest.param(
            lambda vault: VaultSettings(
                address=vault.address, token=vault.root_token, mount="nowhere"
            ),
            [f"nowhere/data/{PATH}", "VAULT_KV_MOUNT"],
            id="KV mount wrong",
        ),
    ],
)
def test_what_is_refused_is_said_once_and_not_tried_again(
    vault: VaultServer,
    logged: Captured,
    arrange: Callable[[VaultServer], VaultSettings],
    said: list[str],
) -> None:
    settings = arrange(vault)

    with open_vault(settings) as read_path, pytest.raises(CredentialsMissingError) as caught:
        read_path(PATH)

    assert caught.value.exit_code == 21
    assert [each for each in said if each not in str(caught.value)] == []
    assert "retry" not in logged.events()
    for secret in (settings.token, settings.secret_id):
        assert not secret or len(secret) < 8 or secret not in str(caught.value)


def test_a_missing_secret_names_its_path(vault: VaultServer) -> None:
    with (
        open_vault(by_token(vault, vault.root_token)) as read_path,
        pytest.raises(CredentialsMissingError, match="secret/data/distributors/none/erp") as caught,
    ):
        read_path("distributors/none/erp")

    assert "vault kv put" in caught.value.fix


def test_a_deleted_secret_is_missing(vault: VaultServer) -> None:
    vault.write_secret("distributors/gone/erp", SECRET)
    vault.client().secrets.kv.v2.delete_latest_version_of_secret("distributors/gone/erp")

    with (
        open_vault(by_token(vault, vault.root_token)) as read_path,
        pytest.raises(CredentialsMissingError, match="was deleted"),
    ):
        read_path("distributors/gone/erp")


def test_a_sealed_server_is_temporary_and_tried_again(vault: VaultServer, logged: Captured) -> None:
    settings = by_token(vault, vault.root_token)
    vault.seal()
    try:
        with (
            open_vault(settings, quick_retry(attempts=3)) as read_path,
            pytest.raises(VaultUnavailableError, match="sealed") as caught,
        ):
            read_path(PATH)
    finally:
        vault.unseal()

    assert (caught.value.exit_code, caught.value.is_temporary) == (30, True)
    assert logged.events() == ["retry", "retry"]


def test_a_server_unsealed_meanwhile_gives_the_secret(vault: VaultServer) -> None:
    vault.seal()

    with open_vault(
        by_token(vault, vault.root_token), quick_retry(attempts=3, on_wait=vault.unseal)
    ) as read_path:
        assert read_path(PATH) == SECRET


def test_a_server_that_is_down_is_temporary(
    vault_server: VaultServer,
    stopped: Callable[[VaultServer], AbstractContextManager[None]],
    logged: Captured,
) -> None:
    settings = by_token(vault_server, vault_server.root_token)

    with (
        stopped(vault_server),
        open_vault(settings, quick_retry(attempts=2)) as read_path,
        pytest.raises(VaultUnavailableError, match="reached") as caught,
    ):
        read_path(PATH)

    assert caught.value.exit_code == 30
    assert vault_server.root_token not in str(caught.value) + logged.text


def test_nobody_at_the_address_is_temporary() -> None:
    settings = VaultSettings(address=f"http://127.0.0.1:{free_port()}", token="x" * 20)

    with (
        open_vault(settings, quick_retry(attempts=1)) as read_path,
        pytest.raises(VaultUnavailableError),
    ):
        read_path(PATH)


def test_ping_says_who_we_are_without_the_token(vault: VaultServer) -> None:
    settings = by_approle(vault, "acme", [PATH])

    said = ping_vault(settings)

    assert said == f"AppRole login at {vault.address}, policies acme, default"


def test_the_environment_leads_to_the_secret_of_a_role(
    vault: VaultServer, logged: Captured
) -> None:
    role = vault.create_approle("acme", [PATH])
    environment = {
        "VAULT_ADDR": vault.address,
        "VAULT_ROLE_ID": role.role_id,
        "VAULT_SECRET_ID": role.secret_id,
    }
    places = SecretPlaces(environment, vault_paths={"source": PATH, "destination": "Ambient"})

    with open_secrets(places) as read_secret:
        assert read_secret("source") == SECRET
        assert read_secret("destination") == {}

    told = [(line["role"], line["delivery"], line["place"]) for line in logged.lines]
    assert told == [("source", "Vault", PATH), ("destination", "Ambient", "")]
    assert SECRET["password"] not in logged.text
    assert role.secret_id not in repr(read_vault_settings(environment))


def test_a_secret_without_its_keys_names_path_and_key(vault: VaultServer) -> None:
    vault.write_secret("distributors/half/erp", {"username": "dpp"})
    places = SecretPlaces(
        {"VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.root_token},
        vault_paths={"source": "distributors/half/erp"},
    )

    with (
        open_secrets(places) as read_secret,
        pytest.raises(CredentialsMissingError, match=r"distributors/half/erp.*no password"),
    ):
        read_secret("source")
