"""The log of a stream from its first version to its last, whatever is missing, torn or changed in it.

Called by `verify`. It reads a bounded number of versions ahead, hands each to `audit`, and holds each
of our commits against its copy. Where a version is lost its copy takes its place; where the log was
cleaned a checkpoint does. Writes nothing.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Final

from dpp_core.errors import StreamError
from dpp_core.names import LIVE_LANE
from dpp_extractor.ports import Store
from dpp_extractor.publish.checkpoint import (
    Checkpoint,
    CheckpointUnreadableError,
    collect_checkpoints,
    parse_piece,
    read_live_files,
    read_state,
)
from dpp_extractor.publish.delta import Commit, parse_commit
from dpp_extractor.publish.draft import OurCommit
from dpp_extractor.publish.fold import find_ours
from dpp_extractor.publish.keys import (
    Stream,
    copy_key,
    log_key,
    log_prefix,
    parse_log_version,
)
from dpp_extractor.upkeep import beside, contents
from dpp_extractor.upkeep.audit import Audit, take
from dpp_extractor.upkeep.chain import follow
from dpp_extractor.upkeep.findings import Problem

READERS: Final = 8
AHEAD: Final = 64


@dataclass(slots=True)
class Trail:
    """What one look at a stream holds: where, how far, and what was read so far.

    `last` is the last commit of each lane, `pending` those whose copies are yet to be looked at.
    """

    store: Store
    stream: Stream
    is_deep: bool
    audit: Audit = field(default_factory=Audit)
    checksums: dict[str, str] = field(default_factory=dict)
    began_at: datetime | None = None
    last: dict[str, tuple[OurCommit, bytes]] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    pending: list[tuple[OurCommit, bytes]] = field(default_factory=list)

    def add(self, problem: Problem, where: str, message: str) -> None:
        self.audit.findings.add(problem, where, message)


def follow_log(trail: Trail, copies: set[tuple[str, int]], progress: Callable[[str], None]) -> None:
    """Read all of the log into `trail.audit`; `copies` are those that were there before."""
    versions = _list_log(trail)
    if not versions:
        if copies:
            message = "The table's log is gone, its commits are known by their copies."
            trail.add(Problem.TABLE_MISSING, log_prefix(trail.stream), message)
        return
    if versions[0] > 0:
        _begin_cleaned(trail, versions[0], copies)
    expected = versions[0]
    for version, body in _read_ahead(trail, versions):
        for missing in range(expected, min(version, expected + AHEAD)):
            message = f"Version {missing} is missing from the table's log."
            trail.add(Problem.VERSION_MISSING, f"version {missing}", message)
            _take_from_copy(trail, missing)
        expected = version + 1
        _take_version(trail, version, body)
        if version % 1000 == 999:
            progress(f"{version + 1} versions read")


def _take_version(trail: Trail, version: int, body: bytes | None) -> None:
    try:
        commit = parse_commit(version, body or b"{")
    except StreamError as error:
        trail.add(Problem.VERSION_UNREADABLE, f"version {version}", error.message)
        _take_from_copy(trail, version)
        return
    ours = _fold(trail, commit, body or b"")
    if ours is None:
        return
    if ours.lane in trail.last:
        trail.pending.append(trail.last[ours.lane])
    trail.last[ours.lane] = (ours, body or b"")
    if len(trail.pending) >= AHEAD:
        check_copies(trail)


def check_copies(trail: Trail) -> None:
    """Hold the pending commits against their copies."""
    keys = [copy_key(trail.stream, ours.lane, ours.seq) for ours, _ in trail.pending]
    with ThreadPoolExecutor(READERS) as pool:
        copies = list(pool.map(trail.store.get, keys))
    for key, (ours, body), copy in zip(keys, trail.pending, copies, strict=True):
        is_last = trail.last[ours.lane][0] is ours
        trail.audit.findings.extend(beside.check_copy(key, ours, body, copy, is_last=is_last))
    trail.pending.clear()


def _fold(trail: Trail, commit: Commit, body: bytes) -> OurCommit | None:
    ours = take(trail.audit, commit)
    if trail.is_deep:
        trail.checksums |= contents.read_checksums(body)
    if trail.began_at is None and ours is not None:
        trail.began_at = ours.committed_at
    if trail.checkpoint is not None and commit.version == trail.checkpoint.version:
        _check_checkpoint(trail, trail.checkpoint)
    return ours


def _take_from_copy(trail: Trail, version: int) -> None:
    """Go on with the copy of a commit that the log has lost or torn, when it is one of ours."""
    for lane, previous in {LIVE_LANE: None, **trail.audit.chains.last}.items():
        body = trail.store.get(copy_key(trail.stream, lane, previous.seq + 1 if previous else 1))
        try:
            commit = parse_commit(version, body or b"{")
            ours = find_ours(commit)
        except StreamError:
            continue
        if ours is not None and ours.version == version:
            _fold(trail, commit, body or b"")
            return


def _list_log(trail: Trail) -> list[int]:
    """List the versions of the log, and find the newest complete checkpoint."""
    versions, pieces = [], []
    for entry in trail.store.list(log_prefix(trail.stream)):
        version = parse_log_version(entry.key)
        if version is not None and entry.key == log_key(trail.stream, version):
            versions.append(version)
        elif (piece := parse_piece(entry.key, entry.size_bytes)) is not None:
            pieces.append(piece)
    checkpoints = collect_checkpoints(pieces)
    trail.checkpoint = checkpoints[-1] if checkpoints else None
    return versions


def _read_ahead(trail: Trail, versions: list[int]) -> Iterator[tuple[int, bytes | None]]:
    """Read versions in their order, a few at a time, and a bounded number ahead."""
    keys = ((version, log_key(trail.stream, version)) for version in versions)
    with ThreadPoolExecutor(READERS) as pool:
        while batch := list(islice(keys, AHEAD)):
            bodies = pool.map(trail.store.get, [key for _, key in batch])
            yield from zip((version for version, _ in batch), bodies, strict=True)


def _begin_cleaned(trail: Trail, first: int, copies: set[tuple[str, int]]) -> None:
    """Begin a log whose first versions were cleaned away: files by the checkpoint, chains by the
    copies.
    """
    base = trail.checkpoint
    try:
        if base is None or base.version < first - 1:
            raise CheckpointUnreadableError("no checkpoint holds them")
        trail.audit.metadata = read_state(trail.store, base).metadata
        trail.audit.files = {file.path: file for file in read_live_files(trail.store, base)}
        trail.audit.told_until = base.version
    except CheckpointUnreadableError as error:
        message = f"Versions 0 to {first - 1} are missing from the table's log: {error}."
        trail.add(Problem.VERSION_MISSING, "version 0", message)
    else:
        message = (
            f"Versions 0 to {first - 1} were cleaned away; checkpoint {base.version} holds them."
        )
        trail.add(Problem.LOG_CLEANED, "version 0", message)
    for ours, commit, body in _read_copies_before(trail, first, copies):
        if trail.audit.told_until < 0:
            _fold(trail, commit, body)
            continue
        trail.audit.findings.extend(follow(trail.audit.chains, ours, ours.version))
        trail.began_at = min(trail.began_at or ours.committed_at, ours.committed_at)
        if trail.is_deep:
            trail.checksums |= contents.read_checksums(body)


def _read_copies_before(
    trail: Trail, first: int, copies: set[tuple[str, int]]
) -> list[tuple[OurCommit, Commit, bytes]]:
    """Read the copies of commits before a version, in the order of their versions."""
    found = []
    for lane, seq in sorted(copies):
        key = copy_key(trail.stream, lane, seq)
        body = trail.store.get(key) or b"{"
        try:
            commit = parse_commit(-1, body)
            ours = find_ours(commit)
        except StreamError as error:
            trail.add(Problem.COPY_DIFFERS, key, error.message)
            continue
        if ours is not None and ours.version < first:
            found.append((ours, replace(commit, version=ours.version), body))
    return sorted(found, key=lambda each: each[0].version)


def _check_checkpoint(trail: Trail, checkpoint: Checkpoint) -> None:
    where = checkpoint.keys[0]
    try:
        told = {file.path: file.size_bytes for file in read_live_files(trail.store, checkpoint)}
    except CheckpointUnreadableError as error:
        trail.add(Problem.CHECKPOINT_UNREADABLE, where, f"Readers fail at it: {error}"[:300])
        return
    files = {path: file.size_bytes for path, file in trail.audit.files.items()}
    if told != files:
        odd = sorted(set(told.items()) ^ set(files.items()))[0][0]
        message = f"It does not hold the files of version {checkpoint.version}, such as {odd}."
        trail.add(Problem.CHECKPOINT_DIFFERS, where, message)
