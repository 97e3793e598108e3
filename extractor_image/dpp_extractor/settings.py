"""The process's settings, read once from the environment; below this, arguments.

Called by `__main__` and `cli`. Nothing else may read the environment.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dpp_core.errors import SpecError


class ExtractorSettings(BaseModel):
    """What a person or a Job's manifest may set by DPP_* variables; every one has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log_level: str = "INFO"
    log_format: Literal["", "json", "text"] = ""
    """`json` or `text`; empty = text on a terminal, JSON lines otherwise."""
    secrets_dir: Path = Path("/vault/secrets")
    request_file: Path = Path("/etc/dpp/request.json")
    termination_file: Path = Path("/dev/termination-log")
    ca_file: str = ""
    """Certificates that a database server is checked against; empty = the system's."""
    batch_bytes: int = 4 * 1024 * 1024
    retry_attempts: int = Field(default=5, ge=1, le=100)
    """How often one call to source, destination or Vault is tried, the first time included."""
    retry_base_seconds: float = Field(default=0.5, gt=0, le=60)
    """The longest wait after the first try; it doubles with each further one, up to 30 seconds."""
    destination_timeout_seconds: float = Field(default=60, gt=0, le=600)
    """How long a bucket may take to answer one request."""
    metrics_file: str = ""
    """Where the run's metrics are left, for a collector of text files; empty = nowhere."""
    metrics_gateway: str = ""
    """Address of a Prometheus push gateway for the run's metrics; empty = none."""
    auto_checkpoint: bool = True
    """Whether a run writes a checkpoint behind every hundredth commit, in a process of its own."""
    kill_at: str = ""
    """Test seam: `<hook>[:n]` ends the process with SIGKILL at the n-th time it passes that hook."""
    pause_at: str = ""
    """Test seam: the same with SIGSTOP, until somebody sends SIGCONT."""


def read_settings(environ: Mapping[str, str]) -> ExtractorSettings:
    """Read DPP_* variables that are settings; others (such as DPP_SOURCE_*) belong to credentials.

    Raises SpecError (20) naming the variable, the value received and what is allowed.
    """
    fields = {
        name: environ[f"DPP_{name.upper()}"]
        for name in ExtractorSettings.model_fields
        if environ.get(f"DPP_{name.upper()}")
    }
    try:
        return ExtractorSettings.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        variable = f"DPP_{str(first['loc'][0]).upper()}"
        raise SpecError(
            f"{variable} is {first['input']!r}: {first['msg']}.",
            field=variable,
            fix="Correct the variable, or leave it out for its default.",
        ) from error
