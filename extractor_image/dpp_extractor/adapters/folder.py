"""A local folder as a store: the destination of a laptop, with the same promises as a bucket.

Called by `wiring`. Put-if-absent is a complete temporary file linked to its name: the link exists
or does not, and a crash leaves nothing half written. Temporary files lie in one folder that no
listing shows; those of killed runs are swept when they are a week old. Nothing is ever written
over.
"""

import errno
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from dpp_core.errors import (
    DestinationDeniedError,
    DestinationUnavailableError,
    DppError,
    InternalError,
    ResourcesError,
    StreamError,
)
from dpp_core.names import Reason
from dpp_extractor.ports import Entry, Put, Store, Stored, Upload

T = TypeVar("T")

TEMPORARY: Final = ".dpp-tmp"
_KEPT: Final = timedelta(days=7)
_KEY_PART: Final = re.compile(r"[A-Za-z0-9._=-]+")
_FULL: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_LINKS: Final = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
)


def open_folder(root: str | Path) -> Store:
    """Open a folder as a store; it is made when it is not there.

    Raises DestinationDeniedError (26) without the right to write, ResourcesError (28) on a full
    disk.
    """
    path = Path(root).absolute()
    _translated(path, lambda: _make_folders(path / TEMPORARY))
    _sweep(path / TEMPORARY, datetime.now(UTC))
    return FolderStore(path)


class FolderStore:
    """A `Store` over one folder; `open_folder` makes it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def uri(self) -> str:
        return str(self._root)

    def put_if_absent(self, key: str, body: bytes) -> Put:
        """Link a complete file to its name. A name that is there gives UNKNOWN, as a bucket does."""
        target = self._path(key)
        return _translated(target, lambda: self._put(target, body))

    def get(self, key: str) -> bytes | None:
        target = self._path(key)
        return _translated(target, lambda: _read(target))

    def get_range(self, key: str, start_bytes: int, length_bytes: int) -> bytes | None:
        target = self._path(key)
        return _translated(target, lambda: _read_range(target, start_bytes, length_bytes))

    def head(self, key: str) -> Entry | None:
        target = self._path(key)
        return _translated(target, lambda: _entry(target, key))

    def list(self, prefix: str, start_after: str = "") -> Iterator[Entry]:
        yield from self._walk(self._root, "", prefix, start_after)

    def open_upload(self, key: str, metadata: Mapping[str, str]) -> Upload:
        """Open a streaming upload. A file system has no place for `metadata`; the run record has
        it.
        """
        target = self._path(key)
        temporary = self._temporary()
        file = _translated(target, lambda: temporary.open("xb"))
        return FolderUpload(key, target, temporary, file)

    def delete(self, key: str) -> None:
        target = self._path(key)
        _translated(target, lambda: target.unlink(missing_ok=True))

    def now(self) -> datetime:
        return datetime.now(UTC)

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        is_safe = all(_KEY_PART.fullmatch(part) and part not in {".", ".."} for part in parts)
        if not is_safe or parts[0] == TEMPORARY:
            raise InternalError(f"The key {key!r} cannot be kept in a folder.")
        return self._root.joinpath(*parts)

    def _temporary(self) -> Path:
        return self._root / TEMPORARY / uuid.uuid4().hex

    def _put(self, target: Path, body: bytes) -> Put:
        if target.exists():
            return Put.UNKNOWN
        temporary = self._temporary()
        try:
            with temporary.open("xb") as file:
                file.write(body)
                _sync_file(file)
            return Put.CREATED if _link(temporary, target) else Put.UNKNOWN
        finally:
            temporary.unlink(missing_ok=True)

    def _walk(self, folder: Path, base: str, prefix: str, start_after: str) -> Iterator[Entry]:
        for name, is_folder in _translated(folder, lambda: _names(folder)):
            key = f"{base}{name}"
            if is_folder:
                inner = f"{key}/"
                is_wanted = inner.startswith(prefix) or prefix.startswith(inner)
                is_passed = inner < start_after and not start_after.startswith(inner)
                if is_wanted and not is_passed and key != TEMPORARY:
                    yield from self._walk(folder / name, inner, prefix, start_after)
            elif key.startswith(prefix) and key > start_after:
                entry = _entry(folder / name, key)
                if entry is not None:
                    yield entry


class FolderUpload:
    """A streaming upload into a temporary file that `finish` links to its name."""

    def __init__(self, key: str, target: Path, temporary: Path, file: BinaryIO) -> None:
        self._key = key
        self._target = target
        self._temporary = temporary
        self._file = file
        self._digest = hashlib.sha256()
        self._size_bytes = 0

    def write(self, chunk: bytes) -> int:
        _translated(self._target, lambda: self._file.write(chunk))
        self._digest.update(chunk)
        self._size_bytes += len(chunk)
        return len(chunk)

    def finish(self) -> Stored:
        """Make the file visible. Raises StreamError (29) when the key is there: keys are used once."""
        is_linked = _translated(self._target, self._link)
        self.abort()
        if not is_linked:
            raise StreamError(
                f"{self._target} is there already; data files are written once.",
                fix="Start the run again: it takes new names.",
            )
        return Stored(self._key, self._size_bytes, f"sha256:{self._digest.hexdigest()}")

    def abort(self) -> None:
        """Throw the temporary file away; a second time this does nothing."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _link(self) -> bool:
        _sync_file(self._file)
        return _link(self._temporary, self._target)


def _link(temporary: Path, target: Path) -> bool:
    """Link a complete file to its name; False when the name is taken."""
    _make_folders(target.parent)
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in _NO_LINKS and os.access(target.parent, os.W_OK):
            raise StreamError(
                f"The file system of {target.parent} has no hard links, which commits need.",
                reason=Reason.CONDITIONAL_WRITES_IGNORED,
                fix="Use a folder on a local file system, or a bucket.",
            ) from error
        raise
    _sync_folder(target.parent)
    return True


def _make_folders(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_file(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a new name last through a loss of power; not every system lets a folder be opened."""
    flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
    descriptor = os.open(folder, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _names(folder: Path) -> list[tuple[str, bool]]:
    """Names in the order of full keys: a folder sorts as its name with a slash."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.is_dir()) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda item: f"{item[0]}/" if item[1] else item[0])


def _read(target: Path) -> bytes | None:
    try:
        return target.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _read_range(target: Path, start_bytes: int, length_bytes: int) -> bytes | None:
    try:
        with target.open("rb") as file:
            file.seek(start_bytes)
            return file.read(length_bytes)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _entry(target: Path, key: str) -> Entry | None:
    try:
        found = target.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if target.is_dir():
        return None
    return Entry(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _sweep(temporary: Path, now: datetime) -> None:
    for name, is_folder in _names(temporary):
        entry = None if is_folder else _entry(temporary / name, name)
        if entry is not None and now - entry.modified_at > _KEPT:
            (temporary / name).unlink(missing_ok=True)


def _translated(path: Path, work: Callable[[], T]) -> T:
    try:
        return work()
    except OSError as error:
        raise _error_of(path, error) from error


def _error_of(path: Path, error: OSError) -> DppError:
    why = error.strerror or type(error).__name__
    if error.errno in _FULL:
        return ResourcesError(f"{path} cannot be written: {why}.", fix="Make room, then run again.")
    if error.errno in _DENIED:
        return DestinationDeniedError(
            f"{path} is refused: {why}.", fix="Give this user the right to write there."
        )
    if error.errno in {errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP}:
        return DestinationDeniedError(
            f"{path} cannot be used: {why}.", fix="Name a folder, or a path where one can be made."
        )
    return DestinationUnavailableError(
        f"{path} does not answer as it should: {why}.",
        fix="Look at the disk, then run it again: nothing is lost.",
    )
