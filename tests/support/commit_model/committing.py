"""What an attempt of the model does to commit: production's `begin` and `step`, asked for every single move.

Called by `world`. Here the store answers, or does not; what follows is decided by the step function alone.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from commit_model.attempt import RUN_LASTS, Local, Move, Phase, Stage, end
from commit_model.foreign import ENDING
from commit_model.log import NO_BOUND, Entry
from commit_model.source import instant
from dpp_extractor.publish.commit import _ENDS
from dpp_extractor.publish.protocol import COMMIT_RESERVE, Verdict

MAY_LAND_LATER: Final = ("Late", "PartMissing")
"""Ends that leave the version free: a PUT that is still under way may yet land, and the next try finds it."""
LANDED: Final = "landed"


def begin(stage: Stage, number: int, local: Local, log: int, tick: int) -> Move:
    slot = stage.slots[number]
    attempt = stage.protocol.Attempt(
        lane=slot.lane,
        seq=local.seq,
        epoch=slot.epoch,
        kind=local.kind,
        run_id=slot.run,
        attempt_id=f"attempt-{number}",
        has_metadata=slot.has_metadata,
        deadline_at=instant(local.start) + RUN_LASTS,
        oldest_part_at=instant(local.upload) if local.rows else None,
    )
    answer = stage.protocol.begin(attempt, stage.logs.all[local.head].version, instant(tick))
    begun = local._replace(phase=Phase.COMMITTING)
    return _stepped(stage, number, begun, answer, log, tick)._replace(words="begins to commit")


def carry_out(
    stage: Stage, number: int, local: Local, log: int, tick: int, is_gone: bool
) -> Iterator[Move]:
    """Carry the step function's request out, in every way in which it can turn out."""
    protocol, request = stage.protocol, local.request

    def after(
        words: str, event: Any, at: int = log, flying: Any = local.flying, **told: Any
    ) -> Move:
        answer = protocol.step(local.state, event)
        moved = _stepped(stage, number, local._replace(flying=flying), answer, at, tick)
        return moved._replace(words=words + moved.words, **told)

    if isinstance(request, protocol.PutCommit):
        yield from _put(stage, number, local, log, after)
    elif isinstance(request, protocol.CheckParts):
        yield after("looks for its parts", protocol.PartsChecked(not is_gone, instant(tick)))
    else:
        found = _get(stage, log, request.version, tick)
        yield after(f"reads version {request.version}: {type(found).__name__}", found)


def land(stage: Stage, number: int, local: Local, log: int) -> Iterator[Move]:
    """Let a delayed PUT arrive at last, or never."""
    assert local.flying is not None
    version, entry = local.flying
    yield Move("has a delayed PUT that never arrives", local._replace(flying=None, verdict=""), log)
    if stage.logs.all[log].version + 1 == version:
        is_told = local.phase is Phase.ENDED and local.verdict not in MAY_LAND_LATER
        problem = f"it said {local.verdict}, then its delayed PUT landed" if is_told else ""
        down = local._replace(flying=None, verdict=LANDED if local.is_running else "")
        put = stage.logs.extend(log, entry)
        yield Move("has a delayed PUT that lands", down, put, problem=problem)


def _put(
    stage: Stage, number: int, local: Local, log: int, after: Callable[..., Move]
) -> Iterator[Move]:
    protocol, version = stage.protocol, local.request.version
    entry = _entry(stage, number, local, log)
    words, lost, created = (
        f"puts version {version}",
        protocol.Answered(False),
        protocol.Answered(True),
    )
    if stage.logs.all[log].version >= version:
        if stage.rules.is_plain_put:
            over = stage.logs.write_over(log, version, entry)
            yield after(words, created, over, problem=f"version {version} was written over")
        else:
            yield after(f"{words}, which is there", lost)
        return
    put = stage.logs.extend(log, entry)
    yield after(words, created, put)
    yield after(f"{words}, the answer is lost", lost, put, fault="answer lost, applied")
    yield after(f"{words}, it is lost", lost, fault="answer lost, not applied")
    if local.flying is None:
        yield after(f"{words}, it is delayed", lost, flying=(version, entry), fault="delayed")


def _get(stage: Stage, log: int, version: int, tick: int) -> Any:
    protocol = stage.protocol
    if stage.logs.all[log].version < version:
        return protocol.Absent(instant(tick))
    entry = stage.logs.all[log].entries[version]
    if entry.action is not None:
        seen = stage.seen[entry.action]
        return protocol.Unreadable() if seen is None else protocol.Found(seen)
    return protocol.Found(
        protocol.Seen(
            lane=entry.lane,
            seq=entry.seq,
            epoch=entry.epoch,
            kind=entry.kind,
            run_id=entry.run,
            attempt_id=f"attempt-{entry.slot}",
            final=entry.final,
            operation="WRITE",
            has_adds=bool(entry.rows),
            has_removes=bool(entry.removes),
        )
    )


def _stepped(stage: Stage, number: int, local: Local, answer: Any, log: int, tick: int) -> Move:
    state, request = answer
    if isinstance(request, stage.protocol.Stop):
        return _stopped(stage, number, local, request, log, tick)
    local = local._replace(state=state, request=request, sent=0)
    if not isinstance(request, stage.protocol.PutCommit):
        return Move("", local, log)
    is_late = instant(tick) > instant(local.start) + RUN_LASTS - COMMIT_RESERVE
    problem = "a commit was sent after the deadline" if is_late else ""
    return Move("", local._replace(sent=tick), log, problem=problem)


def _stopped(stage: Stage, number: int, local: Local, stop: Any, log: int, tick: int) -> Move:
    verdict = stop.verdict.value
    problem = _check_end(stage, number, local, verdict, log, stop.version)
    if verdict != "Committed" or not local.rest:
        is_deleting = stage.rules.is_deleting_on_conflict and verdict == "Fenced"
        words = f", ends: {verdict}" + (" and deletes its files" if is_deleting else "")
        problem = "" if is_deleting else problem  # what it does is worse than what it says
        return end(local, log, words, verdict, is_gone=is_deleting, problem=problem)
    following = local._replace(
        phase=Phase.READY,
        head=stage.logs.at(log, stop.version),
        seq=local.seq + 1,
        low=local.high,
        high=local.last_high,
        last_high=NO_BOUND,
        rows=local.rest,
        rest=(),
        step=local.step + 1,
        upload=tick,
        state=None,
        request=None,
        sent=0,
        verdict="",
    )
    return Move(", a step is committed", following, log, problem=problem)


def _check_end(
    stage: Stage, number: int, local: Local, verdict: str, log: int, version: int
) -> str:
    """Hold what an attempt says against the log: it is committed if and only if it is there."""
    slot, whole = stage.slots[number], stage.logs.all[log]
    if verdict == "AlreadyCommitted":
        own = whole.own(slot.run, slot.lane)
        return "" if own is not None and own.final else "it says committed, and only a step is"
    is_there = whole.find(number, local.step) is not None
    is_landed_late = verdict in MAY_LAND_LATER and local.verdict == LANDED
    if is_there != (verdict == "Committed") and not is_landed_late:
        return f"it says {verdict}, and its commit is {'there' if is_there else 'not there'}"
    action = whole.entries[version].action if version <= whole.version else None
    is_deciding = verdict not in MAY_LAND_LATER  # else a stranger took the version a moment later
    if is_deciding and action in ENDING and _ENDS[Verdict(verdict)].error.exit_code != 29:
        return f"the stranger's {action} ended with {verdict}, not with exit 29"
    return ""


def _entry(stage: Stage, number: int, local: Local, log: int) -> Entry:
    slot = stage.slots[number]
    table = stage.logs.all[stage.logs.at(log, local.request.built_on)]
    is_replacing = local.kind in ("replace", "reset")
    return Entry(
        slot=number,
        step=local.step,
        lane=slot.lane,
        seq=local.seq,
        epoch=slot.epoch,
        kind=local.kind,
        run=slot.run,
        final=not local.rest,
        has_metadata=slot.has_metadata,
        low=local.low,
        high=local.high,
        rows=local.rows,
        removes=frozenset(table.files) if is_replacing else frozenset(),
        base=local.head,
        view=local.age,
    )
