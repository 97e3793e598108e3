"""The files a table consists of: from the newest checkpoint that can be read, then commit by commit.

Called by `head`, only for who needs them: a Replace or a reset, which removes them all, and people
who look. Appends never ask, so their cost does not grow with the table.
"""

from dpp_core.errors import StreamError
from dpp_extractor.ports import Store
from dpp_extractor.publish.checkpoint import CheckpointUnreadableError, read_live_files
from dpp_extractor.publish.copies import read_version
from dpp_extractor.publish.delta import LiveFile
from dpp_extractor.publish.keys import Stream
from dpp_extractor.publish.span import Span, find_whole_span


def read_files(store: Store, stream: Stream, span: Span, version: int) -> dict[str, LiveFile]:
    """Return the live files as of `version`, by path.

    Raises StreamError (29) when the log is cut and no checkpoint that holds the rest can be read.
    """
    based = _read_base(store, stream, span, version)
    if based is None:
        raise StreamError(
            f"The files of {stream.dataset} at version {version} cannot be told: the log begins with "
            "a version after 0, and no checkpoint of it can be read.",
            fix="Restore _delta_log from the bucket's versions.",
        )
    base, files = based
    for following in range(base + 1, version + 1):
        commit = read_version(store, stream, following)
        for path in commit.removes:
            files.pop(path, None)
        for file in commit.adds:
            files[file.path] = file
    return files


def _read_base(
    store: Store, stream: Stream, span: Span, version: int
) -> tuple[int, dict[str, LiveFile]] | None:
    for checkpoint in reversed(span.checkpoints):
        if span.first - 1 <= checkpoint.version <= version:
            try:
                return checkpoint.version, {
                    file.path: file for file in read_live_files(store, checkpoint)
                }
            except CheckpointUnreadableError:
                continue
    if span.first == 0:
        return -1, {}
    whole = None if span.is_whole else find_whole_span(store, stream)
    return _read_base(store, stream, whole, version) if whole else None
