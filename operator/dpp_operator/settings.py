"""The operator's settings, read once from the environment; below this, arguments.

Called by `__main__`. Nothing else may read the environment.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class OperatorSettings(BaseModel):
    """What the chart may set by DPP_* variables; every one has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log_level: str = "INFO"
    log_format: Literal["", "json", "text"] = ""
    policy_file: Path = Path("/etc/dpp/policy/policy.yaml")
    policy_look_seconds: float = Field(default=5.0, gt=0, le=3600)
    """How often the policy file is looked at."""
    http_port: int = Field(default=8080, ge=0, le=65535)
    http_host: str = "0.0.0.0"  # noqa: S104 - probes come from the node
    namespaces: tuple[str, ...] = ()
    """Namespaces that are served; empty = all."""
    workers: int = Field(default=8, ge=1, le=64)
    resync_seconds: float = Field(default=600.0, gt=0, le=86_400)
    """How often everything is listed anew, in case a watch went deaf."""
    request_seconds: float = Field(default=30.0, gt=0, le=300)
    """Longest time one call to the API server may take."""
    index_uri: str = ""
    """Where heartbeats are read from; empty = nowhere, runs then show no progress."""
    index_uri_file: str = ""
    kill_after_writes: int = Field(default=0, ge=0)
    """Test seam: the process kills itself right after so many writes to the API server; 0 = never."""
    namespace: str = "default"
    pod_name: str = "dpp-operator"


def read_settings(environ: Mapping[str, str]) -> OperatorSettings:
    """Read the DPP_* variables that are settings; lists are separated by commas."""
    fields: dict[str, object] = {
        name: environ[f"DPP_{name.upper()}"]
        for name in OperatorSettings.model_fields
        if environ.get(f"DPP_{name.upper()}")
    }
    if "namespaces" in fields:
        fields["namespaces"] = tuple(
            each.strip() for each in str(fields["namespaces"]).split(",") if each.strip()
        )
    return OperatorSettings.model_validate(fields)
