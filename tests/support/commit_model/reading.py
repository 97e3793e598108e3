"""What an attempt of the model does before its commit: head, clocks, horizon, snapshot, window, rows.

Called by `world`. A sketch around production's `admit` and `decide_window`: they decide, this only asks them.
"""

from functools import cache
from typing import Final

from commit_model.attempt import Local, Move, Phase, Slot, Stage, end
from commit_model.foreign import HEALED_BY_RESET
from commit_model.log import LIVE, NO_BOUND, Log
from commit_model.source import ORIGIN, Source, age_of, decide_high, horizon_of, order, rows_of
from dpp_core.errors import StreamError
from dpp_core.handover import Unit
from dpp_core.names import Reason
from dpp_extractor.batch import Counts
from dpp_extractor.publish.admit import admit
from dpp_extractor.publish.draft import OurCommit
from dpp_extractor.publish.fold import Head, Trouble
from dpp_extractor.publish.identity import Identity, build_identity_fields

BACKFILL_HIGH_TICK: Final = 2
REFUSED: Final = "refused 29"
ALREADY: Final = "AlreadyCommitted"
_IDENTITY: Final = Identity(
    "postgresql", "erp", "erp", "orders", ("id",), "at", "timestamp", "Append"
)


def read(stage: Stage, number: int, local: Local, log: int, source: Source, tick: int) -> Move:
    """Read the next group of facts; with the last of them decide what is read and write it."""
    slot, group = stage.slots[number], stage.groups[local.groups]
    if local.phase is Phase.IDLE:
        local = local._replace(phase=Phase.READING, start=tick)
    local = local._replace(groups=local.groups + 1)
    for fact in group:
        if fact == "head":
            kind = _read_head(stage, slot, log)
            if kind in (REFUSED, ALREADY):
                return end(local, log, f"reads the head and ends: {kind}", kind)
            local = local._replace(head=log, kind=kind)
        elif fact == "clock":
            local = local._replace(clock=tick)
        elif fact == "horizon":
            is_of_writers = stage.rules.is_horizon_of_writers
            held = horizon_of(source, local.clock, is_of_writers=is_of_writers)
            local = local._replace(horizon=held)
        else:
            local = local._replace(view=source)
    words = f"reads {', '.join(group)}"
    if local.groups < len(stage.groups):
        return Move(words, local, log)
    return _decide(stage, number, local._replace(upload=tick), log, words)


def _read_head(stage: Stage, slot: Slot, number: int) -> str:
    """Return the kind of commit that the head allows, REFUSED or ALREADY."""
    log = stage.logs.all[number]
    trouble = _trouble(stage, log)
    if trouble == "unreadable":
        return REFUSED
    own = log.own(slot.run, slot.lane)
    if own is not None and own.final:
        return ALREADY
    live = log.lanes.get(LIVE)
    if slot.lane != LIVE:
        is_refused = live is None or bool(trouble) or live.epoch != slot.epoch
        return REFUSED if is_refused else "backfill"
    return _admit(slot.write, slot.epoch, live.epoch if live else None, trouble)


def _trouble(stage: Stage, log: Log) -> str:
    """Say what production finds in the strangers' commits: nothing, `healable`, `lasting` or `unreadable`."""
    trouble = ""
    for entry in log.entries:
        if entry.kind == "reset" and trouble == "healable":
            trouble = ""
        if entry.action is None:
            continue
        seen = stage.seen[entry.action]
        if seen is None:
            return "unreadable"
        is_ending = stage.protocol.judge_foreign(seen).value != "Next"
        if is_ending and trouble != "lasting":
            trouble = "healable" if entry.action in HEALED_BY_RESET else "lasting"
    return trouble


@cache
def _admit(write: str, epoch: int, live_epoch: int | None, trouble: str) -> str:
    """Let production's `admit` decide on a head with just these facts."""
    lanes = {} if live_epoch is None else {LIVE: _our_commit(live_epoch)}
    found = (
        Trouble(Reason.STREAM_RESTORED, 1, "RESTORE", trouble == "healable") if trouble else None
    )
    unit = Unit.model_validate(
        {"dataset": "orders", "object": "orders", "key": ("id",), "write": write, "epoch": epoch}
    )
    try:
        return admit(Head(version=1, lanes=lanes, trouble=found), unit, _IDENTITY).kind
    except StreamError:
        return REFUSED


def _our_commit(epoch: int) -> OurCommit:
    return OurCommit(
        lane=LIVE,
        seq=1,
        base_seq=0,
        version=0,
        epoch=epoch,
        kind="append",
        run_id="seed",
        attempt_id="seed",
        final=True,
        read_at=ORIGIN,
        committed_at=ORIGIN,
        watermark=None,
        identity=build_identity_fields(_IDENTITY),
        counts=Counts(),
        fingerprint="",
        approved=(),
        prev_sha256=None,
        sha256="",
    )


def _decide(stage: Stage, number: int, local: Local, log: int, words: str) -> Move:
    slot, head = stage.slots[number], stage.logs.all[local.head]
    lane = head.lanes.get(slot.lane)
    low, high = NO_BOUND, NO_BOUND
    if local.kind == "backfill":
        high = order(0, BACKFILL_HIGH_TICK)
    elif slot.write == "Append":
        low = lane.high if lane and local.kind == "append" else NO_BOUND
        decided = decide_high(low, local.clock, local.horizon)
        if decided is None or decided <= low:
            return end(local, log, f"{words}: unchanged", "Unchanged")
        high = decided
    rows = rows_of(local.view)
    window = [row for row in rows if low <= row[0] and (high == NO_BOUND or row[0] < high)]
    if not window and local.kind == "append" and lane is not None:
        return end(local, log, f"{words}: no new row", "Unchanged")
    is_stepping = slot.has_steps and local.kind == "append" and len(window) > 1
    first, rest = (window[:1], window[1:]) if is_stepping else (window, [])
    final_high = _next_low(stage, high, window)
    ready = local._replace(
        phase=Phase.READY,
        groups=0,
        clock=-1,
        horizon=-1,
        view=(),
        age=age_of(local.view),
        seq=(lane.seq if lane else 0) + 1,
        low=low,
        high=first[0][0] + 1 if is_stepping else final_high,
        last_high=final_high if is_stepping else NO_BOUND,
        rows=tuple(row for _, row in first),
        rest=tuple(row for _, row in rest),
    )
    return Move(f"{words} and writes rows {ready.rows}", ready, log)


def _next_low(stage: Stage, high: int, window: list[tuple[int, int]]) -> int:
    if not stage.rules.is_low_the_greatest or high == NO_BOUND or not window:
        return high
    place, row = window[-1]
    return place - row
