"""May this extraction run at all? The same findings as `dpp validate`, and what only a cluster must refuse.

Called by `worker` with the object as the API server holds it. Pure.
"""

from datetime import UTC, datetime
from typing import Any

from dpp_core.documents.findings import Finding
from dpp_core.documents.loading import check_object
from dpp_core.errors import DppError
from dpp_core.names import Reason
from dpp_core.policy import Policy, find_destination
from dpp_core.rollout import active_image
from dpp_core.spec.extraction import Extraction
from dpp_operator.reconcile.facts import Accepted, Raw

_TENANCY = ("metadata.namespace", "spec.distributor", "spec.credentials.path")


def accept(raw: Raw, policy: Policy) -> Accepted:
    """Read an object and say what is wrong with it, if anything; `refusal` begins with the field's path."""
    metadata = raw["metadata"]
    extraction, reason, refusal = _read(raw, policy)
    return Accepted(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 0),
        created_at=read_instant(metadata.get("creationTimestamp")) or _LONG_AGO,
        is_deleted=bool(metadata.get("deletionTimestamp")),
        extraction=extraction,
        reason=reason,
        refusal=refusal,
    )


def _read(raw: Raw, policy: Policy) -> tuple[Extraction | None, Reason, str]:
    try:
        model, findings = check_object(dict(raw), policy)
    except DppError as error:
        return None, error.reason, f"{error.field}: {error}"
    extraction = model if isinstance(model, Extraction) else None
    return extraction, *_refuse(extraction, findings, policy)


_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def read_instant(text: Any) -> datetime | None:
    """Read an instant as the API server writes it."""
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None


def _refuse(
    extraction: Extraction | None, findings: tuple[Finding, ...], policy: Policy
) -> tuple[Reason, str]:
    if findings:
        first = findings[0]
        more = f" ({len(findings) - 1} more)" if len(findings) > 1 else ""
        is_tenancy = extraction is not None and _is_of_the_policy(first)
        reason = Reason.TENANCY_DENIED if is_tenancy else Reason.INVALID_SPEC
        return reason, f"{first.field}: {first.message} {first.fix}{more}".strip()
    if extraction is None:
        return Reason.INVALID_SPEC, "the object cannot be read."
    if not active_image(policy, None):
        return Reason.INVALID_POLICY, "images.default: the policy names no image to run."
    place = find_destination(policy, extraction.spec.destination.profile)
    if place is not None and place.folder is not None:
        return (
            Reason.INVALID_POLICY,
            f"destinations.{extraction.spec.destination.profile}: a folder is no destination in a cluster.",
        )
    return Reason.ACCEPTED, ""


def _is_of_the_policy(finding: Finding) -> bool:
    return finding.field.startswith((*_TENANCY, "spec.source.", "spec.destination.profile"))
