"""A pod's own signs: which container says what, and why nothing has started.

Called by `reading`. Pure. The words are Kubernetes' own (waiting reasons, conditions); what they become is ours.
"""

import re
from typing import Any, Final

from dpp_core.names import Reason
from dpp_operator import labels
from dpp_operator.reconcile.facts import Raw, Trouble

_IMAGE: Final = re.compile(r"Err.*Image|ImagePull|InvalidImageName|RegistryUnavailable")
_AWAY: Final = re.compile(
    r"connection refused|no such host|i/o timeout|deadline exceeded|sealed|Code: 5\d\d|connection reset|\bEOF\b",
    re.IGNORECASE,
)
_DENIED: Final = re.compile(r"Code: 4\d\d")
CREDENTIALS_CODE: Final = 21
VAULT_CODE: Final = 30


def get_container(pod: Raw | None, name: str) -> dict[str, Any]:
    """Find a container's status in a pod, init containers included; empty when there is none."""
    status = (pod or {}).get("status") or {}
    for group in ("initContainerStatuses", "containerStatuses"):
        for each in status.get(group) or ():
            if each["name"] == name:
                found: dict[str, Any] = each
                return found
    return {}


def is_live(pod: Raw) -> bool:
    """Say whether a pod may still be doing something."""
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def read_agent_failure(pod: Raw) -> tuple[int, str] | None:
    """Say why the Vault agent ended without the secrets: a code that stands for it, and its last words."""
    terminated = (get_container(pod, labels.AGENT).get("state") or {}).get("terminated")
    if not terminated or terminated.get("exitCode", 0) == 0:
        return None
    said = terminated.get("message") or "it left no message"
    is_away = bool(_AWAY.search(said)) and not _DENIED.search(said)
    message = f"{labels.AGENT} could not deliver the secrets: {_last_error(said)}"
    return (VAULT_CODE if is_away else CREDENTIALS_CODE), message


def _last_error(text: str) -> str:
    """Pick the lines that tell most from the agent's log: the last ones with a code or an error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "Code:" in line or "* " in line or "error" in line.lower()]
    return " ".join(telling[-2:] or lines[-1:] or ["no message"])[-400:]


def read_eviction(pod: Raw) -> str:
    """Say why the kubelet threw a pod out for what it used itself; empty when it did not."""
    status = pod.get("status") or {}
    if status.get("reason") != "Evicted" or _is_disrupted(pod):
        return ""
    return f"The pod was evicted: {status.get('message', 'it used too much')}"


def _is_disrupted(pod: Raw) -> bool:
    return any(
        each["type"] == "DisruptionTarget" and each["status"] == "True"
        for each in (pod.get("status") or {}).get("conditions") or ()
    )


def find_trouble(pod: Raw | None, denial: str) -> Trouble:
    """Say what keeps a pod from starting, as far as it can be seen; `denial` is the API server's own word."""
    if pod is None:
        if denial:
            return Trouble(Reason.ADMISSION_DENIED, denial)
        return Trouble(Reason.ADMISSION_DENIED, "no pod was made; see the events of the Job")
    waiting = _find_waiting(pod)
    if waiting and _IMAGE.search(waiting.get("reason", "")):
        return Trouble(
            Reason.IMAGE_UNAVAILABLE, waiting.get("message") or str(waiting.get("reason"))
        )
    unscheduled = _find_unscheduled(pod)
    if unscheduled:
        return Trouble(Reason.UNSCHEDULABLE, unscheduled)
    agent = get_container(pod, labels.AGENT)
    if agent and not (agent.get("state") or {}).get("terminated"):
        return Trouble(
            Reason.CREDENTIALS_UNAVAILABLE, f"{labels.AGENT} has not delivered the secrets yet"
        )
    failure = read_agent_failure(pod)
    if failure is not None:
        return Trouble(Reason.CREDENTIALS_UNAVAILABLE, failure[1])
    said = (waiting or {}).get("message") or (waiting or {}).get("reason") or "it has not started"
    return Trouble(Reason.POD_NOT_STARTED, str(said))


def _find_waiting(pod: Raw) -> dict[str, Any] | None:
    for name in (labels.AGENT, labels.CONTAINER):
        waiting: dict[str, Any] | None = (get_container(pod, name).get("state") or {}).get(
            "waiting"
        )
        if waiting and waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            return waiting
    return None


def _find_unscheduled(pod: Raw) -> str:
    for each in (pod.get("status") or {}).get("conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "False":
            return str(each.get("message") or each.get("reason") or "no node takes it")
    return ""
