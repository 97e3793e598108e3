"""Secrets that are not there are 21 before anything connects; a Vault that is away is 30."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scene import Scene
from servers.proxy import Proxy, open_proxy
from servers.vault import AppRole, VaultServer


@pytest.fixture
def door(scene: Scene) -> Iterator[Proxy]:
    """Give the only way to the source; it counts who comes in."""
    with open_proxy(scene.reader.port) as proxy:
        scene.spec["source"]["database"]["port"] = proxy.port
        yield proxy


PASSWORD = "tr0ub4dor-and-3"
TORN = {
    "torn-json": ("s.json", '{"source": {"username": "u", "password": "' + PASSWORD, "is torn"),
    "torn-yaml": ("s.yaml", f'source: {{username: u, password: "{PASSWORD}', "is torn"),
    "empty": ("s.yaml", "", "is empty"),
    "no-mapping": ("s.yaml", f"[{PASSWORD}]", "holds a list where a mapping is needed"),
    "no-password": ("s.yaml", "source: {username: u}", "has no password"),
    "no-source": ("s.yaml", f"index: {{uri: 'mongodb://u:{PASSWORD}@h/'}}", "holds nothing where"),
    "missing": ("s.yaml", None, "is not there"),
}


@pytest.mark.parametrize(("name", "text", "words"), TORN.values(), ids=TORN)
def test_a_secret_file_that_cannot_be_used_is_21_before_anything_connects(
    scene: Scene, door: Proxy, name: str, text: str | None, words: str
) -> None:
    file = scene.folder / name
    if text is not None:
        file.write_text(text)
        file.chmod(0o600)

    ended = scene.run("--secrets", str(file), expect=21)

    told = ended.error
    assert (told["code"], told["reason"]) == (21, "CredentialsUnavailable")
    assert str(file) in told["message"] and words in told["message"] and told["fix"]
    assert door.accepted == 0
    assert not Path(scene.place.uri("orders")).exists()
    assert PASSWORD not in str(ended)


def test_a_secret_file_that_was_mended_is_used(scene: Scene, door: Proxy) -> None:
    file = scene.folder / "secrets.json"
    login = {"username": scene.reader.user, "password": scene.reader.password}
    file.write_text(json.dumps({"source": login}))

    scene.run("--secrets", str(file), DPP_SOURCE_USERNAME="", DPP_SOURCE_PASSWORD="")

    assert door.accepted > 0
    scene.assert_equal()


@pytest.fixture
def approle(scene: Scene, vault_server: VaultServer) -> AppRole:
    """Put the source's login into Vault and give the role that may read it; the scene has nothing else."""
    path = scene.spec["credentials"]["path"]
    login = {"username": scene.reader.user, "password": scene.reader.password}
    vault_server.write_secret(path, login)
    role = vault_server.create_approle("shop", [path])
    scene.environment = {
        "DPP_SOURCE_USERNAME": "",
        "DPP_SOURCE_PASSWORD": "",
        "VAULT_ADDR": vault_server.address,
        "VAULT_ROLE_ID": role.role_id,
        "VAULT_SECRET_ID": role.secret_id,
    }
    return role


def test_a_sealed_vault_is_30_and_an_open_one_serves(
    scene: Scene, door: Proxy, vault_server: VaultServer, approle: AppRole
) -> None:
    vault_server.seal()
    try:
        ended = scene.run(expect=30)
    finally:
        vault_server.unseal()

    told = ended.error
    assert (told["code"], told["reason"]) == (30, "VaultUnavailable")
    assert vault_server.address in told["message"] and "seal" in told["message"]
    assert door.accepted == 0
    assert approle.secret_id not in str(ended)
    scene.run()
    scene.assert_equal()


def test_a_vault_that_is_away_is_30(
    scene: Scene, door: Proxy, vault_server: VaultServer, approle: AppRole
) -> None:
    with open_proxy(vault_server.server.port) as proxy:
        away = proxy.endpoint

    ended = scene.run(expect=30, VAULT_ADDR=away)

    assert (ended.error["code"], ended.error["reason"]) == (30, "VaultUnavailable")
    assert away in ended.error["message"]
    assert [line["attempt"] for line in ended.lines if line.get("event") == "retry"] == [1, 2]
    assert door.accepted == 0


def test_a_role_that_vault_refuses_is_21(scene: Scene, door: Proxy, approle: AppRole) -> None:
    ended = scene.run(expect=21, VAULT_SECRET_ID="00000000-1111-2222-3333-444444444444")

    assert (ended.error["code"], ended.error["reason"]) == (21, "CredentialsUnavailable")
    assert door.accepted == 0
