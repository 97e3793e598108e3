"""A small world around the operator: its memory and queue, a clock that only tests move, and Jobs that end as told.

The Job controller and the kubelet of this world do what the real ones were seen to do, no more: a pod for each Job, a
status when it ends. Each test says how the tries of its runs end.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from dpp_core.handover import RunReport, RunRequest, UnitReport, parse_request
from dpp_core.names import Reason, RunOutcome, UnitOutcome
from dpp_core.policy import Policy
from dpp_core.termination import build_termination_message
from dpp_operator import labels
from dpp_operator.apply import Hands
from dpp_operator.handlers import Inbox, take_event
from dpp_operator.kube.client import EVENTS, EXTRACTIONS, JOBS, PODS, RUNS
from dpp_operator.kube.objects import Objects
from dpp_operator.kube.watch import list_all
from dpp_operator.metrics import Metrics
from dpp_operator.queue import Priority, Queue
from dpp_operator.worker import Senses, Worker
from fake_kube import FakeKube

Object = dict[str, Any]
START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
IMAGE = "registry.example/dpp-extractor@sha256:" + "0" * 64
KEY = ("acme", "acme")


def build_policy(**changes: Any) -> Policy:
    """Build a policy that allows the sample, with short waits."""
    fields = {
        "cluster": "test",
        "tenants": [
            {
                "namespaces": ["acme"],
                "distributors": ["acme"],
                "vaultRole": "dpp-acme",
                "pathPrefix": "distributors/acme",
                "hosts": ["erp.acme.example"],
            }
        ],
        "images": {"default": IMAGE, "allowed": [IMAGE]},
        "destinations": {"lake": {"bucket": "acme-lake", "region": "eu-central-1"}},
        "vault": {"address": "https://vault.example:8200"},
        "startDeadlineSeconds": 20,
        "backoff": {"baseSeconds": 1, "mostSeconds": 60},
        **changes,
    }
    return Policy.model_validate(fields, by_alias=True, by_name=False)


def build_extraction(**changes: Any) -> Object:
    """Build the sample extraction; `changes` replace fields of its spec, None removes one."""
    spec = {
        "distributor": "acme",
        "source": {
            "erp": "generic-sql",
            "database": {"engine": "postgresql", "host": "erp.acme.example", "database": "erp"},
        },
        "credentials": {"path": "distributors/acme/erp"},
        "datasets": [
            {"name": "orders", "key": ["id"], "incremental": {"cursor": "updated_at"}},
            {"name": "customers", "key": ["id"]},
        ],
        "destination": {"profile": "lake"},
        "schedule": {"cron": ["0 2 * * *"], "timeZone": "UTC"},
        **changes,
    }
    return {
        "apiVersion": EXTRACTIONS.api_version,
        "kind": EXTRACTIONS.name,
        "metadata": {"name": "acme", "namespace": "acme"},
        "spec": {name: value for name, value in spec.items() if value is not None},
    }


@dataclass(slots=True)
class World:
    """The operator and what is around it. `step` lets it work until nothing is left to do at this instant."""

    now: datetime = START
    policy: Policy = field(default_factory=build_policy)
    has_kubelet: bool = False
    """Give every Job a running pod by itself."""
    beats: dict[str, Any] = field(default_factory=dict)
    kube: FakeKube = field(init=False)
    objects: Objects = field(init=False)
    queue: Queue = field(init=False)
    worker: Worker = field(init=False)
    pods: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.kube = FakeKube(lambda: self.now)
        self.boot()

    def boot(self) -> None:
        """Start a fresh operator on the same cluster, as after a kill: it knows nothing but what it lists."""
        self.kube.events.clear()
        self.objects, self.queue = Objects(), Queue(lambda: self.now.timestamp())
        hands = Hands(self.kube, self.objects, Metrics(), "test-operator")
        senses = Senses(lambda: self.policy, lambda: self.now, lambda names: self.beats)
        self.worker = Worker(self.queue, hands, senses, lambda: self.now.timestamp())
        for key in sorted(list_all(self.kube, self.objects)):
            self.queue.put(key, Priority.AGAIN)

    def boot_queue(self) -> None:
        """Have everything known looked at again."""
        for key in sorted(self.objects.list_keys()):
            self.queue.put(key, Priority.AGAIN)

    def apply(self, extraction: Object | None = None, **changes: Any) -> Object:
        """Apply the extraction as a person does."""
        return self.kube.put(EXTRACTIONS, extraction or build_extraction(**changes))

    def step(self) -> None:
        """Deliver what happened and let the operator work until it waits."""
        for _ in range(200):
            self.deliver()
            if not self.worker.work_once() and not self.kube.events:
                if self.has_kubelet and self._start_pods():
                    continue
                due = self.queue.find_next_due()
                if due is None or due > self.now.timestamp() + 0.2:
                    return
                self.now = max(self.now, datetime.fromtimestamp(due, UTC))
        raise AssertionError(f"the operator never rests: {self.kube.writes[-6:]}")

    def _start_pods(self) -> bool:
        missing = [job for job in self.kube.find(JOBS) if not self._find_pod(job)]
        for job in missing:
            self.start_pod(job["metadata"]["name"])
        return bool(missing)

    def find_pod(self, job: Object) -> Object:
        """Find a Job's pod."""
        pod = self._find_pod(job)
        assert pod is not None
        return pod

    def _find_pod(self, job: Object) -> Object | None:
        uid = job["metadata"]["uid"]
        pods = self.kube.find(PODS)
        return next(
            (pod for pod in pods if pod["metadata"]["ownerReferences"][0]["uid"] == uid), None
        )

    def deliver(self) -> None:
        """Hand every event to the operator, in order."""
        inbox = Inbox(self.objects, self.queue)
        while self.kube.events:
            kind_of_event, kind, thing = self.kube.events.pop(0)
            if kind is not EVENTS:
                take_event(inbox, kind, {"type": kind_of_event, "object": thing})

    def wait(self, until: Callable[[], bool] | None = None, **delta: float) -> None:
        """Let time pass, the operator working at each instant it asked for."""
        end = self.now + timedelta(**delta)
        self.step()
        while self.now < end and not (until and until()):
            due = self.queue.find_next_due()
            self.now = min(end, max(self.now, datetime.fromtimestamp(due, UTC))) if due else end
            self.step()

    # --- what Kubernetes does -----------------------------------------------------------------

    def start_pod(self, job: str = "", **status: Any) -> Object:
        """Give a Job its pod, running unless said otherwise."""
        found = self.find_job(job)
        state = {"running": {"startedAt": self.stamp()}}
        pod = {
            "metadata": {
                "name": f"{found['metadata']['name']}-{next(self.pods):05d}",
                "namespace": found["metadata"]["namespace"],
                "labels": found["spec"]["template"]["metadata"]["labels"],
                "ownerReferences": [{"uid": found["metadata"]["uid"], "controller": True}],
            },
            "status": {
                "phase": "Running",
                "containerStatuses": [{"name": labels.CONTAINER, "state": state}],
                **status,
            },
        }
        return self.kube.put(PODS, pod)

    def end_job(
        self,
        code: int = 0,
        message: str | None = None,
        pod: Object | None = None,
        job: str = "",
        **terminated: Any,
    ) -> None:
        """End a Job's pod with a code and its message (a good report when none is given), and then the Job."""
        found = self.find_job(job)
        pod = pod or self._find_pod(found) or self.start_pod(found["metadata"]["name"])
        if message is None:
            message = build_report(self.read_request(found), code, self.now)
        state = {
            "terminated": {
                "exitCode": code,
                "startedAt": self.stamp(),
                "finishedAt": self.stamp(),
                "message": message,
                **terminated,
            }
        }
        pod["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
        pod["status"]["containerStatuses"] = [{"name": labels.CONTAINER, "state": state}]
        self.kube.put(PODS, pod)
        self.finish_job(found, "Complete" if code == 0 else "Failed")

    def finish_job(self, job: Object, kind: str, reason: str = "", message: str = "") -> None:
        """Set the Job's last condition."""
        condition = {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": self.stamp(),
        }
        self.kube.put(JOBS, {**job, "status": {"conditions": [condition]}})

    def find_job(self, name: str = "") -> Object:
        """Find a Job; without a name the one that has not ended."""
        jobs = self.kube.find(JOBS)
        open_jobs = [job for job in jobs if not (job.get("status") or {}).get("conditions")]
        chosen = [job for job in jobs if job["metadata"]["name"] == name] if name else open_jobs
        assert chosen, f"no Job {name} among {[job['metadata']['name'] for job in jobs]}"
        return chosen[-1]

    def read_request(self, job: Object) -> RunRequest:
        """Read what a Job was handed."""
        text = job["spec"]["template"]["metadata"]["annotations"][labels.REQUEST]
        return parse_request(text.encode())

    def stamp(self) -> str:
        return self.now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    # --- what a person sees -------------------------------------------------------------------

    @property
    def status(self) -> Object:
        return dict(self.kube.find(EXTRACTIONS)[0].get("status") or {})

    def condition(self, kind: str) -> Object:
        """Give a condition of the extraction."""
        return next(each for each in self.status["conditions"] if each["type"] == kind)

    @property
    def runs(self) -> list[Object]:
        return sorted(
            self.kube.find(RUNS), key=lambda run: int(run["metadata"]["uid"].removeprefix("uid-"))
        )

    @property
    def jobs(self) -> list[str]:
        return [job["metadata"]["name"] for job in self.kube.find(JOBS)]

    @property
    def event_reasons(self) -> list[str]:
        return [event["reason"] for event in self.kube.find(EVENTS)]


def build_report(
    request: RunRequest,
    code: int,
    now: datetime,
    failing: tuple[str, ...] = (),
    *,
    first_seq: int = 1,
) -> str:
    """Build the message a real extractor leaves: all good, or all (or the named) units failed with a code."""
    units = []
    for number, unit in enumerate(request.units, 1):
        is_bad = code != 0 and (not failing or unit.dataset in failing)
        units.append(
            UnitReport(
                dataset=unit.dataset,
                outcome=UnitOutcome.FAILED if is_bad else UnitOutcome.COMMITTED,
                seq=None if is_bad else first_seq + number - 1,
                rows=0 if is_bad else 10 * number,
                deleted=3 if unit.deletes and not is_bad else 0,
                high="" if is_bad or not unit.incremental else "2026-03-01T00:00:00+00:00",
                code=code if is_bad else 0,
                reason=Reason.SOURCE_UNREACHABLE if is_bad and code == 23 else None,
                message=f"It failed with {code}." if is_bad else "",
            )
        )
    good = [unit for unit in units if unit.code == 0]
    outcome = (
        RunOutcome.SUCCEEDED if code == 0 else RunOutcome.PARTIAL if good else RunOutcome.FAILED
    )
    report = RunReport(
        run_id=request.run_id,
        attempt_id="a",
        outcome=outcome,
        exit_code=code,
        started_at=now,
        ended_at=now,
        units=tuple(units),
    )
    return build_termination_message(report, [unit.dataset for unit in request.units]).decode()


def dump(thing: Any) -> str:
    """Show an object in a failing test."""
    return yaml.safe_dump(thing, sort_keys=False)
