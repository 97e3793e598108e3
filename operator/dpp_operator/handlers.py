"""What kopf hands us: every change of the four kinds, which is kept in memory and becomes a key on the queue.

Called by kopf, set up by `__main__`. Only raw events are used: no annotations, no finalizers, no state of kopf's own,
so an operator that was away misses nothing that a list does not show. Nothing is decided here, and nothing waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import kopf

from dpp_operator import labels
from dpp_operator.kube.client import EXTRACTIONS, JOBS, PODS, RUNS, Kind
from dpp_operator.kube.objects import Objects, find_key
from dpp_operator.queue import Priority, Queue
from dpp_operator.worker import PRIORITY_OF_KIND


@dataclass(frozen=True, slots=True)
class Inbox:
    """Where events go."""

    objects: Objects
    queue: Queue


def take_event(inbox: Inbox, kind: Kind, event: Mapping[str, Any]) -> None:
    """Keep what changed and put its extraction on the queue. An old state, or one we wrote ourselves, is no news."""
    thing = {"apiVersion": kind.api_version, "kind": kind.name, **event["object"]}
    key = find_key(thing)
    if event["type"] == "DELETED":
        inbox.objects.drop(thing)
    elif not inbox.objects.store(thing):
        return
    if key is not None:
        inbox.queue.put(key, PRIORITY_OF_KIND.get(kind.name, Priority.HAPPENED))


def build_registry(inbox: Inbox) -> kopf.OperatorRegistry:
    """Register one raw-event handler for each kind; Jobs and pods only with our label."""
    registry = kopf.OperatorRegistry()
    ours = {labels.MANAGED_BY: labels.OPERATOR}
    kopf.on.login(registry=registry, id="login")(_log_in)
    for kind in (EXTRACTIONS, RUNS, JOBS, PODS):
        group, _, version = kind.api_version.rpartition("/")
        kopf.on.event(
            group,
            version,
            kind.plural,
            labels=ours if kind.selector else None,
            registry=registry,
            id=kind.plural,
        )(_build_handler(inbox, kind))
    return registry


def _log_in(**facts: Any) -> Any:
    """Log in as `kube.client` does: as the pod's service account, else as the kubeconfig says."""
    return kopf.login_with_service_account(**facts) or kopf.login_with_kubeconfig(**facts)


def _build_handler(inbox: Inbox, kind: Kind) -> Any:
    async def handle(event: Mapping[str, Any], **_: Any) -> None:
        take_event(inbox, kind, event)

    return handle


def build_kopf_settings(request_seconds: float) -> kopf.OperatorSettings:
    """Configure kopf to watch and nothing else: no peering, no events, no scanning for kinds, a watch that is quiet for
    70 seconds is begun anew."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.inactivity_timeout = 70
    settings.watching.server_timeout = 600
    settings.watching.connect_timeout = 5
    settings.networking.request_timeout = request_seconds
    settings.networking.connect_timeout = 5
    settings.queueing.worker_limit = 64
    settings.persistence.consistency_timeout = 0
    settings.execution.max_workers = 2
    return settings
