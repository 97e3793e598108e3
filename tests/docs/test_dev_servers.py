"""What `compose.yaml` starts and what `make dev-up` starts is reached the same way."""

from pathlib import Path

import pytest
import yaml

import dev
from servers.postgres import SUPERUSER_PASSWORD

ROOT = Path(__file__).resolve().parents[2]
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


@pytest.mark.parametrize(
    ("service", "port"),
    [
        ("postgres", dev.POSTGRES_PORT),
        ("s3", dev.S3_PORT),
        ("ferretdb", dev.FERRET_PORT),
        ("vault", dev.VAULT_PORT),
    ],
)
def test_compose_serves_on_the_loopback_port_of_dev_up(service: str, port: int) -> None:
    (published,) = SERVICES[service]["ports"]

    assert published.startswith(f"127.0.0.1:{port}:")


def test_compose_takes_the_keys_of_dev_up() -> None:
    s3 = SERVICES["s3"]["environment"]

    assert SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"] == SUPERUSER_PASSWORD
    assert (s3["ROOT_ACCESS_KEY"], s3["ROOT_SECRET_KEY"]) == dev.S3_KEYS
    assert f"-dev-root-token-id={dev.VAULT_TOKEN}" in SERVICES["vault"]["command"]


def test_compose_images_carry_a_version() -> None:
    images = [service["image"] for service in SERVICES.values() if "image" in service]

    assert all(":" in image and not image.endswith(":latest") for image in images)
