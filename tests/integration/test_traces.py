"""One trace over HTTP to a collector: the caller's trace goes on, and nothing secret is in it."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from servers.process import free_port

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PROGRAM = """
import os, sys
from dpp_core import logs, telemetry
from dpp_extractor.adapters.otlp import open_tracing
logs.set_up_logging(form="json")
with open_tracing(os.environ), telemetry.continued(sys.argv[1]):
    with telemetry.span("run", extraction="acme"):
        with telemetry.span("unit", dataset="orders", rows=3, is_new=True, ratio=0.5):
            logs.info("inside")
        try:
            with telemetry.span("unit", dataset="items"):
                raise ValueError("postgresql://dpp:planted-1@db/erp")
        except ValueError:
            pass
"""


@dataclass(slots=True)
class Collector:
    port: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def spans(self) -> list[dict[str, Any]]:
        return [
            span
            for body in self.bodies
            for resource in body["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    got = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.paths.append(self.path)
            got.headers.append(dict(self.headers))
            got.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    got.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield got
    server.shutdown()
    server.server_close()
    thread.join()


def trace(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, PARENT],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_spans_reach_the_collector_in_the_callers_trace(collector: Collector) -> None:
    ended = trace(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}/",
        OTEL_EXPORTER_OTLP_HEADERS="x-api=planted-2-header",
    )

    spans = collector.spans()
    run = next(span for span in spans if span["name"] == "run")
    assert set(collector.paths) == {"/v1/traces"}
    assert collector.headers[0]["X-Api"] == "planted-2-header"
    assert {span["traceId"] for span in spans} == {PARENT.split("-")[1]}
    assert run["parentSpanId"] == PARENT.split("-")[2]
    assert [span["parentSpanId"] for span in spans if span["name"] == "unit"] == [run["spanId"]] * 2
    orders, items = (span for span in spans if span["name"] == "unit")
    assert {each["key"]: each["value"] for each in orders["attributes"]} == {
        "dpp.dataset": {"stringValue": "orders"},
        "dpp.rows": {"intValue": "3"},
        "dpp.is_new": {"boolValue": True},
        "dpp.ratio": {"doubleValue": 0.5},
    }
    assert int(orders["endTimeUnixNano"]) >= int(orders["startTimeUnixNano"]) > 0
    assert items["status"] == {"code": 2, "message": "postgresql://dpp:[redacted]@db/erp"}
    inside = next(json.loads(line) for line in ended.stderr.splitlines() if "inside" in line)
    assert inside["span_id"] == orders["spanId"]
    assert "planted" not in json.dumps(collector.bodies) + ended.stdout + ended.stderr


@pytest.mark.faults
def test_a_collector_that_is_away_is_one_warning(collector: Collector) -> None:
    ended = trace(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}")

    events = [json.loads(line)["event"] for line in ended.stderr.splitlines()]
    assert sorted(events) == ["inside", "traces_not_sent"]


@pytest.mark.parametrize("endpoint", ["", "collector:4317", "file:///etc/passwd"])
def test_what_is_no_address_is_one_warning(endpoint: str) -> None:
    ended = trace(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)

    events = [json.loads(line)["event"] for line in ended.stderr.splitlines()]
    assert events == ["traces_not_sent", "inside"]
