"""The world of the model: attempts, a log, a source, a clock, a vacuum and a stranger; and every next world.

Called by `search`. A world is packed into one integer, and what a part of it may do next is worked out once for each
different situation of that part, as the number to add: so a million worlds fit in memory and pass in a minute.
"""

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

from commit_model import committing, coverage, reading
from commit_model.attempt import RETENTION_TICKS, Local, Move, Phase, Slot, Stage, open_stage
from commit_model.coverage import Cell
from commit_model.foreign import Action
from commit_model.log import LIVE, NO_BOUND, Entry
from commit_model.rules import COARSE, Rules
from commit_model.source import Source, move, rows_of

T = TypeVar("T", bound=Hashable)
ATTEMPTS: Final = 3
_IDLE: Final = Local()
_NEVER: Final = 99

# The packed world, from the right: crashes, faults, foreign and tick of 3 bits, files gone, source, attempts, log.
_CRASH: Final = 1
_FAULT: Final = 1 << 3
_MISHAPS: Final = 0o77
_FOREIGN: Final = 1 << 6
_TICK: Final = 1 << 9
_GONE_AT: Final = 12
_SOURCE_AT: Final = _GONE_AT + 2 * ATTEMPTS
_LOCALS_AT: Final = tuple(_SOURCE_AT + 12 + 18 * number for number in range(ATTEMPTS))
_LOG_AT: Final = _SOURCE_AT + 12 + 18 * ATTEMPTS
_LOCAL_MASK: Final = (1 << 18) - 1
_SOURCE_MASK: Final = (1 << 12) - 1
_GONE_MASK: Final = (1 << 2 * ATTEMPTS) - 1


@dataclass(frozen=True, slots=True)
class Scenario:
    """A bounded world: what the attempts are asked, how it begins, and how much may happen in it."""

    name: str
    slots: tuple[Slot, Slot, Slot]
    source: Source
    seeds: tuple[Entry, ...]
    groups: tuple[tuple[str, ...], ...] = COARSE
    actions: tuple[Action, ...] = ()
    foreign: int = 1
    faults: int = 1
    crashes: int = 1
    start_tick: int = 2
    end_tick: int = 5
    last_start_tick: int = 5
    has_one_mishap: bool = False
    """A fault or a crash, not both."""
    is_source_moving: bool = False
    may_delete: bool = False


class Next(NamedTuple):
    """A way on: what to add to the packed world, in words, and what it breaks (empty: nothing)."""

    add: int
    words: str
    problem: str = ""
    is_fault: bool = False
    is_crash: bool = False


class Clocks(NamedTuple):
    """The ticks that matter to an attempt: from when on its PUT must have left, its file is old, and it is late."""

    sent_until: int = _NEVER
    old_at: int = _NEVER
    late_at: int = _NEVER


class Numbers(Generic[T]):
    """Values by number and numbers by value."""

    def __init__(self) -> None:
        self.all: list[T] = []
        self._known: dict[T, int] = {}

    def number(self, value: T) -> int:
        known = self._known.get(value)
        if known is None:
            known = self._known[value] = len(self.all)
            self.all.append(value)
        return known


class World:
    """The moves of one scenario under one set of rules, and what was met while they were asked for."""

    def __init__(self, scenario: Scenario, rules: Rules) -> None:
        self.scenario = scenario
        self.rules = rules
        self.stage: Stage = open_stage(rules, scenario.slots, scenario.groups)
        self.locals: Numbers[Local] = Numbers()
        self.sources: Numbers[Source] = Numbers()
        self.locals.number(_IDLE)
        self._ways: dict[Any, tuple[Next, ...]] = {}
        self._cells: dict[Any, tuple[Cell, ...]] = {}
        self._ends: dict[Any, tuple[tuple[str, str], ...]] = {}
        self._visits: Counter[Any] = Counter()
        self._lost: dict[tuple[int, int], str] = {}
        self._all_clocks: list[Clocks] = []

    def first(self) -> int:
        log = 0
        for entry in self.scenario.seeds:
            log = self.stage.logs.extend(log, entry)
        source = self.sources.number(self.scenario.source)
        small = (
            self.scenario.start_tick * _TICK
            + self.scenario.foreign * _FOREIGN
            + self.scenario.faults * _FAULT
            + self.scenario.crashes * _CRASH
        )
        return (log << _LOG_AT) + (source << _SOURCE_AT) + small

    def following(self, world: int) -> Iterator[tuple[int, str, str]]:
        """Yield every world that may come next, in words, and what is broken in it (empty: nothing)."""
        log, source = world >> _LOG_AT, world >> _SOURCE_AT & _SOURCE_MASK
        tick, gone = world >> 9 & 7, world >> _GONE_AT & _GONE_MASK
        faults, crashes = world >> 3 & 7, world & 7
        attempts = [world >> at & _LOCAL_MASK for at in _LOCALS_AT]
        is_moving = self.scenario.is_source_moving
        for number, attempt in enumerate(attempts):
            if attempt == 0 and not self._may_start(attempts, tick):
                continue
            for way in self._attempt_ways(number, attempt, log, source, tick, gone):
                if (way.is_fault and not faults) or (way.is_crash and not crashes):
                    continue
                after = world + way.add
                if self.scenario.has_one_mishap and (way.is_fault or way.is_crash):
                    after &= ~_MISHAPS
                yield after, way.words, way.problem or self._broken(after, gone, is_moving)
        if world & 7 * _FOREIGN:
            for way in self._stranger_ways(log, attempts, tick, gone):
                after = world + way.add
                yield after, way.words, way.problem or self._broken(after, gone, is_moving)
        if is_moving:
            for way in self._source_ways(source, tick):
                after = world + way.add
                yield after, way.words, self._broken(after, gone, is_moving)
        for way in self._time_ways(log, attempts, tick, gone):
            yield world + way.add, way.words, self._broken(world + way.add, 1, is_moving)

    # --- attempts ---

    def _attempt_ways(
        self, number: int, attempt: int, log: int, source: int, tick: int, gone: int
    ) -> tuple[Next, ...]:
        local = self.locals.all[attempt]
        is_reading = local.phase in (Phase.IDLE, Phase.READING)
        is_gone = gone >> 2 * number + local.step & 1
        key = (number, attempt, log, source if is_reading else -1, tick, is_gone)
        ways = self._ways.get(key)
        if ways is None:
            ways = self._ways[key] = self._build_attempt_ways(key, local, source)
        self._visits[key] += 1
        return ways

    def _build_attempt_ways(
        self, key: tuple[int, int, int, int, int, int], local: Local, source: int
    ) -> tuple[Next, ...]:
        number, attempt, log, _, tick, is_gone = key
        stage, ways = self.stage, []
        cells: list[Cell] = []
        ends: list[tuple[str, str]] = []
        moves = _moves(stage, number, local, log, self.sources.all[source], tick, bool(is_gone))
        for made in moves:
            add = (self.locals.number(made.local) - attempt) << _LOCALS_AT[number]
            add += (made.log - log) << _LOG_AT
            is_crash = made.fault == "crash"
            is_fault = bool(made.fault) and not is_crash
            add -= is_fault * _FAULT + is_crash * _CRASH
            if made.is_gone and not is_gone:
                add += 1 << _GONE_AT + 2 * number + local.step
            words = f"attempt {number + 1} {made.words}"
            problem = made.problem or stage.logs.all[made.log].problem
            ways.append(Next(add, words, problem, is_fault, is_crash))
            cells += coverage.cells_of_move(stage, number, local, log, made)
            if made.is_end:
                ends.append((coverage.kind_of(stage, number, local), made.verdict))
        self._cells[key], self._ends[key] = tuple(cells), tuple(ends)
        return tuple(ways)

    def _may_start(self, attempts: list[int], tick: int) -> bool:
        if not self.rules.is_plain_put:
            return tick <= self.scenario.last_start_tick
        held = (self.locals.all[attempt] for attempt in attempts)
        return not any(each.is_running and each.start == tick for each in held)

    # --- everybody else ---

    def _stranger_ways(
        self, log: int, attempts: list[int], tick: int, gone: int
    ) -> tuple[Next, ...]:
        ways = self._ways.get(log)
        if ways is None:
            ways = self._ways[log] = tuple(self._build_stranger_ways(log))
        for number, attempt in enumerate(attempts):
            key = (number, attempt, log, tick, gone >> 2 * number & 3)
            if key not in self._cells:
                self._cells[key] = self._build_stranger_cells(*key)
            self._visits[key] += 1
        return ways

    def _build_stranger_ways(self, log: int) -> Iterator[Next]:
        if self.stage.logs.all[log].version < 0:
            return
        for action in self.scenario.actions:
            after = self.stage.logs.extend(log, Entry(action=action))
            yield Next(((after - log) << _LOG_AT) - _FOREIGN, f"a stranger commits: {action}")

    def _build_stranger_cells(
        self, number: int, attempt: int, log: int, tick: int, gone: int
    ) -> tuple[Cell, ...]:
        local = self.locals.all[attempt]
        found: list[Cell] = []
        for action in self.scenario.actions:
            around = (action, tick, bool(gone))
            found += coverage.cells_of_action(self.stage, number, local, log, around)
        return tuple(found)

    def _source_ways(self, source: int, tick: int) -> tuple[Next, ...]:
        key = ("source", source, tick)
        ways = self._ways.get(key)
        if ways is None:
            moves = move(self.sources.all[source], tick, may_delete=self.scenario.may_delete)
            ways = self._ways[key] = tuple(
                Next((self.sources.number(after) - source) << _SOURCE_AT, words)
                for words, after in moves
            )
        return ways

    def _time_ways(self, log: int, attempts: list[int], tick: int, gone: int) -> Iterator[Next]:
        clocks = [self._clocks(attempt) for attempt in attempts]
        if tick >= self.scenario.start_tick + RETENTION_TICKS:
            vacuumed = self._vacuumed(log, attempts, tick) & ~gone
            if vacuumed:
                self._count_outside(log, attempts, tick, vacuumed)
                yield Next(vacuumed << _GONE_AT, "a vacuum deletes old files that no version needs")
        if tick < self.scenario.end_tick and not any(tick >= each.sent_until for each in clocks):
            if any(tick + 1 >= each.late_at for each in clocks):
                self._count_outside(log, attempts, tick + 1, 0)
            yield Next(_TICK, "36 hours pass")

    def _clocks(self, attempt: int) -> "Clocks":
        for number in range(len(self._all_clocks), attempt + 1):
            self._all_clocks.append(_build_clocks(self.locals.all[number], self.stage))
        return self._all_clocks[attempt]

    def _vacuumed(self, log: int, attempts: list[int], tick: int) -> int:
        """Return files too old to be of a run that may still commit, and not in the table; of those that matter."""
        files = self.stage.logs.all[log].files
        gone = 0
        for number, attempt in enumerate(attempts):
            file = 2 * number + self.locals.all[attempt].step
            if self._clocks(attempt).old_at <= tick and file not in files:
                gone |= 1 << file
        return gone

    # --- what may never be ---

    def _broken(self, world: int, gone: int, is_moving: bool) -> str:
        """Say which promise is broken in a world whose log itself is right."""
        broken = ""
        if gone or world >> _GONE_AT & _GONE_MASK:
            broken = self._dangling(world)
        return broken or (self._lost_row(world) if is_moving else "")

    def _dangling(self, world: int) -> str:
        gone = world >> _GONE_AT & _GONE_MASK
        files = self.stage.logs.all[world >> _LOG_AT].files
        lost = [file for file in files if file < 2 * ATTEMPTS and gone >> file & 1]
        return (
            f"the table refers to a file of attempt {lost[0] // 2 + 1} that is gone" if lost else ""
        )

    def _lost_row(self, world: int) -> str:
        key = (world >> _LOG_AT, world >> _SOURCE_AT & _SOURCE_MASK)
        found = self._lost.get(key)
        if found is None:
            live = self.stage.logs.all[key[0]].lanes.get(LIVE)
            rows = rows_of(self.sources.all[key[1]])
            lost = [
                row
                for place, row in rows
                if live is not None and live.high != NO_BOUND
                if place < live.high and row not in live.rows
            ]
            found = f"row {lost[0]} lies below the watermark and was never read" if lost else ""
            self._lost[key] = found
        return found

    # --- what was met ---

    def _count_outside(self, log: int, attempts: list[int], tick: int, vacuumed: int) -> None:
        for number, attempt in enumerate(attempts):
            local = self.locals.all[attempt]
            is_hit = vacuumed >> 2 * number & 3 or coverage.is_past_deadline(local, tick)
            if local.head < 0 or not local.is_running or not is_hit:
                continue
            fault = "files vacuumed" if vacuumed else "paused past deadline"
            key = (number, attempt, log, fault)
            if key not in self._cells:
                self._cells[key] = coverage.cells_of_fault(self.stage, number, local, log, fault)
            self._visits[key] += 1

    def forget(self) -> None:
        """Give the memory of the search back; what was counted is gone too."""
        for kept in (self._ways, self._cells, self._ends, self._visits, self._lost):
            kept.clear()

    def visited_cells(self) -> Counter[Cell]:
        return self._total(self._cells)

    def visited_ends(self) -> Counter[tuple[str, str]]:
        """How attempts ended: kind of commit and verdict."""
        return self._total(self._ends)

    def _total(self, told: dict[Any, tuple[T, ...]]) -> Counter[T]:
        total: Counter[T] = Counter()
        for key, values in told.items():
            for value in values:
                total[value] += self._visits[key]
        return total


def _moves(
    stage: Stage, number: int, local: Local, log: int, source: Source, tick: int, is_gone: bool
) -> Iterator[Move]:
    """List everything that an attempt may do next, faults included."""
    if local.phase in (Phase.IDLE, Phase.READING):
        yield reading.read(stage, number, local, log, source, tick)
    elif local.phase is Phase.READY:
        yield committing.begin(stage, number, local, log, tick)
    elif local.phase is Phase.COMMITTING:
        yield from committing.carry_out(stage, number, local, log, tick, is_gone)
    if local.flying is not None:
        yield from committing.land(stage, number, local, log)
    if local.is_running:
        yield Move("crashes", _dead(local), log, fault="crash")


def _build_clocks(local: Local, stage: Stage) -> Clocks:
    """A PUT leaves, or lands, at most one tick after the decision to send it."""
    is_due = local.flying is not None or isinstance(local.request, stage.put)
    sent_until = local.sent + 1 if local.phase is Phase.COMMITTING else 0
    is_written = local.phase in (Phase.READY, Phase.COMMITTING) and local.rows
    return Clocks(
        sent_until if is_due else _NEVER,
        local.upload + RETENTION_TICKS if is_written else _NEVER,
        coverage.late_at(local) if local.is_running and local.head >= 0 else _NEVER,
    )


def _dead(local: Local) -> Local:
    """Keep of a crashed attempt what can still be told apart from outside."""
    if local.head < 0:
        return Local(Phase.DEAD)
    return Local(Phase.DEAD, head=0, kind=local.kind, step=local.step, flying=local.flying)
