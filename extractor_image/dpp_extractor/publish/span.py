"""Which versions a log has: from the nearest checkpoint or the known seq on, never more than needed.

Called by `head` and `files`. One LIST, started behind a version that must be there: a commit of
`known_seq` lies at version known_seq - 1 or later, `_last_checkpoint` names another. Both are hints;
when what they promise is not found, the whole log is listed. Nothing but names is read.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from dpp_core.errors import StreamError
from dpp_extractor.ports import Entry, Store
from dpp_extractor.publish.checkpoint import (
    Checkpoint,
    Piece,
    collect_checkpoints,
    parse_piece,
    read_last_checkpoint,
)
from dpp_extractor.publish.keys import Stream, log_key, log_prefix, parse_log_version

PAGE_KEYS: Final = 1000
"""As many keys as one LIST answers; a known seq so far behind is no help."""


@dataclass(frozen=True, slots=True)
class Span:
    """The versions `first` to `last`, all there, and the complete checkpoints among them.

    `is_whole` False = it was listed from a hint, and there may be more before `first`.
    """

    first: int
    last: int
    checkpoints: tuple[Checkpoint, ...] = ()
    is_whole: bool = False


def find_span(store: Store, stream: Stream, known_seq: int | None = None) -> Span | None:
    """List the end of the log, at least its last version; None when there is no log.

    Raises StreamError (29) for a gap, after looking twice: a listing may pass a commit that is
    being made.
    """
    try:
        found = _span_from_seq(store, stream, known_seq) or _span_from_hint(store, stream)
        return found or find_whole_span(store, stream)
    except StreamError:
        return find_whole_span(store, stream)


def find_whole_span(store: Store, stream: Stream) -> Span | None:
    """List all of the log. Raises StreamError (29) when versions are missing from it."""
    span, pieces = _fold(store, stream, store.list(log_prefix(stream)))
    if span is None:
        if pieces:
            raise _missing("No version is left in the table's log but a checkpoint is.")
        return None
    is_begun = span.first == 0 or any(c.version >= span.first - 1 for c in span.checkpoints)
    if not is_begun:
        raise _missing(f"Versions 0 to {span.first - 1} are missing and no checkpoint holds them.")
    return Span(span.first, span.last, span.checkpoints, is_whole=True)


def _span_from_seq(store: Store, stream: Stream, known_seq: int | None) -> Span | None:
    if known_seq is None:
        return None
    if known_seq < 2:
        span, _ = _fold(store, stream, _at_most_a_page(store.list(log_prefix(stream))))
        return span if span is not None and span.first == 0 else None
    after = log_key(stream, known_seq - 2)
    span, _ = _fold(store, stream, _at_most_a_page(store.list(log_prefix(stream), after)))
    return span if span is not None and span.first == known_seq - 1 else None


def _span_from_hint(store: Store, stream: Stream) -> Span | None:
    version = read_last_checkpoint(store, stream)
    if not version:
        return None
    after = log_key(stream, version - 1)
    span, _ = _fold(store, stream, store.list(log_prefix(stream), after))
    if span is None or span.first > version + 1:
        return None
    return span if any(each.version == version for each in span.checkpoints) else None


class _TooManyError(Exception):
    """More than a page of keys lies behind the hint."""


def _at_most_a_page(entries: Iterator[Entry]) -> Iterator[Entry]:
    for number, entry in enumerate(entries):
        if number == PAGE_KEYS:
            raise _TooManyError
        yield entry


def _fold(
    store: Store, stream: Stream, entries: Iterable[Entry]
) -> tuple[Span | None, tuple[Piece, ...]]:
    """Fold names to a span. None without a version, or when the listing was cut short."""
    first = last = -1
    pieces: list[Piece] = []
    prefix = log_prefix(stream)
    try:
        for entry in entries:
            if "/" in entry.key.removeprefix(prefix):
                continue
            piece = parse_piece(entry.key, entry.size_bytes)
            version = parse_log_version(entry.key)
            if piece is not None:
                pieces.append(piece)
            elif version is not None:
                if first >= 0 and version != last + 1:
                    raise _gap(last + 1, version)
                first, last = (version if first < 0 else first), version
    except _TooManyError:
        return None, ()
    if first < 0:
        return None, tuple(pieces)
    checkpoints = collect_checkpoints(pieces)
    if checkpoints and checkpoints[-1].version > last:
        raise _missing(
            f"A checkpoint of version {checkpoints[-1].version} is there, but the log of "
            f"{store.uri}/{prefix} ends with version {last}."
        )
    return Span(first, last, checkpoints), tuple(pieces)


def _gap(missing: int, following: int) -> StreamError:
    return _missing(
        f"Version {missing} is missing from the table's log; the next one there is {following}."
    )


def _missing(message: str) -> StreamError:
    return StreamError(
        message,
        fix="Restore the missing files of _delta_log; our own commits lie as copies under _dpp/datasets.",
    )
