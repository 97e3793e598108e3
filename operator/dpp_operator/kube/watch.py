"""Lists that keep the objects in memory true: all at the start, and again now and then in case a watch went deaf.

Called by `__main__`. Listing changes nothing in the cluster; keys are put on the queue only where something differs.
"""

from collections.abc import Callable, Iterable

from dpp_operator.kube.client import WATCHED, Kube
from dpp_operator.kube.objects import Key, Objects


def list_all(kube: Kube, objects: Objects, namespaces: tuple[str, ...] = ()) -> set[Key]:
    """List every watched kind and say which extractions are not as they were known. Raises TemporaryFailure."""
    changed: set[Key] = set()
    for kind in WATCHED:
        found = [
            thing
            for namespace in namespaces or ("",)
            for thing in kube.list_objects(kind, namespace)
        ]
        changed |= objects.replace(kind.name, found, namespaces)
    return changed


def prime(
    kube: Kube,
    objects: Objects,
    put: Callable[[Key], None],
    namespaces: tuple[str, ...] = (),
) -> None:
    """Fill the memory and have every extraction looked at once."""
    list_all(kube, objects, namespaces)
    put_all(objects.list_keys(), put)


def put_all(keys: Iterable[Key], put: Callable[[Key], None]) -> None:
    """Put keys in an order that does not depend on chance."""
    for key in sorted(keys):
        put(key)
