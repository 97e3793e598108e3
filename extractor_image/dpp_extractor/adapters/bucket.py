"""An S3 bucket as a store: boto3's only home.

Called by `wiring`. The driver's own retries are off everywhere: a repeated conditional write would
take its own first success for somebody else's (it was seen to in every retry mode). Reads and data
uploads are tried again by the one retry that is handed in; the conditional write is tried once, and
anything but a clear success is UNKNOWN.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from dpp_core.errors import (
    DestinationDeniedError,
    DestinationUnavailableError,
    DppError,
    StreamError,
)
from dpp_core.names import Reason
from dpp_extractor.adapters.bucket_failures import S3
from dpp_extractor.adapters.bucket_upload import BucketUpload, Wanted, digest_of
from dpp_extractor.guard.failures import Handling, find_failure, names_of
from dpp_extractor.ports import Entry, Put, Store, Upload

T = TypeVar("T")

CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 60
_ABSENT: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_ERROR_DOCUMENT: Final = re.compile(rb"\s*(<\?xml[^>]*>\s*)?<Error[\s>]")
_FAILURES: Final = (BotoCoreError, ClientError, ValueError)


class Call(Protocol):
    """Call until it succeeds or patience ends; guard's `Retry` is one."""

    def __call__(self, call: Callable[[], T], /) -> T: ...


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """Where the bucket is and how to log in. Without `access_key` the driver's own chain is used.

    `endpoint` empty = AWS; `ca_bundle` is a file of certificates, empty = the system's;
    `read_seconds` is how long an answer may take, 0 = READ_SECONDS.
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    ca_bundle: str = ""
    read_seconds: float = 0


def call_once(call: Callable[[], T], /) -> T:
    """Call without trying again."""
    return call()


def open_bucket(
    settings: BucketSettings,
    call: Call = call_once,
    hook: Callable[[str], None] = lambda point: None,
) -> Store:
    """Open a bucket as a store; nothing is sent yet. `hook` is called at the upload's named point.

    Raises DestinationDeniedError (26) for an endpoint that is not a URL.
    """
    try:
        client = _client(settings)
    except _FAILURES as error:
        raise _error_of(f"s3://{settings.bucket}", error) from error
    return BucketStore(client, settings, call, hook)


class BucketStore:
    """A `Store` over one prefix of a bucket; `open_bucket` makes it."""

    def __init__(
        self,
        client: Any,
        settings: BucketSettings,
        call: Call,
        hook: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._client = client
        self._bucket = settings.bucket
        self._prefix = f"{settings.prefix.strip('/')}/" if settings.prefix.strip("/") else ""
        self._call = call
        self._hook = hook
        self._clock: tuple[datetime, float] | None = None
        client.meta.events.register("after-call.s3", self._note_date)

    @property
    def uri(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def put_if_absent(self, key: str, body: bytes) -> Put:
        """Send one conditional PUT. A refusal that no other try can change is raised."""
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + key,
                Body=body,
                ChecksumSHA256=digest_of(body),
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except _FAILURES as error:
            self._raise_when_refused(key, error)
            return Put.UNKNOWN
        return Put.CREATED

    def get(self, key: str) -> bytes | None:
        return self._unless_absent(key, lambda: self._read(key))

    def get_range(self, key: str, start_bytes: int, length_bytes: int) -> bytes | None:
        asked = f"bytes={start_bytes}-{start_bytes + length_bytes - 1}"
        return self._unless_absent(key, lambda: self._read(key, Range=asked))

    def head(self, key: str) -> Entry | None:
        answer = self._unless_absent(key, lambda: self.head_object(key))
        if answer is None:
            return None
        return Entry(key, answer["ContentLength"], answer["LastModified"].astimezone(UTC))

    def head_object(self, key: str) -> dict[str, Any]:
        """Send one HEAD and return the driver's answer with the object's checksum."""
        answer: dict[str, Any] = self._client.head_object(
            Bucket=self._bucket, Key=self._prefix + key, ChecksumMode="ENABLED"
        )
        return answer

    def list(self, prefix: str, start_after: str = "") -> Iterator[Entry]:
        arguments = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        if start_after:
            arguments["StartAfter"] = self._prefix + start_after
        while True:
            page = self._list_page(prefix, arguments)
            for found in page.get("Contents") or ():
                key = found["Key"].removeprefix(self._prefix)
                yield Entry(key, found["Size"], found["LastModified"].astimezone(UTC))
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]

    def open_upload(self, key: str, metadata: Mapping[str, str]) -> Upload:
        target = {"Bucket": self._bucket, "Key": self._prefix + key}
        return BucketUpload(
            self._client,
            target,
            Wanted(key, dict(metadata)),
            lambda work: self._try(key, work),
            self._hook,
        )

    def delete(self, key: str) -> None:
        self._unless_absent(
            key, lambda: self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)
        )

    def now(self) -> datetime:
        """Return the Date of the last answer plus the time since; the machine's clock without one."""
        if self._clock is None:
            self.head("_dpp_probe/clock")
        if self._clock is None:
            return datetime.now(UTC)
        answered_at, mark = self._clock
        return answered_at + timedelta(seconds=time.monotonic() - mark)

    def _read(self, key: str, **options: str) -> bytes:
        answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, **options)
        body: bytes = answer["Body"].read()
        _raise_error_in(body)
        return body

    def _note_date(self, http_response: Any, **_: Any) -> None:
        text = http_response.headers.get("Date")
        try:
            answered_at = parsedate_to_datetime(text).astimezone(UTC)
        except (TypeError, ValueError):
            return
        self._clock = (answered_at, time.monotonic())

    def _list_page(self, prefix: str, arguments: Mapping[str, str]) -> dict[str, Any]:
        page: dict[str, Any] = self._try(prefix, lambda: self._client.list_objects_v2(**arguments))
        return page

    def _unless_absent(self, key: str, work: Callable[[], T]) -> T | None:
        def tried() -> T | None:
            try:
                return work()
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return None
                raise

        return self._try(key, tried)

    def _try(self, key: str, work: Callable[[], T]) -> T:
        def translated() -> T:
            try:
                return work()
            except _FAILURES as error:
                raise _error_of(f"{self.uri}/{key}", error) from error

        return self._call(translated)

    def _raise_when_refused(self, key: str, error: Exception) -> None:
        if isinstance(error, ClientError) and _status(error) == 501:
            raise StreamError(
                f"The store {self.uri} does not know conditional writes ({_code(error)}).",
                reason=Reason.CONDITIONAL_WRITES_IGNORED,
                fix="Use a store that honours If-None-Match on PutObject.",
            ) from error
        row = find_failure(S3, _names(error))
        if row is not None and row.handling in (Handling.STOP, Handling.REFRESH):
            raise _error_of(f"{self.uri}/{key}", error) from error


def _client(settings: BucketSettings) -> Any:
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=settings.read_seconds or READ_SECONDS,
        tcp_keepalive=True,
        s3={"addressing_style": "path" if settings.endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.endpoint or None,
        region_name=settings.region or "us-east-1",
        aws_access_key_id=settings.access_key or None,
        aws_secret_access_key=settings.secret_key or None,
        aws_session_token=settings.session_token or None,
        verify=settings.ca_bundle or None,
        config=config,
    )


def _raise_error_in(body: bytes) -> None:
    """Raise what a store or something before it said in the body of a 200; the driver looks for it
    in all answers but those to reads. Nothing of ours begins like that.
    """
    if _ERROR_DOCUMENT.match(body):
        said = {"Error": {"Code": "InternalError"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
        raise ClientError(said, "GetObject")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _names(error: Exception) -> tuple[str, ...]:
    if isinstance(error, ClientError):
        return (f"code {_code(error)}", f"status {_code(error)}", f"status {_status(error)}")
    return names_of(error)


def _error_of(where: str, error: Exception) -> DppError:
    """Translate a driver's error by the table; what is not in it is temporary only from a 5xx on."""
    names = _names(error)
    row = find_failure(S3, names)
    what = names[0].removeprefix("code ")
    if row is None or row.error is None:
        is_answer = isinstance(error, ClientError)
        is_temporary = not is_answer or _status(error) >= 500
        kind = DestinationUnavailableError if is_temporary else DestinationDeniedError
        return kind(
            f"{where} failed: {what}, which is not in the table of failures.",
            fix=_next(is_temporary),
        )
    is_about_store = issubclass(row.error, DestinationUnavailableError)
    is_refused = is_about_store and row.handling is not Handling.RETRY
    return row.error(
        f"{where} failed: {row.meaning} ({what}).",
        reason=Reason.DESTINATION_DENIED if is_refused else None,
        fix=_next(not is_refused) if is_about_store else "",
    )


def _next(is_temporary: bool) -> str:
    if is_temporary:
        return "Run it again when the store answers: nothing is lost."
    return "Correct the destination's settings or rights."
