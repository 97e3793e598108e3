"""The built-in policy `laptop`, and what `--to` means: how the command line works without a
platform.

Called by the command line only; the operator always has a policy file.
"""

import re
from typing import Final

from pydantic import ValidationError

from dpp_core.engines import ENGINES_READY
from dpp_core.errors import UsageError
from dpp_core.policy import ANY, DestinationPolicy, Policy, SourcesPolicy, TenantPolicy

CLUSTER: Final = "local"
_SCHEME: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://(.*)$", re.DOTALL)


def laptop_policy(to: str) -> Policy:
    """Make the policy `laptop`: one tenant that allows all, SQLite on, `to` as destination.

    Link-local and metadata addresses stay denied. Raises UsageError when `to` is no folder and no
    s3://bucket/prefix.
    """
    return Policy(
        cluster=CLUSTER,
        tenants=(TenantPolicy(namespaces=(ANY,), distributors=(ANY,), hosts=(ANY,)),),
        destinations={ANY: parse_destination(to)},
        sources=SourcesPolicy(engines=ENGINES_READY, allow_loopback=True),
    )


def redirect(policy: Policy, to: str) -> Policy:
    """Send every profile of a policy to one destination, as `--policy` with `--to` asks."""
    return policy.model_copy(update={"destinations": {ANY: parse_destination(to)}})


def parse_destination(to: str) -> DestinationPolicy:
    """Read `--to`: a folder, file://FOLDER, or s3://BUCKET[/PREFIX]. Raises UsageError."""
    match = _SCHEME.match(to)
    try:
        if match is None:
            return DestinationPolicy(folder=to)
        if match[1] == "file":
            return DestinationPolicy(folder=match[2])
        if match[1] == "s3":
            bucket, _, prefix = match[2].partition("/")
            return DestinationPolicy(bucket=bucket, prefix=prefix.rstrip("/"))
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"--to {to!r} is not a destination: {first['msg']}",
            field="--to",
            fix="Give a folder such as ./out, or s3://bucket/prefix.",
        ) from error
    raise UsageError(
        f"--to {to!r} names the scheme {match[1]}, which is not known.",
        field="--to",
        fix="Give a folder such as ./out, or s3://bucket/prefix.",
    )
