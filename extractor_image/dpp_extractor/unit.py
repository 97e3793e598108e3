"""One dataset through the seven stages. This is the file to read first.

Called by `run` for each unit of a request, inside one snapshot of the source and with the stream's head read before it.
A unit is committed by one conditional write, or nothing of it can be seen. A run that is started again finds its own
commit in the head and goes straight to the record, whether the source answers or not.
"""

from dpp_core.handover import RunRequest, Unit
from dpp_core.records import UnitRecord
from dpp_extractor import outcome, stages
from dpp_extractor.intent import decide_intent
from dpp_extractor.ports import Snapshot, Tools
from dpp_extractor.publish.admit import Block
from dpp_extractor.publish.fold import Head


def find_committed(unit: Unit, head: Head, request: RunRequest, tools: Tools) -> UnitRecord | None:
    """Find this run's own final commit: an earlier try made it and was gone before it could say so."""
    if head.own is None or not head.own.final:
        return None
    done = outcome.build_already_committed(unit, head.own)
    if (
        head.own == head.live
    ):  # else the index knows of a newer commit, which this one must not hide
        stages.index(unit, done, head.schema, request, tools)
    return done


def extract_unit(
    unit: Unit,
    head: Head,
    snapshot: Snapshot,
    request: RunRequest,
    tools: Tools,
    blocks: tuple[Block, ...] = (),
) -> UnitRecord:
    """Bring one dataset's change into its table and say what happened.

    Raises a DppError when it cannot; then nothing of the unit is visible.
    """
    intent = decide_intent(unit, head, snapshot, request, blocks)
    if intent.is_unchanged:
        return outcome.build_unchanged(intent)
    way = stages.begin(intent, request, tools)

    with stages.compare(way, snapshot, head, blocks) as gone:
        raw = stages.extract(way, snapshot)
        standard = stages.standardise(way, raw)
        good = stages.check(way, standard)
        # Protect: masks and encryption come with data contracts; until then every column passes as it is.
        parts = stages.write(way, good, gone)

    written = stages.settle(way, parts, head, blocks)
    if not written.is_news:
        return outcome.build_unchanged(intent, written)
    if not way.is_published:
        return outcome.build_not_published(intent, written)

    committed = stages.publish(way, written, head, snapshot)

    done = outcome.build_committed(intent, written, committed)
    stages.index(unit, done, intent.schema, request, tools)
    return done
