"""One data file on its way into the store, as the write stage's sink.

Called by `unit`, which hands `open_part` to the Parquet writer. A key is used once: the attempt's
id is in it, and part numbers never start again within an attempt. Nothing can be seen before
`finish`; leaving without it aborts.
"""

from collections.abc import Mapping

from dpp_extractor.ports import Store, Stored, Upload
from dpp_extractor.publish.hooks import NO_HOOKS, Hooks
from dpp_extractor.publish.keys import Stream, data_key, data_path


class PartFile:
    """A write-only file over an upload; `path` is relative to the table, as the `add` action will
    name it.
    """

    def __init__(self, upload: Upload, path: str, hooks: Hooks) -> None:
        self.path = path
        self.closed = False
        self._upload = upload
        self._hooks = hooks
        self._written_bytes = 0

    def write(self, chunk: bytes) -> int:
        written = self._upload.write(bytes(chunk))
        self._written_bytes += written
        return written

    def tell(self) -> int:
        return self._written_bytes

    def flush(self) -> None:
        """Do nothing: the store has bytes of its own accord when a piece is full."""

    def close(self) -> None:
        """Do nothing: closing a Parquet file must not publish it; `finish` does."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def finish(self) -> Stored:
        """Make the file visible under its key and return what the store says about it."""
        stored = self._upload.finish()
        self.closed = True
        self._hooks.at("part_uploaded")
        return stored

    def abort(self) -> None:
        """Throw the file away; after `finish` this does nothing."""
        if not self.closed:
            self.closed = True
            self._upload.abort()


def open_part(
    store: Store,
    stream: Stream,
    *,
    attempt_id: str,
    number: int,
    metadata: Mapping[str, str],
    hooks: Hooks = NO_HOOKS,
) -> PartFile:
    """Open part `number` of an attempt; `metadata` are the object's ids (run_id, correlation_id,
    distributor, dataset).
    """
    upload = store.open_upload(data_key(stream, attempt_id, number), metadata)
    return PartFile(upload, data_path(attempt_id, number), hooks)
