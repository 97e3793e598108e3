"""The composition root: from a request and the environment to the `Tools` of a run.

Called by `__main__` and by the commands. The only module that knows every adapter; drivers are imported when their
adapter is needed. Everything opened here is closed in reverse when the block ends.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpp_core import ids, logs, telemetry
from dpp_core.handover import Destination, RunRequest, SourceLimits
from dpp_core.records import RunRecord
from dpp_extractor.adapters.secrets import SecretPlaces, open_secrets
from dpp_extractor.guard.deadline import Deadline, Stop
from dpp_extractor.guard.pace import Pace, unhurried
from dpp_extractor.guard.retry import Retry, RetryPolicy, retrying
from dpp_extractor.ports import Index, ReadSecret, Source, Store, Tools
from dpp_extractor.publish.hooks import do_nothing, wait_seconds
from dpp_extractor.settings import ExtractorSettings

if TYPE_CHECKING:
    from dpp_extractor.upkeep.maintain import Yard

TRACE_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a process brings along: its environment, its settings, a secrets file when one was named, its stop."""

    environment: Mapping[str, str]
    settings: ExtractorSettings
    stop: Stop
    secrets_file: Path | None = None
    progress: Callable[[str, int, int], None] = lambda dataset, rows, size_bytes: None
    expect: Callable[[str, int], None] | None = None


@contextmanager
def open_tools(request: RunRequest, around: Surroundings) -> Iterator[Tools]:
    """Open what a run needs. Raises CredentialsMissingError (21) before anything connects."""
    deadline = Deadline(request.deadline_at, _now)
    patient = around.settings
    policy = RetryPolicy(base_seconds=patient.retry_base_seconds, attempts=patient.retry_attempts)

    def patience(what: str) -> Retry:
        return retrying(policy, deadline=deadline, sleep=around.stop.sleep, what=what)

    hook = build_hook(patient)
    with ExitStack() as stack:
        _open_tracing(request, around, stack)
        read_secret = stack.enter_context(
            open_secrets(secret_places(request, around), patience("vault"))
        )
        source_secret = {} if request.source.engine == "sqlite" else read_secret("source")
        store = open_store(
            request.destination,
            read_secret,
            patience("destination"),
            timeout_seconds=patient.destination_timeout_seconds,
            hook=hook,
        )
        yield Tools(
            store=store,
            open_source=lambda: open_source(request, source_secret, patience("source"), around),
            index=_open_index(read_secret, stack),
            stop=around.stop,
            now=_now,
            new_id=ids.new_id,
            hook=hook,
            progress=around.progress,
            expect=around.expect,
            pause=lambda tries: around.stop.sleep(wait_seconds(tries)),
            code_version=find_code_version(),
            measure=build_measure(around.settings),
            retry_read=patience("read"),
            checkpoint=build_checkpoint(request.destination, read_secret, store.uri, around),
        )


@contextmanager
def open_yard(request: RunRequest, around: Surroundings) -> Iterator["Yard"]:
    """Open what a Maintain run needs: the destination, and no source."""
    from dpp_extractor.publish.claim import Owner
    from dpp_extractor.upkeep.child import Bounds
    from dpp_extractor.upkeep.maintain import Yard
    from dpp_extractor.upkeep.place import build_place

    deadline, patient = Deadline(request.deadline_at, _now), around.settings
    policy = RetryPolicy(base_seconds=patient.retry_base_seconds, attempts=patient.retry_attempts)

    def patience(what: str) -> Retry:
        return retrying(policy, deadline=deadline, sleep=around.stop.sleep, what=what)

    with ExitStack() as stack:
        _open_tracing(request, around, stack)
        read_secret = stack.enter_context(
            open_secrets(secret_places(request, around), patience("vault"))
        )
        store = open_store(request.destination, read_secret, patience("destination"))
        secret = read_secret("destination") if request.destination.kind == "S3" else {}
        bounds = Bounds(
            around.environment,
            seconds=max(1.0, deadline.remaining_seconds()),
            is_stopped=lambda: around.stop.is_asked,
        )
        owner = Owner(request.cluster, request.namespace, request.extraction, request.distributor)
        place = build_place(request.destination, secret, store.uri)
        yield Yard(store, place, bounds, _now, owner)


def _open_tracing(request: RunRequest, around: Surroundings, stack: ExitStack) -> None:
    """Put the run's ids into every line from here on, and its spans to a collector when one is configured."""
    stack.enter_context(
        logs.bound(
            run_id=request.run_id,
            correlation_id=request.correlation_id,
            distributor=request.distributor,
        )
    )
    if any(around.environment.get(name) for name in TRACE_ENDPOINTS):
        from dpp_extractor.adapters.otlp import open_tracing

        stack.enter_context(open_tracing(around.environment))
    stack.enter_context(telemetry.span("run", extraction=request.extraction))


def secret_places(request: RunRequest, around: Surroundings) -> SecretPlaces:
    """Say where each role's secret may lie."""
    paths = {"source": request.credentials.path}
    if request.destination.credentials not in ("", "Ambient"):
        paths["destination"] = request.destination.credentials
    if request.index:
        paths["index"] = request.index
    return SecretPlaces(
        environment=around.environment,
        file=around.secrets_file,
        agent_dir=around.settings.secrets_dir,
        vault_paths=paths,
    )


def open_store(
    destination: Destination,
    read_secret: ReadSecret,
    retry: Retry,
    *,
    timeout_seconds: float = 0,
    hook: Callable[[str], None] = do_nothing,
) -> Store:
    """Open the destination's folder or bucket; 0 seconds stand for the bucket's own patience."""
    if destination.kind == "Folder":
        from dpp_extractor.adapters.folder import open_folder

        return open_folder(destination.path)
    from dpp_extractor.adapters.bucket import BucketSettings, open_bucket

    secret = read_secret("destination")
    settings = BucketSettings(
        bucket=destination.bucket,
        prefix=destination.prefix,
        endpoint=destination.endpoint,
        region=destination.region,
        access_key=secret.get("access_key_id", ""),
        secret_key=secret.get("secret_access_key", ""),
        session_token=secret.get("session_token", ""),
        read_seconds=timeout_seconds,
    )
    return open_bucket(settings, retry, hook)


def open_source(
    request: RunRequest, secret: Mapping[str, Any], retry: Retry, around: Surroundings
) -> AbstractContextManager[Source]:
    """Connect to the request's source; the retry is for connecting."""
    from dpp_extractor.extract.database.engine import open_database
    from dpp_extractor.extract.database.limits import Limits

    asked = request.source.limits or SourceLimits()
    sleep = around.stop.sleep
    pace = (
        Pace(asked.rows_per_second, time.monotonic, sleep) if asked.rows_per_second else unhurried
    )
    limits = Limits(
        block_bytes=around.settings.batch_bytes,
        read_seconds=asked.read_seconds,
        pace=pace,
        clock=time.monotonic,
    )
    if asked.field_bytes is not None:
        limits = replace(limits, field_bytes=asked.field_bytes)
    return open_database(
        request.source,
        secret,
        run_id=request.run_id,
        limits=limits,
        ca_file=around.settings.ca_file or None,
        retrying=retry,
    )


def _open_index(read_secret: ReadSecret, stack: ExitStack) -> Index | None:
    secret = read_secret("index")
    if not secret:
        return None
    from dpp_extractor.adapters.ferret import open_index

    return stack.enter_context(open_index(secret))


def build_hook(settings: ExtractorSettings) -> Callable[[str], None]:
    """Build what happens at the named points: nothing, unless a test asked for an end or a pause at one."""
    seams = [
        _build_seam(place, number)
        for place, number in (
            (settings.kill_at, signal.SIGKILL),
            (settings.pause_at, signal.SIGSTOP),
        )
        if place
    ]
    if not seams:
        return do_nothing

    def hook(point: str) -> None:
        for seam in seams:
            seam(point)

    return hook


def _build_seam(place: str, number: signal.Signals) -> Callable[[str], None]:
    """Build a test seam: `<point>[:n]` signals this process the n-th time it passes that point."""
    wanted, _, nth = place.partition(":")
    left = int(nth or 1)

    def seam(point: str) -> None:
        nonlocal left
        if point == wanted:
            left -= 1
            if left == 0:
                logs.warning("signalled_by_test_seam", point=point, signal=number.name)
                os.kill(os.getpid(), number)

    return seam


def build_measure(settings: ExtractorSettings) -> Callable[[RunRecord], None]:
    """Build what is done with a run's metrics: nothing, unless a file or a gateway is set."""
    if not (settings.metrics_file or settings.metrics_gateway):
        return lambda record: None
    from dpp_extractor.metrics import build_metrics, push_metrics, write_metrics

    def measure(record: RunRecord) -> None:
        registry = build_metrics(record)
        if settings.metrics_file:
            write_metrics(registry, Path(settings.metrics_file))
        if settings.metrics_gateway:
            names = {"namespace": record.namespace, "extraction": record.extraction}
            push_metrics(registry, settings.metrics_gateway, names)

    return measure


def build_checkpoint(
    destination: Destination, read_secret: ReadSecret, uri: str, around: Surroundings
) -> Callable[[str], None]:
    """Build what writes a checkpoint of a table behind a run; it only ever warns."""
    if not around.settings.auto_checkpoint:
        return lambda prefix: None

    def write(prefix: str) -> None:
        from dpp_extractor.upkeep.checkpoint import AFTER_RUN_SECONDS, checkpoint_after_run
        from dpp_extractor.upkeep.child import Bounds
        from dpp_extractor.upkeep.place import build_place

        secret = read_secret("destination") if destination.kind == "S3" else {}
        checkpoint_after_run(
            build_place(destination, secret, uri).table(prefix),
            Bounds(
                around.environment,
                seconds=AFTER_RUN_SECONDS,
                is_stopped=lambda: around.stop.is_asked,
            ),
        )

    return write


def find_code_version() -> str:
    """Find this package's version; unknown when it runs from plain files."""
    try:
        return version("dpp-extractor")
    except PackageNotFoundError:
        return "unknown"


def _now() -> datetime:
    return datetime.now(UTC)
