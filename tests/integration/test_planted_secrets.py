"""25 secrets are planted in every place a secret can lie; whatever happens, none is found in
anything a run leaves.

Each scenario is a real `dpp run` against the real servers. Searched afterwards, in every spelling:
both streams, every file of the destination, every object of the bucket, every document of the
index, and the server's own view of our sessions.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from dpp_core.redaction import build_spellings
from servers.ferret import Ferret
from servers.postgres import Database, Postgres
from servers.process import free_port
from servers.s3 import S3Server
from servers.vault import VaultServer

DPP = Path(sys.executable).with_name("dpp")
WORDS = ("p@ss:w/rd?#", "pä%20ß€", "quo'te\"d\\", "a+b=c&d;e", "{curly} $x `y`")
PLANTED = tuple(
    f"planted-{number:02}-{WORDS[number % 5]}-{number * 7919:x}" for number in range(25)
)
PATH = "distributors/acme/erp"


@dataclass(slots=True)
class Run:
    """What one `dpp run` is given, and what came of it."""

    folder: Path
    database: dict[str, Any]
    secrets: dict[str, Any] | str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    to: str = "./out"
    output: str = "json"
    said: str = ""
    code: int = -1

    def start(self) -> None:
        resource = {
            "apiVersion": "extraction.dpp.dev/v1alpha1",
            "kind": "DistributorExtraction",
            "metadata": {"name": "acme", "namespace": "acme"},
            "spec": {
                "distributor": "acme",
                "source": {"erp": "generic-sql", "database": self.database},
                "credentials": {"path": PATH},
                "datasets": [{"name": "customers", "key": ["id"]}],
                "destination": {"profile": "lake"},
            },
        }
        (self.folder / "cr.yaml").write_text(json.dumps(resource))
        arguments = ["run", "-f", "cr.yaml", "--to", self.to, "-o", self.output]
        if self.secrets is not None:
            file = self.folder / "secrets.json"
            is_text = isinstance(self.secrets, str)
            file.write_text(str(self.secrets) if is_text else json.dumps(self.secrets))
            arguments += ["--secrets", "secrets.json"]
        ended = subprocess.run(
            [str(DPP), *arguments],
            cwd=self.folder,
            env={**self.environment, "PATH": os.defpath, "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.said, self.code = ended.stdout + ended.stderr, ended.returncode

    def left(self) -> str:
        """Both streams and every file below the destination."""
        out = self.folder / "out"
        files = [each for each in out.rglob("*") if each.is_file()] if out.exists() else []
        return "\n".join(
            [self.said, *(f"{each.name} {each.read_bytes().decode('latin-1')}" for each in files)]
        )


def found_in(text: str) -> list[str]:
    """The planted secrets that can be read in a text, by their number, in whatever spelling."""
    return [
        secret[:10]
        for secret in PLANTED
        for spelling in {*build_spellings(secret), secret[:16]}
        if spelling in text
    ]


@pytest.fixture
def erp(database: Database, postgres: Postgres) -> Database:
    database.execute("CREATE TABLE customers (id int PRIMARY KEY, name text)")
    database.execute("INSERT INTO customers SELECT n, 'Kundin ' || n FROM generate_series(1, 50) n")
    secret = PLANTED[0].replace("'", "''")
    postgres.admin(database.name).execute(f"ALTER ROLE {database.user} PASSWORD '{secret}'")
    return replace(database, password=PLANTED[0])


@pytest.fixture
def run(erp: Database, tmp_path: Path, ferret: Ferret) -> Run:
    """A run that would succeed, with every secret it can be given planted."""
    extra = {f"extra_{number}": PLANTED[number] for number in range(3, 12)}
    return Run(
        folder=tmp_path,
        database={
            "engine": "postgresql",
            "host": erp.host,
            "port": erp.port,
            "database": erp.name,
            "tls": {"mode": "Disable"},
        },
        secrets={
            "source": {"username": erp.user, "password": PLANTED[0], **extra},
            "index": {"uri": ferret.uri},
            "keys": {"mask": PLANTED[12], "encrypt": PLANTED[13]},
        },
        environment={
            "AWS_SECRET_ACCESS_KEY": PLANTED[14],
            "AWS_SESSION_TOKEN": PLANTED[15],
            "AWS_ACCESS_KEY_ID": "AKIA00000000PLANTED0",
            "VAULT_TOKEN": PLANTED[16],
            "DPP_SOURCE_PASSWORD": PLANTED[17],
            "DPP_LOG_LEVEL": "DEBUG",
        },
    )


def test_there_are_25_of_them_and_the_search_finds_each() -> None:
    assert len(set(PLANTED)) == 25
    for secret in PLANTED:
        assert found_in(f"x {json.dumps(secret)} y") != []
        assert found_in(f"x {secret} y") != []


def test_a_good_run_leaves_none_in_files_streams_index_and_server(
    run: Run, ferret: Ferret, postgres: Postgres
) -> None:
    run.start()

    assert run.code == 0, run.said
    with ferret.client() as client:
        documents = [
            str(document)
            for name in client["dpp"].list_collection_names()
            for document in client["dpp"][name].find({})
        ]
    server_log = postgres.server.log_path.read_text(errors="replace")
    assert "customers" in run.left()
    assert documents != []
    assert found_in(run.left()) == []
    assert found_in("\n".join(documents)) == []
    assert found_in(server_log) == []


def wrong_password(run: Run) -> None:
    assert isinstance(run.secrets, dict)
    run.secrets["source"]["password"] = PLANTED[1]


def wrong_database(run: Run) -> None:
    run.database["database"] = "nowhere"


def torn_file(run: Run) -> None:
    run.secrets = json.dumps(run.secrets)[:-3]


def torn_yaml(run: Run) -> None:
    run.secrets = f"source: {{username: dpp, password: '{PLANTED[0]}"


def number_as_password(run: Run) -> None:
    assert isinstance(run.secrets, dict)
    run.secrets["source"]["username"] = [PLANTED[2], 5]


def key_missing(run: Run) -> None:
    assert isinstance(run.secrets, dict)
    del run.secrets["source"]["username"]


def index_down(run: Run) -> None:
    assert isinstance(run.secrets, dict)
    run.secrets["index"] = {
        "uri": f"mongodb://127.0.0.1:{free_port()}/",
        "username": "dpp",
        "password": PLANTED[18],
    }


def index_address_wrong(run: Run) -> None:
    assert isinstance(run.secrets, dict)
    run.secrets["index"] = {"uri": f"mongodb://dpp:{PLANTED[19]}@127.0.0.1:x/"}


def vault_address_with_password(run: Run) -> None:
    run.secrets = None
    del run.environment["DPP_SOURCE_PASSWORD"]
    run.environment["VAULT_ADDR"] = f"http://dpp:{PLANTED[20]}@127.0.0.1:1"


def vault_refuses_the_role(run: Run) -> None:
    run.secrets = None
    del run.environment["DPP_SOURCE_PASSWORD"]
    run.environment |= {"VAULT_ROLE_ID": PLANTED[21], "VAULT_SECRET_ID": PLANTED[22]}


@pytest.mark.parametrize("output", ["json", "text"])
@pytest.mark.parametrize(
    ("breaks", "code"),
    [
        (wrong_password, 22),
        (wrong_database, 31),
        (torn_file, 21),
        (torn_yaml, 21),
        (number_as_password, 21),
        (key_missing, 21),
        (index_down, 0),
        (index_address_wrong, 0),
        (vault_address_with_password, 21),
        (vault_refuses_the_role, 21),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_run_that_fails_leaves_none(
    run: Run, vault_server: VaultServer, breaks: Callable[[Run], None], code: int, output: str
) -> None:
    run.environment["VAULT_ADDR"] = vault_server.address
    run.output = output
    breaks(run)

    run.start()

    assert run.code == code, run.said
    assert found_in(run.left()) == []


def test_a_bucket_that_refuses_the_key_leaves_none(
    run: Run, s3_server: S3Server, bucket: str
) -> None:
    assert isinstance(run.secrets, dict)
    run.to = f"s3://{bucket}/erp"
    run.environment |= {"AWS_ENDPOINT_URL": s3_server.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    run.secrets["destination"] = {
        "access_key_id": s3_server.access_key,
        "secret_access_key": PLANTED[23],
    }

    run.start()

    assert run.code in (22, 26), run.said
    assert found_in(run.said) == []


def test_a_bucket_holds_none(run: Run, s3_server: S3Server, bucket: str) -> None:
    assert isinstance(run.secrets, dict)
    run.to = f"s3://{bucket}/erp"
    run.environment |= {"AWS_ENDPOINT_URL": s3_server.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    run.secrets["destination"] = {
        "access_key_id": s3_server.access_key,
        "secret_access_key": s3_server.secret_key,
    }

    run.start()

    assert run.code == 0, run.said
    client = s3_server.client()
    objects = {
        each["Key"]: client.get_object(Bucket=bucket, Key=each["Key"])
        for each in client.list_objects_v2(Bucket=bucket)["Contents"]
    }
    assert any("_delta_log" in key for key in objects)
    for key, answer in objects.items():
        whole = f"{key} {answer['Metadata']} {answer['Body'].read().decode('latin-1')}"
        assert found_in(whole) == []
        assert s3_server.secret_key not in whole
    assert s3_server.secret_key not in run.said


@pytest.mark.faults
def test_a_source_that_goes_away_leaves_none(
    run: Run,
    postgres: Postgres,
    stopped: Callable[[Postgres], AbstractContextManager[None]],
    vault_server: VaultServer,
) -> None:
    vault_server.write_secret(PATH, dict(_source_of(run)))
    role = vault_server.create_approle("planted", [PATH])
    run.secrets = None
    del run.environment["DPP_SOURCE_PASSWORD"]
    run.environment |= {
        "VAULT_ADDR": vault_server.address,
        "VAULT_ROLE_ID": role.role_id,
        "VAULT_SECRET_ID": role.secret_id,
    }

    with stopped(postgres):
        run.start()

    assert run.code == 23, run.said
    assert found_in(run.left()) == []
    assert role.secret_id not in run.left()


def _source_of(run: Run) -> Mapping[str, Any]:
    assert isinstance(run.secrets, dict)
    source: Mapping[str, Any] = run.secrets["source"]
    return source
