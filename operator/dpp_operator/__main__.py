"""The operator's process: `python -m dpp_operator`. Reads settings, puts the parts together, runs until it is stopped.

The composition root: the only module that knows every part. One replica, replaced by Recreate: two would not corrupt
anything (names are deterministic, statuses have one manager), but would do everything twice, so no lease is taken.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kopf

from dpp_core import logs
from dpp_core.errors import DppError
from dpp_core.names import KIND_EXTRACTION, Reason
from dpp_operator.apply import Hands
from dpp_operator.handlers import Inbox, build_kopf_settings, build_registry
from dpp_operator.index.heartbeats import Heartbeats
from dpp_operator.kube.client import EVENTS, Kube, open_kube
from dpp_operator.kube.objects import Objects
from dpp_operator.kube.watch import list_all, put_all
from dpp_operator.manifests.event import build_event
from dpp_operator.metrics import Metrics
from dpp_operator.probes import Probes
from dpp_operator.queue import Key, Priority, Queue
from dpp_operator.rules import Rules, watch_rules
from dpp_operator.settings import OperatorSettings, read_settings
from dpp_operator.worker import Senses, Worker

STOP_SECONDS = 10.0
FIRST_LIST_WAIT_SECONDS = 2.0


@dataclass(slots=True)
class Operator:
    """The parts of a running operator."""

    settings: OperatorSettings
    kube: Kube
    metrics: Metrics
    objects: Objects
    queue: Queue
    rules: Rules
    stop: threading.Event
    is_primed: bool = False
    listing_error: str = "nothing was listed yet"

    def put_again(self, key: Key) -> None:
        self.queue.put(key, Priority.AGAIN)

    def put_everything(self) -> None:
        """Have every extraction looked at: the policy is another one."""
        put_all(self.objects.list_keys(), self.put_again)

    def refuse_policy(self, said: str) -> None:
        """Tell of a refused policy by an Event about the operator's pod; the log and a metric tell it too."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.settings.pod_name, "namespace": self.settings.namespace},
        }
        words = ("Warning", Reason.POLICY_REJECTED.value, said, "")
        body = build_event(pod, words, self.settings.pod_name, datetime.now(UTC))
        try:
            self.kube.create(EVENTS, self.settings.namespace, body)
        except DppError as error:
            logs.warning("event_not_written", message=str(error))

    def list_again(self) -> None:
        """List everything; what differs from what is known is looked at."""
        try:
            changed = list_all(self.kube, self.objects, self.settings.namespaces)
        except DppError as error:
            self.listing_error = str(error)
            self.metrics.resyncs.labels("failed").inc()
            logs.warning("list_failed", message=str(error))
            return
        self.metrics.resyncs.labels("done").inc()
        self.metrics.extractions.set(len(self.objects.list_all(KIND_EXTRACTION)))
        keys = changed if self.is_primed else self.objects.list_keys()
        self.is_primed, self.listing_error = True, ""
        put_all(keys, self.put_again)

    def keep_listing(self) -> None:
        """List until it worked once, then again and again as settings say."""
        while not self.stop.wait(
            self.settings.resync_seconds if self.is_primed else FIRST_LIST_WAIT_SECONDS
        ):
            self.list_again()


def main() -> int:
    """Run the operator until a signal ends it."""
    settings = read_settings(os.environ)
    logs.set_up_logging(settings.log_level, settings.log_format)
    metrics = Metrics()
    operator = Operator(
        settings=settings,
        kube=open_kube(settings.request_seconds, build_kill_hook(settings.kill_after_writes)),
        metrics=metrics,
        objects=Objects(),
        queue=Queue(time.monotonic),
        rules=Rules(settings.policy_file, metrics),
        stop=threading.Event(),
    )
    operator.rules.look()
    beats = Heartbeats(_read_index_uri(settings), time.monotonic)
    hands = Hands(operator.kube, operator.objects, metrics, settings.pod_name)
    senses = Senses(
        policy=lambda: operator.rules.current,
        now=lambda: datetime.now(UTC),
        read_heartbeats=beats.read,
    )
    worker = Worker(operator.queue, hands, senses, time.monotonic)
    probes = Probes(
        (settings.http_host, settings.http_port),
        metrics.registry,
        alive=lambda: "" if worker.is_alive() else "a worker has stopped",
        ready=lambda: (
            operator.rules.error if operator.rules.current is None else operator.listing_error
        ),
    )
    probes.open()
    try:
        _run(operator, worker)
    finally:
        operator.stop.set()
        worker.stop(STOP_SECONDS)
        beats.close()
        probes.close()
    return 0


def _run(operator: Operator, worker: Worker) -> None:
    """Start the threads and let kopf watch in this one.

    Without the kinds it waits first, since kopf would not see them come.
    """
    settings = operator.settings
    rules = threading.Thread(
        target=watch_rules,
        args=(
            operator.rules,
            operator.stop.wait,
            settings.policy_look_seconds,
            operator.put_everything,
            operator.refuse_policy,
        ),
        name="rules",
        daemon=True,
    )
    rules.start()
    operator.list_again()
    while not operator.is_primed:
        time.sleep(FIRST_LIST_WAIT_SECONDS)
        operator.list_again()
    worker.start(settings.workers)
    threading.Thread(target=operator.keep_listing, name="lists", daemon=True).start()
    identity: Any = (
        settings.pod_name
    )  # else kopf asks for the account's name, and an image has none
    kopf.run(
        registry=build_registry(Inbox(operator.objects, operator.queue)),
        settings=build_kopf_settings(settings.request_seconds),
        standalone=True,
        identity=identity,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
    )


def build_kill_hook(after_writes: int) -> Callable[[], None]:
    """Build the test seam: the process is killed right after its n-th write; 0 does nothing."""
    left = after_writes

    def hook() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def _read_index_uri(settings: OperatorSettings) -> str:
    if not settings.index_uri_file:
        return settings.index_uri
    try:
        return Path(settings.index_uri_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        logs.warning("index_uri_not_read", file=settings.index_uri_file, message=error.strerror)
        return ""


if __name__ == "__main__":
    sys.exit(main())
