"""Traces to a collector, by OTLP over HTTP with JSON. The OpenTelemetry SDK's only home.

Called by `wiring`, once a process. Without OTEL_EXPORTER_OTLP_ENDPOINT nothing is loaded and no
span is recorded; a collector that is away costs one warning and never a run. The body is the JSON
form of OTLP 1.x (`/v1/traces`), so that no protobuf is needed. Not here: making spans
(`dpp_core.telemetry`).

    with open_tracing(environment):          # flushes at the end, for at most five seconds
        ...
"""

import json
import threading
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from dpp_core import logs

SERVICE: Final = "dpp-extractor"
EXPORT_TIMEOUT_SECONDS: Final = 5
PATH: Final = "/v1/traces"


@contextmanager
def open_tracing(environment: Mapping[str, str]) -> Iterator[None]:
    """Record spans for the process and send them; the provider of a process can be set only once."""
    endpoint = read_endpoint(environment)
    if not endpoint.startswith(("http://", "https://")):
        logs.warning("traces_not_sent", message="the OTLP endpoint is no http(s) address")
        yield
        return
    exporter = JsonExporter(endpoint, read_headers(environment))
    name = environment.get("OTEL_SERVICE_NAME", SERVICE)
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(exporter, export_timeout_millis=5_000))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


def read_endpoint(environment: Mapping[str, str]) -> str:
    """Read the address for traces as OpenTelemetry's variables say it; empty when there is none."""
    exact = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
    common = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/")
    return exact or (f"{common}{PATH}" if common else "")


def read_headers(environment: Mapping[str, str]) -> dict[str, str]:
    """Read `name=value,name=value`; the values are secrets."""
    text = environment.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    pairs = [pair.partition("=") for pair in text.split(",") if "=" in pair]
    headers = {name.strip(): value.strip() for name, _, value in pairs}
    for value in headers.values():
        logs.register_secret(value)
    return headers


class JsonExporter(SpanExporter):
    """Sends a batch with one request; warns once, then stays quiet, since a run does not wait for
    traces.
    """

    def __init__(self, endpoint: str, headers: Mapping[str, str]) -> None:
        self._endpoint = endpoint
        self._headers = {"Content-Type": "application/json", **headers}
        self._has_warned = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        body = json.dumps(build_body(spans), ensure_ascii=False).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked in open_tracing
            self._endpoint, body, self._headers, method="POST"
        )
        try:
            urllib.request.urlopen(request, timeout=EXPORT_TIMEOUT_SECONDS).close()  # noqa: S310
        except (OSError, HTTPException, ValueError) as error:
            if not self._has_warned.is_set():
                self._has_warned.set()
                logs.warning("traces_not_sent", exception=error, endpoint=self._endpoint)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS


def build_body(spans: Sequence[ReadableSpan]) -> dict[str, Any]:
    """Build the request of OTLP/JSON: ids in hexadecimal, instants and integers as texts."""
    resource = spans[0].resource.attributes if spans else {}
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _build_attributes(resource)},
                "scopeSpans": [
                    {"scope": {"name": "dpp"}, "spans": [_build_span(span) for span in spans]}
                ],
            }
        ]
    }


def _build_span(span: ReadableSpan) -> dict[str, Any]:
    context, parent = span.get_span_context(), span.parent
    built: dict[str, Any] = {
        "traceId": trace.format_trace_id(context.trace_id if context else 0),
        "spanId": trace.format_span_id(context.span_id if context else 0),
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time or 0),
        "endTimeUnixNano": str(span.end_time or 0),
        "attributes": _build_attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value},
    }
    if parent is not None:
        built["parentSpanId"] = trace.format_span_id(parent.span_id)
    if span.status.description:
        built["status"]["message"] = span.status.description
    return built


def _build_attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _build_value(value)} for name, value in attributes.items()]


def _build_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": str(value)}
