"""What goes over the wire to a bucket when answers are lost or lie: one request, never two."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dpp_core.errors import DestinationUnavailableError
from dpp_extractor.adapters import bucket as bucket_module
from dpp_extractor.adapters.bucket import BucketSettings, open_bucket
from dpp_extractor.adapters.bucket_upload import PIECE_BYTES
from dpp_extractor.ports import Put, Store

ERROR = b"<Error><Code>%s</Code><Message>x</Message></Error>"


class Server(ThreadingHTTPServer):
    """Keeps one object and misbehaves as planned."""

    plan = "answer"
    requests: list[str]
    objects: dict[str, bytes]
    release: threading.Event


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(f"PUT {self.path}")
        if "partNumber" in self.path:
            self._answer(200, ETag='"e"')
            return
        if self.path in self.server.objects and self.headers["If-None-Match"] == "*":
            self._answer(412, ERROR % b"PreconditionFailed")
            return
        self.server.objects[self.path] = body
        if self.server.plan == "drop":
            self.close_connection = True
        elif self.server.plan == "hang":
            self.server.release.wait(10)
            self.close_connection = True
        elif self.server.plan.isdigit():
            self._answer(int(self.server.plan), ERROR % b"SlowDown")
        else:
            self._answer(200, ETag='"e"')

    def do_GET(self) -> None:
        self.server.requests.append(f"GET {self.path}")
        body = self.server.objects.get(self.path)
        if body is None:
            self._answer(404, ERROR % b"NoSuchKey")
        elif self.server.plan == "cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) + 10))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True
        else:
            self._answer(200, body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append(f"POST {self.path}")
        if "uploadId" in self.path:
            self._answer(200, ERROR % b"InternalError")
        else:
            name = b"InitiateMultipartUploadResult"
            self._answer(200, b"<%s><UploadId>u</UploadId></%s>" % (name, name))


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.requests, server.objects, server.release = [], {}, threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def store(server: Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(bucket_module, "READ_SECONDS", 1)
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    return open_bucket(
        BucketSettings(bucket="lake", endpoint=endpoint, access_key="a", secret_key="b")
    )


@pytest.mark.parametrize("plan", ["drop", "hang", "503", "500", "429"])
def test_a_commit_that_was_applied_and_not_answered_is_sent_once_and_unknown(
    plan: str, server: Server, store: Store
):
    server.plan = plan

    answer = store.put_if_absent("log/1.json", b"ours")

    assert answer is Put.UNKNOWN
    assert server.requests == ["PUT /lake/log/1.json"]
    assert store.get("log/1.json") == b"ours"


def test_a_name_that_is_taken_is_unknown_too(server: Server, store: Store):
    server.objects["/lake/log/1.json"] = b"theirs"

    assert store.put_if_absent("log/1.json", b"ours") is Put.UNKNOWN
    assert store.get("log/1.json") == b"theirs"


def test_an_answer_that_is_cut_is_no_answer(server: Server, store: Store):
    server.objects["/lake/a"] = b"body"
    server.plan = "cut"

    with pytest.raises(DestinationUnavailableError):
        store.get("a")


def test_a_completion_that_says_200_and_means_an_error_does_not_count(server: Server, store: Store):
    upload = store.open_upload("data/p", {})
    upload.write(b"x" * PIECE_BYTES)

    with pytest.raises(DestinationUnavailableError, match="InternalError"):
        upload.finish()

    assert len([line for line in server.requests if "uploadId=u" in line and "POST" in line]) == 1
