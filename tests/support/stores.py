"""Every store the product knows, opened for a test, so that one contract runs on all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dpp_extractor.adapters.bucket import BucketSettings

MOTO_BUCKET = "lake"


@dataclass(frozen=True, slots=True)
class Moto:
    """A moto server in this process."""

    endpoint: str

    def settings(self, prefix: str) -> BucketSettings:
        return BucketSettings(
            bucket=MOTO_BUCKET,
            prefix=prefix,
            endpoint=self.endpoint,
            access_key="testing",
            secret_key="testing-secret",
        )


@contextmanager
def serve_moto() -> Iterator[Moto]:
    """Serve S3 by moto on a free loopback port until the block ends."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing-secret",
        )
        client.create_bucket(Bucket=MOTO_BUCKET)
        yield Moto(endpoint)
    finally:
        server.stop()
