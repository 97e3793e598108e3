"""A role's secret: found in the promised order, complete, of texts, never shown; or an error that
says what to do.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dpp_core.errors import CredentialsMissingError
from dpp_core.redaction import redact
from dpp_extractor.adapters.secrets import SecretPlaces, find_delivery, open_secrets
from log_capture import Captured, captured_logs

SOURCE = {"username": "dpp", "password": "planted-password-1"}
OTHER = {"username": "other", "password": "planted-password-2"}
VARIABLES = {"DPP_SOURCE_USERNAME": "env", "DPP_SOURCE_PASSWORD": "planted-password-3"}
VAULT = {"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "planted-token-4"}


@pytest.fixture(autouse=True)
def logged() -> Iterator[Captured]:
    with captured_logs() as captured:
        yield captured


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(0o600)
    return path


def read(places: SecretPlaces, role: str = "source") -> Any:
    with open_secrets(places) as read_secret:
        return read_secret(role)


def refused(places: SecretPlaces, role: str = "source") -> str:
    with pytest.raises(CredentialsMissingError) as caught:
        read(places, role)
    assert caught.value.exit_code == 21
    return str(caught.value)


@pytest.mark.parametrize("there", range(4), ids=["file", "agent", "environment", "vault"])
def test_the_first_place_that_has_the_secret_wins(there: int, tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    agent.mkdir()
    file = write(tmp_path / "s.json", {"source": SOURCE}) if there <= 0 else None
    if there <= 1:
        write(agent / "source.json", OTHER)
    environment = {**VAULT, **(VARIABLES if there <= 2 else {})}
    places = SecretPlaces(environment, file, agent, {"source": "acme/erp"})

    found = find_delivery(places, "source")

    assert found.kind == ["File", "Agent", "Environment", "Vault"][there]
    if there < 3:
        assert read(places)["username"] == ["dpp", "other", "env"][there]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.json", json.dumps({"source": SOURCE})),
        ("s.yaml", "source:\n  username: dpp\n  password: planted-password-1\n"),
        ("s.yml", "source: {username: dpp, password: 'planted-password-1'}"),
        ("s.json", "\ufeff" + json.dumps({"source": SOURCE})),
    ],
    ids=["json", "yaml", "flow yaml", "byte order mark"],
)
def test_a_secrets_file_is_json_or_yaml(name: str, content: str, tmp_path: Path) -> None:
    assert read(SecretPlaces(file=write(tmp_path / name, content))) == SOURCE


def test_a_role_that_the_file_lacks_is_looked_for_elsewhere(tmp_path: Path) -> None:
    file = write(tmp_path / "s.json", {"source": SOURCE})
    places = SecretPlaces({"DPP_INDEX_URI": "mongodb://i"}, file)

    assert read(places, "index") == {"uri": "mongodb://i"}
    assert read(places, "destination") == {}
    assert read(places, "keys") == {}


def test_a_rotated_file_is_read_anew(tmp_path: Path) -> None:
    file = write(tmp_path / "s.json", {"source": SOURCE})

    with open_secrets(SecretPlaces(file=file)) as read_secret:
        before = read_secret("source")
        write(file, {"source": OTHER})
        assert (before, read_secret("source")) == (SOURCE, OTHER)


def test_hosts_and_other_lists_of_texts_are_kept(tmp_path: Path) -> None:
    secret = {**SOURCE, "hosts": ["erp.acme.example", "b.example"], "extra": "x"}

    assert read(SecretPlaces(file=write(tmp_path / "s.json", {"source": secret}))) == secret


def test_hosts_in_the_environment_are_separated_by_commas() -> None:
    places = SecretPlaces({**VARIABLES, "DPP_SOURCE_HOSTS": "a.example,b.example"})

    assert read(places)["hosts"] == ["a.example", "b.example"]


def test_a_variable_may_name_a_file(tmp_path: Path) -> None:
    file = write(tmp_path / "pw", "planted-password-5\n")
    places = SecretPlaces({"DPP_SOURCE_USERNAME": "u", "DPP_SOURCE_PASSWORD_FILE": str(file)})

    assert read(places) == {"username": "u", "password": "planted-password-5"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("s.json", "", ["s.json", "empty"]),
        ("s.json", "  \n", ["s.json", "empty"]),
        ("s.json", '{"source": {"username": "dpp", "passw', ["s.json", "torn", "JSON", "line 1"]),
        ("s.yaml", 'source: {username: "dpp', ["s.yaml", "torn", "YAML", "line 1"]),
        ("s.yaml", "a: &a [*a", ["s.yaml", "torn"]),
        ("s.yaml", "source: !!python/object:os.system x", ["s.yaml", "torn"]),
        ("s.json", "[1]", ["s.json", "list", "mapping"]),
        ("s.json", "\\xff", ["s.json", "torn"]),
        ("s.json", '{"other": {}}', ["s.json", "source", "nothing"]),
        ("s.json", '{"source": "x"}', ["s.json", "source", "str", "mapping"]),
        ("s.json", '{"source": {}}', ["s.json", "no username and no password"]),
        ("s.json", '{"source": {"username": "dpp"}}', ["s.json", "no password"]),
        ("s.json", '{"source": {"username": "dpp", "password": ""}}', ["no password"]),
        ("s.json", '{"source": {"username": "dpp", "password": null}}', ["no password"]),
        ("s.json", '{"source": {"username": "dpp", "password": 12345}}', ["int", "in quotes"]),
        ("s.json", '{"source": {"username": ["a", 1], "password": "pw12"}}', ["int", "username"]),
        ("s.json", '{"source": {"username": {"a": 1}, "password": "pw12"}}', ["dict", "username"]),
        ("s.json", '{"source": {"username": "a\\u0000", "password": "pw12"}}', ["NUL"]),
        (
            "s.json",
            json.dumps({"source": {**SOURCE, "big": "x" * 70_000}}),
            ["big", "65536 characters"],
        ),
        (
            "s.json",
            json.dumps({"source": {**SOURCE, **{f"k{n}": "v" for n in range(70)}}}),
            ["72 keys"],
        ),
        ("s.json", " " * 1_100_000, ["1100000 bytes"]),
    ],
)
def test_a_file_that_is_not_whole_is_named_with_what_it_lacks(
    name: str, content: str, said: list[str], tmp_path: Path, logged: Captured
) -> None:
    body = content.replace("\\xff", "\xff").encode("latin-1" if "\\xff" in content else "utf-8")
    file = tmp_path / name
    file.write_bytes(body)

    message = refused(SecretPlaces(file=file))

    assert [each for each in said if each not in message] == []
    assert "planted" not in message + logged.text


def test_a_missing_secrets_file_is_named(tmp_path: Path) -> None:
    assert "nowhere.json is not there" in refused(SecretPlaces(file=tmp_path / "nowhere.json"))


def test_a_secrets_file_that_is_a_folder_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path} cannot be read" in refused(SecretPlaces(file=tmp_path))


@pytest.mark.parametrize("content", ["", "{", '{"username": "dpp"}', "[]"])
def test_a_broken_file_of_the_agent_does_not_fall_through_to_the_environment(
    content: str, tmp_path: Path
) -> None:
    write(tmp_path / "source.json", content)

    assert "source.json" in refused(SecretPlaces(VARIABLES, agent_dir=tmp_path))


def test_half_of_the_variables_name_the_other_half() -> None:
    message = refused(SecretPlaces({"DPP_SOURCE_USERNAME": "dpp"}))

    assert "Environment (DPP_SOURCE_*)" in message
    assert "no password" in message


def test_nothing_anywhere_names_every_place(tmp_path: Path) -> None:
    places = SecretPlaces(agent_dir=tmp_path, vault_paths={"source": "acme/erp"})

    message = refused(places)

    for each in (
        "--secrets",
        f"{tmp_path}/source.json",
        "DPP_SOURCE_USERNAME and DPP_SOURCE_PASSWORD",
        "VAULT_ADDR to read acme/erp from",
    ):
        assert each in message


def test_a_destination_whose_path_is_known_is_not_replaced_by_what_is_around() -> None:
    places = SecretPlaces(vault_paths={"destination": "platform/lake"})

    assert "platform/lake" in refused(places, "destination")


@pytest.mark.parametrize(
    "places",
    [
        SecretPlaces(),
        SecretPlaces(vault_paths={"destination": "Ambient"}),
        SecretPlaces({"AWS_ACCESS_KEY_ID": "x"}, vault_paths={"destination": "platform/lake"}),
    ],
    ids=["no path", "ambient by name", "given in the environment"],
)
def test_a_destination_may_use_what_is_around(places: SecretPlaces) -> None:
    assert str(find_delivery(places, "destination")) == "Ambient"
    assert read(places, "destination") == {}


def test_an_unknown_role_is_refused() -> None:
    assert "source, destination, index, keys" in refused(SecretPlaces(), "sauce")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"VAULT_ADDR": "vault:8200"}, "VAULT_ADDR"),
        ({"VAULT_ADDR": "ftp://vault"}, "https://vault.example:8200"),
        ({"VAULT_ADDR": "http://u:planted@127.0.0.1"}, "without user or password"),
        ({"VAULT_ADDR": "http://127.0.0.1:1"}, "no login"),
        ({"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_ROLE_ID": "r"}, "VAULT_SECRET_ID"),
        ({"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_ROLE_ID_FILE": "/nowhere"}, "/nowhere"),
        ({"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN_FILE": "/nowhere"}, "/nowhere"),
    ],
)
def test_settings_of_vault_that_cannot_work_are_named_before_anything_connects(
    environment: dict[str, str], said: str
) -> None:
    message = refused(SecretPlaces(environment, vault_paths={"source": "acme/erp"}))

    assert said in message
    assert "planted" not in message


@pytest.mark.parametrize(
    "path", ["", "/", "a//b", "../a", "a/../b", "a/./b", "a?b", "a#b", "a%2fb", "a\nb", "a" * 600]
)
def test_a_path_that_is_none_is_refused_before_anything_connects(path: str) -> None:
    from dpp_extractor.adapters.vault import split_kv_path

    with pytest.raises(CredentialsMissingError, match="KV mount secret"):
        split_kv_path(path, "secret")


def test_the_delivery_is_told_and_the_value_is_not(tmp_path: Path, logged: Captured) -> None:
    file = write(tmp_path / "s.json", {"source": SOURCE})

    read(SecretPlaces(file=file))

    (line,) = logged.lines
    assert (line["event"], line["role"], line["delivery"]) == ("secret_read", "source", "File")
    assert line["place"] == str(file)
    assert redact("log in with planted-password-1 as dpp") == "log in with [redacted] as dpp"


def test_a_file_that_everybody_may_read_is_warned_about(tmp_path: Path, logged: Captured) -> None:
    file = write(tmp_path / "s.json", {"source": SOURCE})
    file.chmod(0o644)

    read(SecretPlaces(file=file))

    assert logged.events() == ["secret_file_open_to_others", "secret_read"]
    assert logged.lines[0]["fix"] == f"chmod 600 {file}"


def test_ambient_cloud_secrets_are_hidden_too() -> None:
    places = SecretPlaces({"AWS_SECRET_ACCESS_KEY": "planted-cloud-key"})

    with open_secrets(places):
        assert redact("with planted-cloud-key") == "with [redacted]"


def test_places_do_not_show_their_environment() -> None:
    assert "planted" not in repr(SecretPlaces(VARIABLES))
