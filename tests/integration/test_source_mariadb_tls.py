"""TLS with a real MariaDB: the connection is trusted exactly as far as its mode says."""

import os
import pwd
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dpp_core.errors import DppError
from mariadb_views import source_of
from servers.certificate import make_certificate
from servers.mariadb import ACCOUNT, MariaDb, Schema, start_mariadb
from servers.process import ServerMissingError, make_folder


@dataclass(frozen=True, slots=True)
class Secured:
    """A server that speaks TLS, the authority of its certificate, and accounts of it."""

    server: MariaDb
    ca_file: str
    owner: Schema


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    user = ACCOUNT if os.geteuid() == 0 else None
    folder = make_folder("tls", user)
    paths = [folder / "tls.crt", folder / "tls.key"]
    for path, body in zip(paths, make_certificate(), strict=True):
        path.write_bytes(body)
        path.chmod(0o600)
        if user:
            os.chown(path, *pwd.getpwnam(user)[2:4])
    try:
        server = start_mariadb(options=[f"--ssl-cert={paths[0]}", f"--ssl-key={paths[1]}"])
    except ServerMissingError as error:
        pytest.skip(str(error))
    yield Secured(server, str(paths[0]), server.create_schema())
    server.server.remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("tls", "host", "knows_authority", "is_made"),
    [
        ("VerifyFull", "localhost", True, True),
        ("VerifyFull", "localhost", False, False),
        ("VerifyFull", "127.0.0.1", True, False),
        ("VerifyCa", "127.0.0.1", True, True),
        ("VerifyCa", "127.0.0.1", False, False),
        ("Require", "127.0.0.1", False, True),
    ],
)
def test_tls_trusts_exactly_what_it_says(
    secured: Secured, tls: str, host: str, knows_authority: bool, is_made: bool
) -> None:
    ca_file = secured.ca_file if knows_authority else None
    if is_made:
        with source_of(secured.owner, tls=tls, host=host, ca_file=ca_file) as source:
            assert source.ping().startswith("MariaDB")
        return
    with (
        pytest.raises(DppError) as refused,
        source_of(secured.owner, tls=tls, host=host, ca_file=ca_file),
    ):
        pytest.fail("the connection was made")
    assert (refused.value.exit_code, refused.value.is_temporary) == (20, False)
    assert "source.database.tls" in refused.value.fix


def test_a_connection_that_asks_for_tls_is_encrypted(secured: Secured) -> None:
    admin = secured.server.admin()
    admin.execute(f"ALTER USER '{secured.owner.user}' REQUIRE SSL")
    try:
        with source_of(secured.owner, tls="Require") as source:
            assert source.ping()
        with pytest.raises(DppError) as refused, source_of(secured.owner, tls="Disable"):
            pytest.fail("the connection was made")
    finally:
        admin.execute(f"ALTER USER '{secured.owner.user}' REQUIRE NONE")
    assert refused.value.exit_code == 22


@pytest.mark.parametrize("tls", ["VerifyFull", "VerifyCa", "Require"])
def test_a_server_without_tls_is_refused_when_tls_is_asked_for(schema: Schema, tls: str) -> None:
    with pytest.raises(DppError) as refused, source_of(schema, tls=tls):
        pytest.fail("the connection was made")
    assert (refused.value.exit_code, refused.value.is_temporary) == (20, False)


def test_a_ca_file_that_is_no_certificate_is_refused(schema: Schema, tmp_path: Path) -> None:
    broken = tmp_path / "ca.crt"
    broken.write_text("no certificate")
    with (
        pytest.raises(DppError, match=r"ca\.crt") as refused,
        source_of(schema, tls="VerifyFull", ca_file=str(broken)),
    ):
        pytest.fail("the connection was made")
    assert refused.value.exit_code == 20
