"""Names that the operator writes into Kubernetes objects and reads back: labels, annotations, containers.

Called by `reconcile`, `manifests` and `kube`. Constants only. Labels and annotations of Argo CD, Helm, Flux and
kubectl are never copied to what the operator makes; what is here is all that its objects carry.
"""

from typing import Final

from dpp_core.names import GROUP

OPERATOR: Final = "dpp-operator"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
EXTRACTION: Final = f"{GROUP}/extraction"
RUN: Final = f"{GROUP}/run"
TRY: Final = f"{GROUP}/try"
SELECTOR: Final = f"{MANAGED_BY}={OPERATOR}"
"""What the watches of Jobs and pods select by."""

REQUEST: Final = f"{GROUP}/request"
"""Annotation of the pod with the RunRequest; the pod reads it through a downward-API file."""
EARLIER_CODES: Final = f"{GROUP}/earlier-codes"
"""Annotation of the Job with the exit codes of the tries before it, so that nothing else must remember them."""

CONTAINER: Final = "extractor"
AGENT: Final = "vault-agent-init"
SERVICE_ACCOUNT: Final = "dpp-extractor"
