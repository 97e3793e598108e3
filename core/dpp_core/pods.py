"""What the policy says of the Jobs' pods: resources by size, and what this cluster asks of a pod.

Part of `policy`, which is its only caller in the core; the operator builds pods from it. Nothing is decided here.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from dpp_core.spec.fields import Closed, Form, Label63, Text256, Url

Quantity = Annotated[
    str,
    StringConstraints(min_length=1, max_length=20),
    Form(r"^[0-9]+(m|Ki|Mi|Gi|Ti|k|M|G|T)?$", "must be a quantity such as 500m, 2 or 512Mi."),
]


class SizePolicy(Closed):
    """Resources of a Job of one size."""

    cpu: Quantity = Field(default="500m", description="CPU asked for.")
    memory: Quantity = Field(default="512Mi", description="Memory asked for, and its limit.")
    most_memory: Quantity = Field(
        default="2Gi", description="Cap for the one new try after a run was out of memory."
    )
    disk: Quantity = Field(default="2Gi", description="Ephemeral storage asked for, and its limit.")


class TolerationPolicy(Closed):
    """A toleration of the Jobs' pods."""

    key: Text256 | None = Field(default=None, description="Taint key.")
    operator: Literal["Exists", "Equal"] = Field(default="Equal", description="How value is met.")
    value: Text256 | None = Field(default=None, description="Taint value.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Taint effect; all when not given."
    )


class PodsPolicy(Closed):
    """What the Jobs' pods need to run in this cluster."""

    tolerations: tuple[TolerationPolicy, ...] = Field(
        default=(), max_length=20, description="Tolerations."
    )
    node_selector: dict[Text256, Text256] = Field(
        default_factory=dict, max_length=20, description="Node labels asked for."
    )
    priority_class: Label63 | None = Field(default=None, description="Priority class.")
    image_pull_secrets: tuple[Label63, ...] = Field(
        default=(), max_length=10, description="Names of pull secrets in the tenant's namespace."
    )
    proxy: Url | None = Field(default=None, description="HTTP proxy for what leaves the cluster.")
    ca_bundle: Label63 | None = Field(
        default=None, description="ConfigMap with additional CA certificates."
    )
