"""What a bucket's answers mean, row by row, without a server."""

import base64
import hashlib
import io
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import botocore.exceptions as botocore_errors
import pytest
from botocore.exceptions import ClientError

from dpp_core.errors import (
    DestinationDeniedError,
    DestinationUnavailableError,
    DppError,
    StreamError,
)
from dpp_core.names import Reason
from dpp_extractor.adapters.bucket import BucketSettings, BucketStore, open_bucket
from dpp_extractor.adapters.bucket_failures import S3
from dpp_extractor.adapters.bucket_upload import PIECE_BYTES, digest_of
from dpp_extractor.guard.failures import Handling
from dpp_extractor.guard.retry import RetryPolicy, retrying
from dpp_extractor.ports import Put

SETTINGS = BucketSettings(bucket="lake", prefix="/in/ner/")


def client_error(code: str, status: int = 400) -> ClientError:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Operation")


def driver_error(name: str) -> Exception:
    kind = getattr(botocore_errors, name)
    fields = {
        "error": "x",
        "endpoint_url": "http://h",
        "actual_bytes": 1,
        "expected_bytes": 2,
        "checksum_type": "sha256",
        "expected_checksum": "a",
        "actual_checksum": "b",
        "provider": "env",
        "cred_var": "X",
        "error_msg": "x",
        "report": "x",
        "bucket_name": "B",
    }
    return kind(**fields)


def error_of(name: str) -> Exception:
    kind, _, value = name.partition(" ")
    if kind == "code":
        return client_error(value)
    if kind == "status":
        return client_error("Strange", int(value))
    package, _, cls = name.partition(".")
    return ValueError("x") if package == "builtins" else driver_error(cls)


class Client:
    """Answers with what is planned for a call's name; an exception is raised."""

    def __init__(self, **plans: Any) -> None:
        self.plans = plans
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.meta = SimpleNamespace(events=SimpleNamespace(register=self._register))
        self.handler: Callable[..., None] = lambda **_: None

    def _register(self, _event: str, handler: Callable[..., None]) -> None:
        self.handler = handler

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self.calls.append((name, arguments))
            plan = self.plans.get(name, {})
            answer = plan.pop(0) if isinstance(plan, list) else plan
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def store_over(client: Client, **policy: int) -> BucketStore:
    retry = retrying(RetryPolicy(attempts=policy.get("attempts", 1)), sleep=lambda _s: None)
    return BucketStore(client, SETTINGS, retry)


ROWS = [(name, row) for row in S3 for name in row.names]


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[name for name, _ in ROWS])
def test_a_failure_of_a_read_is_told_as_its_row_says(name: str, row):
    store = store_over(Client(get_object=error_of(name)))

    with pytest.raises(DppError) as caught:
        store.get("a/b")

    assert type(caught.value) is row.error
    assert caught.value.is_temporary is (
        row.handling is Handling.RETRY or row.error is DestinationUnavailableError
    )
    assert "s3://lake/in/ner/a/b" in str(caught.value)
    assert row.meaning in str(caught.value)
    if row.handling is not Handling.RETRY and caught.value.exit_code == 26:
        assert caught.value.reason == Reason.DESTINATION_DENIED


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[name for name, _ in ROWS])
def test_a_failure_of_a_conditional_write_is_unknown_unless_nothing_can_help(name: str, row):
    client = Client(put_object=error_of(name))
    store = store_over(client, attempts=5)

    if row.handling is Handling.RETRY:
        assert store.put_if_absent("a/b", b"x") is Put.UNKNOWN
    else:
        with pytest.raises(row.error):
            store.put_if_absent("a/b", b"x")
    assert len(client.calls) == 1


@pytest.mark.parametrize(
    "error",
    [
        client_error("PreconditionFailed", 412),
        client_error("ConditionalRequestConflict", 409),
        client_error("Strange", 400),
        client_error("Strange", 599),
    ],
    ids=["present", "racing", "unheard of", "unheard of 5xx"],
)
def test_anything_but_a_clear_success_is_unknown(error: Exception):
    assert store_over(Client(put_object=error)).put_if_absent("a", b"") is Put.UNKNOWN


def test_a_store_that_does_not_know_conditions_is_refused():
    store = store_over(Client(put_object=client_error("NotImplemented", 501)))

    with pytest.raises(StreamError) as caught:
        store.put_if_absent("a", b"")

    assert caught.value.reason == Reason.CONDITIONAL_WRITES_IGNORED


@pytest.mark.parametrize(
    ("status", "kind"), [(418, DestinationDeniedError), (599, DestinationUnavailableError)]
)
def test_an_unheard_of_answer_is_temporary_only_from_five_hundred_on(status: int, kind: type):
    with pytest.raises(kind) as caught:
        store_over(Client(get_object=client_error("Strange", status))).get("a")

    assert type(caught.value) is kind
    assert "Strange" in str(caught.value)


def test_a_conditional_write_carries_condition_and_checksum():
    client = Client()

    assert store_over(client).put_if_absent("a/b", b"body") is Put.CREATED

    name, arguments = client.calls[0]
    assert (name, arguments["Key"], arguments["IfNoneMatch"]) == ("put_object", "in/ner/a/b", "*")
    assert arguments["ChecksumSHA256"] == digest_of(b"body")


@pytest.mark.parametrize("code", ["NoSuchKey", "404", "NotFound"])
def test_absent_is_none_and_not_an_error(code: str):
    store = store_over(
        Client(get_object=client_error(code, 404), head_object=client_error(code, 404))
    )

    assert (store.get("a"), store.head("a")) == (None, None)


def test_reads_are_tried_again_by_the_one_retry():
    body = SimpleNamespace(read=lambda: b"x")
    client = Client(get_object=[client_error("SlowDown", 503)] * 3 + [{"Body": body}])

    assert store_over(client, attempts=5).get("a") == b"x"
    assert len(client.calls) == 4


def test_an_error_in_the_body_of_a_good_answer_is_a_failure_that_passes():
    bodies = [
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code></Error>',
        b"<Error><Code>SlowDown</Code></Error>",
        b'{"format": 1}\n',
    ]
    client = Client(get_object=[{"Body": io.BytesIO(body)} for body in bodies])

    assert store_over(client, attempts=3).get("a") == bodies[-1]
    assert len(client.calls) == 3


def test_an_error_in_the_body_of_every_good_answer_is_26():
    def answer() -> dict[str, Any]:
        return {"Body": io.BytesIO(b"<Error><Code>InternalError</Code></Error>")}

    client = Client(get_object=[answer(), answer()])

    with pytest.raises(DestinationUnavailableError) as caught:
        store_over(client, attempts=2).get("a")

    assert caught.value.is_temporary


def test_the_clock_is_the_date_of_the_last_answer():
    client = Client(head_object=client_error("404", 404))
    store = store_over(client)
    client.handler(http_response=SimpleNamespace(headers={"Date": "Fri, 02 Jan 2026 03:04:05 GMT"}))

    passed = store.now() - datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    assert 0 <= passed.total_seconds() < 5


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_without_a_date_the_clock_is_the_machines(date: str | None):
    client = Client(head_object=client_error("404", 404))
    store = store_over(client)
    client.handler(http_response=SimpleNamespace(headers={"Date": date}))

    assert abs((store.now() - datetime.now(UTC)).total_seconds()) < 5


def uploading(**plans: Any) -> Client:
    return Client(
        create_multipart_upload={"UploadId": "u"},
        upload_part={"ETag": "e"},
        **plans,
    )


PIECES = b"x" * (PIECE_BYTES + 1)


def composite_of(client: Client) -> str:
    """Compute what a store answers for the pieces it was sent."""
    digests = [
        base64.b64decode(arguments["ChecksumSHA256"])
        for name, arguments in client.calls
        if name == "upload_part"
    ]
    whole = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
    return f"{whole}-{len(digests)}"


def test_a_large_upload_goes_in_pieces_and_the_whole_is_compared():
    client = uploading(head_object={"ContentLength": 2 * PIECE_BYTES})
    upload = store_over(client).open_upload("d/p", {"run_id": "r"})
    upload.write(b"x" * (PIECE_BYTES + 1))
    upload.write(b"y" * (PIECE_BYTES - 1))
    client.plans["complete_multipart_upload"] = {"ChecksumSHA256": composite_of(client)}

    stored = upload.finish()

    assert stored.checksum == f"sha256:{composite_of(client)}"
    assert [name for name, _ in client.calls][:4] == [
        "create_multipart_upload",
        "upload_part",
        "upload_part",
        "complete_multipart_upload",
    ]


def test_a_large_upload_passes_its_point_once_when_the_first_piece_lies_in_the_store():
    client, passed = uploading(head_object={"ContentLength": 1}), []

    def hook(point: str) -> None:
        passed.append((point, [name for name, _ in client.calls]))

    store = BucketStore(client, SETTINGS, retrying(RetryPolicy(attempts=1)), hook)
    store.open_upload("d/p", {}).write(b"x" * (3 * PIECE_BYTES))
    store.open_upload("d/q", {}).write(b"x")

    assert passed == [("multipart_half", ["create_multipart_upload", "upload_part"])]


@pytest.mark.parametrize(
    "plans",
    [
        {"complete_multipart_upload": {"ChecksumSHA256": "other-2"}},
        {"complete_multipart_upload": {}},
    ],
    ids=["another checksum", "no checksum"],
)
def test_an_upload_whose_checksum_is_not_ours_does_not_count(plans: dict[str, Any]):
    client = uploading(head_object={"ContentLength": len(PIECES)}, **plans)
    upload = store_over(client).open_upload("d/p", {})
    upload.write(PIECES)

    with pytest.raises(DestinationUnavailableError, match="SHA-256"):
        upload.finish()


def test_a_small_upload_is_one_request_when_the_answer_has_its_checksum():
    client = Client(put_object={"ChecksumSHA256": digest_of(b"abc")})
    upload = store_over(client).open_upload("d/p", {})
    upload.write(b"abc")

    assert upload.finish().size_bytes == 3
    assert [name for name, _ in client.calls] == ["put_object"]


@pytest.mark.parametrize("answer", [{}, {"ChecksumSHA256": ""}], ids=["silent", "empty"])
def test_an_upload_of_another_length_does_not_count(answer: dict[str, Any]):
    client = Client(
        put_object=answer,
        head_object={"ContentLength": 2, "ChecksumSHA256": digest_of(b"abc")},
    )
    upload = store_over(client).open_upload("d/p", {})
    upload.write(b"abc")

    with pytest.raises(DestinationUnavailableError, match="2 bytes"):
        upload.finish()


def test_a_completion_whose_answer_was_lost_is_found_done():
    client = uploading(
        complete_multipart_upload=[
            client_error("InternalError", 200),
            client_error("NoSuchUpload", 404),
        ]
    )
    upload = store_over(client, attempts=3).open_upload("d/p", {})
    upload.write(PIECES[:PIECE_BYTES])
    client.plans["head_object"] = {
        "ContentLength": PIECE_BYTES,
        "ChecksumSHA256": composite_of(client),
    }

    assert upload.finish().size_bytes == PIECE_BYTES


def test_an_abort_tells_the_store_once_and_bears_its_failure():
    client = uploading(abort_multipart_upload=client_error("SlowDown", 503))
    upload = store_over(client).open_upload("d/p", {})
    upload.write(PIECES)

    upload.abort()
    upload.abort()

    assert [name for name, _ in client.calls].count("abort_multipart_upload") == 1


def test_an_endpoint_that_is_no_url_is_refused():
    with pytest.raises(DestinationDeniedError, match="endpoint"):
        open_bucket(BucketSettings(bucket="lake", endpoint="not a url"))


def test_no_secret_is_in_the_settings_text():
    text = repr(BucketSettings("b", secret_key="Planted-1", session_token="Planted-2"))

    assert "Planted" not in text
