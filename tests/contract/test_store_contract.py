"""What every store promises, on each of them: memory, folder, moto and the real S3 server."""

import hashlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dpp_core.errors import DestinationDeniedError
from dpp_extractor.adapters.bucket import BucketSettings, open_bucket
from dpp_extractor.adapters.bucket_upload import PIECE_BYTES
from dpp_extractor.adapters.folder import open_folder
from dpp_extractor.ports import Put, Store
from dpp_extractor.publish.probe import probe
from fake_store import FakeStore
from stores import Moto, serve_moto

KINDS = ("memory", "folder", "moto", "s3")
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def moto():
    with serve_moto() as served:
        yield served


def open_kind(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    prefix = f"prefix-{next(_numbers)}/inner"
    if kind == "memory":
        return FakeStore(clock=datetime.now(UTC))
    if kind == "folder":
        return open_folder(tmp_path / "lake")
    if kind == "moto":
        served: Moto = request.getfixturevalue("moto")
        return open_bucket(served.settings(prefix))
    server = request.getfixturevalue("s3_server")
    return open_bucket(
        BucketSettings(
            bucket=request.getfixturevalue("bucket"),
            prefix=prefix,
            endpoint=server.endpoint,
            region=server.region,
            access_key=server.access_key,
            secret_key=server.secret_key,
        )
    )


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_kind(request.param, request, tmp_path)


def test_the_first_put_creates_and_the_second_leaves_it_as_it_is(store: Store):
    first = store.put_if_absent("a/b/one.json", b"first")
    second = store.put_if_absent("a/b/one.json", b"second")

    assert (first, second) == (Put.CREATED, Put.UNKNOWN)
    assert store.get("a/b/one.json") == b"first"


def test_an_absent_key_reads_as_none(store: Store):
    assert store.get("a/none.json") is None
    assert store.head("a/none.json") is None


def test_an_absent_key_under_a_file_reads_as_none(store: Store):
    store.put_if_absent("a/file", b"x")

    assert store.get("a/other/none") is None
    assert list(store.list("nothing/here/")) == []


def test_the_head_tells_size_and_age_on_the_stores_clock(store: Store):
    store.put_if_absent("a/one", b"12345")

    entry = store.head("a/one")

    assert entry is not None
    assert (entry.key, entry.size_bytes) == ("a/one", 5)
    assert abs((entry.modified_at - store.now()).total_seconds()) < 5


def test_a_listing_is_sorted_by_whole_keys_and_starts_after(store: Store):
    keys = ["t/a/2", "t/a-b", "t/a.json", "t/a/1", "t/b", "ta", "t/a/1/x"]
    for key in keys:
        if key != "t/a/1":  # a folder cannot hold a file and a folder of one name
            store.put_if_absent(key, b"")

    listed = [entry.key for entry in store.list("t/")]
    after = [entry.key for entry in store.list("t/", "t/a/1/x")]
    by_prefix = [entry.key for entry in store.list("t/a")]

    assert listed == ["t/a-b", "t/a.json", "t/a/1/x", "t/a/2", "t/b"]
    assert after == ["t/a/2", "t/b"]
    assert by_prefix == ["t/a-b", "t/a.json", "t/a/1/x", "t/a/2"]


def test_an_upload_is_invisible_until_it_is_finished(store: Store):
    upload = store.open_upload("t/data/x/part-00000.parquet", {"run_id": "r1"})
    upload.write(b"abc")
    before = [entry.key for entry in store.list("")]
    upload.write(b"def")

    stored = upload.finish()

    assert before == []
    assert store.get(stored.key) == b"abcdef"
    assert stored.size_bytes == 6
    assert stored.checksum.startswith("sha256:")


def test_an_aborted_upload_leaves_nothing(store: Store):
    upload = store.open_upload("t/data/x/part-00001.parquet", {})
    upload.write(b"z" * (PIECE_BYTES + 1))

    upload.abort()
    upload.abort()

    assert list(store.list("")) == []
    assert store.get("t/data/x/part-00001.parquet") is None


@pytest.mark.parametrize(
    "size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES + 12345]
)
def test_an_upload_of_any_size_comes_back_byte_for_byte(store: Store, size: int):
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    upload = store.open_upload("t/data/y/part-00000.parquet", {"dataset": "orders"})
    for start in range(0, size, 1_000_003):
        upload.write(body[start : start + 1_000_003])

    stored = upload.finish()

    kept = store.get(stored.key)
    assert kept is not None
    assert stored.size_bytes == size == len(kept)
    assert hashlib.sha256(kept).digest() == hashlib.sha256(body).digest()


def test_racing_writers_have_one_winner(store: Store):
    for key in (f"race/{number}" for number in range(10)):
        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(lambda n, key=key: store.put_if_absent(key, f"{n}".encode()), range(8))
            )

        assert answers.count(Put.CREATED) == 1
        assert store.get(key) == str(answers.index(Put.CREATED)).encode()


def test_deleting_is_repeatable(store: Store):
    store.put_if_absent("p/one", b"x")

    store.delete("p/one")
    store.delete("p/one")

    assert store.get("p/one") is None
    assert store.put_if_absent("p/one", b"y") is Put.CREATED


def test_the_full_probe_finds_conditional_writes_and_cleans_up(store: Store):
    found = probe(store, token="t-1", now=lambda: datetime.now(UTC), race_keys=5)

    assert not found.is_clock_off
    assert found.raced_keys == 5
    assert list(store.list("_dpp_probe/")) == []


def test_a_listing_goes_on_over_pages(request: pytest.FixtureRequest, tmp_path: Path):
    store = open_kind("s3", request, tmp_path)
    client = request.getfixturevalue("s3_server").client()
    bucket, prefix = store.uri.removeprefix("s3://").split("/", 1)
    for number in range(1005):
        client.put_object(Bucket=bucket, Key=f"{prefix}/many/{number:05d}", Body=b"")

    listed = [entry.key for entry in store.list("many/")]

    assert listed == [f"many/{number:05d}" for number in range(1005)]


@pytest.mark.parametrize("kind", ["moto", "s3"])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"bucket": "not-there-at-all"}, "no such bucket", id="bucket missing"),
    ],
)
def test_a_refusal_is_told_with_its_cause(
    kind: str, change: dict, sentence: str, request: pytest.FixtureRequest, tmp_path: Path
):
    opened = open_kind(kind, request, tmp_path)
    endpoint = opened._client.meta.endpoint_url
    creds = opened._client._request_signer._credentials
    settings = BucketSettings(
        bucket=change["bucket"],
        endpoint=endpoint,
        access_key=creds.access_key,
        secret_key=creds.secret_key,
    )
    store = open_bucket(settings)

    with pytest.raises(DestinationDeniedError, match=sentence):
        store.put_if_absent("a", b"")
    with pytest.raises(DestinationDeniedError, match=sentence):
        list(store.list("a"))


@pytest.mark.parametrize(
    "field", ["access_key", "secret_key"], ids=["unknown access key", "wrong secret key"]
)
def test_a_wrong_login_is_told_and_holds_no_secret(field: str, s3_server, bucket: str):
    keys = {"access_key": s3_server.access_key, "secret_key": s3_server.secret_key}
    keys[field] = "Planted-0123456789"
    store = open_bucket(BucketSettings(bucket=bucket, endpoint=s3_server.endpoint, **keys))

    with pytest.raises(Exception, match="failed") as caught:
        store.put_if_absent("a", b"")

    assert caught.value.exit_code == 26
    assert caught.value.reason == "DestinationDenied"
    assert "Planted" not in str(caught.value)
