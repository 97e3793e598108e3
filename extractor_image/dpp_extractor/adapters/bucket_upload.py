"""One streaming upload to a bucket: a single PUT when small, pieces of 8 MiB otherwise.

Called by `bucket`, which hands in the client and its way of trying again. Every piece carries its
SHA-256, which the store checks; the store's answer to the whole is compared with ours before the
file counts as stored. Memory: one piece.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from dpp_core.errors import DestinationUnavailableError
from dpp_extractor.ports import Stored

PIECE_BYTES: Final = 8 * 1024 * 1024
Try = Callable[[Callable[[], Any]], Any]


def digest_of(body: bytes | bytearray) -> str:
    """Return the SHA-256 as S3 spells it."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be stored: its key, as the store's callers know it, and the object's metadata."""

    key: str
    metadata: dict[str, str]


class BucketUpload:
    """An `Upload` into a bucket; nothing is visible before `finish`.

    `hook` is called once, when the first piece lies in the store.
    """

    def __init__(
        self,
        client: Any,
        target: Mapping[str, str],
        wanted: Wanted,
        tries: Try,
        hook: Callable[[str], None],
    ) -> None:
        self._client = client
        self._target = dict(target)
        self._key = wanted.key
        self._metadata = wanted.metadata
        self._try = tries
        self._hook = hook
        self._held = bytearray()
        self._size_bytes = 0
        self._upload_id = ""
        self._pieces: list[dict[str, Any]] = []
        self._is_ended = False

    def write(self, chunk: bytes) -> int:
        self._held += chunk
        self._size_bytes += len(chunk)
        while len(self._held) >= PIECE_BYTES:
            self._send(bytes(self._held[:PIECE_BYTES]))
            del self._held[:PIECE_BYTES]
        return len(chunk)

    def finish(self) -> Stored:
        """Make the object visible; raise DestinationUnavailableError when its checksum is not ours."""
        if not self._upload_id:
            return self._finish_small()
        if self._held:
            self._send(bytes(self._held))
            self._held.clear()
        answer = self._try(self._complete)
        self._is_ended = True
        return self._stored(answer.get("ChecksumSHA256"), self._composite())

    def abort(self) -> None:
        """Throw the pieces away. When the store is down they stay for its own lifecycle rule."""
        self._held.clear()
        if not self._upload_id or self._is_ended:
            return
        self._is_ended = True
        try:
            self._try(
                lambda: self._client.abort_multipart_upload(
                    **self._target, UploadId=self._upload_id
                )
            )
        except DestinationUnavailableError:
            return

    def _finish_small(self) -> Stored:
        body = bytes(self._held)
        self._held.clear()
        digest = digest_of(body)
        answer = self._try(
            lambda: self._client.put_object(
                **self._target,
                Body=body,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=digest,
                Metadata=self._metadata,
            )
        )
        self._is_ended = True
        if answer.get("ChecksumSHA256") == digest:  # it took exactly the bytes of this one request
            return Stored(self._key, self._size_bytes, f"sha256:{digest}")
        return self._stored(answer.get("ChecksumSHA256"), digest)

    def _send(self, piece: bytes) -> None:
        if not self._upload_id:
            self._upload_id = self._try(self._create)["UploadId"]
        number = len(self._pieces) + 1
        digest = digest_of(piece)
        answer = self._try(
            lambda: self._client.upload_part(
                **self._target,
                UploadId=self._upload_id,
                PartNumber=number,
                Body=piece,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=digest,
            )
        )
        self._pieces.append(
            {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": digest}
        )
        if number == 1:
            self._hook("multipart_half")

    def _create(self) -> Any:
        return self._client.create_multipart_upload(
            **self._target, ChecksumAlgorithm="SHA256", Metadata=self._metadata
        )

    def _complete(self) -> Any:
        try:
            return self._client.complete_multipart_upload(
                **self._target,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": self._pieces},
            )
        except ClientError as error:
            # an earlier try may have completed it and its answer was lost: then the object is there
            if error.response.get("Error", {}).get("Code") != "NoSuchUpload":
                raise
            return self._head()

    def _head(self) -> Any:
        return self._client.head_object(**self._target, ChecksumMode="ENABLED")

    def _composite(self) -> str:
        digests = b"".join(base64.b64decode(piece["ChecksumSHA256"]) for piece in self._pieces)
        return f"{digest_of(digests)}-{len(self._pieces)}"

    def _stored(self, answered: str | None, expected: str) -> Stored:
        head = self._try(self._head)
        checksum = answered or head.get("ChecksumSHA256")
        is_same = checksum is not None and checksum.partition("-")[0] == expected.partition("-")[0]
        if not is_same or head["ContentLength"] != self._size_bytes:
            raise DestinationUnavailableError(
                f"The store keeps {head['ContentLength']} bytes with SHA-256 {checksum} of {self._key}; sent were "
                f"{self._size_bytes} bytes with {expected}.",
                fix="Run again; if it stays, the store damages what it is given.",
            )
        return Stored(self._key, self._size_bytes, f"sha256:{expected}")
