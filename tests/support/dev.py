"""Start and stop the real servers for a developer: `make dev-up`, `make dev-down`.

The same servers that the tests use, on fixed loopback ports, in the background. `up` twice starts
nothing new; `down` ends what `up` started and deletes its data.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from servers.ferret import start_ferret
from servers.postgres import SUPERUSER, SUPERUSER_PASSWORD, Database, start_postgres
from servers.process import HOST, RECORDS, ServerMissingError, accepts, end_record
from servers.s3 import start_s3
from servers.vault import start_vault

POSTGRES_PORT = 55432
S3_PORT = 57070
FERRET_PORT = 57017
VAULT_PORT = 58200
S3_KEYS = ("dev-access-key", "dev-secret-key")
VAULT_TOKEN = "dev-root-token"
NAMES = ("postgres", "versitygw", "ferretdb", "bao")

GUIDE = f"""
PostgreSQL  {Database(HOST, POSTGRES_PORT, "erp", SUPERUSER, SUPERUSER_PASSWORD).dsn}
S3          http://{HOST}:{S3_PORT}   bucket lake
            export AWS_ACCESS_KEY_ID={S3_KEYS[0]} AWS_SECRET_ACCESS_KEY={S3_KEYS[1]}
            export AWS_ENDPOINT_URL=http://{HOST}:{S3_PORT} AWS_REGION=us-east-1
FerretDB    mongodb://{HOST}:{FERRET_PORT}/
Vault API   export VAULT_ADDR=http://{HOST}:{VAULT_PORT} VAULT_TOKEN={VAULT_TOKEN}

`make dev-down` ends them and deletes their data.
"""


def main(arguments: list[str]) -> int:
    """Run `up` or `down`."""
    commands = {"up": up, "down": down}
    if len(arguments) != 1 or arguments[0] not in commands:
        print("usage: dev.py up|down", file=sys.stderr)
        return 2
    return commands[arguments[0]]()


def up() -> int:
    """Start each server that does not answer on its port yet."""
    failed = 0
    starters: dict[str, tuple[int, Callable[[], None]]] = {
        "PostgreSQL": (POSTGRES_PORT, _start_postgres),
        "S3": (S3_PORT, _start_s3),
        "FerretDB": (FERRET_PORT, lambda: _discard(start_ferret(FERRET_PORT, owner_pid=0))),
        "Vault API": (
            VAULT_PORT,
            lambda: _discard(start_vault(VAULT_PORT, owner_pid=0, root_token=VAULT_TOKEN)),
        ),
    }
    for name, (port, start) in starters.items():
        if accepts(port):
            print(f"{name}: something answers on {HOST}:{port} already, left as it is")
            continue
        try:
            start()
        except ServerMissingError as error:
            print(f"{name}: {error}")
            failed = 1
    print(GUIDE)
    return failed


def down() -> int:
    """End the servers that `up` started; twice is harmless."""
    for path in sorted(RECORDS.glob("*.json")):
        record = json.loads(path.read_text())
        if record["owner_pid"] == 0 and record["name"] in NAMES:
            end_record(path)
            print(f"ended {record['name']}")
    return 0


def _start_postgres() -> None:
    start_postgres(POSTGRES_PORT, owner_pid=0).create_database("erp")


def _start_s3() -> None:
    start_s3(S3_PORT, owner_pid=0, keys=S3_KEYS).make_bucket("lake")


def _discard(_server: object) -> None:
    return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
