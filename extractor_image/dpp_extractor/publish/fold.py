"""The table as its log tells it: commits folded into a `Head`, one by one.

Called by `head` (from our last commit, or from version 0) and by `commit` (what took our versions).
Pure: `advance` returns a new Head and leaves the old one as it was. The chain of our own commits is
checked here, at every commit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from dpp_core.errors import StreamError
from dpp_core.names import LIVE_LANE, Reason
from dpp_extractor.publish.delta import Commit, LiveFile, has_our_properties, is_known_protocol
from dpp_extractor.publish.draft import OurCommit, parse_our_commit
from dpp_extractor.publish.keys import app_id, is_our_app_id
from dpp_extractor.publish.protocol import Metadata, Seen, Verdict, judge_foreign
from dpp_extractor.publish.schema import columns_of, parse_schema

CREATED_AT_SLACK: Final = timedelta(minutes=10)
"""How much older than its run's creation a commit of that run may look, clocks being what they are.
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run wants to know of the log: whether it has committed already, and what it must not
    miss.

    `files` False = the table's files are not needed, unless `epoch` is above the table's (a reset
    removes them all).
    """

    run_id: str
    created_at: datetime
    known_seq: int | None = None
    lane: str = LIVE_LANE
    files: bool = True
    epoch: int | None = None

    def reaches(self, ours: OurCommit) -> bool:
        """Return whether a commit of the lane is late enough to be this run's."""
        if self.known_seq is not None:
            return ours.seq > self.known_seq
        return ours.committed_at >= self.created_at - CREATED_AT_SLACK

    def has_made(self, ours: OurCommit) -> bool:
        """Return whether a commit is this run's own."""
        return ours.run_id == self.run_id and ours.lane == self.lane and self.reaches(ours)

    def needs_files(self, live: OurCommit | None) -> bool:
        """Return whether the table's files must be known, given its last live commit."""
        is_reset = live is not None and self.epoch is not None and self.epoch > live.epoch
        return self.files or is_reset


@dataclass(frozen=True, slots=True)
class Place:
    """Where a commit lies: its version, its digest, and its copy (`<lane>/<name>`, empty for a
    stranger's).
    """

    version: int
    sha256: str
    copy: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A stranger's commit that makes the table not ours any more; a reset after it heals some of
    them.
    """

    reason: Reason
    version: int
    operation: str
    is_healed_by_reset: bool


@dataclass(frozen=True, slots=True)
class Head:
    """The state of a table at `version`; -1 = there is no table yet.

    `lanes` holds the last commit of each lane, `own` the last commit of the asked run (None: it has
    not committed), `files` what the table consists of, `consumed` the approvals used up, `read_at`
    the last read of all lanes.

    `lanes` may leave out backfills that are finished. `files` is empty and means nothing when
    `has_files` is False. `metadata_at` is the commit that holds `metadata`; None: nobody knows.
    `copied` names the lanes whose last commit was seen to have its copy.
    """

    version: int = -1
    lanes: Mapping[str, OurCommit] = field(default_factory=dict)
    own: OurCommit | None = None
    metadata: Mapping[str, Any] | None = None
    protocol: Mapping[str, Any] | None = None
    files: Mapping[str, LiveFile] = field(default_factory=dict)
    consumed: frozenset[str] = frozenset()
    read_at: datetime | None = None
    trouble: Trouble | None = None
    metadata_at: Place | None = None
    copied: frozenset[str] = field(default=frozenset(), compare=False)
    has_files: bool = True

    @property
    def live(self) -> OurCommit | None:
        """The last commit of the live lane, which owns the watermark."""
        return self.lanes.get(LIVE_LANE)

    @property
    def schema(self) -> pa.Schema | None:
        """The table's columns with field metadata; None when there is no table."""
        return parse_schema(self.metadata["schemaString"]) if self.metadata else None

    @property
    def table_id(self) -> str:
        return str(self.metadata["id"]) if self.metadata else ""


NO_TABLE: Final = Head()


def advance(head: Head, commits: Iterable[Commit], asked: Asked | None = None) -> Head:
    """Fold commits, in the order of their versions, into a new Head.

    Raises StreamError (29): StreamChainBroken for a gap or a broken chain, StreamFormatNewer for a
    newer writer.
    """
    table = _Table(
        version=head.version,
        lanes=dict(head.lanes),
        own=head.own,
        metadata=head.metadata,
        protocol=head.protocol,
        files=dict(head.files),
        consumed=set(head.consumed),
        read_at=head.read_at,
        trouble=head.trouble,
        metadata_at=head.metadata_at,
        copied=set(head.copied),
        has_files=head.has_files,
    )
    for commit in commits:
        _check_gap(table.version, commit)
        ours = find_ours(commit)
        if ours is None:
            _note_trouble(table, commit)
        else:
            _take_ours(table, commit, ours, asked)
        _take_actions(table, commit, ours)
    return Head(
        version=table.version,
        lanes=table.lanes,
        own=table.own,
        metadata=table.metadata,
        protocol=table.protocol,
        files=table.files,
        consumed=frozenset(table.consumed),
        read_at=table.read_at,
        trouble=table.trouble,
        metadata_at=table.metadata_at,
        copied=frozenset(table.copied),
        has_files=table.has_files,
    )


def find_ours(commit: Commit) -> OurCommit | None:
    """Return what our own commit says; None for a stranger's, also for one that only carries our
    `dpp` object along.
    """
    if not isinstance(commit.info.get("dpp"), Mapping):
        return None
    ours = parse_our_commit(commit.info, commit.sha256)
    return ours if commit.txns.get(app_id(ours.lane)) == ours.seq else None


def observe(head: Head, commit: Commit) -> Seen:
    """Return the facts of a commit that the protocol judges, against the table just before it."""
    ours = find_ours(commit)
    if ours is not None:
        return Seen(
            lane=ours.lane,
            seq=ours.seq,
            epoch=ours.epoch,
            kind=ours.kind,
            run_id=ours.run_id,
            attempt_id=ours.attempt_id,
            final=ours.final,
            operation=commit.operation,
            has_adds=commit.adds_data,
            has_removes=commit.removes_data,
        )
    return _observe_foreign(head.metadata, commit)


def _observe_foreign(metadata: Mapping[str, Any] | None, commit: Commit) -> Seen:
    is_taking_our_txn = any(is_our_app_id(name) for name in commit.txns)
    effect: Metadata = "foreign" if is_taking_our_txn else _metadata_effect(metadata, commit)
    return Seen(
        operation=commit.operation.upper(),
        has_adds=commit.adds_data,
        has_removes=commit.removes_data,
        metadata=effect,
        is_protocol_foreign=commit.has_deletion_vectors
        or (commit.protocol is not None and not is_known_protocol(commit.protocol)),
    )


def _metadata_effect(before: Mapping[str, Any] | None, commit: Commit) -> Metadata:
    after = commit.metadata
    if before is None:
        return "foreign"
    if after is None:
        return "none"
    is_ours = after.get("id") == before.get("id") and has_our_properties(after)
    if not is_ours or after.get("partitionColumns"):
        return "foreign"
    is_same = columns_of(after["schemaString"]) == columns_of(before["schemaString"])
    return "same" if is_same else "moved"


@dataclass(slots=True)
class _Table:
    """The Head while it is being folded; lives only inside `advance`."""

    version: int
    lanes: dict[str, OurCommit]
    own: OurCommit | None
    metadata: Mapping[str, Any] | None
    protocol: Mapping[str, Any] | None
    files: dict[str, LiveFile]
    consumed: set[str]
    read_at: datetime | None
    trouble: Trouble | None
    metadata_at: Place | None
    copied: set[str]
    has_files: bool


def _check_gap(version: int, commit: Commit) -> None:
    if commit.version != version + 1:
        raise StreamError(
            f"Version {version + 1} is missing from the table's log; the next one there is {commit.version}.",
            fix="Restore the missing files of _delta_log; our own commits lie as copies under _dpp/datasets.",
        )


def _note_trouble(table: _Table, commit: Commit) -> None:
    seen = _observe_foreign(table.metadata, commit)
    verdict = judge_foreign(seen)
    if verdict is Verdict.NEXT or (table.trouble and not table.trouble.is_healed_by_reset):
        return
    is_other_table = seen.is_protocol_foreign or (
        commit.metadata is not None
        and (table.metadata is None or commit.metadata.get("id") != table.metadata.get("id"))
    )
    table.trouble = Trouble(
        reason=Reason.STREAM_RESTORED
        if verdict is Verdict.RESTORED
        else Reason.STREAM_FOREIGN_CHANGE,
        version=commit.version,
        operation=commit.operation,
        is_healed_by_reset=not is_other_table,
    )


def _take_ours(table: _Table, commit: Commit, ours: OurCommit, asked: Asked | None) -> None:
    previous = table.lanes.get(ours.lane)
    expected_seq = previous.seq if previous else 0
    expected_sha256 = previous.sha256 if previous else None
    is_chained = (ours.base_seq, ours.seq) == (expected_seq, expected_seq + 1)
    if not is_chained or ours.prev_sha256 != expected_sha256 or ours.version != commit.version:
        raise StreamError(
            f"The chain of lane {ours.lane} breaks at version {commit.version}: it says seq {ours.seq} on base "
            f"{ours.base_seq}, version {ours.version}; the log before it ends with seq {expected_seq}.",
            fix="Compare the log with the copies under _dpp/datasets; somebody changed a file of the log.",
        )
    table.lanes[ours.lane] = ours
    table.copied.discard(ours.lane)
    table.consumed.update(ours.approved)
    table.read_at = max(table.read_at, ours.read_at) if table.read_at else ours.read_at
    if ours.kind == "reset" and table.trouble is not None and table.trouble.is_healed_by_reset:
        table.trouble = None
    if asked is not None and asked.has_made(ours):
        table.own = ours


def _take_actions(table: _Table, commit: Commit, ours: OurCommit | None) -> None:
    table.version = commit.version
    table.protocol = commit.protocol or table.protocol
    if commit.metadata is not None:
        copy = f"{ours.lane}/{ours.seq:020d}.json" if ours else ""
        table.metadata = commit.metadata
        table.metadata_at = Place(commit.version, commit.sha256, copy)
    if not table.has_files:
        return
    for path in commit.removes:
        table.files.pop(path, None)
    for file in commit.adds:
        table.files[file.path] = file
