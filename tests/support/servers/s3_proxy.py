"""A proxy that understands HTTP, between the extractor and S3: it does something to the n-th request, to it alone.

Requests are numbered as they come, from 1. `plan` is asked for each one; what it answers is done to that request. What
passes, passes byte by byte, so signatures stay right. `seen` holds what came.
"""

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from servers.process import HOST


class Fate(StrEnum):
    """What becomes of a request."""

    PASS = "pass"
    DROP_BEFORE = "dropped before"  # it never reaches the server; the connection is cut
    DROP_AFTER = (
        "dropped after"  # the server carries it out; the connection is cut instead of an answer
    )
    ANSWER_503 = "503"  # it never reaches the server
    ANSWER_409 = "409"  # it never reaches the server
    HOLD = "held too long"  # the server carries it out; the answer comes after the client gave up
    ERROR_IN_200 = (
        "error in a 200"  # it never reaches the server; the answer says 200 and holds an error
    )


FAULTS = tuple(fate for fate in Fate if fate is not Fate.PASS)
ERRORS = {
    Fate.ANSWER_503: (503, "SlowDown"),
    Fate.ANSWER_409: (409, "OperationAborted"),
    Fate.ERROR_IN_200: (200, "InternalError"),
}
CONDITIONAL_CONFLICT = "ConditionalRequestConflict"
"""What a 409 to a conditional write is called."""
HOP = ("connection", "keep-alive", "transfer-encoding")


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came: its number, method and path with the query."""

    number: int
    method: str
    path: str
    is_conditional: bool

    @property
    def is_commit(self) -> bool:
        return self.is_conditional and "/_delta_log/" in self.path


Plan = Callable[[Seen], Fate]


def pass_all(_seen: Seen) -> Fate:
    """Leave every request alone."""
    return Fate.PASS


@dataclass(slots=True)
class S3Proxy:
    """The running proxy. `reset` begins a new count with a new plan."""

    server: ThreadingHTTPServer
    target_port: int
    hold_seconds: float = 2.0
    plan: Plan = pass_all
    seen: list[Seen] = field(default_factory=list)
    done: list[tuple[Seen, Fate]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.server.server_port}"

    def reset(self, plan: Plan = pass_all) -> None:
        """Forget what came, and follow another plan from now on."""
        with self.lock:
            self.seen, self.done, self.plan = [], [], plan

    def judge(self, method: str, path: str, is_conditional: bool) -> tuple[Seen, Fate]:
        with self.lock:
            seen = Seen(len(self.seen) + 1, method, path, is_conditional)
            self.seen.append(seen)
            fate = self.plan(seen)
            if fate is not Fate.PASS:
                self.done.append((seen, fate))
            return seen, fate


@contextlib.contextmanager
def open_s3_proxy(target_port: int, *, hold_seconds: float = 2.0) -> Iterator[S3Proxy]:
    """Open the proxy before a loopback port."""
    server = _Server((HOST, 0), _Handler)
    server.proxy = S3Proxy(server, target_port, hold_seconds)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        server.server_close()


def nth(number: int, fate: Fate) -> Plan:
    """Do something to one request only."""
    return lambda seen: fate if seen.number == number else Fate.PASS


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    proxy: S3Proxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: cut connections are this server's trade."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: http.client.HTTPConnection | None = None
    disable_nagle_algorithm = True
    timeout = 30

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        if self.upstream is not None:
            self.upstream.close()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Say nothing; `seen` tells."""

    def _handle(self) -> None:
        proxy = self.server.proxy  # type: ignore[attr-defined]
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        is_conditional = "If-None-Match" in self.headers
        _, fate = proxy.judge(self.command, self.path, is_conditional)
        if fate is Fate.DROP_BEFORE:
            self._cut()
        elif fate in ERRORS:
            self._refuse(fate, is_conditional)
        else:
            status, headers, answer = self._forward(proxy.target_port, body)
            if fate is Fate.DROP_AFTER:
                self._cut()
                return
            if fate is Fate.HOLD:
                threading.Event().wait(proxy.hold_seconds)
            self._answer(status, headers, answer)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815

    def _forward(self, port: int, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        if self.upstream is None:
            self.upstream = http.client.HTTPConnection(HOST, port, timeout=30)
            self.upstream.connect()
            self.upstream.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in (*HOP, "expect"):
                self.upstream.putheader(name, value)
        self.upstream.endheaders(body or None)
        answer = self.upstream.getresponse()
        return answer.status, answer.getheaders(), answer.read()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        has_length = False
        for name, value in headers:
            if name.lower() in HOP:
                continue
            has_length = has_length or name.lower() == "content-length"
            self.send_header(name, value)
        if not has_length and status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, fate: Fate, is_conditional: bool) -> None:
        status, code = ERRORS[fate]
        if fate is Fate.ANSWER_409 and is_conditional:
            code = CONDITIONAL_CONFLICT
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>planned</Message></Error>"
        )
        self._answer(status, [("Content-Type", "application/xml")], text.encode())

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
