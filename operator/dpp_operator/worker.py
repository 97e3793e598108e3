"""The loop: take a key, see what is there, decide, carry out, and look again when the decision says so.

Called by `__main__` (threads) and by tests (`look`). One key at a time is the queue's promise. Errors never lose a key:
it comes again after a wait that grows.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from dpp_core import logs
from dpp_core.errors import DppError
from dpp_core.policy import Policy
from dpp_core.status import ExtractionStatus
from dpp_operator.apply import Hands, carry_out
from dpp_operator.kube.client import EXTRACTIONS, JOBS, PODS, RUNS
from dpp_operator.queue import Key, Priority, Queue
from dpp_operator.reconcile.accept import accept, read_instant
from dpp_operator.reconcile.breaker import find_circuit
from dpp_operator.reconcile.extraction import decide, decide_orphans
from dpp_operator.reconcile.facts import Decision, Heartbeat, Observed
from dpp_operator.reconcile.reading import read_run

Object = dict[str, Any]

LONGEST_LOOK_SECONDS: Final = 3600.0
LONGEST_RETRY_SECONDS: Final = 60.0
LOOK_AGAIN_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Senses:
    """What a look needs besides the objects: the policy in force, the clock, the heartbeats of runs."""

    policy: Callable[[], Policy | None]
    now: Callable[[], datetime]
    read_heartbeats: Callable[[Sequence[str]], Mapping[str, Heartbeat]] = lambda names: {}


def look(key: Key, hands: Hands, senses: Senses) -> float | None:
    """Look at one extraction and do what is to be done. Says after how many seconds to look again, None for never.

    Looking twice is harmless. Raises DppError when the API server does not do what it should.
    """
    policy = senses.policy()
    if policy is None:
        return LOOK_AGAIN_SECONDS
    now = senses.now()
    extraction = hands.objects.get(EXTRACTIONS.name, *key)
    if extraction is None:
        decision = decide_orphans(_observe(key, policy, hands, senses, now), now)
        extraction = _build_absent(key)
    else:
        observed = _observe(key, policy, hands, senses, now, extraction)
        decision = decide(accept(extraction, policy), read_status(extraction), observed, now)
    is_done = carry_out(decision, extraction, policy, hands, now)
    _measure(key, decision, hands)
    if not is_done or not decision.is_empty:
        return SETTLE_SECONDS if is_done else LOOK_AGAIN_SECONDS
    if decision.check_at is None:
        return None
    left = (decision.check_at - senses.now()).total_seconds()
    return min(max(left, 0.0), LONGEST_LOOK_SECONDS)


def _observe(
    key: Key,
    policy: Policy,
    hands: Hands,
    senses: Senses,
    now: datetime,
    extraction: Object | None = None,
) -> Observed:
    objects = hands.objects
    jobs, pods = objects.list_of(JOBS.name, key), objects.list_of(PODS.name, key)
    raw_runs = objects.list_of(RUNS.name, key)
    denials = _find_denials(key, jobs, pods, policy, hands, now)
    runs = tuple(read_run(raw, jobs, pods, denials) for raw in raw_runs)
    under_way = [
        run.name
        for run in runs
        if run.status.outcome is None and run.tries and run.tries[-1].started_at
    ]
    beats = senses.read_heartbeats(under_way) if under_way else {}
    circuits = _find_circuits(extraction, policy, hands) if extraction else ()
    return Observed(policy=policy, runs=runs, circuits=circuits, heartbeats=beats)


def _find_denials(
    key: Key,
    jobs: Sequence[Object],
    pods: Sequence[Object],
    policy: Policy,
    hands: Hands,
    now: datetime,
) -> dict[str, str]:
    """Ask why a Job that is past its start deadline has no pod; the answer is in its events."""
    patience = timedelta(seconds=policy.start_deadline_seconds)
    owners: set[str] = {
        owner.get("uid") for pod in pods for owner in pod["metadata"].get("ownerReferences") or ()
    }
    denials = {}
    for job in jobs:
        made_at = read_instant(job["metadata"].get("creationTimestamp"))
        is_over = any(
            each["status"] == "True" for each in (job.get("status") or {}).get("conditions") or ()
        )
        if job["metadata"].get("uid") in owners or is_over or made_at is None:
            continue
        if now >= made_at + patience:
            name = job["metadata"]["name"]
            denials[name] = hands.kube.find_denial(key[0], name)
    return denials


def _find_circuits(extraction: Object, policy: Policy, hands: Hands) -> tuple[datetime, ...]:
    """Find until when others with the same secret keep it from being used, because the source refused it."""
    others = hands.objects.list_sharing(extraction)
    ended = [each for each in others if (each.get("status") or {}).get("lastRun")]
    circuits = (find_circuit(read_status(each), policy.backoff) for each in ended)
    return tuple(until for until in circuits if until is not None)


def read_status(extraction: Object) -> ExtractionStatus:
    """Read what was written before; a status of another version counts as none."""
    try:
        return ExtractionStatus.model_validate(extraction.get("status") or {})
    except ValueError:
        return ExtractionStatus()


def _build_absent(key: Key) -> Object:
    return {
        "apiVersion": EXTRACTIONS.api_version,
        "kind": EXTRACTIONS.name,
        "metadata": {"namespace": key[0], "name": key[1], "uid": ""},
    }


def _measure(key: Key, decision: Decision, hands: Hands) -> None:
    if decision.status is not None and decision.status.last_success_at is not None:
        gauge = hands.metrics.last_success.labels(*key)
        gauge.set(decision.status.last_success_at.timestamp())


class Worker:
    """Threads that look at what the queue gives them; must be stopped."""

    def __init__(
        self, queue: Queue, hands: Hands, senses: Senses, clock: Callable[[], float]
    ) -> None:
        self._queue = queue
        self._hands = hands
        self._senses = senses
        self._clock = clock
        self._threads: list[threading.Thread] = []
        self._failures: dict[Key, int] = {}
        self._is_stopping = False

    def start(self, threads: int) -> None:
        """Start so many threads."""
        for number in range(threads):
            thread = threading.Thread(target=self._work, name=f"worker-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout_seconds: float) -> None:
        """Let every thread finish what it does; a key that is left is found again by the next process."""
        self._is_stopping = True
        self._queue.close()
        for thread in self._threads:
            thread.join(timeout_seconds)

    def is_alive(self) -> bool:
        """Say whether every thread still works."""
        return all(thread.is_alive() for thread in self._threads)

    def work_once(self, timeout_seconds: float = 0.0) -> bool:
        """Take one key and look at it; False when there was none."""
        key = self._queue.take(timeout_seconds)
        if key is None:
            return False
        began = self._clock()
        try:
            self._look(key)
        finally:
            self._queue.done(key)
            self._hands.metrics.reconcile_seconds.observe(self._clock() - began)
            self._hands.metrics.queue_length.set(len(self._queue))
        return True

    def _work(self) -> None:
        while not self._is_stopping:
            self.work_once(1.0)

    def _look(self, key: Key) -> None:
        counted = self._hands.metrics.reconciles
        try:
            again_seconds = look(key, self._hands, self._senses)
        except DppError as error:
            counted.labels("failed").inc()
            self._fail(key, error, error.retry_after_seconds)
            return
        except Exception as error:  # noqa: BLE001 - the last net: our bug with one key must not stop the others
            counted.labels("crashed").inc()
            self._fail(key, error, 0.0)
            return
        self._failures.pop(key, None)
        counted.labels("done").inc()
        if again_seconds is not None:
            self._queue.put_later(key, again_seconds)
        else:
            self._queue.forget(key)

    def _fail(self, key: Key, error: Exception, asked_seconds: float) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        wait_seconds = max(asked_seconds, min(LONGEST_RETRY_SECONDS, 0.5 * 2 ** min(failures, 8)))
        logs.warning(
            "look_failed",
            exception=None if isinstance(error, DppError) else error,
            namespace=key[0],
            extraction=key[1],
            message=str(error),
            wait_seconds=wait_seconds,
        )
        self._queue.put_later(key, wait_seconds)


PRIORITY_OF_KIND: Final = {EXTRACTIONS.name: Priority.CHANGED, RUNS.name: Priority.CHANGED}
"""What a person changes goes before what happens."""
