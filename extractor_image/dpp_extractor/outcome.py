"""How one unit ended, as a record. Called by `unit` for good ends and by `run` for the others.

Pure, but for the log line of a crash.
"""

import errno
from dataclasses import asdict
from typing import Final

from dpp_core import logs
from dpp_core.errors import DppError, InternalError, ResourcesError
from dpp_core.handover import Unit
from dpp_core.names import UnitOutcome
from dpp_core.records import CountsRecord, UnitRecord, WindowRecord
from dpp_core.redaction import redact
from dpp_extractor.batch import Counts, Window, Written
from dpp_extractor.intent import Intent
from dpp_extractor.publish.commit import Committed
from dpp_extractor.publish.draft import OurCommit
from dpp_extractor.publish.found import build_found

_BLOCKING: Final = (24, 25)
_RESOURCE_ERRNOS: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)


def build_committed(intent: Intent, written: Written, committed: Committed) -> UnitRecord:
    """The unit's data exists: by this attempt's commit, or by an earlier one of the same run."""
    already = committed.already
    return _build(intent, written).model_copy(
        update={
            "outcome": UnitOutcome.ALREADY_COMMITTED if already else UnitOutcome.COMMITTED,
            "seq": committed.seq,
            "version": committed.version,
            "read_at": committed.read_at,
        }
    )


def build_already_committed(unit: Unit, own: OurCommit) -> UnitRecord:
    """The head holds this run's final commit: an earlier attempt made it and could not say so."""
    return build_found(unit.dataset, own)


def build_unchanged(intent: Intent, written: Written | None = None) -> UnitRecord:
    """Nothing new at the source: the table and its log stay as they are."""
    return _build(intent, written).model_copy(update={"outcome": UnitOutcome.UNCHANGED})


def build_not_published(intent: Intent, written: Written) -> UnitRecord:
    """A run that publishes nothing: what would have been committed."""
    return _build(intent, written).model_copy(
        update={"outcome": UnitOutcome.SKIPPED, "message": "publish None: nothing was committed"}
    )


def build_failed(unit: Unit, error: DppError) -> UnitRecord:
    """Nothing of the unit can be seen; says why, without any secret."""
    is_blocked = error.exit_code in _BLOCKING
    return UnitRecord(
        dataset=unit.dataset,
        outcome=UnitOutcome.BLOCKED if is_blocked else UnitOutcome.FAILED,
        epoch=unit.epoch,
        code=error.exit_code,
        reason=error.reason,
        message=redact(str(error)),
        fingerprint=str(getattr(error, "fingerprint", "")),
    )


def build_skipped(unit: Unit, error: DppError) -> UnitRecord:
    """Not tried: what stopped another unit would stop this one too."""
    return UnitRecord(
        dataset=unit.dataset,
        outcome=UnitOutcome.SKIPPED,
        epoch=unit.epoch,
        code=error.exit_code,
        reason=error.reason,
        message=redact(f"Not tried: {error.message}"),
    )


def translate(what: str, error: Exception) -> DppError:
    """Name what no adapter foresaw: resources that ran out (28), else our bug (70), with the line that says where."""
    is_full = isinstance(error, MemoryError) or getattr(error, "errno", None) in _RESOURCE_ERRNOS
    message = f"{what}: {type(error).__name__}: {error}"
    if is_full:
        return ResourcesError(
            message, fix="Give the run more memory, disk or descriptors; nothing was committed."
        )
    logs.error("crashed", exception=error)
    return InternalError(message, fix="This is a bug; please report it with the log line.")


def _build(intent: Intent, written: Written | None) -> UnitRecord:
    return UnitRecord(
        dataset=intent.unit.dataset,
        outcome=UnitOutcome.COMMITTED,
        attempt_id=written.attempt_id if written else "",
        kind=intent.kind,
        epoch=intent.unit.epoch,
        read_at=intent.read_at,
        window=_window(intent.window),
        counts=_counts(written.counts) if written else CountsRecord(),
        parts=len(written.parts) if written else 0,
        bytes=written.size_bytes if written else 0,
        schema_fingerprint=intent.fingerprint,
        quarantine=written.quarantine_keys if written else (),
        warnings=tuple(map(redact, _list_warnings(intent, written))),
        approved=written.approved if written else (),
    )


def _list_warnings(intent: Intent, written: Written | None) -> tuple[str, ...]:
    return intent.warnings + (written.warnings if written else ()) + _warn_nulled(written)


def _warn_nulled(written: Written | None) -> tuple[str, ...]:
    nulled = written.counts.nulled if written else {}
    return tuple(
        f"{count:,} values of {name} are NULL because the column's type cannot hold them (values: SetNull)."
        for name, count in nulled.items()
    )


def _window(window: Window | None) -> WindowRecord | None:
    return WindowRecord.model_validate(asdict(window)) if window else None


def _counts(counts: Counts) -> CountsRecord:
    return CountsRecord.model_validate(asdict(counts))
