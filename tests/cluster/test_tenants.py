"""Two tenants of one cluster: whatever one tries to reach of the other is refused, and no secret is seen by Kubernetes.

The refusals come from the policy, from Vault and from the API server, each asked for real.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac
import pytest

from cluster.kubectl import RefusedError
from cluster.operator_process import OperatorProcess
from cluster.stage import Stage
from cluster.trial import DX, RUNS, Trial, list_keys, start_for
from servers.proxy import Mode

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True, slots=True)
class Two:
    """Who tries, and the neighbour, whose tables are there."""

    own: Trial
    other: Trial
    operator: OperatorProcess


@pytest.fixture(scope="module")
def two(make_stage: Callable[[], Stage], extractor_image: str) -> Iterator[Two]:
    """Give two tenants under one operator; both have run once."""
    stages = [make_stage(), make_stage()]
    for number, stage in enumerate(stages):
        give_canaries(stage, f"canary-{number}-of-the-source")
    operator = start_for(stages, extractor_image)
    own, other = (Trial("two tenants", stage, []) for stage in stages)
    try:
        for trial in (own, other):
            trial.apply()
        for trial in (own, other):
            trial.wait_success()
        yield Two(own, other, operator)
    finally:
        print(operator.read_log()[-3000:])
        operator.server.remove()


def give_canaries(stage: Stage, password: str) -> None:
    """Give the source a password that is found nowhere else."""
    user = stage.database.user
    stage.database.execute(f"ALTER ROLE {user} PASSWORD '{password}'")
    object.__setattr__(stage.database, "password", password)
    secret = {"username": user, "password": password}
    stage.credentials.put_secret(f"distributors/{stage.tenant}/erp", secret)


def build_source(stage: Stage, host: str) -> dict[str, Any]:
    source: dict[str, Any] = stage.build_extraction()["spec"]["source"]
    return {**source, "database": {**source["database"], "host": host}}


ATTEMPTS: dict[str, Callable[[Two], dict[str, Any]]] = {
    "its distributor": lambda two: {"distributor": two.other.tenant},
    "its secret": lambda two: {"credentials": {"path": f"distributors/{two.other.tenant}/erp"}},
    "its bucket's secret": lambda two: {
        "credentials": {"path": f"distributors/{two.other.tenant}/lake", "delivery": "Direct"}
    },
    "its host": lambda two: {
        "source": build_source(two.own.stage, f"erp.{two.other.tenant}.example")
    },
    "a secret that begins like an own one": lambda two: {
        "credentials": {"path": f"distributors/{two.own.tenant}x/erp"}
    },
    "the cloud's metadata": lambda two: {"source": build_source(two.own.stage, "169.254.169.254")},
    "the node itself": lambda two: {"source": build_source(two.own.stage, "127.0.0.1")},
    "the API server": lambda two: {"source": build_source(two.own.stage, "10.96.0.1")},
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_is_the_neighbours_cannot_be_named(two: Two, attempt: str) -> None:
    own = two.own
    name = f"try-{list(ATTEMPTS).index(attempt)}"
    thing = own.stage.build_extraction(name)
    thing["spec"] |= ATTEMPTS[attempt](two)

    own.stage.cluster.kubectl.apply(thing)

    def look() -> Any:
        found = own.read_condition("Stalled", name)
        return found if found.get("status") == "True" else None

    stalled = own.wait(look, "Stalled", 30)
    assert stalled["reason"] == "TenancyDenied"
    assert not [job for job in own.list("jobs") if job["metadata"]["name"].startswith(name)]
    own.stage.cluster.kubectl.delete(DX, name, own.tenant)


def test_the_neighbours_bucket_cannot_be_written(two: Two) -> None:
    """The destination's name is no secret; what opens the bucket lies in Vault, which denies it."""
    own = two.own
    thing = own.stage.build_extraction("steal")
    thing["spec"]["destination"] = {"profile": f"lake-of-{two.other.tenant}"}

    own.stage.cluster.kubectl.apply(thing)

    def look() -> Any:
        found = own.read_condition("Ready", "steal")
        return found if found.get("status") == "False" else None

    ready = own.wait(look, "Ready=False")
    assert ready["reason"] == "CredentialsUnavailable"
    own.stage.cluster.kubectl.delete(DX, "steal", own.tenant)
    assert not list_keys(two.other.stage.store, two.other.stage.bucket, f"/{own.tenant}/")


def test_the_neighbours_extraction_cannot_be_run(two: Two) -> None:
    own = two.own
    run = {
        "apiVersion": "extraction.dpp.dev/v1alpha1",
        "kind": "ExtractionRun",
        "metadata": {"name": "not-mine", "namespace": own.tenant},
        "spec": {"extraction": two.other.tenant, "createdAt": "2026-01-01T00:00:00Z"},
    }

    own.stage.cluster.kubectl.apply(run)

    def look() -> Any:
        found = next(each for each in own.list(RUNS) if each["metadata"]["name"] == "not-mine")
        status = found.get("status", {})
        return status if status.get("outcome") else None

    assert own.wait(look, "the refusal", 60)["reason"] == "ExtractionMissing"


def log_in(two: Two, role: str) -> str:
    """Log in to Vault with the token of the tenant's account, and give Vault's token."""
    kubectl = two.own.stage.cluster.kubectl
    jwt = kubectl.run("create", "token", "dpp-extractor", "-n", two.own.tenant).strip()
    client = hvac.Client(url=two.own.stage.credentials.vault.address)
    answer = client.auth.kubernetes.login(role=role, jwt=jwt, mount_point="kubernetes")
    token: str = answer["auth"]["client_token"]
    return token


def test_vault_lets_nobody_in_as_the_neighbour(two: Two) -> None:
    with pytest.raises(hvac.exceptions.Forbidden):
        log_in(two, f"dpp-{two.other.tenant}")


def test_vault_gives_nobody_the_neighbours_secret(two: Two) -> None:
    client = hvac.Client(
        url=two.own.stage.credentials.vault.address, token=log_in(two, f"dpp-{two.own.tenant}")
    )
    own = client.secrets.kv.v2.read_secret_version(
        f"distributors/{two.own.tenant}/erp", raise_on_deleted_version=True
    )

    assert own["data"]["data"]["username"] == two.own.stage.database.user
    with pytest.raises(hvac.exceptions.Forbidden):
        client.secrets.kv.v2.read_secret_version(
            f"distributors/{two.other.tenant}/erp", raise_on_deleted_version=True
        )


@pytest.mark.parametrize("asked", ["get dx", "get pods", "create job"])
def test_the_api_server_refuses_the_pods_account(two: Two, asked: str) -> None:
    account = two.own.stage.cluster.plane.as_account(two.own.tenant, "dpp-extractor")
    command = asked.split()
    extra = ["theft", "--image=any"] if command[0] == "create" else []

    with pytest.raises(RefusedError, match="forbidden"):
        account.run(*command, *extra, "-n", two.other.tenant)


def fail(trial: Trial, why: str, code: int) -> None:
    """Ask for a run that fails, and wait for its end."""
    trial.apply(run={"attempts": 1}, trigger={"manual": why})
    trial.wait(lambda: code in trial.list_codes(), f"the end with {code} of the run {why!r}")


def test_no_secret_is_seen_by_kubernetes(two: Two) -> None:
    """Not in etcd's files, nor in what pods, the operator and the node have logged; failing runs tell none either."""
    stages = [trial.stage for trial in (two.own, two.other)]
    canaries = [stage.database.password.encode() for stage in stages]
    canaries.append(stages[0].store.secret_key.encode())
    stages[0].source.mode = Mode.REFUSE
    fail(two.own, "no source", 23)
    stages[0].source.mode = Mode.PASS
    stages[0].store_proxy.mode = Mode.REFUSE
    fail(two.own, "no bucket", 26)
    refused = {"username": stages[0].database.user, "password": "canary-that-is-refused"}
    stages[0].credentials.put_secret(f"distributors/{two.own.tenant}/erp", refused)
    fail(two.own, "a wrong password", 22)
    canaries.append(refused["password"].encode())
    cluster = stages[0].cluster
    folders = [cluster.plane.folder, cluster.layout.folder / "pods"]

    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    files.append(two.operator.server.log_path)

    assert sum(file.stat().st_size for file in files if "etcd" in file.parts) > 1_000_000
    assert any("pods" in file.parts for file in files)
    assert [str(file) for file in files if holds(file, canaries)] == []


def holds(file: Path, canaries: list[bytes]) -> bool:
    content = file.read_bytes()
    return any(canary in content for canary in canaries)
