"""The ExtractionRun that the operator makes, as an object for the API server. Pure; called by `apply`."""

from typing import Any

from dpp_core.names import API_VERSION, KIND_EXTRACTION
from dpp_core.run import ExtractionRun
from dpp_operator import labels

Object = dict[str, Any]


def build_run(run: ExtractionRun, owner_uid: str) -> Object:
    """Build the object of a run, owned by its extraction, so that it goes when that goes."""
    fields = run.model_dump(mode="json", by_alias=True, exclude_none=True, include={"spec"})
    return {
        "apiVersion": run.api_version,
        "kind": run.kind,
        "metadata": {
            "name": run.metadata.name,
            "namespace": run.metadata.namespace,
            "labels": {
                labels.MANAGED_BY: labels.OPERATOR,
                labels.EXTRACTION: run.spec.extraction,
            },
            "ownerReferences": [build_owner(run.spec.extraction, owner_uid)],
        },
        "spec": fields["spec"],
    }


def build_owner(extraction: str, uid: str) -> Object:
    """Build the reference from a run to its extraction."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND_EXTRACTION,
        "name": extraction,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
