"""An Event about an object. Pure; called by `apply`. Its name follows from what it says, so it is said once."""

import hashlib
from datetime import UTC, datetime
from typing import Any, Final

LONGEST_MESSAGE: Final = 1024


def build_event(
    about: dict[str, Any], said: tuple[str, str, str, str], reporter: str, now: datetime
) -> dict[str, Any]:
    """Build the Event. `said` is (type, reason, message, key); the key tells two of one reason apart."""
    kind, reason, message, key = said
    metadata = about["metadata"]
    words = "\0".join((metadata.get("uid", ""), reason, key or message))
    at = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{hashlib.sha256(words.encode()).hexdigest()[:16]}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata.get("uid", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "type": kind,
        "reason": reason,
        "message": message[:LONGEST_MESSAGE],
        "source": {"component": "dpp-operator"},
        "reportingComponent": "dpp-operator",
        "reportingInstance": reporter,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
