"""The platform policy in force: read at the start, read again when its file changes.

Called by `__main__` (a thread looks now and then) and `worker` (reads `current`). A bad file at the start leaves none:
the operator is not ready and names the key. A bad change keeps the last good one, with a metric and a log line.
"""

import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from dpp_core import logs
from dpp_core.documents.loading import load_policy
from dpp_core.errors import PolicyError
from dpp_core.policy import Policy
from dpp_operator.metrics import Metrics


class Rules:
    """The policy file and what was last good of it; safe for many threads."""

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self._path = path
        self._metrics = metrics
        self._lock = threading.Lock()
        self._seen = ""
        self._current: Policy | None = None
        self._error = "the policy has not been read yet"

    @property
    def current(self) -> Policy | None:
        """The policy in force; None before the first good one."""
        with self._lock:
            return self._current

    @property
    def error(self) -> str:
        """What is wrong with the file as it is; empty when it is right."""
        with self._lock:
            return self._error

    def look(self) -> bool:
        """Read the file if its content is new. True when another policy is in force now; looking twice is harmless."""
        digest = self._digest()
        if digest == self._seen:
            return False
        try:
            policy = load_policy(self._path)
        except PolicyError as error:
            self._refuse(digest, str(error))
            return False
        with self._lock:
            is_new = policy != self._current
            self._seen, self._current, self._error = digest, policy, ""
        self._metrics.policy_valid.set(1)
        self._metrics.policy_reloads.labels("accepted").inc()
        logs.info("policy_read", file=str(self._path), cluster=policy.cluster)
        return is_new

    def _refuse(self, digest: str, said: str) -> None:
        with self._lock:
            self._seen, self._error = digest, said
            is_kept = self._current is not None
        self._metrics.policy_valid.set(0)
        self._metrics.policy_reloads.labels("refused").inc()
        logs.error("policy_refused", file=str(self._path), message=said, keeps_last_good=is_kept)

    def _digest(self) -> str:
        try:
            return sha256(self._path.read_bytes()).hexdigest()
        except OSError as error:
            return f"unreadable: {error.strerror}"


def watch_rules(
    rules: Rules,
    wait: Callable[[float], bool],
    every_seconds: float,
    on_change: Callable[[], None],
    on_refusal: Callable[[str], None],
) -> None:
    """Look at the file until `wait` says that it is over."""
    told = rules.error
    while not wait(every_seconds):
        if rules.look():
            on_change()
        if rules.error and rules.error != told:
            on_refusal(rules.error)
        told = rules.error
