"""One trace from the operator's decision to the commit, on the OpenTelemetry API alone.

Called by `plan` and the operator (`new_traceparent`), by the extractor's entry points (`continued`)
and its stages (`span`). Without an SDK spans are not recorded, but the trace id still goes on and
is in every log line. Not here: the SDK and exporters; an image sets them up itself, and only when
an endpoint is configured.

    with continued(request.traceparent), span("unit", dataset="orders"):
        ...

Trace context is W3C Trace Context, level 1: `00-<32 hex>-<16 hex>-<2 hex>`.
"""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, Status, StatusCode, TraceFlags

from dpp_core.redaction import redact

TRACER: Final = "dpp"
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")

Attribute = str | int | float | bool


def new_traceparent(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """Begin a trace: a new, sampled parent. Called twice it begins two."""
    return f"00-{random_bytes(16).hex()}-{random_bytes(8).hex()}-01"


def read_traceparent(text: str) -> SpanContext | None:
    """Read a W3C traceparent; None for anything that is not one: it never fails a run."""
    hit = _TRACEPARENT.fullmatch(text.strip())
    if hit is None or hit[1] == "ff":
        return None
    parent = SpanContext(
        trace_id=int(hit[2], 16),
        span_id=int(hit[3], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(hit[4], 16)),
    )
    return parent if parent.is_valid else None


@contextmanager
def continued(traceparent: str) -> Iterator[None]:
    """Go on with a caller's trace inside the block; an empty or broken parent changes nothing."""
    parent = read_traceparent(traceparent)
    if parent is None:
        yield
        return
    token = context.attach(trace.set_span_in_context(NonRecordingSpan(parent)))
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def span(name: str, /, **attributes: Attribute) -> Iterator[Span]:
    """Open a span around the block; an exception marks it failed with its redacted message and goes
    on up.
    """
    clean = {
        f"dpp.{key}": redact(value) if isinstance(value, str) else value
        for key, value in attributes.items()
    }
    tracer = trace.get_tracer(TRACER)
    with tracer.start_as_current_span(
        name, attributes=clean, record_exception=False, set_status_on_exception=False
    ) as opened:
        try:
            yield opened
        except BaseException as error:
            opened.set_attribute("error.type", type(error).__name__)
            opened.set_status(Status(StatusCode.ERROR, redact(str(error))))
            raise


def current_traceparent() -> str:
    """The traceparent to hand on from here; empty outside any trace."""
    here = trace.get_current_span().get_span_context()
    if not here.is_valid:
        return ""
    return (
        f"00-{trace.format_trace_id(here.trace_id)}-{trace.format_span_id(here.span_id)}"
        f"-{int(here.trace_flags):02x}"
    )
