"""One attempt of the model: what it is asked to do, where it stands, and what it did.

Called by `reading` and `committing`, which move it, and by `world`, which packs it.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from types import ModuleType
from typing import Any, Final, NamedTuple

from commit_model.foreign import Action, observe_all
from commit_model.log import LIVE, NO_BOUND, Entry, Logs, Tokens
from commit_model.rules import Rules
from commit_model.source import Source

RUN_LASTS: Final = timedelta(hours=48)
RETENTION_TICKS: Final = 3
"""Older files that no version needs may be vacuumed: 108 h, more than twice as long as a run lasts."""


class Phase(IntEnum):
    IDLE = 0
    READING = 1
    READY = 2
    COMMITTING = 3
    ENDED = 4
    DEAD = 5


@dataclass(frozen=True, slots=True)
class Slot:
    """What an attempt is asked to do; two slots of one `run` are two tries of it, perhaps at once."""

    run: str
    write: str = "Append"
    epoch: int = 0
    lane: str = LIVE
    has_steps: bool = False
    has_metadata: bool = False


class Local(NamedTuple):
    """Where an attempt stands. `state` and `request` are the step function's; `flying` a PUT that may still land."""

    phase: Phase = Phase.IDLE
    groups: int = 0
    start: int = 0
    head: int = -1
    kind: str = ""
    clock: int = -1
    horizon: int = -1
    view: Source = ()
    age: int = 0
    seq: int = 0
    low: int = NO_BOUND
    high: int = NO_BOUND
    rows: Tokens = ()
    step: int = 0
    rest: Tokens = ()
    last_high: int = NO_BOUND
    upload: int = 0
    state: Any = None
    request: Any = None
    sent: int = 0
    flying: tuple[int, Entry] | None = None
    verdict: str = ""

    @property
    def is_running(self) -> bool:
        return self.phase in (Phase.READING, Phase.READY, Phase.COMMITTING)


class Move(NamedTuple):
    """What an attempt does: words, where it then stands, the log after, and what it costs or breaks."""

    words: str
    local: Local
    log: int
    fault: str = ""
    is_gone: bool = False
    problem: str = ""
    is_end: bool = False
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """What all attempts of one scenario share: the rules, what each is asked, in which groups they read, all logs.

    `groups` are the facts that are read in one go: head, clock, horizon, snapshot.
    """

    rules: Rules
    slots: tuple[Slot, ...]
    groups: tuple[tuple[str, ...], ...]
    logs: Logs
    seen: dict[Action, Any]

    @property
    def protocol(self) -> ModuleType:
        return self.rules.protocol

    @property
    def put(self) -> Any:
        """The request that sends a commit."""
        return self.rules.protocol.PutCommit


def open_stage(rules: Rules, slots: tuple[Slot, ...], groups: tuple[tuple[str, ...], ...]) -> Stage:
    """Set a scenario up; an order mutant reads the head last."""
    if rules.is_view_first:
        groups = (*(group for group in groups if "head" not in group), ("head",))
    return Stage(rules, slots, groups, Logs(), observe_all(rules.protocol))


def end(local: Local, log: int, words: str, verdict: str, **told: Any) -> Move:
    """Let an attempt end; what it no longer needs is forgotten, so that equal ends are one state."""
    ended = Local(Phase.ENDED)
    if local.flying is not None:
        ended = ended._replace(flying=local.flying, verdict=verdict)
    return Move(words, ended, log, is_end=True, verdict=verdict, **told)
