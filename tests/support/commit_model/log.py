"""A table's log as a tree: every log that can be is a node, folded once, with what is wrong in it.

Called by the model. Files hold tokens (rows); `files` is the table as a reader finds it, `ideal` as it ought to be,
kept apart from any remove set. What makes a log wrong is said here in words of the design page, not of the product.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from commit_model.foreign import ENDING, HEALED_BY_RESET, Action

Tokens = tuple[int, ...]
LIVE: Final = "live"
FOREIGN_TOKEN: Final = 100
COMPACTED_FILE: Final = 200
FOREIGN_FILE: Final = 300
NO_BOUND: Final = -1


class Entry(NamedTuple):
    """A commit. Ours: all fields; a stranger's: `action` alone. `low` and `high` bound (cursor, key) order numbers."""

    action: Action | None = None
    slot: int = -1
    step: int = 0
    lane: str = ""
    seq: int = 0
    epoch: int = 0
    kind: str = ""
    run: str = ""
    final: bool = True
    has_metadata: bool = False
    low: int = NO_BOUND
    high: int = NO_BOUND
    rows: Tokens = ()
    removes: frozenset[int] = frozenset()
    base: int = -1
    view: int = 0

    @property
    def file(self) -> int:
        return self.slot * 2 + self.step


class Lane(NamedTuple):
    """A lane's last commit: what the next one must follow."""

    seq: int
    epoch: int
    high: int
    rows: Tokens
    view: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Log:
    """A log of `version` + 1 entries. `problem` says which promise its last entry breaks, empty for none.

    `trouble` = the last version at which a stranger made the table not ours, -1 for none.
    """

    number: int
    path: tuple[int, ...]
    entries: tuple[Entry, ...]
    files: dict[int, Tokens] = field(default_factory=dict)
    ideal: Tokens = ()
    lanes: dict[str, Lane] = field(default_factory=dict)
    trouble: int = -1
    is_trouble_healable: bool = True
    problem: str = ""

    @property
    def version(self) -> int:
        return len(self.entries) - 1

    def own(self, run: str, lane: str) -> Entry | None:
        """Return the last commit of a run in a lane."""
        mine = (e for e in reversed(self.entries) if e.run == run and e.lane == lane)
        return next(mine, None)

    def find(self, slot: int, step: int) -> Entry | None:
        return next((e for e in self.entries if e.slot == slot and e.step == step), None)

    def actions_after(self, version: int) -> list[Action]:
        return [e.action for e in self.entries[version + 1 :] if e.action is not None]


class Logs:
    """All logs met so far, each once; a log's number names it in a packed state."""

    def __init__(self) -> None:
        self.all: list[Log] = [Log(0, (0,), ())]
        self._next: dict[tuple[int, Entry], int] = {}

    def extend(self, number: int, entry: Entry) -> int:
        """Return the log that this one becomes with the entry."""
        found = self._next.get((number, entry))
        if found is None:
            found = self._next[number, entry] = len(self.all)
            self.all.append(_extended(self.all[number], entry, found, self.all))
        return found

    def at(self, number: int, version: int) -> int:
        """Return the log as it was at a version; -1 = empty."""
        return self.all[number].path[version + 1]

    def write_over(self, number: int, version: int, entry: Entry) -> int:
        """Return the log with one entry replaced, as a plain PUT does it."""
        log = self.all[number]
        result = self.extend(self.at(number, version - 1), entry)
        for later in log.entries[version + 1 :]:
            result = self.extend(result, later)
        return result


def _extended(log: Log, entry: Entry, number: int, logs: list[Log]) -> Log:
    if entry.action is not None:
        return _with_foreign(log, entry, number)
    return _with_ours(log, entry, number, logs)


def _with_foreign(log: Log, entry: Entry, number: int) -> Log:
    action, version, files, ideal = entry.action, log.version + 1, dict(log.files), log.ideal
    token = FOREIGN_TOKEN + version
    if action is Action.OPTIMIZE and files:
        files = {COMPACTED_FILE + version: _sum(files)}
    elif action in (Action.APPEND, Action.RESTORE):
        files[FOREIGN_FILE + version], ideal = (token,), _plus(ideal, (token,))
    elif action is Action.DELETE and files:
        ideal = _minus(ideal, files.pop(min(files)))
    elif action is Action.OVERWRITE:
        files, ideal = {FOREIGN_FILE + version: (token,)}, (token,)
    is_ending = action in ENDING
    return Log(
        number,
        (*log.path, number),
        (*log.entries, entry),
        files,
        ideal,
        log.lanes,
        version if is_ending else log.trouble,
        log.is_trouble_healable and (not is_ending or action in HEALED_BY_RESET),
    )


def _with_ours(log: Log, entry: Entry, number: int, logs: list[Log]) -> Log:
    is_replacing = entry.kind in ("replace", "reset")
    files = {file: rows for file, rows in log.files.items() if file not in entry.removes}
    if entry.rows:
        files[entry.file] = entry.rows
    ideal = entry.rows if is_replacing else _plus(log.ideal, entry.rows)
    lane = log.lanes.get(entry.lane)
    is_same_epoch = lane is not None and lane.epoch == entry.epoch
    before = lane.rows if lane is not None and is_same_epoch and not is_replacing else ()
    high = entry.high if entry.high != NO_BOUND or lane is None else lane.high
    lanes = {
        **log.lanes,
        entry.lane: Lane(
            entry.seq, entry.epoch, high, _plus(before, entry.rows), entry.view, entry
        ),
    }
    is_healed = entry.kind == "reset" and log.is_trouble_healable
    return Log(
        number,
        (*log.path, number),
        (*log.entries, entry),
        files,
        ideal,
        lanes,
        -1 if is_healed else log.trouble,
        log.is_trouble_healable,
        log.problem or _problem(log, entry, _sum(files) != tuple(sorted(ideal)), logs),
    )


def _problem(log: Log, entry: Entry, is_content_wrong: bool, logs: list[Log]) -> str:
    """Say which promise a commit of ours breaks on this log."""
    lane, live = log.lanes.get(entry.lane), log.lanes.get(LIVE)
    base = logs[entry.base] if entry.base >= 0 else None
    if entry.seq != (lane.seq if lane else 0) + 1:
        return (
            f"two winners: seq {entry.seq} of lane {entry.lane} follows {lane.seq if lane else 0}"
        )
    if log.trouble >= 0 and (entry.kind != "reset" or base is None or base.version < log.trouble):
        return f"a commit was put upon the stranger's {log.entries[log.trouble].action}"
    strangers = log.actions_after(base.version) if base is not None else []
    writes_columns = entry.has_metadata or entry.kind in ("replace", "reset")
    if writes_columns and Action.MOVED_METADATA in strangers:
        return "columns that a stranger had moved were written over"
    if is_content_wrong:
        return "the table is not what its commits say: stale or lost rows"
    if live is not None and entry.epoch < live.epoch:
        return f"epoch {entry.epoch} follows epoch {live.epoch}"
    return _lane_problem(entry, lane)


def _lane_problem(entry: Entry, lane: Lane | None) -> str:
    if lane is None:
        return "" if entry.low == NO_BOUND else "the first window has a lower bound"
    if entry.kind == "replace" and entry.view < lane.view:
        return "an older view of the source replaced a newer one"
    if entry.high != NO_BOUND and entry.high < lane.high:
        return f"the watermark went back from {lane.high} to {entry.high}"
    if entry.kind in ("append", "backfill") and entry.epoch == lane.epoch:
        if entry.low != lane.high:
            return f"the window begins at {entry.low}, the one before ended at {lane.high}"
        if set(entry.rows) & set(lane.rows):
            return "a row is there twice in one lane and epoch"
    return ""


def _sum(files: dict[int, Tokens]) -> Tokens:
    return tuple(sorted(token for rows in files.values() for token in rows))


def _plus(left: Tokens, right: Tokens) -> Tokens:
    return tuple(sorted((*left, *right)))


def _minus(left: Tokens, right: Tokens) -> Tokens:
    rest = list(left)
    for token in right:
        rest.remove(token)
    return tuple(rest)
