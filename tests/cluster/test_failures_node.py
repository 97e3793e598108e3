"""What goes wrong before and while a run reads, on a real node: who is told what, after how long, and that it mends.

Each story ends with tables equal to the source. They run side by side; a test waits for the end of its own.
"""

import contextlib
from concurrent.futures import Future
from typing import Any

import pytest

from cluster.credentials import AWAY_LABEL
from cluster.kubectl import RefusedError
from cluster.trial import PATIENCE_SECONDS, STORY_SECONDS, Trial, list_keys
from servers.careless_s3 import open_careless_s3
from servers.proxy import Mode

pytestmark = pytest.mark.timeout(STORY_SECONDS)
TMP_EMPTY_DIR = "/spec/volumes/1/emptyDir"
EXTRACTOR = "/spec/containers/0"


def role_unknown(trial: Trial) -> None:
    credentials = trial.stage.credentials
    credentials.client.delete(f"auth/kubernetes/role/dpp-{trial.tenant}")
    trial.apply()

    found = trial.expect("Ready", "False", "CredentialsUnavailable", "RunFailed", 21)
    assert "vault-agent-init" in found["message"]
    credentials.bind_role(f"dpp-{trial.tenant}", [trial.tenant], [f"distributors/{trial.tenant}"])
    trial.ask_again("role is there")


def account_not_bound(trial: Trial) -> None:
    credentials, prefix = trial.stage.credentials, f"distributors/{trial.tenant}"
    credentials.bind_role(f"dpp-{trial.tenant}", ["elsewhere"], [prefix])
    trial.apply()

    trial.expect("Stalled", "True", "CredentialsUnavailable", "RunFailed", 21)
    credentials.bind_role(f"dpp-{trial.tenant}", [trial.tenant], [prefix])
    trial.ask_again("bound")


def path_denied(trial: Trial) -> None:
    """The agent tries for five minutes, so it is told by the start deadline, and mends in the same pod."""
    credentials = trial.stage.credentials
    credentials.bind_role(f"dpp-{trial.tenant}", [trial.tenant], ["elsewhere"])
    trial.apply()

    trial.expect("Ready", "False", "CredentialsUnavailable", "CredentialsUnavailable")
    assert trial.read_condition("Reconciling")["status"] == "True"
    credentials.bind_role(f"dpp-{trial.tenant}", [trial.tenant], [f"distributors/{trial.tenant}"])
    trial.wait_success()


def secret_missing(trial: Trial) -> None:
    """Nobody mends it: after five start deadlines the run is given up."""
    path = f"distributors/{trial.tenant}/later"
    trial.apply(credentials={"path": path})

    trial.expect("Ready", "False", "CredentialsUnavailable", "CredentialsUnavailable")
    trial.wait_condition("Stalled", "True", "CredentialsUnavailable", PATIENCE_SECONDS)
    assert 21 in trial.list_codes()
    database = trial.stage.database
    secret = {"username": database.user, "password": database.password}
    trial.stage.credentials.put_secret(path, secret)
    trial.ask_again("it is there")


def vault_down(trial: Trial) -> None:
    stage = trial.stage
    proxy = stage.cluster.expose(stage.credentials.vault.server.port)
    proxy.mode = Mode.REFUSE
    address = f"http://{stage.cluster.layout.machine_address}:{proxy.port}"
    stage.credentials.change_pods(trial.tenant, vault_address=address)
    trial.apply()

    trial.expect_retry("CredentialsUnavailable", 30)
    trial.expect_end("LastRunSucceeded", "False", "CredentialsUnavailable", "RunFailed", 30)
    proxy.mode = Mode.PASS
    trial.wait_success()


def webhook_down(trial: Trial) -> None:
    """With `Ignore` the pod starts without a secret; the extractor finds that out before it connects anywhere."""
    kubectl = trial.stage.cluster.kubectl
    kubectl.run("label", "namespace", trial.tenant, f"{AWAY_LABEL}=away")
    trial.apply()

    trial.expect("Stalled", "True", "CredentialsUnavailable", "RunFailed", 21)
    assert trial.stage.source.accepted == 0
    kubectl.run("label", "namespace", trial.tenant, f"{AWAY_LABEL}-")
    trial.ask_again("it answers")


def not_restricted(trial: Trial) -> None:
    patch = [{"op": "add", "path": "/spec/hostNetwork", "value": True}]
    trial.stage.credentials.change_pods(trial.tenant, patch=patch)
    trial.apply()

    found = trial.expect("Ready", "False", "AdmissionDenied", "AdmissionDenied")
    assert "violates PodSecurity" in found["message"]
    trial.stage.credentials.change_pods(trial.tenant)
    trial.wait_success()


def image_missing(trial: Trial) -> None:
    missing = {"op": "replace", "path": f"{EXTRACTOR}/image", "value": "localhost/no-such-image:1"}
    trial.stage.credentials.change_pods(trial.tenant, patch=[missing])
    trial.apply()

    trial.expect("Ready", "False", "ImageUnavailable", "ImageUnavailable")
    trial.stage.credentials.change_pods(trial.tenant)
    trial.wait_success()  # the pod stays as it is until the run is given up; the next one has another


def unschedulable(trial: Trial) -> None:
    selector = {"op": "add", "path": "/spec/nodeSelector", "value": {"there-is": "no-such-node"}}
    trial.stage.credentials.change_pods(trial.tenant, patch=[selector])
    trial.apply()

    found = trial.expect("Ready", "False", "Unschedulable", "Unschedulable")
    assert "node" in found["message"]
    trial.stage.credentials.change_pods(trial.tenant)
    trial.wait_success()


def wrong_password(trial: Trial) -> None:
    """One try only: a source locks accounts that try wrong passwords again and again."""
    stage, path = trial.stage, f"distributors/{trial.tenant}/erp"
    stage.credentials.put_secret(path, {"username": stage.database.user, "password": "wrong"})
    trial.apply(schedule={"cron": ["* * * * *"]})

    trial.expect("CredentialsValid", "False", "CredentialsRefused", "RunFailed", 22)
    trial.wait(lambda: "CircuitOpened" in trial.list_events(), "the next due time")
    assert len(trial.list("jobs")) == 1
    secret = {"username": stage.database.user, "password": stage.database.password}
    stage.credentials.put_secret(path, secret)
    trial.ask_again("mended", schedule={"cron": ["H 2 * * *"]})


def source_down(trial: Trial) -> None:
    trial.stage.source.mode = Mode.REFUSE
    trial.apply(run={"attempts": 3})

    trial.expect_retry("SourceUnreachable", 23)
    trial.wait_condition("SourceReachable", "False", "SourceUnreachable", seconds=10)
    trial.expect_end("LastRunSucceeded", "False", "SourceUnreachable", "RunFailed", 23)
    trial.stage.source.mode = Mode.PASS
    trial.wait_success()


def bucket_down(trial: Trial) -> None:
    trial.stage.store_proxy.mode = Mode.REFUSE
    trial.apply(run={"attempts": 3})

    trial.expect_retry("DestinationUnavailable", 26)
    trial.expect_end("LastRunSucceeded", "False", "DestinationUnavailable", "RunFailed", 26)
    trial.stage.store_proxy.mode = Mode.PASS
    trial.wait_success()


def careless_bucket(trial: Trial) -> None:
    """A store that ignores conditions is found out before a table is written."""
    stage = trial.stage
    with open_careless_s3() as store:
        store.make_bucket(stage.bucket)
        good, stage.store_proxy.target_port = (
            stage.store_proxy.target_port,
            int(store.endpoint.rpartition(":")[2]),
        )
        trial.apply()

        trial.expect("Stalled", "True", "ConditionalWritesIgnored", "RunFailed", 29)
        stage.store_proxy.target_port = good
        assert not list_keys(stage.store, stage.bucket, "_delta_log")
    stage.store_proxy.cut()
    trial.ask_again("another store")


def memory_short(trial: Trial) -> None:
    trial.apply(run={"size": "Medium"})

    trial.expect_retry("ResourcesExhausted", 28)
    trial.expect_end("LastRunSucceeded", "False", "ResourcesExhausted", "RunFailed", 28)
    limits = [_get_extractor(job)["resources"]["limits"]["memory"] for job in trial.list("jobs")]
    assert sorted(limits) == ["24Mi", "48Mi"]
    trial.ask_again("larger", run={"size": "Small"})


def volume_over_its_limit(trial: Trial) -> None:
    """The kubelet throws the pod out. More memory would not help, so there is no second try."""
    trial.stage.source.mode = Mode.HOLD
    trial.apply(run={"size": "Large"})
    _fill(trial, trial.wait_running(), 40)
    trial.cause()

    trial.expect("LastRunSucceeded", "False", "ResourcesExhausted", "RunFailed", 28)
    assert len(trial.list("jobs")) == 1
    trial.stage.source.mode = Mode.PASS
    trial.ask_again("larger", run={"size": "Small"})


def memory_volume_full(trial: Trial) -> None:
    """What lies in a volume of memory counts against the container's limit: it is killed, and gets more once."""
    memory = {"op": "replace", "path": TMP_EMPTY_DIR, "value": {"medium": "Memory"}}
    trial.stage.credentials.change_pods(trial.tenant, patch=[memory], first_try_only=True)
    trial.stage.source.mode = Mode.HOLD
    trial.apply(run={"size": "Small"})
    pod = trial.wait_running()
    trial.cause()
    _fill(trial, pod, 600)
    trial.stage.source.mode = Mode.PASS

    trial.expect_retry("ResourcesExhausted", 28)
    trial.wait_success()
    limits = [_get_extractor(job)["resources"]["limits"]["memory"] for job in trial.list("jobs")]
    assert set(limits) == {"512Mi", "1Gi"}


def memory_volume_with_a_limit_full(trial: Trial) -> None:
    """A volume of memory with a limit of its own only has no space left. A run needs none: it uploads as it reads."""
    memory = {"medium": "Memory", "sizeLimit": "8Mi"}
    patch = [{"op": "replace", "path": TMP_EMPTY_DIR, "value": memory}]
    trial.stage.credentials.change_pods(trial.tenant, patch=patch, first_try_only=True)
    trial.stage.source.mode = Mode.HOLD
    trial.apply(run={"size": "Small"})
    _fill(trial, trial.wait_running(), 16)
    trial.cause()
    trial.stage.source.mode = Mode.PASS

    trial.expect("LastRunSucceeded", "True", "Succeeded", "RunSucceeded", 0)
    trial.assert_equal()
    assert len(trial.list("jobs")) == 1


def _get_extractor(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["template"]["spec"]["containers"][0]
    return found


def _fill(trial: Trial, pod: dict[str, Any], megabytes: int) -> None:
    """Write into the pod's temporary folder from within; whether that ends well is not our question."""
    code = f"f = open('/tmp/full', 'wb'); [f.write(bytes(1 << 20)) for _ in range({megabytes})]"
    place = (pod["metadata"]["name"], "-n", trial.tenant, "-c", "extractor")
    kubectl = trial.stage.cluster.kubectl
    with contextlib.suppress(RefusedError):
        kubectl.run("exec", *place, "--", "python", "-c", code)


STORIES = {
    "secret missing": secret_missing,
    "image missing": image_missing,
    "pod unschedulable": unschedulable,
    "volume over its limit": volume_over_its_limit,
    "path denied": path_denied,
    "memory volume full": memory_volume_full,
    "memory volume's own limit": memory_volume_with_a_limit_full,
    "Vault role unknown": role_unknown,
    "account not bound": account_not_bound,
    "Vault down": vault_down,
    "webhook down, Ignore": webhook_down,
    "pod security violated": not_restricted,
    "wrong source password": wrong_password,
    "source down": source_down,
    "bucket down": bucket_down,
    "bucket without conditional writes": careless_bucket,
    "out of memory": memory_short,
}


@pytest.mark.parametrize("story", STORIES)
def test_it_is_told_in_time_and_mends(trials: dict[str, Future[None]], story: str) -> None:
    trials[story].result()
