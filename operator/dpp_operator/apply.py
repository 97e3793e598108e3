"""Carries a decision out, write by write, in an order in which being killed between any two does no harm.

Called by `worker`. First what starts (run, then Job: each has a name that follows from its cause, so that it is made
once), then what is written down (runs, then the extraction), then what is deleted, then Events. Whatever a killed
operator left undone is decided again from what is there.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dpp_core import logs
from dpp_core.errors import DppError, TemporaryFailure
from dpp_core.policy import Policy
from dpp_core.status import ExtractionStatus, RunStatus
from dpp_operator.kube.client import EVENTS, EXTRACTIONS, JOBS, RUNS, Kind, Kube
from dpp_operator.kube.objects import Objects
from dpp_operator.manifests.event import build_event
from dpp_operator.manifests.job import JobPlan, build_job
from dpp_operator.manifests.run import build_owner, build_run
from dpp_operator.metrics import Metrics
from dpp_operator.reconcile.facts import Decision, Note, Start
from dpp_operator.reconcile.run import find_deadline_seconds

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hands:
    """What a decision is carried out with."""

    kube: Kube
    objects: Objects
    metrics: Metrics
    reporter: str = "dpp-operator"


def carry_out(
    decision: Decision, extraction: Object, policy: Policy, hands: Hands, now: datetime
) -> bool:
    """Carry a decision out. False when what it was decided from was old: look again.

    Raises TemporaryFailure when the API server is away; then it is decided again later.
    """
    namespace = extraction["metadata"]["namespace"]
    if decision.start is not None and not _start(decision.start, extraction, policy, hands, now):
        return False
    for name, status in decision.runs.items():
        _apply_run_status(namespace, name, status, hands)
    if decision.status is not None:
        _apply_status(EXTRACTIONS, extraction, decision.status, hands)
    for name in decision.adopt_runs:
        _adopt(namespace, name, extraction, hands)
    for name in decision.delete_jobs:
        _delete(JOBS, namespace, name, hands)
    for name in decision.delete_runs:
        _delete(RUNS, namespace, name, hands)
    for note in decision.notes:
        _tell(note, extraction, hands, now)
    return True


def _start(start: Start, extraction: Object, policy: Policy, hands: Hands, now: datetime) -> bool:
    """Make the run when it is new, and its Job. False when the world is not as it was decided from."""
    namespace = extraction["metadata"]["namespace"]
    if start.lost_job:
        job = hands.kube.get(JOBS, namespace, start.lost_job)
        if job is not None:
            hands.objects.store({"apiVersion": "batch/v1", "kind": "Job", **job})
            return False
    run = _make_run(start, extraction, hands)
    if run is None or (run.get("status") or {}).get("outcome"):
        return False
    plan = JobPlan(
        run_name=run["metadata"]["name"],
        run_uid=run["metadata"]["uid"],
        number=start.number,
        request=start.request,
        image=start.image,
        size=start.size,
        earlier_codes=start.earlier_codes,
        deadline_seconds=find_deadline_seconds(start.run, now),
    )
    body = build_job(plan, policy)
    if _make(JOBS, namespace, body, run["metadata"]["uid"], hands):
        hands.metrics.runs_started.inc()
        due_at = start.run.spec.scheduled_at
        if due_at is not None and start.number == 1:
            hands.metrics.schedule_delay_seconds.observe((now - due_at).total_seconds())
    return True


def _make_run(start: Start, extraction: Object, hands: Hands) -> Object | None:
    namespace, name = start.run.metadata.namespace, start.run.metadata.name
    if not start.is_new:
        return hands.objects.get(RUNS.name, namespace, name)
    uid = extraction["metadata"]["uid"]
    _make(RUNS, namespace, build_run(start.run, uid), uid, hands)
    return hands.objects.get(RUNS.name, namespace, name)


def _make(kind: Kind, namespace: str, body: Object, owner_uid: str, hands: Hands) -> bool:
    """Create an object, or take the one that is there if it has the same owner. True when it was created."""
    made = hands.kube.create(kind, namespace, body)
    _count("create", kind, hands)
    name = body["metadata"]["name"]
    thing = made or hands.kube.get(kind, namespace, name)
    if thing is None:
        raise TemporaryFailure(f"{kind.name} {namespace}/{name} is there and is not there.")
    owners = thing["metadata"].get("ownerReferences") or ()
    if all(owner.get("uid") != owner_uid for owner in owners):
        raise TemporaryFailure(
            f"{kind.name} {namespace}/{name} belongs to an object that is going away.",
        )
    hands.objects.store({"apiVersion": kind.api_version, "kind": kind.name, **thing})
    return made is not None


def _apply_run_status(namespace: str, name: str, status: RunStatus, hands: Hands) -> None:
    run = hands.objects.get(RUNS.name, namespace, name)
    if run is None:
        return
    _apply_status(RUNS, run, status, hands)
    if status.outcome is not None:
        hands.metrics.runs_ended.labels(status.outcome.value, str(status.exit_code)).inc()


def _apply_status(
    kind: Kind, thing: Object, status: RunStatus | ExtractionStatus, hands: Hands
) -> None:
    """Write a status whole. An object that was deleted or made anew meanwhile is left alone."""
    metadata = thing["metadata"]
    body = {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {name: metadata[name] for name in ("name", "namespace", "uid")},
        "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
    answer = hands.kube.apply_status(kind, body)
    _count("status", kind, hands)
    if answer is not None:
        hands.objects.store({"apiVersion": kind.api_version, "kind": kind.name, **answer})


def _adopt(namespace: str, name: str, extraction: Object, hands: Hands) -> None:
    """Make an extraction the owner of a run that a person made, so that it goes when that goes."""
    run = hands.objects.get(RUNS.name, namespace, name)
    if run is None:
        return
    metadata = extraction["metadata"]
    body = {
        "apiVersion": RUNS.api_version,
        "kind": RUNS.name,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": run["metadata"]["uid"],
            "ownerReferences": [build_owner(metadata["name"], metadata["uid"])],
        },
    }
    answer = hands.kube.apply_owner(RUNS, body)
    _count("adopt", RUNS, hands)
    if answer is not None:
        hands.objects.store({"apiVersion": RUNS.api_version, "kind": RUNS.name, **answer})


def _delete(kind: Kind, namespace: str, name: str, hands: Hands) -> None:
    known = hands.objects.get(kind.name, namespace, name)
    hands.kube.delete(kind, namespace, name, known["metadata"]["uid"] if known else "")
    _count("delete", kind, hands)
    if known is not None:
        hands.objects.drop(known)


def _tell(note: Note, extraction: Object, hands: Hands, now: datetime) -> None:
    """Say it as an Event; its name follows from what it says, so it is said once. Nothing depends on it."""
    namespace = extraction["metadata"]["namespace"]
    about = hands.objects.get(RUNS.name, namespace, note.about_run) if note.about_run else None
    body = build_event(
        about or extraction,
        (note.kind, note.reason.value, note.message, note.key),
        hands.reporter,
        now,
    )
    try:
        is_new = hands.kube.create(EVENTS, namespace, body) is not None
    except DppError as error:
        logs.warning("event_not_written", reason=note.reason.value, message=str(error))
        return
    if is_new:
        log = logs.info if note.kind == "Normal" else logs.warning
        log(
            "told",
            namespace=namespace,
            extraction=extraction["metadata"]["name"],
            run_id=note.about_run or None,
            reason=note.reason.value,
            message=note.message,
        )


def _count(verb: str, kind: Kind, hands: Hands) -> None:
    hands.metrics.writes.labels(verb, kind.name).inc()
