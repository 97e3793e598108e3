"""A seed's story: runs, second tries, rivals, strangers, writers, bad weather; then good weather, and all must be well.

    python -m simulation.story SEED...      tells the stories of seeds, call by call

Called by the tests and by `make model SEED=…`. Safety: no promise breaks, ever (see `ledger`). Liveness: when the
weather is good again, three runs at most bring the table to what the source is, or a run says that a person is needed.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from commit_model.foreign import Action
from dpp_core.names import LIVE_LANE
from simulation.clockwork import DAY, HOUR, MINUTE, SECOND, Clockwork, Killed
from simulation.ledger import Ledger
from simulation.process import Ended, Request, World, work
from simulation.source import SimulatedSource
from simulation.store import SimulatedStore, Weather
from simulation.stranger import HARMLESS, Stranger

MOST_TRIES: Final = 3
MOST_CATCH_UP_RUNS: Final = 3
MOST_CATCH_UP_CALLS: Final = 80
"""Calls of the store that one run may need in good weather."""


@dataclass(frozen=True, slots=True)
class Told:
    """How a story ended. `is_lasting` = the table was taken away from us for good, which needs a person."""

    seed: int
    trace_hash: str
    commits: int
    calls: int
    ends: tuple[tuple[str, int], ...]
    is_lasting: bool
    story: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cast:
    """Who brings the data, and what else may happen."""

    work: Callable[[World, Request], None] = work
    has_backfills: bool = True
    harmless: tuple[Action, ...] = HARMLESS


PUBLISHING: Final = Cast()
"""The publish stage alone: quick, and every lane."""


@dataclass(slots=True)
class Play:
    """The people and things of one story."""

    cast: Cast
    world: World
    ledger: Ledger
    stranger: Stranger
    write: str
    epoch: int = 0
    runs: int = 0
    known_seq: int | None = None
    tries: dict[str, int] = field(default_factory=dict)


def tell(seed: int, cast: Cast = PUBLISHING, *, is_told: bool = False) -> Told:
    """Play a seed's story. Raises BrokenPromiseError, with the seed in its text, when it ends badly."""
    clockwork = Clockwork(seed, is_told=is_told)
    play = _open(clockwork, cast)
    try:
        _play(play)
    except BaseException as error:
        error.add_note(f"seed {seed}: replay with `make model SEED={seed}`")
        if clockwork.story is not None:
            error.add_note("\n".join(clockwork.story))
        raise
    ends = tuple((ended.word, ended.code) for ended in play.world.ends)
    return Told(
        seed,
        clockwork.trace_hash,
        len(play.ledger.done),
        play.world.store.calls,
        ends,
        play.ledger.trouble >= 0,
        tuple(clockwork.story or ()),
    )


def _open(clockwork: Clockwork, cast: Cast) -> Play:
    dice = clockwork.dice
    write = dice.choice(("Append", "Append", "Replace"))
    store = SimulatedStore(clockwork)
    source = SimulatedSource(clockwork, may_delete=write == "Replace")
    world = World(clockwork, store, source)
    ledger = Ledger(world)
    store.on_write = ledger.write
    source.on_row = ledger.row_committed
    world.on_head = ledger.heads.__setitem__
    world.log_version = lambda: ledger.version
    stranger = Stranger(world, ledger, dice.choice((0.0, 0.05, 0.2)), cast.harmless)
    return Play(cast, world, ledger, stranger, write)


def _play(play: Play) -> None:
    clockwork, dice = play.world.clockwork, play.world.clockwork.dice
    play.world.store.weather = _bad_weather(play)
    at_us = 0
    for _ in range(dice.randrange(3, 7)):
        at_us += dice.randrange(dice.choice((4 * SECOND, MINUTE, 10 * MINUTE, 12 * HOUR, 9 * DAY)))
        clockwork.at(at_us, lambda: _begin_run(play))
    clockwork.at(at_us + 2 * HOUR, lambda: _calm(play))
    clockwork.run()
    play.ledger.check_ends()
    _catch_up(play)
    play.ledger.check_ends()


def _bad_weather(play: Play) -> Weather:
    dice = play.world.clockwork.dice
    if dice.random() < 0.1:
        return Weather()
    return Weather(
        lost_before=dice.choice((0.0, 0.05, 0.2)),
        lost_after=dice.choice((0.0, 0.1, 0.3)),
        refused=dice.choice((0.0, 0.05, 0.2)),
        delayed=dice.choice((0.0, 0.05, 0.2)),
        down=dice.choice((0.0, 0.01, 0.05)),
        killed=dice.choice((0.0, 0.005, 0.03)),
        paused=dice.choice((0.0, 0.01, 0.05)),
    )


def _begin_run(play: Play) -> None:
    """Start a run: of the live lane, or a backfill beside it; sometimes with a second process at once."""
    dice, now = play.world.clockwork.dice, play.world.clockwork.now
    play.runs += 1
    may_backfill = play.cast.has_backfills and play.write == "Append"
    is_backfill = may_backfill and play.ledger.live.seq > 0 and dice.random() < 0.25
    if play.ledger.trouble >= 0 and play.ledger.is_healable and dice.random() < 0.5:
        play.epoch = play.ledger.live.epoch + 1  # a person has looked
    elif dice.random() < 0.05:
        play.epoch += 1
    run_id = f"run-{play.runs}"
    request = Request(
        run_id,
        now,
        now + timedelta(minutes=dice.choice((20, 120, 360))),
        play.write,
        play.epoch,
        f"backfill-{run_id}" if is_backfill else LIVE_LANE,
        play.known_seq if dice.random() < 0.5 and not is_backfill else None,
    )
    for _ in range(2 if dice.random() < 0.35 else 1):
        _start(play, request, dice.randrange(dice.choice((2 * SECOND, MINUTE))))


def _start(play: Play, request: Request, delay_us: int) -> None:
    play.world.source.stir()
    play.stranger.stir()
    number = play.tries[request.run_id] = play.tries.get(request.run_id, 0) + 1

    def live() -> None:
        try:
            play.cast.work(play.world, request)
        except Killed:
            _try_again(play, request)
            raise
        ended = next(e for e in reversed(play.world.ends) if e.request is request)
        if ended.code in (26, 75):
            _try_again(play, request)
        if request.lane == LIVE_LANE and ended.seq:
            play.known_seq = max(play.known_seq or 0, ended.seq)

    play.world.clockwork.start(f"{request.run_id}/{number}", delay_us, live)


def _try_again(play: Play, request: Request) -> None:
    clockwork = play.world.clockwork
    if play.tries[request.run_id] < MOST_TRIES and clockwork.now < request.deadline_at:
        _start(play, request, clockwork.dice.randrange(10 * MINUTE))


def _calm(play: Play) -> None:
    """The weather turns good and everybody else goes home; who was paused wakes up in time."""
    play.world.store.weather = Weather()
    play.world.source.is_quiet = True
    play.stranger.is_quiet = True


def _catch_up(play: Play) -> None:
    ledger = play.ledger
    if ledger.trouble >= 0 and ledger.is_healable:
        play.epoch = max(play.epoch, ledger.live.epoch + 1)
    play.epoch = max(play.epoch, ledger.live.epoch)
    for _ in range(MOST_CATCH_UP_RUNS):
        ended, calls = _run_alone(play)
        assert calls <= MOST_CATCH_UP_CALLS, f"{calls} calls in good weather"
        if ledger.trouble >= 0:
            assert ended.code == 29, f"a lasting trouble ended with {ended}"
            return
        assert ended.word in ("committed", "unchanged"), f"in good weather: {ended}"
        if ended.word == "unchanged" or play.write == "Replace":
            break
    else:
        raise AssertionError(f"not caught up after {MOST_CATCH_UP_RUNS} runs")
    ledger.check_caught_up()


def _run_alone(play: Play) -> tuple[Ended, int]:
    clockwork, before = play.world.clockwork, play.world.store.calls
    play.runs += 1
    request = Request(
        f"run-{play.runs}",
        clockwork.now,
        clockwork.now + timedelta(hours=1),
        play.write,
        play.epoch,
    )
    clockwork.start(request.run_id, 10 * SECOND, lambda: play.cast.work(play.world, request))
    clockwork.run()
    return play.world.ends[-1], play.world.store.calls - before


def main(arguments: list[str]) -> int:
    for seed in map(int, arguments):
        told = tell(seed, is_told=True)
        print("\n".join(told.story))
        print(f"seed {seed}: {told.commits} commits, {told.calls} calls, hash {told.trace_hash}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
