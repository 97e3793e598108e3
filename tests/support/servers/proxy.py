"""A TCP proxy on the loopback address that breaks connections in chosen ways, for fault tests.

It stands before any of the real servers. Nothing is thrown by chance: a test says what happens, and
`accepted` and `answered_bytes` say what did.
"""

import contextlib
import socket
import threading
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


@dataclass(slots=True)
class Proxy:
    """The running proxy; `mode` and `cut_after_bytes` may be changed at any time."""

    target_port: int
    listener: socket.socket
    mode: Mode = Mode.PASS
    cut_after_bytes: int | None = None
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
        sending = threading.Thread(target=self._pump, args=(client, server, False), daemon=True)
        sending.start()
        self._pump(server, client, True)
        sending.join()
        self.sockets -= {client, server}

    def _pump(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                if self.mode is Mode.HANG:
                    continue
                if is_answer and not self._let_through(chunk):
                    break
                target.sendall(chunk)
        _close(source)
        _close(target)

    def _let_through(self, answer: bytes) -> bool:
        if self.mode is Mode.LOSE_ANSWERS:
            # "100 Continue" is no answer yet: without it an S3 client never sends the body
            return answer.startswith(b"HTTP/1.1 100")
        self.answered_bytes += len(answer)
        return self.cut_after_bytes is None or self.answered_bytes <= self.cut_after_bytes


@contextlib.contextmanager
def open_proxy(target_port: int) -> Iterator[Proxy]:
    """Open a proxy before a loopback port; at the end every connection through it is cut."""
    with socket.create_server((HOST, 0)) as listener:
        proxy = Proxy(target_port, listener)
        threading.Thread(target=proxy._serve, daemon=True).start()
        try:
            yield proxy
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            proxy.cut()


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
