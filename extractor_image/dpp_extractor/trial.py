"""One process's try of a run: what it collects, and how it ends in a record, in the index and in a report.

Called by `run` only. The record is written whatever happened; an index that is down changes nothing but a word in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from dpp_core import logs
from dpp_core.errors import DestinationUnavailableError, DppError
from dpp_core.handover import RunReport, RunRequest, build_request_bytes
from dpp_core.records import LoadRecord, RunRecord, UnitRecord
from dpp_core.redaction import redact
from dpp_extractor import outcome
from dpp_extractor.ports import Index, Load, Put, Snapshot, Tools
from dpp_extractor.publish.keys import Stream, plan_key, run_key, table_prefix
from dpp_extractor.record.run import (
    Circumstances,
    IndexState,
    build_run_record,
    build_run_report,
    compute_plan_digest,
)

CHECKPOINT_EVERY_COMMITS: Final = 100
_TRIES: Final = 3
HEARTBEAT_EVERY: Final = timedelta(seconds=10)


@dataclass(slots=True)
class WatchedIndex:
    """The index, and whether it has missed anything of this try."""

    index: Index
    is_behind: bool = False

    def save(self, collection: str, key: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
        is_saved = self.index.save(collection, key, document)
        self.is_behind |= not is_saved
        return is_saved

    def ping(self) -> str:
        return self.index.ping()


@dataclass(slots=True)
class Heartbeat:
    """Tells the index how far a long run is, at most every ten seconds; nobody misses one that does not arrive."""

    request: RunRequest
    attempt_id: str
    tools: Tools
    told_at: datetime
    reached: dict[str, tuple[int, int]] = field(default_factory=dict)
    began: dict[str, datetime] = field(default_factory=dict)

    def __call__(self, dataset: str, rows: int, size_bytes: int) -> None:
        self.tools.progress(dataset, rows, size_bytes)
        self.reached[dataset] = (rows, size_bytes)
        now = self.tools.now()
        self.began.setdefault(dataset, now)
        if self.tools.index is None or now - self.told_at < HEARTBEAT_EVERY:
            return
        self.told_at = now
        document = {
            "run_id": self.request.run_id,
            "attempt_id": self.attempt_id,
            "namespace": self.request.namespace,
            "extraction": self.request.extraction,
            "updated_at": now,
            "units": [
                {"dataset": name, "rows": count, "bytes": size}
                for name, (count, size) in self.reached.items()
            ],
            "dataset": dataset,
            "rows_per_second": self._rate(dataset, now),
        }
        self.tools.index.save("heartbeats", {"run_id": self.request.run_id}, document)

    def _rate(self, dataset: str, now: datetime) -> int:
        """Rows a second of the dataset that is read, since its first batch."""
        seconds = (now - self.began[dataset]).total_seconds()
        return round(self.reached[dataset][0] / seconds) if seconds > 0 else 0


@dataclass(slots=True)
class Trial:
    """What is known so far of this try; units in the order in which they ended."""

    request: RunRequest
    attempt_id: str
    started_at: datetime
    units: list[UnitRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    source: dict[str, Any] = field(default_factory=dict)
    index: WatchedIndex | None = None
    lost_load: Load | None = None
    """What the source bore for the unit that the run ended in."""

    def watch(self, tools: Tools) -> Tools:
        """Hand out tools whose index is watched, so that the record tells what it missed, and is told of progress."""
        self.index = WatchedIndex(tools.index) if tools.index is not None else None
        beat = Heartbeat(self.request, self.attempt_id, tools, self.started_at)
        return replace(tools, index=self.index, progress=beat)

    def add(self, record: UnitRecord) -> None:
        """Take a unit's end down and tell it in one line."""
        self.units.append(record)
        log = logs.info if record.code == 0 else logs.warning
        with logs.bound(dataset=record.dataset):
            log("unit_ended", **_told(record))
            for warning in record.warnings:
                logs.warning("unit_warning", message=warning)

    def end_rest(self, error: DppError) -> None:
        """End every unit that has not ended: failed when none was tried, skipped behind the one that failed."""
        ended = {record.dataset for record in self.units}
        is_told = any(record.code == error.exit_code for record in self.units)
        build = outcome.build_skipped if is_told else outcome.build_failed
        for unit in self.request.units:
            if unit.dataset not in ended:
                self.add(build(unit, error))


def _told(record: UnitRecord) -> dict[str, Any]:
    fields = {
        "outcome": record.outcome.value,
        "rows": record.counts.written,
        "quarantined": record.counts.quarantined,
        "nulled": sum(record.counts.nulled.values()) or None,
        "deleted": record.counts.deleted or None,
        "seq": record.seq,
        "version": record.version,
        "high": record.window.high if record.window else None,
        "code": record.code or None,
        "reason": record.reason.value if record.reason else None,
        "message": record.message,
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}


def tell_load(record: UnitRecord, load: Load) -> UnitRecord:
    """Put what the source bore for a unit into its record."""
    return record.model_copy(
        update={
            "load": LoadRecord(
                statements=load.statements,
                longest_statement_seconds=load.longest_statement_seconds,
                longest_statement=load.longest_statement,
                snapshot_age_seconds=load.snapshot_age_seconds,
            ),
            "warnings": record.warnings + tuple(map(redact, load.notes)),
        }
    )


def describe_source(request: RunRequest, snapshot: Snapshot) -> dict[str, Any]:
    """Say which view of which source was read, and who held its horizon back."""
    clocks = snapshot.clocks
    return {
        "engine": request.source.engine,
        "snapshot": snapshot.snapshot_id,
        "snapshot_at": snapshot.snapshot_at.isoformat(),
        "clock_at": clocks.clock_at.isoformat(),
        "horizon_at": clocks.horizon_at.isoformat() if clocks.horizon_at else None,
        "holder": clocks.holder,
        "reason": clocks.reason,
    }


def finish(trial: Trial, tools: Tools) -> RunReport:
    """Write plan and record, tell the index, and build the report. A store that is down leaves the report alone."""
    record = _build_record(trial, tools)
    if trial.request.publish == "Live":
        _put_documents(record, trial.request, tools)
    tools.hook("recorded")
    index = _save_run(record, trial.index)
    record = record.model_copy(update={"index": index})
    tools.measure(record)
    _checkpoint(record, tools)
    report = build_run_report(record)
    logs.info(
        "run_ended",
        outcome=report.outcome.value,
        exit_code=report.exit_code,
        index=index,
        seconds=round((report.ended_at - report.started_at).total_seconds(), 3),
        longest_statement_seconds=report.longest_statement_seconds,
        snapshot_age_seconds=report.snapshot_age_seconds,
    )
    tools.hook("reported")
    return report


def _checkpoint(record: RunRecord, tools: Tools) -> None:
    """Have every hundredth commit of a table followed by a checkpoint, until upkeep comes."""
    for unit in record.units:
        if unit.code == 0 and unit.seq and unit.seq % CHECKPOINT_EVERY_COMMITS == 0:
            stream = Stream(record.namespace, record.extraction, unit.dataset)
            tools.checkpoint(table_prefix(stream))


def _build_record(trial: Trial, tools: Tools) -> RunRecord:
    order = {unit.dataset: number for number, unit in enumerate(trial.request.units)}
    return build_run_record(
        trial.request,
        sorted(trial.units, key=lambda record: order[record.dataset]),
        Circumstances(
            attempt_id=trial.attempt_id,
            started_at=trial.started_at,
            ended_at=tools.now(),
            plan_digest=compute_plan_digest(build_request_bytes(trial.request)),
            source=trial.source,
            code_version=tools.code_version,
            warnings=tuple(redact(warning) for warning in trial.warnings),
        ),
    )


def _put_documents(record: RunRecord, request: RunRequest, tools: Tools) -> None:
    names = (request.namespace, request.extraction, request.run_id)
    documents = {
        plan_key(*names): build_request_bytes(request),
        run_key(*names, record.attempt_id): record.model_dump_json(indent=1).encode(),
    }
    for key, body in documents.items():
        try:
            _put(tools, key, body)
        except DppError as error:
            logs.warning("record_not_written", key=key, message=redact(str(error)))


def _put(tools: Tools, key: str, body: bytes) -> None:
    for tries in range(_TRIES):
        if tools.store.put_if_absent(key, body) is Put.CREATED or tools.store.get(key) is not None:
            return
        tools.pause(tries)
    raise DestinationUnavailableError(f"{tools.store.uri}/{key} could not be written.")


def _save_run(record: RunRecord, index: WatchedIndex | None) -> IndexState:
    if index is None:
        return "Off"
    if record.publish == "Live":  # what is not in the bucket could not be built anew
        key = {"run_id": record.run_id, "attempt_id": record.attempt_id}
        index.save("runs", key, record.model_dump(mode="json"))
    return "Behind" if index.is_behind else "Current"
