"""From Jobs and pods as JSON to facts: how a try ended, or why it has not begun.

Called by `worker`. Pure. The Job tells that a try is over; how it ended is told by the pod, and a pod that is gone by
what the Job says of it. Init containers are read first: no code of ours ran when the Vault agent failed.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from dpp_core.errors import DppError, SpecError
from dpp_core.names import Reason
from dpp_core.run import ExtractionRun
from dpp_core.status import RunStatus
from dpp_core.termination import parse_termination_message
from dpp_operator import labels
from dpp_operator.reconcile.accept import read_instant
from dpp_operator.reconcile.facts import Ending, Raw, RunFacts, Try
from dpp_operator.reconcile.pods import (
    find_trouble,
    get_container,
    is_live,
    read_agent_failure,
    read_eviction,
)

KILLED: Final = 137
_LOST_CODE: Final = 75
_EXIT_CODE: Final = re.compile(r"exit code (\d+)")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_run(
    raw: Raw, jobs: Sequence[Raw], pods: Sequence[Raw], denials: dict[str, str]
) -> RunFacts:
    """Read a run with its tries. `denials` maps a Job's name to why the API server refused its pod."""
    from dpp_core.documents.loading import check_object

    metadata = raw["metadata"]
    model, findings = check_object(dict(raw))
    run = model if isinstance(model, ExtractionRun) else None
    names = [unit.name for unit in run.spec.units] if run else []
    own = [job for job in jobs if _is_owned_by(job, metadata["uid"])]
    tries = [
        read_try(job, [pod for pod in pods if _is_of_job(pod, job)], names, denials) for job in own
    ]
    owners = metadata.get("ownerReferences") or ()
    return RunFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        created_at=read_instant(metadata.get("creationTimestamp")) or _EPOCH,
        run=run,
        status=read_status(raw),
        tries=tuple(sorted(tries, key=lambda each: each.number)),
        is_ours=(metadata.get("labels") or {}).get(labels.MANAGED_BY) == labels.OPERATOR,
        is_owned=any(owner.get("controller") for owner in owners),
        is_deleted=bool(metadata.get("deletionTimestamp")),
        refusal=f"{findings[0].field}: {findings[0].message} {findings[0].fix}" if findings else "",
    )


def read_status(raw: Raw) -> RunStatus:
    """Read what was written before; a status of another version counts as none."""
    try:
        return RunStatus.model_validate(raw.get("status") or {})
    except ValueError:
        return RunStatus()


def read_try(
    job: Raw, pods: Sequence[Raw], datasets: Sequence[str], denials: dict[str, str]
) -> Try:
    """Read one Job and its pods."""
    metadata = job["metadata"]
    name = metadata["name"]
    pods = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    template = job["spec"]["template"]
    request = (template["metadata"].get("annotations") or {}).get(labels.REQUEST, "")
    pod = pods[-1] if pods else None
    started_at = _read_started_at(pod)
    ending = read_ending(job, pods, datasets or _read_datasets(request))
    earlier = (metadata.get("annotations") or {}).get(labels.EARLIER_CODES, "")
    has_begun = started_at is not None or ending is not None
    return Try(
        number=int((metadata.get("labels") or {}).get(labels.TRY, "1")),
        job_name=name,
        created_at=read_instant(metadata.get("creationTimestamp")) or _EPOCH,
        started_at=started_at,
        ending=ending,
        trouble=None if has_begun else find_trouble(pod, denials.get(name, "")),
        is_deleted=bool(metadata.get("deletionTimestamp")),
        has_live_pod=any(is_live(each) for each in pods),
        earlier_codes=tuple(int(code) for code in earlier.split(",") if code),
        image=next(
            (
                each["image"]
                for each in template["spec"]["containers"]
                if each["name"] == labels.CONTAINER
            ),
            "",
        ),
        request=request.encode(),
    )


def read_ending(job: Raw, pods: Sequence[Raw], datasets: Sequence[str]) -> Ending | None:
    """Say how a Job ended; None while it has not."""
    finished = _find_finished(job)
    if finished is None:
        return None
    at = read_instant(finished.get("lastTransitionTime")) or _EPOCH
    for pod in reversed(pods):
        ending = _read_pod(pod, at, datasets)
        if ending is not None:
            return ending
    return _read_without_pod(finished, at)


def _find_finished(job: Raw) -> Raw | None:
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            found: Raw = condition
            return found
    return None


def _read_pod(pod: Raw, at: datetime, datasets: Sequence[str]) -> Ending | None:
    terminated = (get_container(pod, labels.CONTAINER).get("state") or {}).get("terminated")
    evicted = read_eviction(pod)
    if evicted:
        return Ending(28, Reason.RESOURCES_EXHAUSTED, evicted, at, is_memory=False)
    if terminated is not None:
        return _read_terminated(terminated, at, datasets)
    failure = read_agent_failure(pod)
    if failure is not None:
        code, message = failure
        return Ending(code, Reason.CREDENTIALS_UNAVAILABLE, message, at)
    return None


def _read_terminated(terminated: Raw, at: datetime, datasets: Sequence[str]) -> Ending:
    code, message = int(terminated.get("exitCode", _LOST_CODE)), terminated.get("message", "")
    if terminated.get("reason") == "OOMKilled" or code == KILLED:
        said = "The container was killed; it most likely used more memory than its limit."
        return Ending(28, Reason.RESOURCES_EXHAUSTED, said, at)
    try:
        report = parse_termination_message(message.encode(), datasets)
    except SpecError:
        is_lost = code == 0
        told = message or f"The process ended with exit code {code} and left no report."
        reason = Reason.REPORT_LOST if is_lost else find_reason(code)
        return Ending(code, reason, told, at, is_lost=is_lost)
    failed = [unit for unit in report.units if unit.code == code]
    reason = next((unit.reason for unit in failed if unit.reason), find_reason(code))
    return Ending(code, reason, next((u.message for u in failed), ""), at, report)


def _read_without_pod(finished: Raw, at: datetime) -> Ending:
    """Say what the Job alone tells: its deadline, or the code that its failure policy met."""
    if finished["type"] == "Complete":
        said = "The pod was gone before its report was read."
        return Ending(0, Reason.REPORT_LOST, said, at, is_lost=True)
    if finished.get("reason") == "DeadlineExceeded":
        said = "The Job's time was over."
        return Ending(_LOST_CODE, Reason.DEADLINE_EXCEEDED, said, at)
    match = _EXIT_CODE.search(finished.get("message", ""))
    if match:
        code = int(match[1])
        return Ending(code, find_reason(code), "The pod was gone before its report was read.", at)
    return Ending(_LOST_CODE, Reason.JOB_LOST, "The pod was gone before it ended.", at)


def find_reason(code: int) -> Reason:
    """Find the usual reason of a code."""
    if code == 0:
        return Reason.SUCCEEDED
    return _REASONS.get(code, Reason.INTERNAL)


def _list_errors(kind: type[DppError]) -> list[type[DppError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in _list_errors(below))]


_REASONS: Final = {kind.exit_code: kind.default_reason for kind in reversed(_list_errors(DppError))}


def _read_started_at(pod: Raw | None) -> datetime | None:
    state = get_container(pod, labels.CONTAINER).get("state") or {}
    running = state.get("running") or state.get("terminated") or {}
    return read_instant(running.get("startedAt"))


def _read_datasets(request: str) -> list[str]:
    """Take the datasets' names out of the request: a short report names them by place only."""
    import json

    try:
        return [unit["dataset"] for unit in json.loads(request)["units"]]
    except (ValueError, LookupError, TypeError):
        return []


def _is_owned_by(thing: Raw, uid: str) -> bool:
    owners: Any = thing["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == uid for owner in owners)


def _is_of_job(pod: Raw, job: Raw) -> bool:
    return _is_owned_by(pod, job["metadata"].get("uid", ""))
