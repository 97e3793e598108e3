"""Many small files become few larger ones; no row changes, and the next run goes on as if nothing was.

Called by `maintain` for Append tables: a Replace table is rewritten by each run anyway. The rewrite
is deltalake's; whether it kept its promise is read from the log afterwards, not taken from it.
Compacting twice does nothing the second time. A run that commits meanwhile wins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dpp_core.errors import StreamError
from dpp_core.names import Reason
from dpp_extractor.ports import Store
from dpp_extractor.publish.delta import Commit, LiveFile
from dpp_extractor.publish.fold import Asked, Head, advance
from dpp_extractor.publish.head import read_head, read_versions
from dpp_extractor.publish.keys import Stream
from dpp_extractor.upkeep.child import Bounds, Work, carry_out
from dpp_extractor.upkeep.digests import put_digests
from dpp_extractor.upkeep.place import Place

TARGET_BYTES: Final = 256 * 1024 * 1024
LEAST_FILES: Final = 10
MARK: Final = "dppUpkeep"
"""The field of `commitInfo` by which a compaction of ours is known."""
_SMALL_SHARE: Final = 4


@dataclass(frozen=True, slots=True)
class Compaction:
    """What became of it. `version` None = nothing was rewritten; `why` says why not."""

    version: int | None = None
    files_before: int = 0
    files_after: int = 0
    rows: int = 0
    why: str = ""


def decide_compaction(head: Head, target_bytes: int, least_files: int) -> str:
    """Say why a table is not to be compacted; empty when it is. Raises StreamError (29) for a table
    that somebody changed: nothing is built on it.
    """
    live = head.live
    if live is None:
        return "there is no table yet"
    if head.trouble is not None:
        raise StreamError(
            f"Version {head.trouble.version} ({head.trouble.operation or 'unknown operation'}) changed the table.",
            reason=head.trouble.reason,
            fix="Settle that first; `dpp verify` says more.",
        )
    if live.identity.get("write") != "Append":
        return "each run of a Replace table writes all of it"
    small = count_small(head.files, target_bytes)
    if small < least_files:
        return f"{small} small files, fewer than {least_files}"
    return ""


def count_small(files: Mapping[str, LiveFile], target_bytes: int) -> int:
    """Count the files below a quarter of the target."""
    return sum(file.size_bytes * _SMALL_SHARE < target_bytes for file in files.values())


def compact(
    store: Store, stream: Stream, place: Place, bounds: Bounds, settings: Mapping[str, Any]
) -> Compaction:
    """Compact a table if that is worth it; `settings` are target_bytes, least_files, code_version.

    Raises StreamError (29) when the log says afterwards that rows changed, and what
    `child.carry_out` raises.
    """
    head = _read(store, stream)
    why = decide_compaction(head, settings["target_bytes"], settings["least_files"])
    if why:
        return Compaction(files_before=len(head.files), why=why)
    arguments = {name: settings[name] for name in ("target_bytes", "code_version")}
    answer = carry_out(Work("compact", place, arguments), bounds)
    if not answer["files_added"]:
        return Compaction(files_before=len(head.files), why="no two files fit together")
    done = _check(store, stream, head, int(answer["read_version"]))
    put_digests(store, stream, done.version, [file.path for file in done.adds])
    rows = sum(file.rows or 0 for file in done.adds)
    after = _read(store, stream)
    decide_compaction(after, settings["target_bytes"], settings["least_files"])
    return Compaction(done.version, len(head.files), len(after.files), rows)


def is_compaction(commit: Commit) -> bool:
    """Say whether a commit is a compaction of ours."""
    return commit.operation == "OPTIMIZE" and MARK in commit.info


def find_row_change(commit: Commit, files: Mapping[str, LiveFile]) -> str:
    """Say how a commit that claims to change no row did change some; empty when it did not.

    `files` are the live files just before it.
    """
    unknown = [path for path in commit.removes if path not in files]
    if unknown:
        return f"it removes {unknown[0]}, which was not in the table"
    before = [files[path].rows for path in commit.removes]
    after = [file.rows for file in commit.adds]
    if None in before or None in after:
        return "it does not say how many rows its files have"
    rows_before, rows_after = sum(filter(None, before)), sum(filter(None, after))
    return "" if rows_before == rows_after else f"{rows_before} rows became {rows_after}"


def _check(store: Store, stream: Stream, head: Head, read_version: int) -> Commit:
    """Follow the log to the compaction and hold it against the table just before it."""
    table = head
    for commit in read_versions(store, stream, after=head.version):
        if commit.version > read_version and is_compaction(commit):
            problem = find_row_change(commit, table.files)
            extra = commit.txns or commit.metadata or commit.protocol
            if problem or extra or commit.adds_data or commit.removes_data:
                raise StreamError(
                    f"The compaction in version {commit.version} of {stream.dataset} is not one: "
                    f"{problem or 'it changes more than files'}.",
                    reason=Reason.STREAM_FOREIGN_CHANGE,
                    fix=f"Restore the table to version {commit.version - 1} and raise its epoch.",
                )
            return commit
        table = advance(table, [commit])
    raise StreamError(f"The compaction of {stream.dataset} is not in its log.")


def _read(store: Store, stream: Stream) -> Head:
    never = datetime.max.replace(tzinfo=store.now().tzinfo)
    return read_head(store, stream, Asked("", never), can_write=False)
