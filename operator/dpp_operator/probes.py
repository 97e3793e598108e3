"""What others ask the operator over HTTP: /healthz, /readyz and /metrics. Nothing can be changed through it.

Called by `__main__`; the chart's probes and Prometheus ask. Alive means that the workers work; ready that the policy is
right and everything was listed once.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

Answer = Callable[[], str]
"""Empty when all is well, else what is wrong."""


class Probes:
    """The HTTP server; must be closed."""

    def __init__(
        self, address: tuple[str, int], registry: CollectorRegistry, alive: Answer, ready: Answer
    ) -> None:
        self._server = ThreadingHTTPServer(address, _build_handler(registry, alive, ready))
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="probes", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def open(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def _build_handler(
    registry: CollectorRegistry, alive: Answer, ready: Answer
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._send(200, generate_latest(registry), "text/plain; version=0.0.4")
            elif self.path in ("/healthz", "/readyz"):
                wrong = alive() if self.path == "/healthz" else ready()
                self._send(503 if wrong else 200, (wrong or "ok").encode() + b"\n", "text/plain")
            else:
                self._send(404, b"not found\n", "text/plain")

        def log_message(self, *args: Any) -> None:
            """Say nothing: probes come every few seconds."""

        def _send(self, status: int, body: bytes, form: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"{form}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
