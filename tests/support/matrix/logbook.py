"""A table's log as it lies in the bucket, read without anything of the product, and what must hold of it.

Called by every matrix after a case. Versions are dense, each of our commits has its place in the chain, its copy and an
attempt of its own, and every file that the table consists of is there with its size.
"""

import itertools
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from matrix.findings import Findings
from matrix.ground import Ground


class Place(Protocol):
    """Where the tables of an extraction lie; a shop is one."""

    @property
    def ground(self) -> Ground: ...

    @property
    def name(self) -> str: ...

    @property
    def prefix(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of the log: its actions and, when it is ours, what our commit says of itself."""

    version: int
    body: bytes
    actions: tuple[Mapping[str, Any], ...]
    ours: Mapping[str, Any] | None

    @property
    def read_at(self) -> datetime:
        assert self.ours is not None
        return datetime.fromisoformat(self.ours["read_at"])

    def each(self, kind: str) -> list[Mapping[str, Any]]:
        return [action[kind] for action in self.actions if kind in action]


def read_log(place: Place, dataset: str) -> list[Entry]:
    """Read every version that is there, oldest first."""
    prefix = f"{place.prefix}{dataset}/_delta_log/"
    found = []
    for key in sorted(place.ground.objects(prefix)):
        name = key.removeprefix(prefix)
        if name.endswith(".json") and name[:-5].isdigit():
            found.append(parse_entry(int(name[:-5]), place.ground.read(key)))
    return found


def parse_entry(version: int, body: bytes) -> Entry:
    actions = tuple(json.loads(line) for line in body.splitlines() if line)
    infos = [action["commitInfo"] for action in actions if "commitInfo" in action]
    is_ours = any(action.get("txn", {}).get("appId", "").startswith("dpp") for action in actions)
    ours = infos[0].get("dpp") if infos and is_ours else None
    return Entry(version, body, actions, ours)


def check_log(place: Place, dataset: str, *, is_cleaned: bool = False) -> Findings:
    """Hold the log against its rules. A log that a stranger cleaned begins later, and that is all right."""
    log, findings = read_log(place, dataset), Findings()
    where = f"{place.name}/{dataset}"
    versions = [entry.version for entry in log]
    first = versions[0] if versions and is_cleaned else 0
    if versions != list(range(first, first + len(versions))):
        findings.torn.append(f"{where}: versions {versions}")
    ours = [entry for entry in log if entry.ours is not None]
    check_chain(where, ours, findings)
    _check_files(place, dataset, log, findings, is_cleaned=is_cleaned)
    _check_copies(place, dataset, ours, findings)
    return findings


def check_chain(where: str, ours: list[Entry], findings: Findings) -> None:
    said = [entry.ours for entry in ours if entry.ours is not None]
    seqs = [each["seq"] for each in said]
    if seqs and seqs != list(range(seqs[0], seqs[0] + len(seqs))):
        findings.duplicate.append(f"{where}: seqs {seqs}")
    for name in ("attempt_id", "run_id"):
        counted = Counter(each[name] for each in said if each["final"])
        twice = [value for value, times in counted.items() if times > 1]
        findings.duplicate += [f"{where}: {name} {value} committed twice" for value in twice]
    for before, after in itertools.pairwise(said):
        low, high = (after.get("window") or {}).get("low"), (before.get("window") or {}).get("high")
        if after["kind"] == "append" and low != high:
            findings.lost.append(
                f"{where}: window of seq {after['seq']} begins at {low}, not {high}"
            )


def _check_files(
    place: Place, dataset: str, log: list[Entry], findings: Findings, *, is_cleaned: bool
) -> None:
    stored = place.ground.objects(f"{place.prefix}{dataset}/")
    live: dict[str, int] = {}
    for entry in log:
        for removed in entry.each("remove"):
            live.pop(removed["path"], None)
        for added in entry.each("add"):
            live[added["path"]] = added["size"]
            attempt = entry.ours["attempt_id"] if entry.ours else ""
            if attempt and not added["path"].startswith(f"data/{attempt}/"):
                findings.torn.append(f"version {entry.version} adds {added['path']}, not its own")
    for path, size in live.items():
        found = stored.get(f"{place.prefix}{dataset}/{path}")
        if found != size:
            findings.torn.append(f"{place.name}/{dataset}: {path} is {found} bytes, not {size}")
    if is_cleaned:
        return
    known = {str(entry.ours["attempt_id"]) for entry in log if entry.ours}
    named = {added["path"] for entry in log for added in entry.each("add")}
    for attempt in known:
        prefix = f"{place.prefix}{dataset}/data/{attempt}/"
        loose = [
            k for k in stored if k.startswith(prefix) and _path(place, dataset, k) not in named
        ]
        findings.lost += [f"{key} belongs to a commit that does not name it" for key in loose]


def _path(place: Place, dataset: str, key: str) -> str:
    return key.removeprefix(f"{place.prefix}{dataset}/")


def _check_copies(place: Place, dataset: str, ours: list[Entry], findings: Findings) -> None:
    ground: Ground = place.ground
    prefix = f"{place.prefix}_dpp/datasets/{dataset}/commits/live/"
    stored = ground.objects(prefix)
    for entry in ours:
        assert entry.ours is not None
        key = f"{prefix}{entry.ours['seq']:020d}.json"
        if entry.ours["lane"] != "live":
            continue
        if key not in stored or ground.read(key) != entry.body:
            findings.torn.append(f"{place.name}/{dataset}: the copy of seq {entry.ours['seq']}")
