"""Open SQLite files without ever making or changing one, and translate what its driver raises.

Called by `snapshot`. Reading goes through a handle that cannot write. A second one that could is
opened only for the instant in which no writer is open, and only where the file system lets us.
"""

import functools
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, Literal

from dpp_core.errors import DppError, InternalError, SourceObjectError, SourceUnavailableError
from dpp_core.names import Reason
from dpp_extractor.extract.database.limits import Limits

# Bytes that are not UTF-8 must reach the check of the cells instead of ending the read.
_DECODE: Final = functools.partial(str, encoding="utf-8", errors="surrogateescape")

_WAIT_SECONDS: Final = 5

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_UNREACHABLE: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
_DENIED: Final = frozenset({sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})


def open_file(path: str, mode: Literal["ro", "rw"], limits: Limits) -> sqlite3.Connection:
    """Open an existing file; a missing one is SourceUnavailableError and is never made."""
    file = Path(path)
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "is not there"
        raise SourceUnavailableError(
            f"The SQLite file {path!r} {what}.",
            field="source.database.database",
            fix="Give the path of an existing database file.",
        )
    with translated(f"Opening the SQLite file {path!r}"):
        connection = sqlite3.connect(
            f"{file.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=limits.lock_seconds,
            isolation_level=None,
        )
    connection.text_factory = _DECODE
    return connection


def translate(error: sqlite3.Error, what: str) -> DppError:
    """Translate by SQLite's own code; its words name objects and files, never values."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    said = f"{what}: {error}."
    if code in _BUSY:
        return SourceUnavailableError(said, fix="Another process holds the file; try again.")
    if code in _UNREACHABLE:
        return SourceUnavailableError(said, fix="Check that the file and its folder can be read.")
    if code in _DAMAGED:
        return SourceObjectError(
            said, reason=Reason.SOURCE_READ_FAILED, fix="Check it with PRAGMA integrity_check."
        )
    if code in _DENIED:
        return SourceObjectError(said, reason=Reason.SOURCE_OBJECT_DENIED)
    if "no such table" in str(error) or "no such column" in str(error):
        return SourceObjectError(said, reason=Reason.SOURCE_OBJECT_MISSING)
    return InternalError(said, reason=Reason.SOURCE_READ_FAILED)


@contextmanager
def no_writer(path: str, limits: Limits) -> Iterator[str]:
    """Hold the file's write lock for an instant; yields why it is not held, or nothing when it is.

    Nothing is written: the lock is taken and given back.
    """
    with ExitStack() as stack:
        try:
            handle = stack.enter_context(closing(open_file(path, "rw", limits)))
            handle.execute(
                f"PRAGMA busy_timeout = {min(limits.lock_seconds, _WAIT_SECONDS) * 1000}"
            )
            handle.execute("BEGIN IMMEDIATE")
            refusal = ""
        except (DppError, sqlite3.Error) as error:
            refusal = f"the file's write lock is not granted: {error}"
        yield refusal


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Run a block whose driver errors become ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, what) from error
