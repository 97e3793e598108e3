"""S3 servers that cannot be trusted, as some stores in the field cannot: moto over HTTP, spoilt.

The product must find each out before it writes anything. `open_moto` is the same server unspoilt,
for tests that want a second, different S3 implementation; all servers of one process have the same
buckets, so that a test can look past the spoilt one.
"""

import contextlib
import io
import logging
import re
import threading
import time
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


def open_careless_s3() -> contextlib.AbstractContextManager[Moto]:
    """Open a moto S3 server that never sees If-None-Match and If-Match."""
    return open_bad_s3("ignores conditions")


@contextlib.contextmanager
def open_bad_s3(fault: str) -> Iterator[Moto]:
    """Open a moto S3 server with one of `BAD_STORES`."""
    application = DomainDispatcherApplication(create_backend_app)
    with _open(BAD_STORES[fault](application)) as endpoint:
        yield Moto(endpoint)


def _drop_conditions(application: Application) -> Application:
    def careless(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        kept = {name: value for name, value in environ.items() if name not in CONDITIONS}
        return application(kept, start_response)

    return careless


def _race(application: Application) -> Application:
    """Look whether the key is there, wait, then write: of racing writers many win."""

    def racing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not _is_conditional(environ):
            return application(environ, start_response)
        look = {
            **environ,
            "REQUEST_METHOD": "HEAD",
            "CONTENT_LENGTH": "0",
            "wsgi.input": io.BytesIO(),
        }
        status, _, _ = _ask(application, {k: v for k, v in look.items() if k not in CONDITIONS})
        if status.startswith("200"):
            return _answer(start_response, "412 Precondition Failed", "PreconditionFailed")
        time.sleep(0.02)
        kept = {name: value for name, value in environ.items() if name not in CONDITIONS}
        return application(kept, start_response)

    return racing


def _refuse_conditions(status: str, code: str) -> Callable[[Application], Application]:
    def spoil(application: Application) -> Application:
        def refusing(
            environ: dict[str, Any], start_response: Callable[..., Any]
        ) -> Iterable[bytes]:
            if _is_conditional(environ):
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                return _answer(start_response, status, code)
            return application(environ, start_response)

        return refusing

    return spoil


def _say_yes(body: bytes) -> Callable[[Application], Application]:
    """Answer 200 to everything, as a portal in the way does, and keep nothing."""

    def spoil(_: Application) -> Application:
        def yes(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("200 OK", [("Content-Length", str(len(body)))])
            return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

        return yes

    return spoil


def _swallow_writes(application: Application) -> Application:
    """Say that a conditional write was done, and do nothing."""

    def swallowing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if _is_conditional(environ):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("200 OK", [("ETag", '"x"'), ("Content-Length", "0")])
            return [b""]
        return application(environ, start_response)

    return swallowing


def _change_listings(
    change: Callable[[list[bytes]], list[bytes]],
) -> Callable[[Application], Application]:
    def spoil(application: Application) -> Application:
        def lying(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if "list-type=2" not in environ.get("QUERY_STRING", ""):
                return application(environ, start_response)
            status, headers, body = _ask(application, environ)
            found = re.findall(rb"<Contents>.*?</Contents>", body, re.DOTALL)
            before, _, rest = body.partition(b"<Contents>")
            after = rest.rpartition(b"</Contents>")[2] if found else b""
            changed = before + b"".join(change(found)) + after
            kept = [each for each in headers if each[0].lower() != "content-length"]
            start_response(status, [*kept, ("Content-Length", str(len(changed)))])
            return [changed]

        return lying

    return spoil


def _forget_start_after(application: Application) -> Application:
    def forgetful(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        query = re.sub(r"&?start-after=[^&]*", "", environ.get("QUERY_STRING", ""))
        return application({**environ, "QUERY_STRING": query}, start_response)

    return forgetful


def _is_conditional(environ: dict[str, Any]) -> bool:
    return environ["REQUEST_METHOD"] == "PUT" and any(name in environ for name in CONDITIONS)


def _ask(application: Application, environ: dict[str, Any]) -> tuple[str, list[Any], bytes]:
    said: list[Any] = []

    def start_response(status: str, headers: list[Any], *_: Any) -> None:
        said[:] = [status, headers]

    body = b"".join(application(environ, start_response))
    return said[0], said[1], body


def _answer(start_response: Callable[..., Any], status: str, code: str) -> list[bytes]:
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    start_response(status, [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
    return [body]


BAD_STORES: dict[str, Callable[[Application], Application]] = {
    "ignores conditions": _drop_conditions,
    "lets many racers win": _race,
    "does not know conditions": _refuse_conditions("501 Not Implemented", "NotImplemented"),
    "refuses conditions": _refuse_conditions("400 Bad Request", "InvalidArgument"),
    "says yes with nothing": _say_yes(b""),
    "says yes with a page": _say_yes(b"<html><body>Welcome</body></html>"),
    "swallows writes": _swallow_writes,
    "lists without the newest": _change_listings(lambda found: found[:-1]),
    "lists nothing": _change_listings(lambda found: []),
    "lists backwards": _change_listings(lambda found: found[::-1]),
    "lists from the start": _forget_start_after,
}
"""What a store may do wrong, by name."""


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
