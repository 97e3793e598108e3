"""The index built anew from what lies in the bucket: records of runs, and the copies of our commits.

Called by `dpp index`. The documents are those of a run, made by the same builders, so an index that
was wiped, or is old, becomes equal to one that missed nothing. The bucket is only read. Beside live
runs it is safe: a run puts its commit into the bucket before it tells the index, so what is cleared
here too early is read here later. Twice is the same as once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from pydantic import ValidationError

from dpp_core.errors import StreamError, TemporaryFailure
from dpp_core.names import LIVE_LANE, Reason
from dpp_core.records import RunRecord
from dpp_extractor.ports import Index, Store
from dpp_extractor.publish.carry import parse_carried
from dpp_extractor.publish.claim import read_claim
from dpp_extractor.publish.copies import read_by_place, read_copy
from dpp_extractor.publish.delta import Commit
from dpp_extractor.publish.draft import OurCommit
from dpp_extractor.publish.fold import Asked, Place, find_ours
from dpp_extractor.publish.found import describe_commit
from dpp_extractor.publish.head import find_head
from dpp_extractor.publish.keys import Stream, extraction_prefix, table_prefix
from dpp_extractor.publish.schema import parse_schema
from dpp_extractor.record.catalog import (
    Described,
    build_catalog_document,
    build_commit,
    build_watermark,
    stream_key,
)
from dpp_extractor.upkeep.beside import list_copies

OF_A_STREAM: Final = ("commits", "watermarks", "catalog")


class WholeIndex(Index, Protocol):
    """An index that can also be asked and cleared; unlike `save` these raise for an outage (75)."""

    def remove(self, collection: str, match: Mapping[str, Any]) -> int: ...

    def find(self, collection: str, match: Mapping[str, Any]) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many documents were saved of one stream, or of an extraction's runs (`dataset` empty)."""

    namespace: str
    extraction: str
    dataset: str
    documents: int
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Lag:
    """How many commits of the live lane the index is behind one stream's table."""

    namespace: str
    extraction: str
    dataset: str
    seq: int
    indexed_seq: int

    @property
    def commits(self) -> int:
        return max(0, self.seq - self.indexed_seq)


def rebuild_runs(store: Store, index: WholeIndex, namespace: str, extraction: str) -> Rebuilt:
    """Build the runs of an extraction anew. Raises TemporaryFailure (75) when the index is down."""
    index.remove("runs", {"namespace": namespace, "extraction": extraction})
    saved = unreadable = 0
    for entry in store.list(f"{extraction_prefix(namespace, extraction)}/_dpp/runs/"):
        body = store.get(entry.key)
        try:
            record = RunRecord.model_validate_json(body or b"")
        except ValidationError:
            unreadable += 1
            continue
        key = {"run_id": record.run_id, "attempt_id": record.attempt_id}
        _save(index, "runs", key, record.model_dump(mode="json"))
        saved += 1
    return Rebuilt(namespace, extraction, "", saved, unreadable)


def rebuild_stream(store: Store, index: WholeIndex, stream: Stream) -> Rebuilt:
    """Build commits, watermark and catalog of one stream anew.

    Raises TemporaryFailure (75) when the index is down, StreamError (29) when a copy is not what it
    was.
    """
    owner = read_claim(store, stream)
    distributor = owner.distributor if owner else ""
    names = {
        "namespace": stream.namespace,
        "extraction": stream.extraction,
        "dataset": stream.dataset,
    }
    for collection in OF_A_STREAM:
        index.remove(collection, names)
    saved = 0
    last: tuple[Commit, OurCommit] | None = None
    for commit, ours in _read_commits(store, stream):
        of = _describe(store, stream, ours, distributor)
        record = describe_commit(stream, commit, ours)
        key = {**stream_key(of), "lane": ours.lane, "seq": ours.seq}
        _save(index, "commits", key, build_commit(of, record, ours.run_id, ours.lane))
        saved += 1
        if ours.lane == LIVE_LANE:
            last = commit, ours
    if last is not None:
        saved += _save_last(store, index, stream, last, distributor)
    return Rebuilt(stream.namespace, stream.extraction, stream.dataset, saved)


def read_lag(store: Store, index: WholeIndex, stream: Stream) -> Lag:
    """Compare a table with what the index knows of it. Raises as the head and the index do."""
    never = datetime.max.replace(tzinfo=store.now().tzinfo)
    live = find_head(store, stream, Asked("", never, files=False)).live
    names = {
        "namespace": stream.namespace,
        "extraction": stream.extraction,
        "dataset": stream.dataset,
        "lane": LIVE_LANE,
    }
    found = index.find("watermarks", names)
    indexed = max((int(document.get("seq") or 0) for document in found), default=0)
    return Lag(*_names(stream), seq=live.seq if live else 0, indexed_seq=indexed)


def _names(stream: Stream) -> tuple[str, str, str]:
    return stream.namespace, stream.extraction, stream.dataset


def _read_commits(store: Store, stream: Stream) -> Iterator[tuple[Commit, OurCommit]]:
    """Read the copies, lane by lane in the order of their seq. The last commit of a lane may have
    none yet; then it is read where the table has it.
    """
    copies = list_copies(store, stream)
    never = datetime.max.replace(tzinfo=store.now().tzinfo)
    head = find_head(store, stream, Asked("", never, files=False))
    places = copies | {(lane, last.seq) for lane, last in head.lanes.items()}
    for lane, seq in sorted(places):
        commit = read_copy(store, stream, lane, seq)
        if commit is None:
            last = head.lanes[lane]
            commit = read_by_place(store, stream, Place(last.version, last.sha256))
        ours = find_ours(commit) if commit is not None else None
        if commit is None or ours is None or (ours.lane, ours.seq) != (lane, seq):
            raise StreamError(
                f"The copy of commit {seq} of lane {lane} of {stream.dataset} holds something else.",
                fix="`dpp verify` says what is wrong with the stream.",
            )
        yield commit, ours


def _save_last(
    store: Store,
    index: WholeIndex,
    stream: Stream,
    last: tuple[Commit, OurCommit],
    distributor: str,
) -> int:
    commit, ours = last
    of = _describe(store, stream, ours, distributor)
    record = describe_commit(stream, commit, ours)
    key = stream_key(of)
    watermark = build_watermark(of, record, ours.run_id)
    _save(index, "watermarks", {**key, "lane": LIVE_LANE}, watermark)
    metadata = _find_metadata(store, stream, commit, ours)
    if metadata is None:
        return 1
    schema = parse_schema(metadata["schemaString"])
    _save(index, "catalog", key, build_catalog_document(of, record, schema))
    return 2


def _find_metadata(
    store: Store, stream: Stream, commit: Commit, ours: OurCommit
) -> Mapping[str, Any] | None:
    """Find the columns as of a commit: in it, where it says they are, or in the newest before it."""
    if commit.metadata is not None:
        return commit.metadata
    carried = parse_carried(ours.carried)
    if carried is not None and carried.metadata is not None:
        held = read_by_place(store, stream, carried.metadata)
        if held is not None and held.metadata is not None:
            return held.metadata
    for seq in range(ours.seq - 1, 0, -1):
        earlier = read_copy(store, stream, ours.lane, seq)
        if earlier is not None and earlier.metadata is not None:
            return earlier.metadata
    return None


def _describe(store: Store, stream: Stream, ours: OurCommit, distributor: str) -> Described:
    identity = ours.identity
    return Described(
        namespace=stream.namespace,
        extraction=stream.extraction,
        dataset=stream.dataset,
        distributor=distributor,
        table=f"{store.uri}/{table_prefix(stream)}",
        object=str(identity.get("object", "")),
        write=str(identity.get("write", "")),
        key=tuple(identity.get("key") or ()),
        cursor=str(identity["cursor"]) if identity.get("cursor") else None,
    )


def _save(
    index: WholeIndex, collection: str, key: Mapping[str, Any], document: Mapping[str, Any]
) -> None:
    if not index.save(collection, key, document):
        raise TemporaryFailure(
            f"The index did not take a document of {collection}; it is built in part.",
            reason=Reason.INDEX_BEHIND,
            fix="Build it again when the server answers. No data is touched by this.",
        )


def rebuild(
    store: Store, index: WholeIndex, streams: Sequence[Stream], *, with_runs: bool
) -> Iterator[Rebuilt]:
    """Build the index of these streams anew, with the runs of their extractions when all are meant."""
    families = dict.fromkeys((stream.namespace, stream.extraction) for stream in streams)
    for namespace, extraction in families if with_runs else ():
        yield rebuild_runs(store, index, namespace, extraction)
    for stream in streams:
        yield rebuild_stream(store, index, stream)
