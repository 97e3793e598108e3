"""One failure on a real cluster, from its cause to what a person is told: several at a time, one operator for all.

Used by tests/cluster/test_failures_*.py. A story is a function of a `Trial`; `open_trials` gives each a tenant and
runs them side by side, and a test asks for the end of one. What was told, and after how long, is kept for a table.
"""

import contextlib
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from cluster.kubectl import wait_for
from cluster.operator_process import OperatorProcess, install_account, start_operator
from cluster.stage import Stage
from servers.s3 import S3Server

DX = "distributorextractions"
RUNS = "extractionruns"
GROUPS = {
    DX: "apis/extraction.dpp.dev/v1alpha1",
    RUNS: "apis/extraction.dpp.dev/v1alpha1",
    "jobs": "apis/batch/v1",
    "pods": "api/v1",
    "events": "api/v1",
}
TOLD_WITHIN_SECONDS = 130
IS_LONG = os.environ.get("DPP_E2E_LONG") == "1"
"""Deadlines, back-off and tries as an installation has them by default (`make e2e-long`), not the tests' short ones."""
PATIENCE_SECONDS = 1500 if IS_LONG else 300
"""How long an end is waited for, of which nobody says when it comes."""
STORY_SECONDS = 3600 if IS_LONG else 600
LOOK_EVERY_SECONDS = 0.5
AT_ONCE = 8
SIZES = {
    "Small": {"cpu": "200m", "memory": "512Mi", "mostMemory": "1Gi", "disk": "2Gi"},
    "Medium": {"cpu": "200m", "memory": "24Mi", "mostMemory": "48Mi", "disk": "2Gi"},
    "Large": {"cpu": "200m", "memory": "256Mi", "mostMemory": "512Mi", "disk": "16Mi"},
}
"""Small is enough, Medium has too little memory, Large too little disk."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a person was told of one failure."""

    scenario: str
    condition: str
    reason: str
    event: str
    code: str
    seconds: float


@dataclass(slots=True)
class Trial:
    """One story's tenant. `began` is when its cause was set."""

    name: str
    stage: Stage
    told: list[Told]
    began: float = field(default_factory=time.monotonic)
    spec: dict[str, Any] = field(default_factory=dict)
    tls: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        certificate = self.stage.cluster.plane.authority.pair.certificate
        self.tls = ssl.create_default_context(cafile=str(certificate))

    @property
    def tenant(self) -> str:
        return self.stage.tenant

    def cause(self) -> None:
        """Count the seconds from here."""
        self.began = time.monotonic()

    def apply(self, **spec: Any) -> None:
        """Commit the resource with these fields; fields that are given once stay."""
        self.spec |= spec
        thing = self.stage.build_extraction()
        thing["spec"]["destination"] = {"profile": name_profile(self.tenant)}
        thing["spec"]["run"] = {} if IS_LONG else {"attempts": 2}
        thing["spec"] |= self.spec
        self.stage.cluster.kubectl.apply(thing)

    def list(self, kind: str) -> list[dict[str, Any]]:
        """List the tenant's objects, by HTTP: a process of kubectl for each look would cost too much."""
        plane = self.stage.cluster.plane
        answer = httpx.get(
            f"{plane.url}/{GROUPS[kind]}/namespaces/{self.tenant}/{kind}",
            headers={"Authorization": f"Bearer {plane.token}"},
            verify=self.tls,
            timeout=30,
        )
        answer.raise_for_status()
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def read_status(self, name: str = "") -> dict[str, Any]:
        """Give the status of the tenant's extraction, or of another one; empty when there is none."""
        wanted = name or self.tenant
        found = [each for each in self.list(DX) if each["metadata"]["name"] == wanted]
        status: dict[str, Any] = found[0].get("status", {}) if found else {}
        return status

    def read_condition(self, kind: str, name: str = "") -> dict[str, Any]:
        conditions = self.read_status(name).get("conditions", ())
        return next((each for each in conditions if each["type"] == kind), {})

    def wait(self, look: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
        return wait_for(look, f"{self.name}: {what}", seconds, LOOK_EVERY_SECONDS)

    def wait_condition(
        self, kind: str, status: str, reason: str = "", seconds: float = TOLD_WITHIN_SECONDS
    ) -> dict[str, Any]:
        """Wait until a condition has this status and reason, and give it."""

        def look() -> Any:
            found = self.read_condition(kind)
            is_it = found.get("status") == status and (not reason or found.get("reason") == reason)
            return found if is_it else None

        found: dict[str, Any] = self.wait(look, f"{kind}={status} {reason}", seconds)
        return found

    def expect(
        self, kind: str, status: str, reason: str, event: str, code: int | str = ""
    ) -> dict[str, Any]:
        """Wait for condition and Event, and for the code in a run's status; keep how long it took."""
        found = self.wait_condition(kind, status, reason)
        self.keep(f"{kind}={status}", reason, event, code)
        return found

    def expect_end(self, kind: str, status: str, reason: str, event: str, code: int) -> None:
        """Wait for what the last try ends with; it was told in time before, and back-off lies between."""
        self.wait_condition(kind, status, reason, PATIENCE_SECONDS)
        self._assert_told(event, code)  # both are written with the end, or before it

    def keep(self, condition: str, reason: str, event: str, code: int | str = "") -> None:
        """Keep what was told just now, in time; its Event and code must be there too."""
        seconds = time.monotonic() - self.began
        assert seconds <= TOLD_WITHIN_SECONDS, f"told after {seconds:.0f} s"
        self._assert_told(event, code)
        self.told.append(Told(self.name, condition, reason, event, str(code), seconds))

    def _assert_told(self, event: str, code: int | str) -> None:
        self.wait(lambda: event in self.list_events(), f"the event {event}", 10)
        if isinstance(code, int):
            self.wait(lambda: code in self.list_codes(), f"the exit code {code}", 10)

    def expect_retry(self, reason: str, code: int) -> None:
        """Wait until a run's status and an Event tell that a try ended with this reason and code and is made again."""

        def look() -> bool:
            runs = [run.get("status", {}) for run in self.list(RUNS)]
            return any(_is_retried(run, reason, code) for run in runs)

        self.wait(look, f"another try after {reason} and {code}", TOLD_WITHIN_SECONDS)
        self.keep("xrun Reconciling=True", reason, "RunRetried", code)
        told = [each["message"] for each in self.list("events") if each["reason"] == "RunRetried"]
        assert any(f"ended with {code}," in message for message in told), told

    def cause_when_ended(self, how: str) -> None:
        """Wait until a pod's extractor ended in this way, and count the seconds from here."""
        self.wait(lambda: how in self.list_ends(), f"a container that ended by {how}")
        self.cause()

    def list_ends(self) -> set[str]:
        """List how the extractors of the tenant's pods ended: the node's reasons and codes."""
        states = [
            each.get("state", {}).get("terminated") or {}
            for pod in self.list("pods")
            for each in pod["status"].get("containerStatuses", ())
        ]
        return {str(state.get(name)) for state in states for name in ("reason", "exitCode")}

    def list_events(self) -> set[str]:
        return {each["reason"] for each in self.list("events")}

    def list_codes(self) -> set[int]:
        return {each.get("status", {}).get("exitCode") for each in self.list(RUNS)}

    def wait_running(self) -> dict[str, Any]:
        """Wait until a pod's extractor runs, and give the pod."""
        found: dict[str, Any] = self.wait(
            lambda: next((pod for pod in self.list("pods") if _is_running(pod)), None), "a pod", 60
        )
        return found

    def ask_again(self, text: str, **spec: Any) -> None:
        """Ask for a run by hand and wait until it came through."""
        self.apply(trigger={"manual": text}, **spec)

        def look() -> bool:
            status = self.read_status()
            return status.get("lastManualTrigger") == text and "activeRun" not in status

        self.wait(look, f"the end of the run {text!r}")
        self.assert_equal()

    def wait_success(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for a good end, and hold the tables against the source."""
        self.wait_condition("LastRunSucceeded", "True", seconds=seconds)
        self.assert_equal()

    def assert_equal(self) -> None:
        """Every row of the source is in its table, once."""
        for dataset, columns in (
            ("customers", "id, name"),
            ("orders", "id, customer_id, total, updated_at"),
        ):
            source = self.stage.database.execute(f"SELECT {columns} FROM {dataset}")
            table = self.stage.read_table(dataset)
            rows = [tuple(row[name] for name in columns.split(", ")) for row in table]
            assert sorted(rows) == sorted(source), f"{self.name}: {dataset}"


def _is_running(pod: Mapping[str, Any]) -> bool:
    states = [each.get("state", {}) for each in pod["status"].get("containerStatuses", ())]
    return (
        any("running" in state for state in states) and "deletionTimestamp" not in pod["metadata"]
    )


def _is_retried(status: Mapping[str, Any], reason: str, code: int) -> bool:
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    told = (conditions.get("Reconciling"), status.get("reason"), status.get("exitCode"))
    return told == ("True", reason, code)


Story = Callable[[Trial], None]


@contextlib.contextmanager
def open_trials(
    stories: Mapping[str, Story], make_stage: Callable[[], Stage], image: str, told: list[Told]
) -> Iterator[dict[str, Future[None]]]:
    """Make a tenant for each story, start one operator for all, and run them side by side."""
    pool = ThreadPoolExecutor(AT_ONCE)
    stages = dict(zip(stories, pool.map(lambda _: make_stage(), stories), strict=True))
    operator = start_for(list(stages.values()), image)
    try:
        yield {
            name: pool.submit(_tell, story, Trial(name, stages[name], told))
            for name, story in stories.items()
        }
    finally:
        pool.shutdown(cancel_futures=True)
        print(operator.read_log()[-4000:])
        operator.server.remove()


def _tell(story: Story, trial: Trial) -> None:
    trial.cause()
    story(trial)


def start_for(stages: Sequence[Stage], image: str) -> OperatorProcess:
    """Start one operator that serves these tenants, each with its own destination."""
    policies = [stage.build_policy(image) for stage in stages]
    policy = {
        **policies[0],
        "tenants": [tenant for each in policies for tenant in each["tenants"]],
        "destinations": {
            name_profile(stage.tenant): each["destinations"]["lake"]
            for stage, each in zip(stages, policies, strict=True)
        },
        "defaults": {"sizes": SIZES},
        "backoff": {"baseSeconds": 1, "mostSeconds": 120},
    }
    if IS_LONG:
        del policy["startDeadlineSeconds"], policy["backoff"]
    namespaces = ",".join(stage.tenant for stage in stages)
    kubeconfig = install_account(stages[0].cluster.plane)
    return start_operator(kubeconfig, policy, DPP_NAMESPACES=namespaces)


def name_profile(tenant: str) -> str:
    """Name the destination that is a tenant's own."""
    return f"lake-of-{tenant}"


def list_keys(store: S3Server, bucket: str, part: str) -> list[str]:
    """List a bucket's keys that hold some text."""
    pages = store.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
    return [key for key in keys if part in key]


def format_told(told: list[Told]) -> list[str]:
    """Give the table of what was told, for the end of a test run."""
    lines = [f"{'scenario':34} {'told as':46} {'event':22} {'code':>5} {'seconds':>7}"]
    for each in told:
        what = f"{each.condition} {each.reason}"
        lines.append(
            f"{each.scenario:34} {what:46} {each.event:22} {each.code:>5} {each.seconds:7.1f}"
        )
    return lines


def list_asked(items: Sequence[Any]) -> set[str]:
    """List the stories that the tests of a session ask for."""
    specs = [getattr(item, "callspec", None) for item in items]
    return {str(spec.params["story"]) for spec in specs if spec and "story" in spec.params}
