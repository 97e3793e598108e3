"""Start deltalake's work in a process of its own, wait within bounds, and say how it ended.

Called by `checkpoint`, `compact` and `vacuum`. deltalake is never loaded here. The child gets no
environment but what finds libraries, certificates and ambient credentials; nothing it leaves behind
can be half a commit, so ending it at any moment is safe. The same work twice is up to the work.
"""

import contextlib
import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final

from dpp_core.errors import (
    DeadlineError,
    DestinationUnavailableError,
    DppError,
    InternalError,
    ResourcesError,
    StoppedError,
    StreamError,
    TemporaryFailure,
    UsageError,
)
from dpp_core.names import Reason
from dpp_core.redaction import redact
from dpp_extractor.upkeep.place import Place
from dpp_extractor.upkeep.room import find_room, read_limit, read_resident

MODULE: Final = "dpp_extractor.upkeep.work"
_FAILED: Final = 3
_POLL_SECONDS: Final = 0.05
_ENVIRONMENT: Final = ("PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH", "SSL_CERT_FILE")
_ENVIRONMENT_PREFIXES: Final = ("AWS_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one work may take and see: the caller's environment, time, memory, and when to stop."""

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    seconds: float = 3600
    memory_bytes: int = 1024 * 1024 * 1024
    is_stopped: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Work:
    """One thing to do on one table: `checkpoint`, `compact` or `vacuum`, with its arguments."""

    name: str
    place: Place
    arguments: Mapping[str, Any] = field(default_factory=dict)


def is_deltalake_there() -> bool:
    """Say whether the work can be done at all; nothing is imported."""
    return find_spec("deltalake") is not None


def carry_out(work: Work, bounds: Bounds) -> dict[str, Any]:
    """Do the work in a child process and return its answer.

    Raises UsageError (2) without deltalake, DeadlineError (75) over time, ResourcesError (28) over
    memory, StoppedError (143), TemporaryFailure (75, a run committed first), StreamError (29, no
    table), DestinationUnavailableError (26) for what the store said.
    """
    if not is_deltalake_there():
        raise UsageError(
            f"{work.name} needs the package deltalake, which is not installed.",
            fix="Install dpp-extractor[maintain], or use the extractor image.",
        )
    asked = {
        "work": work.name,
        "uri": work.place.uri,
        "options": dict(work.place.options),
        "arguments": dict(work.arguments),
        "seconds": math.ceil(bounds.seconds),
    }
    code, stdout, stderr = _run(json.dumps(asked), bounds, work.name)
    return _read_answer(work, code, stdout, stderr)


def _run(asked: str, bounds: Bounds, name: str) -> tuple[int, str, str]:
    process = _start(bounds)
    pending: str | None = asked
    left_seconds = bounds.seconds
    try:
        while True:
            try:
                wait_seconds = min(_POLL_SECONDS, left_seconds)
                stdout, stderr = process.communicate(pending, timeout=wait_seconds)
                return process.returncode, stdout, stderr
            except subprocess.TimeoutExpired:
                pending = None
            left_seconds -= _POLL_SECONDS
            _check(bounds, name, process.pid, left_seconds)
    finally:
        if process.poll() is None:
            process.kill()
            with contextlib.suppress(OSError, ValueError):
                process.communicate()


def _start(bounds: Bounds) -> "subprocess.Popen[str]":
    kept = {
        key: value
        for key, value in bounds.environment.items()
        if key in _ENVIRONMENT or key.upper().startswith(_ENVIRONMENT_PREFIXES)
    }
    return subprocess.Popen(  # noqa: S603 - our own module, in our own interpreter
        [sys.executable, "-m", MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=kept,
        text=True,
        start_new_session=True,
    )


def _check(bounds: Bounds, name: str, pid: int, left_seconds: float) -> None:
    if bounds.is_stopped():
        raise StoppedError(f"{name} was stopped; what was committed stays.")
    room = find_room(read_limit(), read_resident())
    most = bounds.memory_bytes if room is None else min(bounds.memory_bytes, room)
    if read_resident(pid) > most:
        raise ResourcesError(
            f"{name} took more than {most >> 20} MiB and was ended.",
            fix="Give it more memory; the table is as it was.",
        )
    if left_seconds <= 0:
        raise DeadlineError(f"{name} took longer than {bounds.seconds:g} s and was ended.")


def _read_answer(work: Work, code: int, stdout: str, stderr: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(stdout) if stdout else {}
    except ValueError:
        answer = {}
    if code == 0 and answer:
        return answer
    last_words = redact(stderr.strip()[-300:])
    if code < 0:
        raise ResourcesError(
            f"{work.name} of {work.place.uri} ended by signal {-code}: {last_words or 'no word of it'}.",
            fix="Give it more memory; the table is as it was.",
        )
    if code == _FAILED and "error" in answer:
        raise _translate(work, str(answer["error"]), redact(str(answer["message"])))
    raise InternalError(f"{work.name} of {work.place.uri} ended with code {code}: {last_words}.")


def _translate(work: Work, name: str, message: str) -> DppError:
    what = f"{work.name} of {work.place.uri} was refused: {message}"
    if name == "CommitFailedError":
        return TemporaryFailure(
            what, reason=Reason.OVERTAKEN, fix="Run it again; nothing was changed."
        )
    if name == "TableNotFoundError":
        return StreamError(what, reason=Reason.TABLE_MISSING, fix="Start a run first.")
    if name == "DeltaProtocolError":
        return StreamError(what, reason=Reason.STREAM_FOREIGN_CHANGE)
    return DestinationUnavailableError(what, fix="Look at the store; the table is as it was.")
