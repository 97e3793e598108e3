"""Two to five attempts at one stream, paused around the commit and let go in any order: one of them wins each seq.

Two ways. Real processes: each is stopped by SIGSTOP at a point of its own and continued later. Threads: the product's
own commit on the real store, each held at a point by its hook, which is as good for the store and ten times as fast.
Some attempts are tries of the same run; then the slower ones must find it committed, and all others must be fenced.
"""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Final

from dpp_core.errors import DppError, FencedError
from dpp_extractor.publish.commit import Committed
from dpp_extractor.publish.draft import Draft
from dpp_extractor.publish.fold import Head
from dpp_extractor.publish.hooks import Hooks, wait_never
from matrix.findings import Case, Findings
from matrix.ground import Ground, Shop, chance, ended, make_shop
from matrix.ledger import check_tables
from matrix.logbook import check_log, read_log
from matrix.lost import Lake
from matrix.writers import fill, write
from table import TableWriter, number_rows

POINTS: Final = ("commit_sent", "commit_unread", "committed", "copied")
PROCESS_POINTS: Final = ("heads_read", "snapshot_open", "parts_done", *POINTS)
FENCED_CODE: Final = FencedError.exit_code
LONGEST_SECONDS: Final = 60


@dataclass(slots=True)
class _Attempt:
    """One attempt in a thread: held at `point` until it is let go."""

    point: str
    run_id: str
    held: threading.Event = field(default_factory=threading.Event)
    gone_on: threading.Event = field(default_factory=threading.Event)
    committed: Committed | None = None
    error: DppError | None = None
    crash: BaseException | None = None

    def at(self, point: str) -> None:
        if point == self.point and not self.held.is_set():
            self.held.set()
            self.gone_on.wait(LONGEST_SECONDS)


def try_threads(ground: Ground, rounds: int, seed: int) -> Case:
    """Let that many rounds of attempts meet at one stream."""
    begun_at = time.monotonic()
    lake, findings, tried = Lake(ground, f"zombie{seed}-{next(ground.count)}"), Findings(), 0
    writer = TableWriter(lake.open(), lake.stream)
    expected: set[int] = set()
    for number in range(rounds):
        rng = chance("zombies", seed, number)
        tried += _meet(writer, rng, number, expected, findings)
    ids = lake.ids()
    findings.lost += [f"row {each}" for each in expected - set(ids)]
    findings.phantom += [f"row {each}" for each in set(ids) - expected]
    findings.duplicate += [f"row {each}" for each, times in Counter(ids).items() if times > 1]
    writer.head()
    findings.add(check_log(lake, "orders"))
    note = f"{rounds} rounds"
    seconds = time.monotonic() - begun_at
    return Case("zombies", "paused threads", str(seed), tried, findings, seconds, note)


def _meet(
    writer: TableWriter, rng: Random, number: int, expected: set[int], findings: Findings
) -> int:
    """One round: everybody reads the same head, then they meet. Replaces now and then, as resets would."""
    kind = "replace" if rng.random() < 0.25 else "append"
    count = rng.randrange(2, 6)
    head = writer.head(known_seq=number, files=kind == "replace")
    attempts = []
    threads = []
    for place in range(count):
        run_id = f"run-{number}-{rng.randrange(3) if rng.random() < 0.4 else f'own{place}'}"
        attempt = _Attempt(rng.choice(POINTS), run_id)
        rows = number_rows([number * 10 + place])
        draft = writer.draft(head, rows, kind=kind, run_id=run_id)
        arguments = (writer, head, draft, attempt)
        threads.append(threading.Thread(target=_carry_out, args=arguments, daemon=True))
        attempts.append(attempt)
    _let_go(threads, attempts, rng)
    winners = [place for place, each in enumerate(attempts) if _has_won(each)]
    if len(winners) != 1:
        findings.duplicate.append(f"round {number}: {len(winners)} winners: {attempts}")
    if kind == "replace":
        expected.clear()
    expected.update(number * 10 + place for place in winners)
    for each in attempts:
        _judge(each, {attempts[place].run_id for place in winners}, number, findings)
    return count


def _carry_out(writer: TableWriter, head: Head, draft: Draft, attempt: _Attempt) -> None:
    try:
        attempt.committed = writer.commit(head, draft, Hooks(attempt.at, wait_never))
    except DppError as error:
        attempt.error = error
    except BaseException as error:  # noqa: BLE001 - reported with the round
        attempt.crash = error
    finally:
        attempt.held.set()


def _let_go(threads: list[threading.Thread], attempts: list[_Attempt], rng: Random) -> None:
    for thread, attempt in zip(threads, attempts, strict=True):
        thread.start()
        if rng.random() < 0.7:
            attempt.held.wait(LONGEST_SECONDS)
    order = list(range(len(attempts)))
    rng.shuffle(order)
    for place in order:
        attempts[place].gone_on.set()
        if rng.random() < 0.5:
            threads[place].join(LONGEST_SECONDS)
    for thread in threads:
        thread.join(LONGEST_SECONDS)


def _has_won(attempt: _Attempt) -> bool:
    return attempt.committed is not None and not attempt.committed.already


def _judge(attempt: _Attempt, won: set[str], number: int, findings: Findings) -> None:
    if attempt.crash is not None or (attempt.error is None and attempt.committed is None):
        findings.unclassified.append(f"round {number}: {attempt.crash!r}")
    elif attempt.run_id in won:
        if attempt.committed is None:
            findings.unclassified.append(f"round {number}: its own run fenced it: {attempt.error}")
    elif not isinstance(attempt.error, FencedError):
        findings.unclassified.append(f"round {number}: not fenced, but {attempt}")


def try_processes(ground: Ground, rounds: int, seed: int) -> Case:
    """The same with real processes of real runs, both tables at once."""
    begun_at = time.monotonic()
    shop, findings = make_shop(ground, "zombie", cursor="rev"), Findings()
    fill(shop, f"zombies-{seed}")
    tried = 1
    _expect_codes([shop.run().code], {0}, "the first run", findings)
    for number in range(rounds):
        rng = chance("zombie processes", seed, number)
        write(shop, rng, count=2)
        tried += _meet_processes(shop, rng, number, findings)
        if not findings.is_clean:
            break
    _expect_codes([shop.run().code], {0}, "the last run", findings)
    findings.add(check_tables(shop))
    for dataset in shop.datasets:
        findings.add(check_log(shop, dataset))
    shop.drop()
    note = f"{rounds} rounds"
    seconds = time.monotonic() - begun_at
    return Case(
        "zombies", "SIGSTOP, SIGCONT", f"processes/{seed}", tried + 1, findings, seconds, note
    )


def _meet_processes(shop: Shop, rng: Random, number: int, findings: Findings) -> int:
    before = {dataset: len(read_log(shop, dataset)) for dataset in shop.datasets}
    names = [
        f"{shop.name}-{number}-{'same' if rng.random() < 0.3 else place}"
        for place in range(rng.randrange(2, 6))
    ]
    running = []
    for name in names:
        at = f"{rng.choice(PROCESS_POINTS)}:{rng.choice((1, 1, 2))}"
        running.append(shop.start(name, DPP_PAUSE_AT=at))
    for each in running:
        each.wait_paused()
    rng.shuffle(running)
    for each in running:
        each.resume()
        if rng.random() < 0.5:
            each.wait()
    done = [ended(each) for each in running]
    codes = [each.code for each in done]
    _expect_codes(codes, {0, FENCED_CODE}, f"round {number}", findings)
    if 0 not in codes and len(set(names)) == 1:
        findings.unclassified.append(f"round {number}: tries of one run, and none ended well")
    for dataset in shop.datasets:
        made = len(read_log(shop, dataset)) - before[dataset]
        fenced = [each for each in done if each.units[dataset].get("code") == FENCED_CODE]
        if fenced and not made:
            findings.lost.append(f"round {number}: somebody was fenced, and nobody won {dataset}")
    return len(names)


def _expect_codes(codes: list[int], allowed: set[int], what: str, findings: Findings) -> None:
    odd = [code for code in codes if code not in allowed]
    findings.unclassified += [f"{what}: exit code {code}" for code in odd]
