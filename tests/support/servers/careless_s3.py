"""An S3 server that ignores conditional writes, as some stores in the field do; moto over HTTP.

The product must find this out before it writes anything. `open_moto` is the same server unspoilt,
for tests that want a second, different S3 implementation.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from servers.process import HOST

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH")


@dataclass(frozen=True, slots=True)
class Moto:
    """The running server and the keys that it does not check."""

    endpoint: str
    access_key: str = "any"
    secret_key: str = "any"
    region: str = "us-east-1"

    def make_bucket(self, name: str = "lake") -> str:
        """Make a bucket; a second time is harmless."""
        boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        ).create_bucket(Bucket=name)
        return name


@contextlib.contextmanager
def open_moto() -> Iterator[Moto]:
    """Open a moto S3 server that honours conditions."""
    with _open(DomainDispatcherApplication(create_backend_app)) as endpoint:
        yield Moto(endpoint)


@contextlib.contextmanager
def open_careless_s3() -> Iterator[Moto]:
    """Open a moto S3 server that never sees If-None-Match and If-Match."""
    application = DomainDispatcherApplication(create_backend_app)
    with _open(_drop_conditions(application)) as endpoint:
        yield Moto(endpoint)


def _drop_conditions(application: Application) -> Application:
    def careless(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        kept = {name: value for name, value in environ.items() if name not in CONDITIONS}
        return application(kept, start_response)

    return careless


@contextlib.contextmanager
def _open(application: Application) -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server: BaseWSGIServer = make_server(HOST, 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(timeout=5)
        server.server_close()
