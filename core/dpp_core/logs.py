"""How this product says what happens: one event name and fields a line, ids in every line, no
secret in any.

Called by every entry point once (`set_up_logging`) and by everybody else through `info`, `warning`
and `error`. JSON lines for machines, one readable line for terminals; redaction sits in the
formatter of the one handler, so that the lines of libraries pass it too. Not here: what is secret
(`redaction`), metrics, spans.

    set_up_logging(level="INFO", form="json", stream=sys.stderr)
    with bound(run_id=run_id, correlation_id=..., distributor=..., dataset=...):
        info("commit", seq=7, rows=1200)
        error("unit_failed", exception=error)
"""

import contextvars
import json
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Final, Literal, TextIO

from opentelemetry import trace

from dpp_core.redaction import MASK, redact, redact_value, register_secret

__all__ = [
    "MASK",
    "Form",
    "bound",
    "bound_ids",
    "error",
    "info",
    "redact",
    "register_secret",
    "set_up_logging",
    "warning",
]

Form = Literal["json", "text"]
LOGGER: Final = "dpp"
QUIET_LOGGERS: Final = (
    "asyncio",
    "boto3",
    "botocore",
    "hpack",
    "httpcore",
    "httpx",
    "hvac",
    "kopf",
    "opentelemetry",
    "pymongo",
    "requests",
    "s3transfer",
    "sqlalchemy",
    "urllib3",
)
"""These log URLs, headers or bodies below WARNING; they stay quiet at every level."""
_LONGEST_VALUE_CHARACTERS: Final = 4_000
_LONGEST_STACK_CHARACTERS: Final = 8_000
_FIELDS: Final = "dpp_fields"

_NO_IDS: Final[Mapping[str, str]] = MappingProxyType({})
_IDS: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar(
    "dpp_log_ids", default=_NO_IDS
)


def info(event: str, /, **fields: Any) -> None:
    """Log what went as meant."""
    _log(logging.INFO, event, None, fields)


def warning(event: str, /, exception: BaseException | None = None, **fields: Any) -> None:
    """Log what somebody should look at, though the run goes on."""
    _log(logging.WARNING, event, exception, fields)


def error(event: str, /, exception: BaseException | None = None, **fields: Any) -> None:
    """Log what ended something."""
    _log(logging.ERROR, event, exception, fields)


@contextmanager
def bound(**ids: str) -> Iterator[None]:
    """Put ids into every line logged inside the block, on top of those already bound.

    A new thread starts without them: run its work in `contextvars.copy_context()`.
    """
    token = _IDS.set(MappingProxyType({**_IDS.get(), **ids}))
    try:
        yield
    finally:
        _IDS.reset(token)


def bound_ids() -> Mapping[str, str]:
    """The ids bound here and now."""
    return _IDS.get()


def set_up_logging(
    level: str = "INFO", form: Form | Literal[""] = "", stream: TextIO | None = None
) -> None:
    """Send all logging of the process through one redacting handler; called again it replaces that
    handler.

    `form` empty = text on a terminal, JSON lines otherwise. Uncaught exceptions, of threads too,
    become log lines. Raises ValueError for an unknown level.
    """
    out = stream if stream is not None else sys.stderr
    chosen: Form = form or ("text" if out.isatty() else "json")
    handler = _Handler(out)
    handler.setFormatter(JsonFormatter() if chosen == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at, level, event, ids, trace, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_build_line(record), ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """One line for a person: time, level, event, then `name=value`; control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        line = _build_line(record)
        at, level, event = line.pop("at"), line.pop("level"), line.pop("event")
        stack = line.pop("stack", "")
        for name in ("trace_id", "span_id", "correlation_id", "logger"):
            line.pop(name, None)
        rest = " ".join(f"{name}={_as_word(value)}" for name, value in line.items())
        text = f"{at[11:19]} {level:<7} {_escape(event)} {rest}".rstrip()
        return f"{text}\n{stack}" if stack else text


class _Handler(logging.StreamHandler[TextIO]):
    """A line that cannot be formatted is named, not shown: the standard way prints arguments."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        kind = sys.exc_info()[0]
        name = kind.__name__ if kind is not None else "error"
        try:
            self.stream.write(f"a log line of {record.name} could not be written: {name}\n")
        except (OSError, ValueError):
            return


def _log(
    level: int, event: str, exception: BaseException | None, fields: Mapping[str, Any]
) -> None:
    logger = logging.getLogger(LOGGER)
    if logger.isEnabledFor(level):
        logger.log(level, "%s", event, exc_info=exception, extra={_FIELDS: fields})


def _build_line(record: logging.LogRecord) -> dict[str, Any]:
    """Collect a record's line, every value of it redacted and bounded."""
    moment = datetime.fromtimestamp(record.created, UTC)
    line: dict[str, Any] = {
        "at": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname,
        "event": _clean(record.getMessage()),
    }
    if record.name != LOGGER:
        line["logger"] = record.name
    line |= {name: _clean(value) for name, value in _IDS.get().items()}
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        line["trace_id"] = trace.format_trace_id(context.trace_id)
        line["span_id"] = trace.format_span_id(context.span_id)
    for name, value in getattr(record, _FIELDS, {}).items():
        line[name if name not in line else f"field_{name}"] = _clean(value, name)
    if record.exc_info and record.exc_info[1] is not None:
        line |= _describe_exception(record.exc_info[1])
    return line


def _describe_exception(exception: BaseException) -> dict[str, Any]:
    """Name an exception; only those nobody foresaw (no exit code, or 70) bring their stack."""
    described: dict[str, Any] = {
        "error": type(exception).__name__,
        "message": _clean(str(exception)),
    }
    for name in ("reason", "exit_code", "field"):
        value = getattr(exception, name, None)
        if isinstance(value, str | int) and value != "":
            described[f"error_{name}" if name == "field" else name] = _clean(value)
    if not hasattr(exception, "exit_code") or described.get("exit_code") == 70:
        formatter = logging.Formatter()
        stack = formatter.formatException((type(exception), exception, exception.__traceback__))
        described["stack"] = redact(stack)[-_LONGEST_STACK_CHARACTERS:]
    return described


def _clean(value: Any, key: str = "") -> Any:
    cleaned = redact_value(value, key)
    if isinstance(cleaned, str) and len(cleaned) > _LONGEST_VALUE_CHARACTERS:
        cut = len(cleaned) - _LONGEST_VALUE_CHARACTERS
        return f"{cleaned[:_LONGEST_VALUE_CHARACTERS]}... ({cut} more characters)"
    return cleaned


def _as_word(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    escaped = _escape(text)
    return f'"{escaped}"' if escaped == "" or " " in escaped else escaped


def _escape(text: str) -> str:
    """Keep one record on one line and the terminal unharmed."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _log_uncaught(
    kind: type[BaseException], exception: BaseException, traceback: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        error("uncaught", exception=exception.with_traceback(traceback))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        error("uncaught_in_thread", exception=args.exc_value)
