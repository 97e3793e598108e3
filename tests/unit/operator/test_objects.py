"""What is known of the cluster: newer wins, the deleted goes, lists correct what a deaf watch missed."""

from typing import Any

from dpp_operator import labels
from dpp_operator.handlers import Inbox, take_event
from dpp_operator.kube.client import EXTRACTIONS, JOBS, PODS
from dpp_operator.kube.objects import Objects
from dpp_operator.queue import Queue
from fake_world import World, build_extraction


def make(version: int, uid: str = "u", **more: Any) -> dict[str, Any]:
    thing = build_extraction()
    thing["metadata"] |= {
        "uid": uid,
        "resourceVersion": str(version),
        "creationTimestamp": more.pop("at", "2026-03-02T10:00:00Z"),
        **more,
    }
    return thing


def test_an_older_state_never_replaces_a_newer_one() -> None:
    objects = Objects()

    assert objects.store(make(10))
    assert not objects.store(make(9))
    assert not objects.store(make(10))
    assert objects.store(make(11))


def test_a_new_object_of_the_same_name_replaces_and_its_ancestors_end_does_not_remove_it() -> None:
    objects = Objects()
    objects.store(make(10, "old"))

    assert objects.store(make(3, "new", at="2026-03-02T11:00:00Z"))
    objects.drop(make(12, "old"))

    found = objects.get(EXTRACTIONS.name, "acme", "acme")
    assert found is not None
    assert found["metadata"]["uid"] == "new"


def test_a_list_removes_what_is_gone_and_tells_whose_it_was() -> None:
    objects = Objects()
    objects.store(make(10))

    assert objects.replace(EXTRACTIONS.name, []) == {("acme", "acme")}
    assert objects.list_keys() == set()
    assert objects.replace(EXTRACTIONS.name, []) == set()


def test_a_list_of_some_namespaces_leaves_the_others() -> None:
    objects = Objects()
    objects.store(make(10))

    assert objects.replace(EXTRACTIONS.name, [], ["elsewhere"]) == set()
    assert objects.list_keys() == {("acme", "acme")}


def test_a_pod_is_kept_without_its_spec_and_what_it_was_handed() -> None:
    objects = Objects()
    pod = {
        "apiVersion": "v1",
        "kind": PODS.name,
        "metadata": {
            "name": "p", "namespace": "acme", "uid": "u", "resourceVersion": "1",
            "labels": {labels.EXTRACTION: "acme"}, "annotations": {labels.REQUEST: "{}"},
        },
        "spec": {"containers": []},
    }  # fmt: skip
    objects.store(pod)

    kept = objects.list_of(PODS.name, ("acme", "acme"))[0]
    assert "spec" not in kept
    assert "annotations" not in kept["metadata"]


def test_our_own_write_coming_back_is_no_news() -> None:
    queue, objects = Queue(lambda: 0.0), Objects()
    inbox = Inbox(objects, queue)
    objects.store(make(10))

    take_event(inbox, EXTRACTIONS, {"type": "MODIFIED", "object": make(10)})
    assert queue.take(0) is None
    take_event(inbox, EXTRACTIONS, {"type": "MODIFIED", "object": make(11)})
    assert queue.take(0) == ("acme", "acme")


def test_a_deleted_job_wakes_its_extraction() -> None:
    world = World()
    world.apply()
    world.step()

    world.kube.remove(JOBS, "acme", world.jobs[0])
    world.deliver()

    assert world.queue.take(0) == ("acme", "acme")
