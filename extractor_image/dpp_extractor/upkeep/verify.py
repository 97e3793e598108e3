"""Is everything there, and as it was committed? The whole log of a stream, and all it speaks of.

Called by `dpp verify`. It reads and never writes, beside live runs too. Unlike a run it does not stop
at the first damage. Cost: two requests a commit, one LIST a thousand files, and with `deep` all bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from dpp_extractor.ports import Store
from dpp_extractor.publish.keys import Stream
from dpp_extractor.upkeep import beside, contents
from dpp_extractor.upkeep.audit import conclude
from dpp_extractor.upkeep.digests import read_digests
from dpp_extractor.upkeep.findings import Verdict
from dpp_extractor.upkeep.trail import Trail, check_copies, follow_log


@dataclass(frozen=True, slots=True)
class Depth:
    """How far to look: `deep` reads all bytes and all records; quarantine is kept so many days."""

    deep: bool = False
    quarantine_days: int = 30


def verify(
    store: Store,
    stream: Stream,
    depth: Depth,
    *,
    now: datetime,
    progress: Callable[[str], None] = lambda text: None,
) -> Verdict:
    """Look at one stream. Raises only what the store raises when it cannot be read (26)."""
    trail = Trail(store, stream, depth.deep)
    findings = trail.audit.findings
    copies = beside.list_copies(store, stream)
    records = beside.list_records(store, stream, all_of_them=depth.deep)
    findings.extend(beside.check_claim(store, stream))
    follow_log(trail, copies, progress)
    conclude(trail.audit)
    findings.extend(beside.check_lonely(stream, copies, trail.audit.chains.made))
    trail.pending.extend(trail.last.values())
    check_copies(trail)
    quarantined = trail.audit.quarantined
    findings.extend(
        beside.check_quarantine(
            store, stream, quarantined, kept_days=depth.quarantine_days, now=now
        )
    )
    chains = trail.audit.chains
    findings.extend(beside.check_records(store, stream, records, chains, trail.began_at))
    found = contents.list_files(store, stream)
    findings.extend(contents.check_presence(trail.audit.files, found))
    digests = _check_contents(trail, set(found), progress) if depth.deep else 0
    return _conclude(trail, digests, len(set(found) - set(trail.audit.files)))


def _check_contents(trail: Trail, found: set[str], progress: Callable[[str], None]) -> int:
    """Read the live files; return how many were held against a digest."""
    digests = 0
    checksums = read_digests(trail.store, trail.stream) | trail.checksums
    for number, (path, file) in enumerate(sorted(trail.audit.files.items()), 1):
        if path in found:
            checksum = checksums.get(path)
            checked = contents.check_bytes(trail.store, trail.stream, file, checksum)
            trail.audit.findings.extend(checked)
            digests += checksum is not None
        if number % 100 == 0:
            progress(f"{number} of {len(trail.audit.files)} files read")
    return digests


def _conclude(trail: Trail, digests: int, unused: int) -> Verdict:
    audit = trail.audit
    rows = [file.rows for file in audit.files.values()]
    return Verdict(
        namespace=trail.stream.namespace,
        extraction=trail.stream.extraction,
        dataset=trail.stream.dataset,
        versions=audit.versions,
        commits=audit.commits,
        strangers=audit.strangers,
        files=len(audit.files),
        size_bytes=sum(file.size_bytes for file in audit.files.values()),
        rows=None if None in rows else sum(filter(None, rows)),
        unused=unused,
        digests=digests,
        findings=tuple(audit.findings.kept),
        more_findings=audit.findings.more,
    )
