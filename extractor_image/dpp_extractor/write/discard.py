"""A sink for runs that publish nothing: the part is built, counted and thrown away.

Called by `unit` with `--dry-run` and `--limit`, so that all but the last step is the same as in a real run.
"""

from dpp_extractor.ports import Stored


class DiscardSink:
    """Counts bytes and keeps none."""

    def __init__(self, number: int) -> None:
        self.path = f"data/discarded/part-{number:05d}.parquet"
        self._size_bytes = 0

    def write(self, chunk: bytes) -> int:
        self._size_bytes += len(chunk)
        return len(chunk)

    def tell(self) -> int:
        return self._size_bytes

    def finish(self) -> Stored:
        return Stored(self.path, self._size_bytes, "")

    def abort(self) -> None:
        """Nothing was kept, so there is nothing to throw away."""
