"""May this namespace extract this? Distributor, secret path and source host against the policy's
entry.

Pure: called by `documents` (dpp validate), `plan` and the operator with the same answer. Names are
not resolved here; the extractor holds each resolved address to `is_address_denied` again before it
connects.
"""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from dpp_core.policy import ANY, Policy, SourcesPolicy, TenantPolicy, find_destination, find_tenant
from dpp_core.spec.extraction import Extraction, ExtractionSpec
from dpp_core.spec.fields import Violation

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

ALWAYS_DENIED: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "100.100.100.200/32",
        "192.0.0.192/32",
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "fe80::/10",
        "fd00:ec2::/32",
        "ff00::/8",
    )
)
"""Link-local, cloud metadata, unspecified and multicast: no ERP lives there, but credentials do."""

_LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_METADATA_NAMES: Final = ("metadata", "metadata.google.internal", "instance-data")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_NUMBERS: Final = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)(\.(0[xX][0-9a-fA-F]*|[0-9]+))*")


def parse_address(host: str) -> Address | None:
    """Read a host as an address in its one true spelling; None when it is a name.

    Raises ValueError for spellings that some programs read as an address and others do not
    (decimal, octal and hexadecimal numbers, short forms).
    """
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        if _NUMBERS.fullmatch(host) or ":" in host:
            raise
        return None


def is_address_denied(address: Address, sources: SourcesPolicy) -> bool:
    """Say whether an address may never be reached, looking through IPv6 spellings of IPv4 addresses
    too.
    """
    denied = [
        *ALWAYS_DENIED,
        *(ipaddress.ip_network(n, strict=False) for n in sources.deny_networks),
    ]
    if not sources.allow_loopback:
        denied.extend(_LOOPBACK)
    return any(
        form.version == network.version and form in network
        for form in _list_forms(address)
        for network in denied
    )


def _list_forms(address: Address) -> list[Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    forms: list[Address] = [address]
    forms.extend(inner for inner in (address.ipv4_mapped, address.sixtofour) if inner)
    if address.teredo:
        forms.extend(address.teredo)
    low = int(address) & 0xFFFFFFFF
    if address in _NAT64 or (int(address) >> 32 == 0 and low > 1):
        forms.append(ipaddress.IPv4Address(low))
    return forms


def check_tenancy(extraction: Extraction, policy: Policy) -> list[Violation]:
    """List what the policy does not allow, with paths from the object's root; empty when all is
    allowed.
    """
    namespace = extraction.metadata.namespace
    tenant = find_tenant(policy, namespace)
    if tenant is None:
        return [
            Violation(
                "metadata.namespace",
                f"namespace {namespace!r} has no entry in the policy, so nothing is allowed in it.",
                "Use a namespace of the policy, or ask the platform team for an entry in tenants.",
            )
        ]
    spec = extraction.spec
    return [
        *_check_distributor(spec, tenant),
        *_check_path(spec, tenant),
        *_check_source(spec, policy),
        *_check_host(spec, tenant, policy.sources),
        *_check_destination(spec, policy),
    ]


def _check_distributor(spec: ExtractionSpec, tenant: TenantPolicy) -> list[Violation]:
    if ANY in tenant.distributors or spec.distributor in tenant.distributors:
        return []
    return [
        Violation(
            "spec.distributor",
            "distributor is not allowed in this namespace.",
            f"Allowed: {_shortened(tenant.distributors)}.",
        )
    ]


def _check_path(spec: ExtractionSpec, tenant: TenantPolicy) -> list[Violation]:
    if spec.credentials is None:
        return []
    prefix = tenant.path_prefix
    if prefix is None and ANY in tenant.namespaces:
        return []
    if prefix is not None and spec.credentials.path.startswith(f"{prefix}/"):
        return []
    allowed = f"below {prefix}/" if prefix else "none: the entry has no pathPrefix"
    return [
        Violation(
            "spec.credentials.path",
            "path is outside what this namespace may read.",
            f"Allowed: {allowed}.",
        )
    ]


def _check_source(spec: ExtractionSpec, policy: Policy) -> list[Violation]:
    found = []
    if spec.source.erp not in policy.sources.profiles:
        found.append(
            Violation(
                "spec.source.erp",
                "erp is not a known source profile.",
                f"Known: {_shortened(policy.sources.profiles)}.",
            )
        )
    database = spec.source.database
    if database is not None and database.engine not in policy.sources.engines:
        found.append(
            Violation(
                "spec.source.database.engine",
                f"engine {database.engine} is not allowed by the policy"
                + (" (it would read files of the pod)." if database.engine == "sqlite" else "."),
                f"Allowed: {_shortened(policy.sources.engines)}.",
            )
        )
    return found


def _check_host(
    spec: ExtractionSpec, tenant: TenantPolicy, sources: SourcesPolicy
) -> list[Violation]:
    """Check each host that the source names; a secret is sent to all of them."""
    named: list[tuple[str, str | None]] = []
    if spec.source.database is not None:
        named.append(("spec.source.database.host", spec.source.database.host))
        if spec.source.database.replica is not None:
            replica = spec.source.database.replica.host
            named.append(("spec.source.database.replica.host", replica))
    elif spec.source.api is not None:
        named.append(("spec.source.api.baseUrl", urlsplit(spec.source.api.base_url).hostname))
    return [
        violation
        for field, host in named
        if host is not None
        for violation in _check_one_host(field, host, tenant, sources)
    ]


def _check_one_host(
    field: str, host: str, tenant: TenantPolicy, sources: SourcesPolicy
) -> list[Violation]:
    reason = find_denial(host, sources)
    if reason:
        return [Violation(field, reason, "Name the host of the distributor's ERP.")]
    if is_host_allowed(host, tenant.hosts):
        return []
    return [
        Violation(
            field,
            "host is not allowed in this namespace.",
            f"Allowed: {_shortened(tenant.hosts) or 'none: the entry lists no hosts'}.",
        )
    ]


def find_denial(host: str, sources: SourcesPolicy) -> str:
    """Say why a host may never be reached, whatever the tenant's entry; empty when it may."""
    name = host.rstrip(".").casefold()
    try:
        address = parse_address(name)
    except ValueError:
        return "host is an address in an unusual spelling; write it as 10.1.2.3 or 2001:db8::1."
    if address is not None:
        return (
            "host is in a network that is never reached (link-local, metadata, loopback or "
            "denyNetworks)."
            if is_address_denied(address, sources)
            else ""
        )
    if name in _METADATA_NAMES or name.endswith(".metadata.google.internal"):
        return "host is a cloud's metadata service."
    is_local = name.split(".")[-1] == "localhost" or name.startswith(
        ("localhost.", "ip6-localhost", "ip6-loopback")
    )
    if is_local and not sources.allow_loopback:
        return "host is the machine itself, which in a cluster is the pod."
    if name == "kubernetes" or name.startswith("kubernetes.default"):
        return "host is the cluster's API server."
    return ""


def is_host_allowed(host: str, patterns: tuple[str, ...]) -> bool:
    """Say whether a host meets one of a tenant's patterns; names without regard to case, addresses
    by network.
    """
    name = host.rstrip(".").casefold()
    address = parse_address(name)
    return any(_is_match(name, address, pattern.casefold()) for pattern in patterns)


def _is_match(name: str, address: Address | None, pattern: str) -> bool:
    if pattern in (ANY, name):
        return True
    if address is None:
        return pattern.startswith("*.") and name.endswith(pattern[1:])
    try:
        network = ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return False
    return any(form.version == network.version and form in network for form in _list_forms(address))


def _check_destination(spec: ExtractionSpec, policy: Policy) -> list[Violation]:
    if find_destination(policy, spec.destination.profile) is not None:
        return []
    return [
        Violation(
            "spec.destination.profile",
            "profile is not a destination of the policy.",
            f"Known: {_shortened(tuple(sorted(policy.destinations))) or 'none'}.",
        )
    ]


def _shortened(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more
