"""The whole log of a table, folded version by version, each held against all before it.

Called by `verify`. Unlike the head's fold it goes on after damage, and keeps count of every file that
ever was. Memory: the live files, and the names of all files. Touches no store.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dpp_core.errors import StreamError
from dpp_extractor.publish.delta import CONFIGURATION, Commit, LiveFile
from dpp_extractor.publish.draft import REPLACING_KINDS, OurCommit
from dpp_extractor.publish.fold import Head, find_ours, observe
from dpp_extractor.publish.protocol import Verdict as Judgement
from dpp_extractor.publish.protocol import judge_foreign
from dpp_extractor.upkeep.chain import Chains, follow
from dpp_extractor.upkeep.compact import find_row_change
from dpp_extractor.upkeep.findings import Finding, Findings, Problem

SHORTEST_RETENTION_MS: Final = 7 * 24 * 3600 * 1000
Trouble = tuple[int, str, bool]
"""Version, operation, and whether a reset heals it."""


@dataclass(slots=True)
class Audit:
    """What the log has told so far. `told_until` is the version of the checkpoint that a cleaned log
    begins with: up to it the files are known already.
    """

    findings: Findings = field(default_factory=Findings)
    chains: Chains = field(default_factory=Chains)
    files: dict[str, LiveFile] = field(default_factory=dict)
    ever: set[str] = field(default_factory=set)
    metadata: Mapping[str, Any] | None = None
    troubles: list[Trouble] = field(default_factory=list)
    quarantined: list[OurCommit] = field(default_factory=list)
    versions: int = 0
    commits: int = 0
    strangers: int = 0
    told_until: int = -1


def take(audit: Audit, commit: Commit) -> OurCommit | None:
    """Fold one version; return our commit when it is one."""
    audit.versions += 1
    where = f"version {commit.version}"
    try:
        ours = find_ours(commit)
    except StreamError as error:
        audit.findings.add(Problem.VERSION_UNREADABLE, where, error.message)
        _forget_lane(audit, commit)
        ours = None
    else:
        if ours is None:
            _take_stranger(audit, commit, where)
        else:
            _take_ours(audit, commit, ours, where)
    if commit.version > audit.told_until:
        _take_files(audit, commit, where)
        audit.metadata = commit.metadata or audit.metadata
    return ours


def conclude(audit: Audit) -> None:
    """Tell what still holds at the end: changes nobody healed, properties that are not ours now."""
    for version, operation, _ in audit.troubles:
        message = (
            f"{operation or 'An unknown operation'} changed the table in a way DPP cannot build on."
        )
        audit.findings.add(Problem.TABLE_CHANGED, f"version {version}", message)
    configuration = (audit.metadata or {}).get("configuration") or {}
    for name, wanted in CONFIGURATION.items() if audit.metadata else ():
        if configuration.get(name) != wanted:
            message = f"{name} is {configuration.get(name)!r} and must be {wanted!r}."
            audit.findings.add(Problem.RETENTION_WEAKENED, "metaData", message)


def _take_ours(audit: Audit, commit: Commit, ours: OurCommit, where: str) -> None:
    audit.commits += 1
    audit.findings.extend(follow(audit.chains, ours, commit.version))
    audit.findings.extend(_check_actions(audit, commit, ours, where))
    if ours.counts.quarantined:
        audit.quarantined.append(ours)
    if ours.kind == "reset":
        audit.troubles = [trouble for trouble in audit.troubles if not trouble[2]]


def _check_actions(audit: Audit, commit: Commit, ours: OurCommit, where: str) -> Iterator[Finding]:
    rows = [file.rows for file in commit.adds]
    wanted_rows = ours.counts.written + ours.counts.deleted
    if None in rows or sum(filter(None, rows)) != wanted_rows:
        told = "an unknown number of" if None in rows else sum(filter(None, rows))
        message = f"Its files have {told} rows, {wanted_rows} were written."
        yield Finding(Problem.COUNTS_DIFFER, where, message)
    own = f"data/{ours.attempt_id}/"
    for file in commit.adds:
        if not file.path.startswith(own):
            message = f"{file.path} is not of its attempt {ours.attempt_id}."
            yield Finding(Problem.FILE_OF_ANOTHER, where, message)
    if commit.version <= audit.told_until:
        return
    wanted = set(audit.files) if ours.kind in REPLACING_KINDS else set()
    removed = set(commit.removes)
    for path in sorted(wanted ^ removed):
        how = "leaves" if path in wanted else "removes"
        yield Finding(Problem.REMOVES_DIFFER, where, f"A commit of kind {ours.kind} {how} {path}.")


def _take_stranger(audit: Audit, commit: Commit, where: str) -> None:
    audit.strangers += 1
    if isinstance(commit.info.get("dpp"), Mapping):
        message = "It carries our dpp object, but not the transaction that belongs to it."
        audit.findings.add(Problem.TRANSACTION_DIFFERS, where, message)
        _forget_lane(audit, commit)
        return
    seen = observe(Head(version=commit.version - 1, metadata=audit.metadata), commit)
    if judge_foreign(seen) is not Judgement.NEXT:
        before, after = audit.metadata or {}, commit.metadata or audit.metadata or {}
        is_other = seen.is_protocol_foreign or after.get("id") != before.get("id")
        audit.troubles.append((commit.version, commit.operation, not is_other))
    is_told = commit.version <= audit.told_until
    is_rewrite = (
        not is_told
        and (commit.adds or commit.removes)
        and not (commit.adds_data or commit.removes_data)
    )
    problem = find_row_change(commit, audit.files) if is_rewrite else ""
    if problem:
        audit.findings.add(Problem.ROWS_CHANGED, where, f"{commit.operation}: {problem}.")
    _check_vacuum(audit, commit, where)


def _check_vacuum(audit: Audit, commit: Commit, where: str) -> None:
    asked = (commit.info.get("operationParameters") or {}).get("specifiedRetentionMillis")
    if not commit.operation.startswith("VACUUM") or asked in (None, ""):
        return
    if int(asked) < SHORTEST_RETENTION_MS:
        message = f"A vacuum kept unused files for {int(asked) / 3_600_000:g} hours, less than 168."
        audit.findings.add(Problem.VACUUM_TOO_EARLY, where, message)


def _take_files(audit: Audit, commit: Commit, where: str) -> None:
    for path in commit.removes:
        audit.files.pop(path, None)
    is_restore = commit.operation == "RESTORE"  # it brings old files back, and is told by itself
    times = Counter(() if is_restore else (file.path for file in commit.adds))
    for path in times:
        if times[path] > 1 or path in audit.ever:
            audit.findings.add(Problem.FILE_TWICE, where, f"{path} is added a second time.")
    for file in commit.adds:
        audit.files[file.path] = file
        audit.ever.add(file.path)


def _forget_lane(audit: Audit, commit: Commit) -> None:
    """A commit of ours could not be read: its lane's next one has nothing to be held against."""
    said = commit.info.get("dpp")
    lane = said.get("lane") if isinstance(said, Mapping) else None
    if isinstance(lane, str):
        audit.chains.last[lane] = None
