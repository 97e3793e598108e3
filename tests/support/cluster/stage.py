"""One tenant ready to extract on a real cluster: database, bucket, secrets, namespace, policy.

Used by the end-to-end tests. The servers are the tests' own on the loopback address; pods find the
database as `erp.acme.example`, the others at the machine's address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import deltalake

from cluster.charts import install
from cluster.credentials import Credentials
from cluster.node import Cluster
from servers.postgres import Database
from servers.proxy import Proxy
from servers.s3 import S3Server

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
CUSTOMERS = 50
ORDERS = 200
SCHEMA = f"""
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (
    id int PRIMARY KEY, customer_id int NOT NULL, total numeric(12,2) NOT NULL,
    updated_at timestamptz NOT NULL
);
INSERT INTO customers SELECT n, 'Customer ' || n FROM generate_series(1, {CUSTOMERS}) n;
INSERT INTO orders SELECT n, 1 + n % {CUSTOMERS}, n * 1.25, now() - interval '1 day'
    - n * interval '1 minute' FROM generate_series(1, {ORDERS}) n;
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """One tenant's world; its namespace is also its distributor's name."""

    tenant: str
    cluster: Cluster
    credentials: Credentials
    database: Database
    source: Proxy
    store: S3Server
    store_proxy: Proxy
    bucket: str

    @property
    def host(self) -> str:
        return f"erp.{self.tenant}.example"

    def read_table(self, dataset: str, extraction: str = "") -> list[dict[str, Any]]:
        """Give a table's rows as an independent reader finds them in the bucket."""
        uri = f"s3://{self.bucket}/erp/{self.tenant}/{extraction or self.tenant}/{dataset}"
        table = deltalake.DeltaTable(uri, storage_options=self.store.storage_options())
        rows: list[dict[str, Any]] = table.to_pyarrow_table().to_pylist()
        return rows

    def build_policy(self, image: str, **extra: Any) -> dict[str, Any]:
        """Give a policy in which this tenant may extract to its bucket."""
        address = self.cluster.layout.machine_address
        lake = {
            "bucket": self.bucket,
            "endpoint": f"http://{address}:{self.store_proxy.port}",
            "region": self.store.region,
            "prefix": "erp",
            "credentials": f"distributors/{self.tenant}/lake",
        }
        tenant = {
            "namespaces": [self.tenant],
            "distributors": [self.tenant],
            "vaultRole": f"dpp-{self.tenant}",
            "pathPrefix": f"distributors/{self.tenant}",
            "hosts": [self.host],
        }
        return {
            "cluster": "test",
            "tenants": [tenant],
            "images": {"allowTags": True, "allowed": [image], "default": image},
            "destinations": {"lake": lake},
            "vault": {"address": self.credentials.address},
            "startDeadlineSeconds": 20,
            "backoff": {"baseSeconds": 1, "mostSeconds": 5},
            **extra,
        }

    def build_extraction(self, name: str = "") -> dict[str, Any]:
        """Give the small resource that a person commits."""
        return {
            "apiVersion": "extraction.dpp.dev/v1alpha1",
            "kind": "DistributorExtraction",
            "metadata": {"name": name or self.tenant, "namespace": self.tenant},
            "spec": {
                "distributor": self.tenant,
                "source": {
                    "erp": "generic-sql",
                    "database": {
                        "engine": "postgresql",
                        "host": self.host,
                        "port": self.source.port,
                        "database": self.database.name,
                        "tls": {"mode": "Disable"},
                    },
                },
                "credentials": {"path": f"distributors/{self.tenant}/erp"},
                "datasets": [
                    {"name": "orders", "key": ["id"], "incremental": {"cursor": "updated_at"}},
                    {"name": "customers", "key": ["id"]},
                ],
                "destination": {"profile": "lake"},
                "schedule": {"cron": ["H 2 * * *"], "timeZone": "Europe/Berlin"},
            },
        }


def set_stage(
    cluster: Cluster, credentials: Credentials, database: Database, store: S3Server, tenant: str
) -> Stage:
    """Fill the database, write the secrets, install the tenant's chart; give the whole."""
    database.execute(SCHEMA)
    bucket = store.make_bucket()
    stage = Stage(
        tenant=tenant,
        cluster=cluster,
        credentials=credentials,
        database=database,
        source=cluster.expose(database.port),
        store=store,
        store_proxy=cluster.expose(store.server.port),
        bucket=bucket,
    )
    cluster.give_name(stage.host)
    credentials.put_secret(
        f"distributors/{tenant}/erp", {"username": database.user, "password": database.password}
    )
    credentials.put_secret(
        f"distributors/{tenant}/lake",
        {"access_key_id": store.access_key, "secret_access_key": store.secret_key},
    )
    credentials.bind_role(f"dpp-{tenant}", [tenant], [f"distributors/{tenant}"])
    cluster.kubectl.make_namespace(tenant, RESTRICTED)
    _install_tenant(cluster, tenant, ["--set", "networkPolicy.dnsNamespace=kube-system"])
    return stage


def _install_tenant(cluster: Cluster, tenant: str, extra: Sequence[str]) -> None:
    install("dpp-tenant", cluster.plane.kubeconfig, tenant, extra=extra)
