"""The n-th request of a run meets a fault, for every n and every fault; the run and its next one must not mind.

Between extractor and S3 stands a proxy. What an undisturbed run sends is counted first, for a first run (which looks at
the store and makes the tables) and for a later one. Then each request meets each fault once. By the failure table every
one of them is tried again or looked up, so the disturbed run ends well too; after the next run the tables are the
source, nothing was committed twice, and no commit names a file that is not there.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from matrix.findings import Case, Findings
from matrix.ground import Ground, Shop, chance, make_shop
from matrix.ledger import check_tables
from matrix.logbook import check_log
from matrix.writers import fill, write
from servers.s3_proxy import Fate, S3Proxy, Seen, nth

WHICH: Final = ("first", "next")
TIMEOUT_SECONDS: Final = 0.6
HOLD_SECONDS: Final = 1.0
PROBE: Final = "/_dpp_probe/"
LONGER: Final = {"DPP_RETRY_BASE_SECONDS": "0.05"}


@dataclass(frozen=True, slots=True)
class Counted:
    """What an undisturbed run sends, first and next."""

    first: tuple[Seen, ...]
    next: tuple[Seen, ...]

    def of(self, which: str) -> tuple[Seen, ...]:
        return self.first if which == "first" else self.next


def count_calls(ground: Ground, proxy: S3Proxy) -> Counted:
    """Run twice undisturbed and take down what came."""
    shop = _open_shop(ground, proxy)
    seen = []
    for _ in WHICH:
        proxy.reset()
        ended = shop.run()
        assert ended.code == 0, ended.log
        seen.append(tuple(proxy.seen))
        write(shop, chance("calls", "count"))
    shop.drop()
    return Counted(*seen)


def choose_numbers(seen: Sequence[Seen], *, one_probe_in: int) -> list[int]:
    """Choose the requests that are tried: all, but of the probe's many like ones only a share."""
    probes = [each.number for each in seen if PROBE in each.path]
    others = [each.number for each in seen if PROBE not in each.path]
    return sorted(others + probes[::one_probe_in])


def sample(seen: Sequence[Seen], count: int) -> list[int]:
    """Choose a few requests that differ most: the commit first, then others spread over the run."""
    commits = [each.number for each in seen if each.is_commit]
    others = [each.number for each in seen if PROBE not in each.path and not each.is_commit]
    step = max(1, len(others) // max(1, count - 1))
    return sorted({*commits[:1], *others[step // 2 :: step][: count - 1]})


def try_calls(
    ground: Ground, proxy: S3Proxy, which: str, fate: Fate, numbers: Sequence[int]
) -> Iterator[Case]:
    """Try the given requests of a run with one fault; later runs share a shop as long as all is well."""
    shop: Shop | None = None
    for number in numbers:
        begun_at = time.monotonic()
        findings = Findings()
        runs = 2
        if shop is None or which == "first":
            shop = _open_shop(ground, proxy)
            if which == "next":
                runs += 1
                _run(shop, findings)
        proxy.reset(nth(number, fate))
        environment = dict(LONGER)
        if fate is Fate.HOLD:
            environment["DPP_DESTINATION_TIMEOUT_SECONDS"] = str(TIMEOUT_SECONDS)
        write(shop, chance("calls", which, number), count=2)
        _run(shop, findings, **environment)
        met = [f"{seen.method} {_tail(seen)}" for seen, _ in proxy.done]
        proxy.reset()
        write(shop, chance("calls", which, number, "again"), count=2)
        _run(shop, findings)
        if findings.is_clean:
            findings.add(check_tables(shop))
            for dataset in shop.datasets:
                findings.add(check_log(shop, dataset))
        note = met[0] if met else "not reached"
        seconds = time.monotonic() - begun_at
        yield Case(
            f"call:{which}", fate.value, f"{fate.name}/{number}", runs, findings, seconds, note
        )
        if which == "first" or not findings.is_clean:
            shop.drop()
            shop = None
    if shop is not None:
        shop.drop()


def _open_shop(ground: Ground, proxy: S3Proxy) -> Shop:
    shop = make_shop(ground, "call", cursor="rev")
    shop.endpoint = proxy.endpoint
    fill(shop, "calls")
    return shop


def _run(shop: Shop, findings: Findings, **environment: str) -> None:
    ended = shop.run(**environment)
    if ended.code != 0:
        told = [unit.get("message", "") for unit in ended.units.values() if unit.get("code")]
        findings.unclassified.append(f"exit code {ended.code}: {told or ended.log[-500:]}")


def _tail(seen: Seen) -> str:
    return seen.path.partition("?")[0].split("/", 4)[-1][-60:] or seen.path[-60:]
