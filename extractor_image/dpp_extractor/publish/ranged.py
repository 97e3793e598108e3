"""An object of the store as a file that can be sought in; each read is one ranged request.

Called by `checkpoint` and upkeep, and handed to who reads data files. Reads only.
"""

import io
from typing import Any, BinaryIO, Final, cast

from dpp_extractor.ports import Store

SMALL_BYTES: Final = 64 * 1024
"""For files of which a few columns are read: a larger buffer would bring the columns between them too."""


def open_ranged(store: Store, key: str, size_bytes: int, buffer_bytes: int) -> BinaryIO:
    """Open an object whose size is known; what is read beyond the buffer's size goes past it, in one request.

    Reading raises FileNotFoundError when the object is gone, OSError when it is not what it was.
    """
    raw = _StoreFile(store, key, size_bytes)
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, raw), buffer_bytes))


class _StoreFile(io.RawIOBase):
    def __init__(self, store: Store, key: str, size_bytes: int) -> None:
        super().__init__()
        self._store = store
        self._key = key
        self._size_bytes = size_bytes
        self._at_bytes = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at_bytes

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at_bytes, io.SEEK_END: self._size_bytes}
        self._at_bytes = max(0, start[whence] + offset)
        return self._at_bytes

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size_bytes - self._at_bytes)
        if wanted <= 0:
            return 0
        body = self._store.get_range(self._key, self._at_bytes, wanted)
        if body is None:
            raise FileNotFoundError(f"{self._key} went away while it was read")
        if len(body) > wanted:
            raise OSError(f"{self._key} changed while it was read")
        buffer[: len(body)] = body
        self._at_bytes += len(body)
        return len(body)
