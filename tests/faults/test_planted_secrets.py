"""25 secrets are planted where a run meets them; then runs fail in many ways, and nobody may have told one.

Everything the processes wrote is searched: their output, reports and log lines, every file below the destination
(records, plans, commits, quarantine, data), and every document of the index; raw, URL-encoded, base64 and hexadecimal.
"""

import base64
import io
import json
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, quote_plus

import pyarrow.parquet as pq
import pytest

from scene import CHANGE, BucketPlace, Ended, Scene, finish
from servers.ferret import Ferret
from servers.postgres import Postgres
from servers.process import free_port
from servers.s3 import S3Server
from servers.vault import VaultServer

Breakable = Postgres | S3Server | Ferret
Stopped = Callable[[Breakable], AbstractContextManager[None]]


def plant(name: str) -> str:
    """Make a secret that is found wherever it turns up, and is spelt differently once it is encoded."""
    return f"pl/{name}+ß&{zlib.crc32(name.encode()):08x}="


SPOTS = (
    *("file.source.password", "file.source.token", "file.destination.secret_access_key"),
    *("file.destination.session_token", "file.index.uri", "file.index.password", "file.keys.hmac"),
    *("file.torn.password", "env.source.password", "env.source.token", "env.index.password"),
    *("env.index.uri", "env.destination.secret_access_key", "env.destination.session_token"),
    *("env.aws.secret", "env.aws.session", "vault.source.password", "vault.source.token"),
    *("vault.secret_id", "vault.token", "wrong.source.password", "wrong.s3.key"),
    *("env.unrelated.api_key", "source.role.password", "file.keys.other"),
)
PLANTED = {spot: plant(spot) for spot in SPOTS}


def spellings(secret: str) -> set[bytes]:
    """List what a careless program makes of a secret."""
    raw = secret.encode()
    inner = {base64.b64encode(b"\0" * lead + raw)[4:-4] for lead in range(3)}
    urls = {quote(secret, safe="").encode(), quote_plus(secret).encode(), quote(secret).encode()}
    return {raw, base64.b64encode(raw), base64.urlsafe_b64encode(raw), raw.hex().encode()} | (
        urls | inner | {json.dumps(secret)[1:-1].encode()}
    )


@dataclass(slots=True)
class Heard:
    """All that was said so far, by where it was said."""

    texts: dict[str, bytes]

    def hear(self, name: str, ended: Ended) -> None:
        self.texts[f"{name} stdout"] = ended.stdout.encode()
        self.texts[f"{name} stderr"] = ended.stderr.encode()

    def find(self) -> list[str]:
        return [
            f"{spot} in {place}"
            for spot, secret in PLANTED.items()
            for spelling in spellings(secret)
            for place, text in self.texts.items()
            if spelling in text
        ]


def test_there_are_25_secrets_and_the_search_finds_each() -> None:
    assert len(set(PLANTED.values())) == 25
    for spot, secret in PLANTED.items():
        for spelling in spellings(secret):
            assert Heard({"here": b"x" + spelling + b"y"}).find(), spot


@pytest.fixture
def planted(
    bucket_scene: Scene, postgres: Postgres, vault_server: VaultServer, ferret: Ferret
) -> Scene:
    """Give a scene whose source really has a planted password, and whose environment is full of others."""
    scene = bucket_scene
    password = PLANTED["source.role.password"]
    postgres.admin(scene.reader.name).execute(
        f"ALTER ROLE {scene.reader.user} PASSWORD '{password}'"
    )
    scene.reader = replace(scene.reader, password=password)
    scene.environment = {
        "DPP_SOURCE_TOKEN": PLANTED["env.source.token"],
        "DPP_INDEX_URI": ferret.uri,
        "DPP_DESTINATION_SESSION_TOKEN": "",
        "AWS_SECRET_ACCESS_KEY": PLANTED["env.aws.secret"],
        "AWS_SESSION_TOKEN": PLANTED["env.aws.session"],
        "ERP_API_KEY": PLANTED["env.unrelated.api_key"],
        "DPP_LOG_LEVEL": "DEBUG",
        "DPP_DEBUG": "1",
    }
    return scene


def write_secrets(scene: Scene, **changes: Any) -> str:
    """Write a file with every role; the login to the real servers is planted in it too."""
    assert isinstance(scene.place, BucketPlace)
    secrets = {
        "source": {
            "username": scene.reader.user,
            "password": scene.reader.password,
            "token": PLANTED["file.source.token"],
        },
        "destination": {
            "access_key_id": scene.place.server.access_key,
            "secret_access_key": scene.place.server.secret_key,
        },
        "keys": {"hmac": PLANTED["file.keys.hmac"], "other": PLANTED["file.keys.other"]},
        **changes,
    }
    file = scene.folder / f"secrets-{len(list(scene.folder.iterdir()))}.json"
    file.write_text(json.dumps(secrets))
    file.chmod(0o600)
    return str(file)


def uri(user: str, secret: str, port: int) -> str:
    return f"mongodb://{user}:{quote(secret, safe='')}@127.0.0.1:{port}/"


def fail_in_files(scene: Scene, heard: Heard) -> None:
    """Fail with secrets from files: wrong ones, a torn file, a store that refuses, an index that is not there."""
    wrong = {"username": scene.reader.user, "password": PLANTED["file.source.password"]}
    index = {
        "uri": uri("dpp", PLANTED["file.index.uri"], free_port()),
        "password": PLANTED["file.index.password"],
    }
    file = write_secrets(scene, source=wrong, index=index)
    heard.hear("wrong password in a file", scene.run("--secrets", file, expect=22))
    stolen = {
        "access_key_id": "nobody",
        "secret_access_key": PLANTED["file.destination.secret_access_key"],
        "session_token": PLANTED["file.destination.session_token"],
    }
    file = write_secrets(scene, destination=stolen)
    heard.hear("wrong key in a file", scene.run("--secrets", file, expect=26))
    torn = scene.folder / "torn.json"
    torn.write_text('{"source": {"username": "u", "password": "' + PLANTED["file.torn.password"])
    heard.hear("torn file", scene.run("--secrets", str(torn), expect=21))


def fail_in_environment(scene: Scene, heard: Heard) -> None:
    """Fail with secrets from the environment."""
    running = {
        name: scene.start(
            DPP_SOURCE_PASSWORD=PLANTED[name],
            DPP_INDEX_URI=uri("dpp", PLANTED["env.index.uri"], free_port()),
            DPP_INDEX_PASSWORD=PLANTED["env.index.password"],
        )
        for name in ("env.source.password", "wrong.source.password")
    }
    for name, process in running.items():
        heard.hear(name, finish(process, expect=22))
    running = {
        name: scene.start(
            DPP_DESTINATION_SECRET_ACCESS_KEY=PLANTED[name],
            DPP_DESTINATION_SESSION_TOKEN=PLANTED["env.destination.session_token"],
        )
        for name in ("env.destination.secret_access_key", "wrong.s3.key")
    }
    for name, process in running.items():
        heard.hear(name, finish(process, expect=26))


def fail_in_vault(scene: Scene, heard: Heard, vault: VaultServer) -> None:
    """Fail with secrets from Vault: a wrong password in it, a wrong role, a wrong token."""
    path = scene.spec["credentials"]["path"]
    secret = {
        "username": scene.reader.user,
        "password": PLANTED["vault.source.password"],
        "token": PLANTED["vault.source.token"],
    }
    vault.write_secret(path, secret)
    role = vault.create_approle("planted", [path])
    address = {"VAULT_ADDR": vault.address, "DPP_SOURCE_USERNAME": "", "DPP_SOURCE_PASSWORD": ""}
    address["DPP_SOURCE_TOKEN"] = ""
    login = {"VAULT_ROLE_ID": role.role_id, "VAULT_SECRET_ID": role.secret_id}
    heard.hear("wrong password in Vault", scene.run(expect=22, **address, **login))
    login["VAULT_SECRET_ID"] = PLANTED["vault.secret_id"]
    heard.hear("wrong role", scene.run(expect=21, **address, **login))
    token = {"VAULT_TOKEN": PLANTED["vault.token"]}
    heard.hear("wrong token", scene.run(expect=21, **address, **token))


def fail_at_servers(
    scene: Scene, heard: Heard, postgres: Postgres, s3: S3Server, stopped: Stopped
) -> None:
    """Succeed, with a row in quarantine, then fail at servers that are away and objects that are not there."""
    scene.execute("ALTER TABLE items ADD price numeric(10,2) DEFAULT 1")
    scene.execute("UPDATE items SET price = 'NaN' WHERE id = 7")
    heard.hear("success", scene.run("--secrets", write_secrets(scene)))
    scene.execute(CHANGE)
    with stopped(postgres):
        heard.hear("source away", scene.run(expect=23))
    with stopped(s3):
        heard.hear("store away", scene.run(expect=26))
    scene.execute("ALTER TABLE orders RENAME TO gone")
    heard.hear("object missing", scene.run(expect=31))
    heard.hear("for people", scene.run("-o", "text", expect=31))


def test_no_failure_tells_a_secret(
    planted: Scene,
    postgres: Postgres,
    s3_server: S3Server,
    vault_server: VaultServer,
    ferret: Ferret,
    stopped: Stopped,
) -> None:
    heard = Heard({})

    fail_at_servers(planted, heard, postgres, s3_server, stopped)
    fail_in_files(planted, heard)
    fail_in_environment(planted, heard)
    fail_in_vault(planted, heard, vault_server)

    for key, body in planted.place.files().items():
        heard.texts[key] = body
        if key.endswith(".parquet"):
            heard.texts[f"{key} metadata"] = repr(
                pq.read_metadata(io.BytesIO(body)).metadata
            ).encode()
    with ferret.client() as client:
        for name in client["dpp"].list_collection_names():
            heard.texts[f"index {name}"] = repr(list(client["dpp"][name].find())).encode()
    kinds = ("/_delta_log/", "/quarantine/", "/_dpp/plans/", "/_dpp/runs/", "index runs", "success")
    assert all(any(kind in place for place in heard.texts) for kind in kinds), sorted(heard.texts)
    assert heard.find() == []
