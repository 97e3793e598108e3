"""Read what a run has to read: one snapshot for all of it, and another one when its connection is lost.

Called by `run` only. What another connection cannot mend goes up; what was committed stays.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack

from dpp_core import logs, telemetry
from dpp_core.errors import DppError, SourceUnavailableError
from dpp_core.handover import RunRequest, Unit
from dpp_core.names import Reason
from dpp_core.records import UnitRecord
from dpp_extractor import outcome, trial
from dpp_extractor.counters import open_run_view
from dpp_extractor.ports import Snapshot, Tools
from dpp_extractor.publish.admit import Block
from dpp_extractor.publish.fold import Head
from dpp_extractor.unit import extract_unit


def extract_units(
    heads: Sequence[tuple[Unit, Head]],
    blocks: tuple[Block, ...],
    attempt: trial.Trial,
    tools: Tools,
) -> None:
    """Read one unit after the other from one snapshot.

    Where the connection is lost in the middle of it, the snapshot is lost too: what has not ended is read anew, from a
    new connection and a new snapshot, as often as patience lasts. Nothing of such a unit was committed, and its head
    is older than the new snapshot, as rule 1 of the log wants it.
    """
    left = deque(heads)

    def read_left() -> DppError | None:
        """Raise only what another connection may mend."""
        connection = ExitStack()
        try:
            snapshot = _open_snapshot(connection, tuple(left), attempt, tools)
        except DppError as error:  # connecting has had its own patience
            return error
        with connection:
            lost = _read_units(left, snapshot, blocks, attempt, tools)
        if lost is None or not _is_lost(lost):
            return lost
        attempt.warnings.append(
            f"The connection was lost while {left[0][0].dataset} was read: {lost.message}"
        )
        raise lost

    try:
        ended = tools.retry_read(read_left)
    except DppError as error:
        ended = error
    if ended is None:
        return
    if attempt.lost_load is not None and left:
        record = outcome.build_failed(left[0][0], ended)
        attempt.add(trial.tell_load(record, attempt.lost_load))
    raise ended


def _open_snapshot(
    stack: ExitStack, left: Sequence[tuple[Unit, Head]], attempt: trial.Trial, tools: Tools
) -> Snapshot:
    with ExitStack() as opening:
        source = opening.enter_context(tools.open_source())
        snapshot = opening.enter_context(open_run_view(source, left, attempt.request, tools))
        attempt.source = trial.describe_source(attempt.request, snapshot)
        tools.hook("snapshot_open")
        stack.push(opening.pop_all())
    return snapshot


def _read_units(
    left: deque[tuple[Unit, Head]],
    snapshot: Snapshot,
    blocks: tuple[Block, ...],
    attempt: trial.Trial,
    tools: Tools,
) -> DppError | None:
    """Take the units that end out of `left`; give the error that ends the others too, its unit first in `left`."""
    while left:
        tools.stop.raise_if_stopped()
        unit, head = left[0]
        with logs.bound(dataset=unit.dataset), telemetry.span("unit", dataset=unit.dataset):
            try:
                record = _extract_one(unit, head, snapshot, attempt.request, tools, blocks)
            except DppError as error:
                if error.is_shared:
                    attempt.lost_load = snapshot.take_load()
                    return error
                record = outcome.build_failed(unit, error)
            attempt.add(trial.tell_load(record, snapshot.take_load()))
        left.popleft()
    return None


def _is_lost(error: DppError) -> bool:
    return isinstance(error, SourceUnavailableError) and error.reason is Reason.SOURCE_UNREACHABLE


def _extract_one(
    unit: Unit,
    head: Head,
    snapshot: Snapshot,
    request: RunRequest,
    tools: Tools,
    blocks: tuple[Block, ...],
) -> UnitRecord:
    try:
        return extract_unit(unit, head, snapshot, request, tools, blocks)
    except DppError:
        raise
    except Exception as error:  # whatever else goes wrong in a unit stays with the unit
        raise outcome.translate(unit.dataset, error) from error
