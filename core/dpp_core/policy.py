"""The platform policy: what a namespace may do, where destinations are, and the defaults of every
run.

One YAML file from the chart's values, read by the operator; the command line uses
`laptop.laptop_policy` when none is given. What the author of a DistributorExtraction writes is
checked against it, never trusted. No secret is in it.
"""

import hashlib
import ipaddress
import json
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, StringConstraints

from dpp_core.engines import ENGINES, Engine
from dpp_core.pods import PodsPolicy, SizePolicy
from dpp_core.spec.fields import (
    Closed,
    Form,
    ImageReference,
    Label63,
    Rule,
    Text256,
    Text512,
    Url,
    VaultPath,
    are_distinct,
    build_not_yet,
)

ANY: Final = "*"

NamePattern = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    Form(r"^(\*|[a-z0-9]([a-z0-9-]*[a-z0-9])?)$", "must be a name, or '*' for all."),
]
HostPattern = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    Form(
        r"^(\*|(\*\.)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f.:]+(/[0-9]{1,3})?)$",
        "must be a host name, *.domain, an address, a network such as 10.1.0.0/16, or '*' for all.",
    ),
]
Network = Annotated[
    str,
    StringConstraints(min_length=2, max_length=43),
    Form(r"^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$", "must be an address or a network such as 10.0.0.0/8."),
]
KeyPrefix = Annotated[
    str,
    StringConstraints(max_length=256),
    Form(
        r"^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$",
        "must be parts of letters, digits, '.', '_' and '-' joined by '/', without a leading or "
        "trailing '/'.",
    ),
]


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


class TenantPolicy(Closed):
    """What the DistributorExtractions of some namespaces may name. A namespace in no entry may do
    nothing.
    """

    namespaces: tuple[NamePattern, ...] = Field(
        min_length=1, max_length=1000, description="Namespaces of this tenant; '*' for all."
    )
    distributors: tuple[NamePattern, ...] = Field(
        min_length=1, max_length=1000, description="Distributors they may extract; '*' for all."
    )
    vault_role: Text256 | None = Field(
        default=None, description="Vault role that their Jobs log in with."
    )
    path_prefix: VaultPath | None = Field(
        default=None,
        description="Secrets must lie below this path; without it only the tenant of all ('*') "
        "may name any.",
    )
    hosts: tuple[HostPattern, ...] = Field(
        default=(),
        max_length=1000,
        description="Source hosts they may reach: names, *.domain, addresses, networks; '*' for "
        "all. None by default.",
    )


class ImagesPolicy(Closed):
    """Which extractor images may run."""

    allowed: tuple[ImageReference, ...] = Field(
        default=(), max_length=50, description="Images that may run, by digest."
    )
    default: ImageReference | None = Field(default=None, description="The image of new runs.")
    allow_tags: bool = Field(
        default=False, strict=True, description="Accept references by tag; for tests only."
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "allowed",
            "images must be given by digest.",
            "Write name@sha256:<digest>, or set allowTags: true in a test installation.",
            lambda images: (
                images.allow_tags
                or all(
                    "@sha256:" in image for image in (*images.allowed, images.default or "@sha256:")
                )
            ),
        ),
        Rule(
            "default",
            "default is not among allowed.",
            "Add it to allowed.",
            lambda images: images.default is None or images.default in images.allowed,
        ),
    )


class EncryptionPolicy(Closed):
    """Encryption at rest, done by the store."""

    mode: Literal["None", "SseS3", "SseKms"] = Field(
        default="None", description="None: the bucket's own default. SseS3 or SseKms: asked for."
    )
    key: Text512 | None = Field(default=None, description="Key id, for SseKms.")


class DestinationPolicy(Closed):
    """One place for tables: a bucket, or a folder of the machine (command line only)."""

    folder: Text512 | None = Field(default=None, description="A folder; not in a cluster.")
    bucket: (
        Annotated[
            str,
            StringConstraints(min_length=3, max_length=63),
            Form(
                r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$",
                "must be a bucket's name: lower-case letters, digits, '-' and '.'.",
            ),
        ]
        | None
    ) = Field(default=None, description="Name of the bucket.")
    endpoint: Url | None = Field(
        default=None, description="Address of the S3 service; Amazon's when not given."
    )
    region: Text256 | None = Field(default=None, description="Region of the bucket.")
    prefix: KeyPrefix = Field(default="", description="Key prefix below which everything lies.")
    credentials: VaultPath = Field(
        default="Ambient",
        description="Ambient (what the pod or environment has) or a path in Vault.",
    )
    encryption: EncryptionPolicy | None = Field(
        default=None, description="Encryption asked for; the bucket's default when not given."
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "a destination needs exactly one of bucket and folder.",
            "Keep one of them.",
            lambda place: (place.bucket is None) != (place.folder is None),
        ),
        Rule(
            "folder",
            "endpoint, region and prefix have no meaning for a folder.",
            "Remove them.",
            lambda place: (
                place.folder is None or not (place.endpoint or place.region or place.prefix)
            ),
        ),
        build_not_yet(
            "encryption",
            "encryption",
            lambda place: place.encryption is None or place.encryption.mode == "None",
            "",
            "Remove encryption; the bucket's own default encryption holds.",
        ),
    )


class VaultPolicy(Closed):
    """The Vault that holds the secrets."""

    address: Url = Field(description="Address of Vault.")
    auth_mount: Text256 = Field(default="kubernetes", description="Mount of the auth method.")
    ca_bundle: Text512 | None = Field(default=None, description="File with the CA certificates.")
    kv_mount: KeyPrefix | None = Field(
        default=None, description="Mount of the KV version 2 engine; secret when not given."
    )
    audience: Text256 | None = Field(
        default=None,
        description="Audience of the pods' tokens for Vault; the API server's own when not given.",
    )


class IndexPolicy(Closed):
    """The index in FerretDB, which every run tells what it did."""

    credentials: VaultPath = Field(description="Path in Vault of the secret with its uri.")


class SourcesPolicy(Closed):
    """What may be read at all."""

    deny_networks: tuple[Network, ...] = Field(
        default=(),
        max_length=200,
        description="Networks never reached, besides link-local and metadata addresses, which "
        "always are denied; in a "
        "cluster list the pod and service ranges.",
    )
    engines: tuple[Engine, ...] = Field(
        default=("postgresql",),
        min_length=1,
        max_length=len(ENGINES),
        description="Engines that may be read. sqlite means files, which belong on a laptop only.",
    )
    profiles: tuple[Label63, ...] = Field(
        default=("generic-sql",),
        min_length=1,
        max_length=200,
        description="Source profiles (spec.source.erp) known to the extractor image.",
    )
    allow_loopback: bool = Field(
        default=False,
        strict=True,
        description="Accept localhost and 127.0.0.0/8; on a laptop only.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "denyNetworks",
            "denyNetworks holds something that is not a network.",
            "Write networks such as 10.0.0.0/8 or fd00::/8.",
            lambda sources: all(_is_network(network) for network in sources.deny_networks),
        ),
    )


class DefaultsPolicy(Closed):
    """What holds for a run that does not say otherwise."""

    deadline_seconds: Annotated[int, Field(strict=True, ge=360, le=259_200)] = Field(
        default=21_600, description="Longest time a run may take."
    )
    attempts: Annotated[int, Field(strict=True, ge=1, le=10)] = Field(
        default=3, description="Most tries of one run."
    )
    history_successful: Annotated[int, Field(strict=True, ge=0, le=100)] = Field(
        default=3, description="Finished runs kept that succeeded."
    )
    history_failed: Annotated[int, Field(strict=True, ge=0, le=100)] = Field(
        default=3, description="Finished runs kept that did not."
    )
    max_deleted_percent: Annotated[int, Field(strict=True, ge=1, le=100)] | None = Field(
        default=None,
        description="Largest share of a table's keys that one run may find deleted (deletes: "
        "KeyDiff) without approval; 10 when not given.",
    )
    sizes: dict[Literal["Small", "Medium", "Large"], SizePolicy] = Field(
        default_factory=dict, max_length=3, description="Resources by size."
    )


class BackoffPolicy(Closed):
    """How long the operator waits after failures in a row."""

    base_seconds: Annotated[int, Field(strict=True, ge=1, le=3600)] = Field(
        default=60, description="Wait after the first failure; doubles with each."
    )
    most_seconds: Annotated[int, Field(strict=True, ge=1, le=86_400)] = Field(
        default=3600, description="Longest wait."
    )


class Policy(Closed):
    """The whole policy file."""

    cluster: Label63 = Field(
        description="Name of this installation, chosen by people; goes into every stream's "
        "claim, so never change it."
    )
    tenants: tuple[TenantPolicy, ...] = Field(
        default=(),
        max_length=2000,
        description="Who may do what; nobody may do anything by default.",
    )
    images: ImagesPolicy = Field(
        default_factory=ImagesPolicy, description="Which extractor images may run."
    )
    destinations: dict[NamePattern, DestinationPolicy] = Field(
        default_factory=dict,
        max_length=200,
        description="Places for tables by profile name; '*' serves every name.",
    )
    vault: VaultPolicy | None = Field(default=None, description="The Vault with the secrets.")
    index: IndexPolicy | None = Field(
        default=None, description="The index in FerretDB; runs tell none when not given."
    )
    sources: SourcesPolicy = Field(
        default_factory=SourcesPolicy, description="What may be read at all."
    )
    pods: PodsPolicy = Field(default_factory=PodsPolicy, description="What the Jobs' pods need.")
    defaults: DefaultsPolicy = Field(
        default_factory=DefaultsPolicy, description="What holds for runs that do not say otherwise."
    )
    start_deadline_seconds: Annotated[int, Field(strict=True, ge=5, le=3600)] = Field(
        default=120, description="Longest time from Job to running container."
    )
    backoff: BackoffPolicy = Field(
        default_factory=BackoffPolicy, description="Waits after failures in a row."
    )
    pools: tuple[Text256, ...] = Field(
        default=(), max_length=100, description="Limits shared by runs. Not supported yet."
    )
    calendars: tuple[Text256, ...] = Field(
        default=(), max_length=100, description="Times not to run. Not supported yet."
    )
    flags: dict[Text256, Text256] = Field(
        default_factory=dict, max_length=100, description="Feature flags. Not supported yet."
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        build_not_yet("pools", "pools", lambda policy: not policy.pools, "", "Remove pools."),
        build_not_yet(
            "calendars", "calendars", lambda policy: not policy.calendars, "", "Remove calendars."
        ),
        build_not_yet("flags", "flags", lambda policy: not policy.flags, "", "Remove flags."),
        Rule(
            "tenants",
            "tenants lists one namespace in two entries, so what it may do is not clear.",
            "Keep each namespace in one entry.",
            lambda policy: are_distinct([n for t in policy.tenants for n in t.namespaces]),
        ),
    )


def compute_policy_digest(policy: Policy) -> str:
    """Name a policy by its content: equal policies have equal digests, whatever their file looks
    like.
    """
    fields = policy.model_dump(mode="json", by_alias=True, exclude_none=True)
    body = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"


def find_tenant(policy: Policy, namespace: str) -> TenantPolicy | None:
    """Find the entry of a namespace: one that names it goes before one that names all."""
    for wanted in (namespace, ANY):
        for tenant in policy.tenants:
            if wanted in tenant.namespaces:
                return tenant
    return None


def find_destination(policy: Policy, profile: str) -> DestinationPolicy | None:
    """Find a destination by its profile name, else the one that serves every name."""
    return policy.destinations.get(profile) or policy.destinations.get(ANY)
