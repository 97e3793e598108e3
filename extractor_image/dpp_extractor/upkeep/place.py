"""How deltalake finds a table: its address, and the options of its store.

Called by `maintain` and by wiring. Pure. The options hold secrets: they travel to the child process
by its standard input, never in its arguments or its environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dpp_core.handover import Destination

_DEFAULT_REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True)
class Place:
    """The address of a table or of a whole destination, with what opens its store."""

    uri: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def table(self, prefix: str) -> "Place":
        """Return the place of a table below this one."""
        return Place(f"{self.uri.rstrip('/')}/{prefix}", self.options)


def build_place(destination: Destination, secret: Mapping[str, Any], uri: str) -> Place:
    """Build the place of a destination; `uri` is its store's. Without keys the ambient ones are used.

    A commit is a conditional PUT here as everywhere: deltalake then needs no table of locks.
    """
    if destination.kind == "Folder":
        return Place(uri)
    options = {
        "aws_conditional_put": "etag",
        "aws_region": destination.region or _DEFAULT_REGION,
        "aws_endpoint_url": destination.endpoint,
        "aws_access_key_id": str(secret.get("access_key_id", "")),
        "aws_secret_access_key": str(secret.get("secret_access_key", "")),
        "aws_session_token": str(secret.get("session_token", "")),
    }
    if destination.endpoint.startswith("http://"):
        options["aws_allow_http"] = "true"
    if destination.endpoint:
        options["aws_virtual_hosted_style_request"] = "false"
    return Place(uri, {name: value for name, value in options.items() if value})
