"""A TCP proxy on the loopback address that breaks connections in chosen ways, for fault tests.

It stands before any of the real servers. Nothing is thrown by chance: a test says what happens, and
`accepted` and `answered_bytes` say what did.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from servers.process import HOST

CHUNK_BYTES = 65_536


class Mode(StrEnum):
    """What the proxy does with connections, those that are open already included."""

    PASS = "pass"
    REFUSE = "refuse"  # closes new connections at once
    LOSE_ANSWERS = "lose-answers"  # the server gets the request; its answer never arrives
    HANG = "hang"  # accepts, then nothing moves in either direction
    HOLD = "hold"  # the same, but what was sent arrives when the mode changes


@dataclass(slots=True)
class Proxy:
    """The running proxy; `mode` and what is cut may be changed at any time.

    A request that holds the bytes `cut_requests_with` never reaches the server; one that holds
    `lose_answers_to` does, but its answer is lost.
    """

    target_port: int
    listener: socket.socket
    mode: Mode = Mode.PASS
    cut_after_bytes: int | None = None
    cut_requests_with: bytes = b""
    lose_answers_to: bytes = b""
    accepted: int = 0
    answered_bytes: int = 0
    sockets: set[socket.socket] = field(default_factory=set)

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    def cut(self) -> None:
        """Cut every open connection now; new ones are treated by `mode`."""
        for connection in list(self.sockets):
            _close(connection)

    def close(self) -> None:
        """Stop listening and cut every connection; twice is harmless."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.mode is Mode.REFUSE:
                client.close()
                continue
            threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection((HOST, self.target_port), timeout=10)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        self.sockets |= {client, server}
        link = _Link()
        sending = threading.Thread(
            target=self._pump, args=(client, server, link, False), daemon=True
        )
        sending.start()
        self._pump(server, client, link, True)
        sending.join()
        self.sockets -= {client, server}

    def _pump(
        self, source: socket.socket, target: socket.socket, link: "_Link", is_answer: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                while self.mode is Mode.HOLD:
                    time.sleep(0.05)
                if self.mode is Mode.HANG:
                    continue
                if is_answer and not self._let_through(chunk, link):
                    break
                if not is_answer and not self._let_in(chunk, link):
                    break
                target.sendall(chunk)
        _close(source)
        _close(target)

    def _let_in(self, request: bytes, link: "_Link") -> bool:
        link.is_deaf = link.is_deaf or _holds(request, self.lose_answers_to)
        return not _holds(request, self.cut_requests_with)

    def _let_through(self, answer: bytes, link: "_Link") -> bool:
        if self.mode is Mode.LOSE_ANSWERS or link.is_deaf:
            # "100 Continue" is no answer yet: without it an S3 client never sends the body
            return answer.startswith(b"HTTP/1.1 100")
        self.answered_bytes += len(answer)
        return self.cut_after_bytes is None or self.answered_bytes <= self.cut_after_bytes


@dataclass(slots=True)
class _Link:
    """One connection through the proxy; `is_deaf` once it carried a request whose answer gets lost."""

    is_deaf: bool = False


@contextlib.contextmanager
def open_proxy(target_port: int) -> Iterator[Proxy]:
    """Open a proxy before a loopback port; at the end every connection through it is cut."""
    proxy = start_proxy(target_port)
    try:
        yield proxy
    finally:
        proxy.close()


def start_proxy(target_port: int, host: str = HOST) -> Proxy:
    """Start a proxy before a loopback port, listening on any address of this machine."""
    proxy = Proxy(target_port, socket.create_server((host, 0)))
    threading.Thread(target=proxy._serve, daemon=True).start()
    return proxy


def _holds(request: bytes, wanted: bytes) -> bool:
    return bool(wanted) and wanted in request


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
