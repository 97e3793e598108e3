"""Logging as an entry point sets it up, into memory, and everything as it was afterwards."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dpp_core import logs
from dpp_core.redaction import forget_secrets


@dataclass(slots=True)
class Captured:
    """What was logged so far."""

    stream: io.StringIO = field(default_factory=io.StringIO)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


@contextmanager
def captured_logs(form: logs.Form = "json", level: str = "INFO") -> Iterator[Captured]:
    """Set logging up for the block; forget registered secrets before and after it."""
    root, captured = logging.getLogger(), Captured()
    handlers, before_level = list(root.handlers), root.level
    hooks = (sys.excepthook, threading.excepthook)
    levels = {name: logging.getLogger(name).level for name in logs.QUIET_LOGGERS}
    forget_secrets()
    try:
        logs.set_up_logging(level=level, form=form, stream=captured.stream)
        yield captured
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(before_level)
        sys.excepthook, threading.excepthook = hooks
        for name, each in levels.items():
            logging.getLogger(name).setLevel(each)
        forget_secrets()
