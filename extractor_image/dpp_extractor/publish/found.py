"""A commit that lies in the bucket, said as the record of a unit: what its maker would have said.

Called for a run that finds itself committed already, and by whoever builds the index. Pure.
"""

from dataclasses import asdict

from dpp_core.names import UnitOutcome
from dpp_core.records import CountsRecord, UnitRecord, WindowRecord
from dpp_extractor.publish.delta import Commit
from dpp_extractor.publish.draft import OurCommit
from dpp_extractor.publish.keys import Stream, quarantine_key


def build_found(dataset: str, ours: OurCommit) -> UnitRecord:
    """Say of a commit what its own fields say; its files are not looked at."""
    return UnitRecord(
        dataset=dataset,
        outcome=UnitOutcome.ALREADY_COMMITTED,
        attempt_id=ours.attempt_id,
        kind=ours.kind,
        seq=ours.seq,
        version=ours.version,
        epoch=ours.epoch,
        read_at=ours.read_at,
        window=WindowRecord.model_validate(ours.window) if ours.window else None,
        counts=CountsRecord.model_validate(asdict(ours.counts)),
        schema_fingerprint=ours.fingerprint,
        approved=ours.approved,
    )


def describe_commit(stream: Stream, commit: Commit, ours: OurCommit) -> UnitRecord:
    """Say of a commit what its maker said of it, files and quarantined rows too."""
    key = quarantine_key(stream, ours.run_id, f"{ours.attempt_id}.jsonl")
    return build_found(stream.dataset, ours).model_copy(
        update={
            "outcome": UnitOutcome.COMMITTED,
            "parts": len(commit.adds),
            "bytes": sum(file.size_bytes for file in commit.adds),
            "quarantine": (key,) if ours.counts.quarantined else (),
        }
    )
