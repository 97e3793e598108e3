"""The commit protocol as one pure step function: `step(state, event) -> (state, request)`.

Called by `commit`, which only carries out requests and reports events, and by the exhaustive model,
which drives the very same function. So here: no I/O, no clock, no chance, small states. The rules
are those of the log's page, 1 to 5:

- Anything but a clear success of the conditional PUT is unknown, never "conflict": the key is read.
- Ours: committed. Absent: PUT again until the deadline less a minute. Another's: every version
  after it is judged by its actions, and the commit is either built again on what is there now, or ends.

                       Answered(created)
    begin ─► SENDING ───────────────────────────────────────────────► Stop(COMMITTED)
      │        │ Answered(unknown)                                          ▲
      │        ▼          Absent: PUT again                                 │ ours
      │      READING ──► SENDING                                            │
      │        │ another's                                                  │
      │        ▼                                                            │
      │      JUDGING ── next version absent ──► (CHECKING ─►) SENDING       │
      │        └────── verdict ──► Stop(...) ───────────────────────────────┘
      └─► CHECKING (a part is old, or a VACUUM was seen): all parts there? ──► SENDING
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

COMMIT_RESERVE: Final = timedelta(seconds=60)
"""No commit is sent later than this before the deadline: an answer must still be readable."""
OLD_PART: Final = timedelta(hours=24)
"""Older parts may have met a foreign vacuum; they are looked at before the PUT."""
_DELETING: Final = frozenset({"DELETE", "UPDATE", "MERGE"})
_REPLACING: Final = frozenset({"replace", "reset"})
_RESTORING: Final = frozenset({"RESTORE"})

Metadata = Literal["none", "same", "moved", "foreign"]
"""What a commit's metaData does: no such action; columns as before; columns moved; another table or
our properties gone.
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The constant facts of the commit that is tried. `oldest_part_at` None = no part."""

    lane: str
    seq: int
    epoch: int
    kind: str
    run_id: str
    attempt_id: str
    has_metadata: bool
    deadline_at: datetime
    oldest_part_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The facts of a commit found in the log that matter here. `lane` empty = not one of ours.

    `has_adds` and `has_removes` count only actions that change data.
    """

    lane: str = ""
    seq: int = 0
    epoch: int = 0
    kind: str = ""
    run_id: str = ""
    attempt_id: str = ""
    final: bool = False
    operation: str = ""
    has_adds: bool = False
    has_removes: bool = False
    metadata: Metadata = "none"
    is_protocol_foreign: bool = False


class Verdict(StrEnum):
    """How an attempt ends; NEXT alone goes on, at the following version."""

    NEXT = "Next"
    COMMITTED = "Committed"
    ALREADY_COMMITTED = "AlreadyCommitted"
    UNFINISHED = "Unfinished"
    OVERTAKEN = "Overtaken"
    COLUMNS_MOVED = "ColumnsMoved"
    PART_MISSING = "PartMissing"
    LATE = "Late"
    FENCED = "Fenced"
    RESTORED = "Restored"
    FOREIGN_CHANGE = "ForeignChange"
    UNREADABLE = "Unreadable"


class Phase(StrEnum):
    CHECKING = "Checking"
    SENDING = "Sending"
    READING = "Reading"
    JUDGING = "Judging"
    ENDED = "Ended"


@dataclass(frozen=True, slots=True)
class State:
    """Where an attempt stands: `version` is tried or read; the commit is built on the table as of
    `built_on`.
    """

    attempt: Attempt
    phase: Phase
    version: int
    built_on: int
    must_check: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """The PUT came back; `created` is True only for a clear success."""

    created: bool


@dataclass(frozen=True, slots=True)
class Found:
    """The version that was asked for is there."""

    seen: Seen


@dataclass(frozen=True, slots=True)
class Absent:
    """The version that was asked for is not there; `now` is the store's clock."""

    now: datetime


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The version that was asked for is there and cannot be understood."""


@dataclass(frozen=True, slots=True)
class PartsChecked:
    """Every part was looked for; `now` is the store's clock."""

    are_all_there: bool
    now: datetime


Event = Answered | Found | Absent | Unreadable | PartsChecked


@dataclass(frozen=True, slots=True)
class PutCommit:
    """Put the commit at `version`, its remove set and metaData built on the table as of `built_on`."""

    version: int
    built_on: int


@dataclass(frozen=True, slots=True)
class GetVersion:
    version: int


@dataclass(frozen=True, slots=True)
class CheckParts:
    """Look whether every part still lies in the store."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The end; `version` is where the deciding commit was found, or the one that was tried."""

    verdict: Verdict
    version: int


Request = PutCommit | GetVersion | CheckParts | Stop
Step = tuple[State, Request]


def begin(attempt: Attempt, head_version: int, now: datetime) -> Step:
    """Start an attempt on the head that was read before the source's snapshot was opened."""
    state = State(attempt, Phase.SENDING, head_version + 1, head_version)
    return _send(state, now)


def step(state: State, event: Event) -> Step:
    """Take one event; raise ValueError for one that cannot come in this phase."""
    match state.phase, event:
        case Phase.SENDING, Answered(created=True):
            return _stop(state, Verdict.COMMITTED)
        case Phase.SENDING, Answered():
            return replace(state, phase=Phase.READING), GetVersion(state.version)
        case Phase.READING, Absent(now=now):
            return _send(state, now)
        case Phase.JUDGING, Absent(now=now):
            return _send(replace(state, built_on=state.version - 1), now)
        case ((Phase.READING | Phase.JUDGING), Found(seen=seen)):
            return _judged(state, seen)
        case ((Phase.READING | Phase.JUDGING), Unreadable()):
            return _stop(state, Verdict.UNREADABLE)
        case Phase.CHECKING, PartsChecked(are_all_there=False):
            return _stop(state, Verdict.PART_MISSING)
        case Phase.CHECKING, PartsChecked(now=now):
            return _put(replace(state, must_check=False), now)
    raise ValueError(f"{type(event).__name__} cannot come while {state.phase}")


def judge(attempt: Attempt, seen: Seen) -> Verdict:
    """Say what a commit that took our version means for us."""
    if seen.lane == attempt.lane and (seen.attempt_id, seen.seq) == (
        attempt.attempt_id,
        attempt.seq,
    ):
        return Verdict.COMMITTED
    if seen.lane and (seen.lane == attempt.lane or seen.kind == "reset"):
        return _judge_rival(attempt, seen)
    if seen.lane:
        return Verdict.NEXT
    verdict = judge_foreign(seen)
    if verdict is Verdict.NEXT and seen.metadata == "moved" and _writes_columns(attempt):
        return Verdict.COLUMNS_MOVED
    return verdict


def _writes_columns(attempt: Attempt) -> bool:
    """Say whether a commit says what the columns are: a Replace has only its own, whatever the table had."""
    return attempt.has_metadata or attempt.kind in _REPLACING


def judge_foreign(seen: Seen) -> Verdict:
    """Say whether a stranger's commit leaves the table ours: NEXT, RESTORED or FOREIGN_CHANGE.

    Compaction, appends and deletes of rows do; by name only deletes are told from other removals.
    """
    if seen.operation in _RESTORING:
        return Verdict.RESTORED
    is_removal_foreign = seen.has_removes and seen.operation not in _DELETING
    if seen.is_protocol_foreign or seen.metadata == "foreign" or is_removal_foreign:
        return Verdict.FOREIGN_CHANGE
    return Verdict.NEXT


def _judge_rival(attempt: Attempt, seen: Seen) -> Verdict:
    if seen.run_id == attempt.run_id:
        return Verdict.ALREADY_COMMITTED if seen.final else Verdict.UNFINISHED
    if attempt.kind == "reset" and seen.epoch < attempt.epoch:
        return Verdict.OVERTAKEN
    return Verdict.FENCED


def _judged(state: State, seen: Seen) -> Step:
    verdict = judge(state.attempt, seen)
    if verdict is not Verdict.NEXT:
        return _stop(state, verdict)
    following = state.version + 1
    must_check = state.must_check or seen.operation.startswith("VACUUM")
    judging = replace(state, phase=Phase.JUDGING, version=following, must_check=must_check)
    return judging, GetVersion(following)


def _send(state: State, now: datetime) -> Step:
    oldest = state.attempt.oldest_part_at
    if oldest is not None and (state.must_check or now - oldest > OLD_PART):
        return replace(state, phase=Phase.CHECKING), CheckParts()
    return _put(state, now)


def _put(state: State, now: datetime) -> Step:
    if now > state.attempt.deadline_at - COMMIT_RESERVE:
        return _stop(state, Verdict.LATE)
    return replace(state, phase=Phase.SENDING), PutCommit(state.version, state.built_on)


def _stop(state: State, verdict: Verdict) -> Step:
    return replace(state, phase=Phase.ENDED), Stop(verdict, state.version)
