"""Kill the extractor with -9 at every named point, while people are at work at its source; then hold the ledger.

A case: a shop is filled and its writers begin; mostly there is a first run that is left alone; then one or two runs are
killed at the point, the n-th time they pass it; then the run is started again by its name, as a Job's retry does, or a
new one comes; the writers stop, and runs follow until the last window covers every stamp. What differs from case to
case comes from the seed; the clock's part cannot be repeated, and needs no repeating to be judged.
"""

import time
from dataclasses import dataclass
from random import Random
from signal import SIGKILL
from typing import Final

from matrix.findings import Case, Findings
from matrix.ground import Ended, Ground, Shop, chance, make_shop
from matrix.ledger import check_tables, covers
from matrix.logbook import check_log
from matrix.writers import at_work, fill

STEPS: Final = (
    "preflight",
    "claimed",
    "heads_read",
    "snapshot_open",
    "multipart_half",
    "part_uploaded",
    "parts_done",
    "commit_sent",
    "commit_unread",
    "committed",
    "copied",
    "recorded",
    "indexed",
    "reported",
)
"""Not among them: `seen_written` and `step_committed`. Nothing looks back and nothing commits in steps yet."""
NOT_YET: Final = ("seen_written", "step_committed")
ONCE_A_RUN: Final = ("preflight", "snapshot_open", "multipart_half", "recorded", "reported")
FIRST_RUN_ONLY: Final = ("preflight",)
FAT_BYTES: Final = 9_600_000
MOST_RUNS: Final = 12


@dataclass(slots=True)
class _Tally:
    runs: int = 0
    kills: int = 0


def try_kill(ground: Ground, step: str, seed: int) -> Case:
    """Carry out one case."""
    begun_at = time.monotonic()
    rng, shop = chance("kill", step, seed), make_shop(ground, "kill")
    tally, findings = _Tally(), Findings()
    name = f"{step}:{seed}"
    fat = ("items", "orders") if step == "multipart_half" else ()
    fill(shop, name, fat_bytes=FAT_BYTES, fat=fat)
    with at_work(shop, name) as crew:
        _disturb(shop, step, rng, tally, findings)
    _run_to_the_end(shop, tally, findings)
    if findings.is_clean:
        findings.add(check_tables(shop))
        for dataset in shop.datasets:
            findings.add(check_log(shop, dataset))
    shop.drop()
    note = f"{tally.kills} killed, {crew.committed} transactions, {crew.undone} undone"
    seconds = time.monotonic() - begun_at
    return Case(f"kill:{step}", "SIGKILL", str(seed), tally.runs, findings, seconds, note)


def _disturb(shop: Shop, step: str, rng: Random, tally: _Tally, findings: Findings) -> None:
    order = ["orders", "items"] if rng.random() < 0.5 else ["items", "orders"]
    shop.datasets = tuple(order)
    if step not in FIRST_RUN_ONLY and rng.random() < 0.7:
        _expect(shop.run(), (0,), tally, findings)
    nth = 1 if step in ONCE_A_RUN else rng.choice((1, 1, 2))
    run_id = ""
    for number in range(rng.choice((1, 1, 2))):
        run_id = _kill(shop, f"{shop.name}-{number}", f"{step}:{nth}", tally, findings)
    is_retry = rng.random() < 0.5
    _expect(shop.run(run_id if is_retry else ""), (0,), tally, findings)


def _kill(shop: Shop, name: str, at: str, tally: _Tally, findings: Findings) -> str:
    """Kill a run at the point and give its name. One that passed it too seldom ended well; the next passes it."""
    tries = {f"{name}-a": at, f"{name}-b": f"{at.partition(':')[0]}:1"}
    for run_id, place in tries.items():
        ended = shop.run(run_id, DPP_KILL_AT=place)
        tally.runs += 1
        if ended.code == -SIGKILL:
            tally.kills += 1
            return run_id
        if ended.code != 0 or place.endswith(":1"):
            words = f"not killed at {place}, but {ended.code}: {ended.log[-500:]}"
            findings.unclassified.append(words)
            return run_id
    return name


def _run_to_the_end(shop: Shop, tally: _Tally, findings: Findings) -> None:
    """Run, with nobody at work any more, until the last window covers every stamp."""
    for _ in range(MOST_RUNS):
        time.sleep(0.35)
        _expect(shop.run(), (0,), tally, findings)
        if not findings.is_clean or covers(shop):
            return
    findings.lost.append(f"no window covered the last stamps in {MOST_RUNS} runs")


def _expect(ended: Ended, codes: tuple[int, ...], tally: _Tally, findings: Findings) -> None:
    tally.runs += 1
    if ended.code not in codes:
        told = [unit.get("message", "") for unit in ended.units.values() if unit.get("code")]
        findings.unclassified.append(f"exit code {ended.code}: {told or ended.log[-500:]}")
