"""Where the rows come from: the source and the path of its credentials, as written in a
DistributorExtraction.

Resolved by `plan`. A secret is never written in a kind: models here have no field that could hold
one.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from dpp_core.engines import ENGINES_READY, Engine, say_ready
from dpp_core.spec.fields import (
    Closed,
    Form,
    Host,
    Label63,
    Rule,
    Text256,
    Text512,
    VaultPath,
    build_not_yet,
)

BaseUrl = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Form(
        r"^https://[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(:[0-9]+)?(/[A-Za-z0-9._~/%-]*)?$",
        "must be https://host[:port][/path] without user, password, query or fragment.",
    ),
]


class TlsSpec(Closed):
    """How the connection to a database server is secured."""

    mode: Literal["VerifyFull", "VerifyCa", "Require", "Disable"] = Field(
        default="VerifyFull",
        description="VerifyFull checks certificate and host name, VerifyCa the certificate only, "
        "Require encrypts without "
        "checking whom, Disable sends everything in the clear.",
    )


class DatabaseLimitsSpec(Closed):
    """How hard a database server may be used."""

    max_read_seconds: Annotated[int, Field(strict=True, ge=1, le=86_400)] | None = Field(
        default=None,
        description="About how long one statement may live; a longer read is divided by ranges of "
        "its cursor or its unique key, inside one snapshot. Not for sqlite.",
    )
    max_rows_per_second: Annotated[int, Field(strict=True, ge=1, le=100_000_000)] | None = Field(
        default=None, description="Most rows taken in a second, over all datasets of a run."
    )
    max_field_bytes: Annotated[int, Field(strict=True, ge=1024, le=1_000_000_000)] | None = Field(
        default=None,
        description="Largest value that is read, in bytes; 100,000,000 when not given. A larger "
        "one ends its dataset with the row's key.",
    )


class ReplicaSpec(Closed):
    """A copy of the server that follows it and may be read."""

    host: Host = Field(
        description="Replica's host name or address; must be among the hosts of the namespace's "
        "policy entry."
    )
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] | None = Field(
        default=None, description="Replica's port; the server's own when not given."
    )


class DatabaseSourceSpec(Closed):
    """A database to read from."""

    engine: Engine = Field(
        description=f"The database's kind. {say_ready()} are read today; the others are "
        "not supported yet."
    )
    host: Host | None = Field(
        default=None,
        description="Server's host name or address; must be among the hosts of the namespace's "
        "policy entry. Not for sqlite.",
    )
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] | None = Field(
        default=None, description="Server's port; the engine's usual port when not given."
    )
    database: Text512 = Field(
        description="Database name on the server; for sqlite the path of the file."
    )
    tls: TlsSpec | None = Field(
        default=None, description="Transport security; VerifyFull when not given. Not for sqlite."
    )
    limits: DatabaseLimitsSpec | None = Field(
        default=None, description="How hard the source may be used."
    )
    replica: ReplicaSpec | None = Field(
        default=None,
        description="A replica to read in the server's stead. While it cannot be reached the "
        "server is read, and the run's record says so. Not for sqlite.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        build_not_yet(
            "engine",
            f"an engine other than {say_ready()}",
            lambda db: db.engine in ENGINES_READY,
            f"self.engine in {list(ENGINES_READY)}",
            f"Use {say_ready('or')}.",
        ),
        Rule(
            "host",
            "host is needed for a database server.",
            "Add host: <name or address of the server>.",
            lambda db: db.engine == "sqlite" or db.host is not None,
            "self.engine == 'sqlite' || has(self.host)",
        ),
        Rule(
            "host",
            "host, port and tls have no meaning for sqlite.",
            "Remove them; database is the path of the file.",
            lambda db: (
                db.engine != "sqlite" or (db.host is None and db.port is None and db.tls is None)
            ),
            "self.engine != 'sqlite' || (!has(self.host) && !has(self.port) && !has(self.tls))",
        ),
        Rule(
            "replica",
            "replica has no meaning for sqlite.",
            "Remove it: a file is read by no server.",
            lambda db: db.engine != "sqlite" or db.replica is None,
            "self.engine != 'sqlite' || !has(self.replica)",
        ),
        Rule(
            "limits",
            "limits.maxReadSeconds has no meaning for sqlite.",
            "Remove it: a file is read by no server.",
            lambda db: db.engine != "sqlite" or not (db.limits and db.limits.max_read_seconds),
            "self.engine != 'sqlite' || !has(self.limits) || !has(self.limits.maxReadSeconds)",
        ),
        Rule(
            "database",
            "database must be a plain database name, not an address or a connection string.",
            "Write the name alone; host, port and tls have their own fields, user and password "
            "live in the secret.",
            lambda db: db.engine == "sqlite" or not any(c in db.database for c in "=/\\@?"),
            r"self.engine == 'sqlite' || !self.database.matches('[=/@?\\\\]')",
        ),
        Rule(
            "database",
            "database must be the path of an SQLite file, not a URI or an in-memory database.",
            "Write a path such as ./erp.sqlite.",
            lambda db: (
                db.engine != "sqlite"
                or not (db.database.startswith((":", "file:")) or "?" in db.database)
            ),
            "self.engine != 'sqlite' || !(self.database.startsWith(':') || "
            "self.database.startsWith('file:') || "
            "self.database.contains('?'))",
        ),
    )


class ApiAuthSpec(Closed):
    """How requests to an API prove who sends them."""

    type: Literal["None", "Basic", "ApiKey", "Bearer", "OAuth2ClientCredentials", "Mtls"] = Field(
        description="The kind of authentication; its secret parts come from credentials.path."
    )
    token_url: BaseUrl | None = Field(
        default=None, description="Token endpoint, for OAuth2ClientCredentials."
    )
    scopes: tuple[Text256, ...] = Field(
        default=(), max_length=16, description="Scopes to ask for, for OAuth2ClientCredentials."
    )


class ApiLimitsSpec(Closed):
    """What the source's API can bear."""

    requests_per_minute: Annotated[int, Field(strict=True, ge=1, le=60_000)] | None = Field(
        default=None, description="Most requests sent in a minute."
    )
    concurrency: Annotated[int, Field(strict=True, ge=1, le=32)] | None = Field(
        default=None, description="Most requests under way at once."
    )
    page_rows: Annotated[int, Field(strict=True, ge=1, le=100_000)] | None = Field(
        default=None, description="Rows asked for in one page."
    )


class ApiSourceSpec(Closed):
    """An HTTP API to read from. Not supported yet."""

    base_url: BaseUrl = Field(description="Address below which all requests go.")
    auth: ApiAuthSpec | None = Field(default=None, description="How requests are authenticated.")
    limits: ApiLimitsSpec | None = Field(default=None, description="Limits the extraction keeps.")


class SourceSpec(Closed):
    """The ERP: a profile name and exactly one way of reaching it."""

    erp: Label63 = Field(
        description="Name of the source profile, which fills what is not given here; generic-sql "
        "knows nothing about the "
        "ERP and reads tables as they are."
    )
    database: DatabaseSourceSpec | None = Field(
        default=None, description="Read tables of a database. Exactly one of database and api."
    )
    api: ApiSourceSpec | None = Field(
        default=None,
        description="Read an HTTP API (not supported yet). Exactly one of database and api.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "source needs exactly one of database and api.",
            "Keep the one that this distributor has.",
            lambda source: (source.database is None) != (source.api is None),
            "has(self.database) != has(self.api)",
        ),
        build_not_yet(
            "api",
            "source.api",
            lambda source: source.api is None or source.database is not None,
            "!has(self.api) || has(self.database)",
            "Use source.database.",
        ),
    )


class CredentialsSpec(Closed):
    """Where the source's secret lives. The secret itself is never written in a kind."""

    path: VaultPath = Field(
        description="Path of the secret in Vault; must lie below pathPrefix of the namespace's "
        "policy entry."
    )
    delivery: Literal["Agent", "Direct"] = Field(
        default="Agent",
        description="Agent: the Vault agent writes the secret to a file of the pod. Direct: the "
        "extractor asks Vault itself.",
    )
    engine: Literal["Kv", "Database"] = Field(
        default="Kv",
        description="Kv: a stored secret. Database: an account made for each run (not supported "
        "yet).",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        build_not_yet(
            "engine",
            "engine: Database",
            lambda credentials: credentials.engine == "Kv",
            "self.engine == 'Kv'",
            "Use Kv.",
        ),
    )
