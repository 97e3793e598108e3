"""A real S3 server for tests: versitygw over a folder, with conditional writes."""

import itertools
import os
import secrets
from dataclasses import dataclass
from typing import Any

import boto3
import httpx
from botocore.config import Config

from servers.built import VERSITYGW, require_binary
from servers.process import HOST, Server, free_port, make_folder

REGION = "us-east-1"
_numbers = itertools.count(1)


@dataclass(slots=True)
class S3Server:
    """The running server with the keys of its one account; buckets outlive a stop and start."""

    server: Server
    access_key: str
    secret_key: str
    region: str = REGION

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.server.port}"

    def client(self) -> Any:
        """Give a plain S3 client, for arranging and for looking, never the product's own."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def make_bucket(self, name: str | None = None) -> str:
        """Make a fresh bucket and give its name."""
        chosen = name or f"lake-{os.getpid()}-{next(_numbers)}"
        self.client().create_bucket(Bucket=chosen)
        return chosen

    def storage_options(self) -> dict[str, str]:
        """Give the settings by which deltalake, Polars and object stores in Rust read from here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
        }

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server.start()

    def kill(self) -> None:
        self.server.kill()

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()


def start_s3(
    port: int | None = None, owner_pid: int | None = None, keys: tuple[str, str] | None = None
) -> S3Server:
    """Start the S3 server on an empty folder; raise `ServerMissingError` when it is not built."""
    binary = require_binary(VERSITYGW)
    chosen = port or free_port()
    access_key, secret_key = keys or (f"ak{secrets.token_hex(6)}", secrets.token_hex(16))
    folder = make_folder("s3")
    (folder / "buckets").mkdir()
    server = Server(
        name="versitygw",
        command=[
            *(str(binary), "--port", f"{HOST}:{chosen}", "--region", REGION, "--quiet"),
            *("posix", str(folder / "buckets")),
        ],
        port=chosen,
        folder=folder,
        ready=lambda: _answers(chosen),
        environment={"ROOT_ACCESS_KEY": access_key, "ROOT_SECRET_KEY": secret_key},
        owner_pid=os.getpid() if owner_pid is None else owner_pid,
    )
    server.start()
    return S3Server(server, access_key, secret_key)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://{HOST}:{port}/", timeout=2).status_code in (200, 403)
    except httpx.HTTPError:
        return False
