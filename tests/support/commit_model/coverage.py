"""Which situations a search has met: every kind of commit × stranger's action × fault.

Called by `world`. A cell counts when, within the life of one attempt, from its head to its end, the stranger has
committed and the fault has happened, in either order. It is counted at the later of the two.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from commit_model.attempt import RUN_LASTS, Local, Move, Phase, Stage
from commit_model.foreign import Action
from commit_model.source import TICK

KINDS: Final = ("append", "step", "replace", "reset", "backfill")
FAULTS: Final = (
    "none",
    "answer lost, applied",
    "answer lost, not applied",
    "delayed",
    "crash before commit",
    "crash after commit",
    "paused past deadline",
    "files vacuumed",
)
Cell = tuple[str, Action, str]


def all_cells() -> Iterator[Cell]:
    return ((kind, action, fault) for kind in KINDS for action in Action for fault in FAULTS)


def cells_of_move(
    stage: Stage, number: int, local: Local, log: int, move: Move
) -> tuple[Cell, ...]:
    """Return the cells that an attempt's own move visits: a fault, or its end, with strangers after its head."""
    if local.head < 0 or not (move.fault or move.is_end):
        return ()
    fault = move.fault or "none"
    if fault == "crash":
        fault = _crash(stage, number, local, log)
    return tuple(
        (kind_of(stage, number, local), action, fault) for action in _met(stage, local, log)
    )


def cells_of_fault(
    stage: Stage, number: int, local: Local, log: int, fault: str
) -> tuple[Cell, ...]:
    """Return the cells that a fault from outside (time, vacuum) visits."""
    return tuple(
        (kind_of(stage, number, local), action, fault) for action in _met(stage, local, log)
    )


def cells_of_action(
    stage: Stage, number: int, local: Local, log: int, circumstances: tuple[Action, int, bool]
) -> tuple[Cell, ...]:
    """Return the cells that a stranger's action visits: what has happened to this attempt before."""
    action, tick, is_gone = circumstances
    if local.head < 0 or local.phase is Phase.ENDED:
        return ()
    kind = kind_of(stage, number, local)
    return tuple((kind, action, scar) for scar in _scars(stage, number, local, log, tick, is_gone))


def late_at(local: Local) -> int:
    """Return the first tick behind an attempt's deadline."""
    return local.start + RUN_LASTS // TICK + 1


def is_past_deadline(local: Local, tick: int) -> bool:
    return local.is_running and tick >= late_at(local)


def kind_of(stage: Stage, number: int, local: Local) -> str:
    is_step = stage.slots[number].has_steps and local.kind == "append"
    return "step" if is_step else local.kind


def _scars(
    stage: Stage, number: int, local: Local, log: int, tick: int, is_gone: bool
) -> Iterator[str]:
    if local.phase is Phase.DEAD:
        yield _crash(stage, number, local, log)
        return
    if local.flying is not None:
        yield "delayed"
    elif isinstance(local.request, stage.protocol.GetVersion):
        if stage.logs.all[log].find(number, local.step) is not None:
            yield "answer lost, applied"
        elif local.request.version > stage.logs.all[log].version:
            yield "answer lost, not applied"
    if is_past_deadline(local, tick):
        yield "paused past deadline"
    if is_gone:
        yield "files vacuumed"


def _crash(stage: Stage, number: int, local: Local, log: int) -> str:
    is_there = stage.logs.all[log].find(number, local.step) is not None
    return "crash after commit" if is_there else "crash before commit"


def _met(stage: Stage, local: Local, log: int) -> list[Action]:
    return stage.logs.all[log].actions_after(stage.logs.all[local.head].version)


def describe_cells(visited: Counter[Cell]) -> str:
    """Print the table: a line for each kind and action, a column for each fault."""
    heads = ("none", "lost,done", "lost", "delayed", "crash", "crash,done", "paused", "vacuumed")
    lines = [f"{'kind':9} {'stranger':15}" + "".join(f"{head:>11}" for head in heads)]
    for kind in KINDS:
        for action in Action:
            counts = (visited[kind, action, fault] for fault in FAULTS)
            lines.append(f"{kind:9} {action:15}" + "".join(f"{count:>11,}" for count in counts))
    return "\n".join(lines)
