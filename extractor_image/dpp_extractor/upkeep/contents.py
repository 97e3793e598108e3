"""The data files of a table, held against what the log says of them: there, as large, the very bytes.

Called by `verify`. Presence and size cost one LIST a thousand files; `check_bytes` reads every byte
of the live files once, in pieces of 8 MiB. Writes nothing.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from dpp_core.errors import DestinationUnavailableError
from dpp_extractor.ports import Entry, Store
from dpp_extractor.publish.delta import LiveFile
from dpp_extractor.publish.keys import Stream, table_prefix
from dpp_extractor.publish.ranged import open_ranged
from dpp_extractor.upkeep.findings import Finding, Problem

PIECE_BYTES: Final = 8 * 1024 * 1024
"""The size of the pieces of an upload: a composite digest is one over the digests of these."""


def list_files(store: Store, stream: Stream) -> dict[str, Entry]:
    """List what lies in the table's folder but its log, by path relative to the table."""
    prefix = f"{table_prefix(stream)}/"
    found = ((entry.key.removeprefix(prefix), entry) for entry in store.list(prefix))
    return {path: entry for path, entry in found if not path.startswith("_")}


def check_presence(files: Mapping[str, LiveFile], found: Mapping[str, Entry]) -> Iterator[Finding]:
    """Give every live file that is not there, or has another size."""
    for path, file in sorted(files.items()):
        entry = found.get(path)
        if entry is None:
            yield Finding(Problem.FILE_MISSING, path, "The table needs this file; it is not there.")
        elif entry.size_bytes != file.size_bytes:
            message = f"It has {entry.size_bytes} bytes, the log says {file.size_bytes}."
            yield Finding(Problem.FILE_SIZE_DIFFERS, path, message)


def read_checksums(body: bytes) -> dict[str, str]:
    """Read the digests that a commit gives its files, by path."""
    actions = (json.loads(line) for line in body.split(b"\n") if line.strip())
    adds = (action["add"] for action in actions if action.get("add"))
    return {
        str(add["path"]): str(add["tags"]["dpp.checksum"])
        for add in adds
        if (add.get("tags") or {}).get("dpp.checksum")
    }


def check_bytes(
    store: Store, stream: Stream, file: LiveFile, checksum: str | None
) -> Iterator[Finding]:
    """Read a file and give what is wrong with its bytes, its form or its number of rows."""
    key = f"{table_prefix(stream)}/{file.path}"
    if checksum is None:
        message = "Its writer left no digest; only its form and its rows can be checked."
        yield Finding(Problem.NO_DIGEST, file.path, message)
    elif compute_checksum(store, key, checksum) != checksum:
        message = f"Its bytes are not those that were written ({checksum})."
        yield Finding(Problem.FILE_DIGEST_DIFFERS, file.path, message)
    try:
        rows = _count_rows(store, key, file.size_bytes, is_read=checksum is None)
    except FileNotFoundError as error:
        raise DestinationUnavailableError(f"{error}.") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        yield Finding(Problem.FILE_UNREADABLE, file.path, f"It is no Parquet file: {error}"[:300])
        return
    if rows != file.rows:
        message = f"It has {rows} rows, the log says {file.rows}."
        yield Finding(Problem.FILE_ROWS_DIFFER, file.path, message)


def compute_checksum(store: Store, key: str, like: str) -> str:
    """Compute the digest of an object in the form of another: hexadecimal, base64, or composite."""
    value = like.removeprefix("sha256:")
    digest, of_digests, pieces = hashlib.sha256(), hashlib.sha256(), 0
    for piece in _read_pieces(store, key):
        digest.update(piece)
        of_digests.update(hashlib.sha256(piece).digest())
        pieces += 1
    if "-" in value:
        return f"sha256:{_spelled(of_digests.digest())}-{pieces}"
    if len(value) == digest.digest_size * 2:
        return f"sha256:{digest.hexdigest()}"
    return f"sha256:{_spelled(digest.digest())}"


def _spelled(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _read_pieces(store: Store, key: str) -> Iterator[bytes]:
    entry = store.head(key)
    for start_bytes in range(0, entry.size_bytes if entry else 0, PIECE_BYTES):
        yield store.get_range(key, start_bytes, PIECE_BYTES) or b""


def _count_rows(store: Store, key: str, size_bytes: int, *, is_read: bool) -> int:
    """Count by the footer, or with `is_read` by decoding every page."""
    with pq.ParquetFile(open_ranged(store, key, size_bytes, PIECE_BYTES), pre_buffer=False) as file:
        if not is_read:
            return int(file.metadata.num_rows)
        return sum(batch.num_rows for batch in file.iter_batches(65_536))
