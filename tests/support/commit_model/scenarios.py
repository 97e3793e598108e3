"""The bounded worlds that the model goes through, in two sizes: for the suite, and in full for `make model`.

Each has three attempts. Every kind of commit is gone through twice: with all its interleavings while the clock stands
still, and with reads in one go while days pass (deadlines, old parts, a vacuum). Together they hold both lanes, every
stranger and every fault; `coverage` says so.
"""

from dataclasses import replace
from typing import Final

from commit_model.attempt import Slot
from commit_model.foreign import Action
from commit_model.log import LIVE, Entry
from commit_model.rules import AT_ONCE, COARSE, FINE
from commit_model.source import Change, Source, Status, decide_high
from commit_model.world import Scenario

_OLD: Final = Change(Status.COMMITTED, 0)
_NEW: Final = Change(Status.COMMITTED, 1)
_NONE: Final = Change()
_HELD: Final = Change(Status.OPEN, 0)
_SOURCE: Final[Source] = (_OLD, _NEW)
_SEED_HIGH: Final = decide_high(-1, 1, 1) or 0
_SEED: Final = Entry(
    slot=9, lane=LIVE, seq=1, kind="append", run="seed", high=_SEED_HIGH, rows=(0,)
)
_WHOLE: Final = Entry(slot=9, lane=LIVE, seq=1, kind="replace", run="seed", rows=(0,))

_DEEP: Final = ("append", "replace", "reset")
"""In full these meet two strangers and one mishap, the others one stranger and both a fault and a crash."""

_A: Final = Slot("run-a")
_B: Final = Slot("run-b")
_RESET: Final = Slot("run-r", epoch=1)
_BACKFILL: Final = Slot("run-f", lane="backfill-f")
_WHOLE_A: Final = Slot("run-a", "Replace")
_STEPS_A: Final = Slot("run-a", has_steps=True)


def build_scenarios(*, in_full: bool) -> tuple[Scenario, ...]:
    """Build every scenario; `in_full` with larger budgets."""
    kinds = (
        Scenario("append", (_A, _A, replace(_B, has_metadata=True)), _SOURCE, (_SEED,)),
        Scenario(
            "replace", (_WHOLE_A, _WHOLE_A, replace(_WHOLE_A, run="run-b")), _SOURCE, (_WHOLE,)
        ),
        Scenario("reset", (_A, _RESET, replace(_RESET, has_metadata=True)), _SOURCE, (_SEED,)),
        Scenario("lanes", (_A, _BACKFILL, _RESET), _SOURCE, (_SEED,)),
        Scenario("backfill", (_BACKFILL, _BACKFILL, _A), _SOURCE, (_SEED,)),
        Scenario("steps", (_STEPS_A, _STEPS_A, _B), (*_SOURCE, _NEW), (_SEED,)),
    )
    still = [
        replace(
            each,
            actions=tuple(Action),
            end_tick=each.start_tick,
            foreign=2 if in_full and each.name in _DEEP else 1,
            has_one_mishap=not in_full or each.name in _DEEP,
        )
        for each in kinds
    ]
    passing = [
        replace(
            each,
            name=f"{each.name}, days",
            actions=tuple(Action),
            groups=AT_ONCE,
            faults=1 if in_full else 0,
            crashes=0,
            last_start_tick=each.start_tick,
        )
        for each in kinds
    ]
    if in_full:
        passing[0] = replace(passing[0], last_start_tick=passing[0].start_tick + 1)
    else:
        passing = [each for each in passing if each.name != "lanes, days"]
    return (*still, *passing, _birth(), *_moving(in_full=in_full))


def _birth() -> Scenario:
    """Three attempts at a table that is not there yet."""
    slots = (_A, _A, _B)
    return Scenario(
        "birth", slots, _SOURCE, (), groups=FINE, foreign=1, actions=tuple(Action), end_tick=2
    )


def _moving(*, in_full: bool) -> tuple[Scenario, ...]:
    """Sources that change between all reads: late commits for windows, new and deleted rows for whole reads."""
    windows = Scenario(
        "source",
        (_A, _B, replace(_A, run="run-c")),
        (_HELD, _NONE),
        (),
        groups=FINE,
        foreign=0,
        faults=0,
        crashes=1 if in_full else 0,
        start_tick=1,
        end_tick=3 if in_full else 2,
        is_source_moving=True,
    )
    whole = Scenario(
        "source, all",
        (_WHOLE_A, replace(_WHOLE_A, run="run-b"), replace(_WHOLE_A, run="run-c")),
        (_OLD, _NONE),
        (_WHOLE,),
        groups=COARSE,
        foreign=1 if in_full else 0,
        actions=(Action.OPTIMIZE, Action.APPEND, Action.DELETE, Action.RESTORE),
        faults=0,
        crashes=0,
        end_tick=2,
        is_source_moving=True,
        may_delete=True,
    )
    return windows, whole
