"""Calls to the API server, raw JSON in and out. The only importer of the `kubernetes` client, which brings the login.

Called by `apply`, `worker` and `watch` through the small protocol `Kube`, which the tests' fake has too. Everything is
safe to repeat: `create` says None when it is there already, `apply_status` and `delete` when it is gone. Temporary
failures become TemporaryFailure (with what Retry-After asked for), all others InternalError.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import urllib3.exceptions
from kubernetes import config as login
from kubernetes.client.configuration import Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.client.rest import RESTClientObject

from dpp_core.errors import DppError, InternalError, TemporaryFailure
from dpp_core.names import GROUP, VERSION
from dpp_operator import labels

Object = dict[str, Any]

STATUS_MANAGER: Final = "dpp-operator-status"
OWNER_MANAGER: Final = "dpp-operator"
PAGE: Final = 500
_TEMPORARY: Final = (408, 409, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind as the API server addresses it; `selector` limits what is listed."""

    name: str
    api: str
    plural: str
    api_version: str
    selector: str = ""


EXTRACTIONS: Final = Kind(
    "DistributorExtraction",
    f"/apis/{GROUP}/{VERSION}",
    "distributorextractions",
    f"{GROUP}/{VERSION}",
)
RUNS: Final = Kind(
    "ExtractionRun", f"/apis/{GROUP}/{VERSION}", "extractionruns", f"{GROUP}/{VERSION}"
)
JOBS: Final = Kind("Job", "/apis/batch/v1", "jobs", "batch/v1", labels.SELECTOR)
PODS: Final = Kind("Pod", "/api/v1", "pods", "v1", labels.SELECTOR)
EVENTS: Final = Kind("Event", "/api/v1", "events", "v1")
WATCHED: Final = (EXTRACTIONS, RUNS, JOBS, PODS)


class Kube(Protocol):
    """What the operator asks of an API server."""

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None: ...

    def list_objects(self, kind: Kind, namespace: str = "") -> Iterator[Object]:
        """Every object of the kind (in all namespaces when none is named), page by page."""
        ...

    def create(self, kind: Kind, namespace: str, body: Mapping[str, Any]) -> Object | None:
        """Create an object; None when there is one of this name."""
        ...

    def apply_status(self, kind: Kind, body: Mapping[str, Any]) -> Object | None:
        """Apply a whole status as its only manager; None when the object (by name and uid) is gone."""
        ...

    def apply_owner(self, kind: Kind, body: Mapping[str, Any]) -> Object | None:
        """Apply owner references; None when the object is gone."""
        ...

    def delete(self, kind: Kind, namespace: str, name: str, uid: str = "") -> None:
        """Delete an object and, in the background, what it owns; one that is gone is fine."""
        ...

    def find_denial(self, namespace: str, job_name: str) -> str:
        """Find why the API server refused a Job's pod, from its events; empty when they do not say."""
        ...


def open_kube(request_seconds: float, on_write: Callable[[], None] = lambda: None) -> "KubeClient":
    """Log in as the pod's service account, else as the kubeconfig says; `on_write` is called after each write."""
    configuration = Configuration()
    loading: Any = login
    try:
        loading.load_incluster_config(client_configuration=configuration)
    except loading.ConfigException:
        loading.load_kube_config(client_configuration=configuration)
    return KubeClient(configuration, request_seconds, on_write)


class KubeClient:
    """A `Kube` over HTTP; safe for many threads."""

    def __init__(
        self, configuration: Configuration, request_seconds: float, on_write: Callable[[], None]
    ) -> None:
        self._configuration = configuration
        self._seconds = request_seconds
        self._on_write = on_write
        self._rest: Any = RESTClientObject(configuration)

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self._call("GET", _path(kind, namespace, name))

    def list_objects(self, kind: Kind, namespace: str = "") -> Iterator[Object]:
        query = {"limit": str(PAGE)}
        if kind.selector:
            query["labelSelector"] = kind.selector
        while True:
            page = self._call("GET", _path(kind, namespace), query) or {}
            for item in page.get("items") or ():
                yield {"apiVersion": kind.api_version, "kind": kind.name, **item}
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return
            query["continue"] = following

    def create(self, kind: Kind, namespace: str, body: Mapping[str, Any]) -> Object | None:
        query = {"fieldManager": OWNER_MANAGER}
        return self._call("POST", _path(kind, namespace), query, body, absent=(409,))

    def apply_status(self, kind: Kind, body: Mapping[str, Any]) -> Object | None:
        return self._apply(kind, body, STATUS_MANAGER, "/status")

    def apply_owner(self, kind: Kind, body: Mapping[str, Any]) -> Object | None:
        return self._apply(kind, body, OWNER_MANAGER, "")

    def delete(self, kind: Kind, namespace: str, name: str, uid: str = "") -> None:
        options: Object = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        self._call("DELETE", _path(kind, namespace, name), {}, options, absent=(404, 409))

    def find_denial(self, namespace: str, job_name: str) -> str:
        fields = f"involvedObject.kind=Job,involvedObject.name={job_name},reason=FailedCreate"
        query = {"fieldSelector": fields, "limit": "20"}
        try:
            page = self._call("GET", _path(EVENTS, namespace), query) or {}
        except DppError:
            return ""  # without the right to list events there is no word, but still a reason
        said = [item.get("message", "") for item in page.get("items") or ()]
        return said[-1] if said else ""

    def _apply(self, kind: Kind, body: Mapping[str, Any], manager: str, part: str) -> Object | None:
        metadata = body["metadata"]
        path = _path(kind, metadata["namespace"], metadata["name"]) + part
        query = {"fieldManager": manager, "force": "true"}
        return self._call("PATCH", path, query, body, absent=(404, 409))

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        absent: tuple[int, ...] = (404,),
    ) -> Object | None:
        headers = {"Accept": "application/json", **self._login()}
        content = "application/json"
        if method == "PATCH":
            content = "application/apply-patch+yaml"
        sent: Any = body
        if body is not None:
            headers["Content-Type"] = content
            sent = json.dumps(body) if method == "PATCH" else body
        url = f"{self._configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            response = self._rest.request(
                method, url, headers=headers, body=sent, _request_timeout=self._seconds
            )
        except ApiException as error:
            raise _translate(error, method, path) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TemporaryFailure(
                f"The API server does not answer {method} {path}: {type(error).__name__}."
            ) from error
        if response.status in absent:
            return None
        if response.status >= 300:
            raise _build_error(response.status, response.read(), response.headers, method, path)
        answer: Object = json.loads(response.read()) if response.read() else {}
        if method != "GET":
            self._on_write()
        return answer

    def _login(self) -> dict[str, str]:
        known: Any = self._configuration.auth_settings()
        settings = known.values()
        return {each["key"]: each["value"] for each in settings if each.get("in") == "header"}


def _path(kind: Kind, namespace: str, name: str = "") -> str:
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"{kind.api}{place}/{kind.plural}" + (f"/{name}" if name else "")


def _translate(error: ApiException, method: str, path: str) -> DppError:
    return _build_error(error.status or 0, error.body, error.headers or {}, method, path)


def _build_error(
    status: int, body: Any, headers: Mapping[str, str], method: str, path: str
) -> DppError:
    said = _read_message(body)
    message = f"The API server answered {method} {path} with {status}: {said}"
    if status in _TEMPORARY or status == 0:
        failure = TemporaryFailure(message)
        asked = headers.get("Retry-After", "")
        failure.retry_after_seconds = float(asked) if asked.isdecimal() else 0.0
        return failure
    return InternalError(message, fix="Check the operator's rights (the chart's ClusterRole).")


def _read_message(body: Any) -> str:
    try:
        return str(json.loads(body).get("message", ""))[:300]
    except (ValueError, TypeError, AttributeError):
        return ""
