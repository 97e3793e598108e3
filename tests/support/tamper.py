"""A whole, small destination in memory, and every way to damage it that verify must find and name.

Called by the tests of verify. `honest` stories come from real runs on fakes. A careless hand changes
bytes; a careful forger also makes the copy and the rest of the chain fit, so that only the rule that
was broken can give the change away.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dpp_extractor.publish.keys import (
    Stream,
    claim_key,
    control_prefix,
    copy_key,
    log_key,
    table_prefix,
)
from fake_source import START, Broken, FakeTable
from fake_store import FakeStore
from run_bench import APPEND, Bench, make_shop, order, unit_of

ORDERS = Stream("acme", "shop", "orders")
STOCK = Stream("acme", "shop", "stock")
STOCK_UNIT = unit_of("stock").model_copy(update={"incremental": None, "write": "Replace"})
Action = dict[str, Any]


@dataclass(slots=True)
class Lake:
    """A destination of two streams: `orders` (Append, windows, quarantine) and `stock` (Replace)."""

    bench: Bench
    store: FakeStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = self.bench.store

    def read(self, version: int, stream: Stream = ORDERS) -> list[Action]:
        body = self.store.objects[log_key(stream, version)]
        return [json.loads(line) for line in body.splitlines()]

    def write(self, key: str, body: bytes) -> None:
        self.store.put_raw(key, body)

    def edit(
        self, version: int, change: Callable[[list[Action]], object], stream: Stream = ORDERS
    ) -> None:
        """Change a version of the log, and nothing else."""
        actions = self.read(version, stream)
        change(actions)
        self.write(log_key(stream, version), _lines(actions))

    def forge(
        self, version: int, change: Callable[[list[Action]], object], stream: Stream = ORDERS
    ) -> None:
        """Change a version, its copy, and the links of every later commit."""
        self.edit(version, change, stream)
        following = version
        sha256 = ""
        while log_key(stream, following) in self.store.objects:
            actions = self.read(following, stream)
            dpp = dpp_of(actions)
            if following > version:
                dpp["prev_sha256"] = sha256
            body = _lines(actions)
            sha256 = hashlib.sha256(body).hexdigest()
            self.write(log_key(stream, following), body)
            self.write(copy_key(stream, "live", dpp["seq"]), body)
            following += 1

    def remove(self, key: str) -> None:
        del self.store.objects[key]

    def keys(self, part: str) -> list[str]:
        found = sorted(key for key in self.store.objects if part in key)
        assert found, f"nothing is called {part}"
        return found

    def data(self, version: int = 1, stream: Stream = ORDERS) -> str:
        """Give the key of the first file that a version adds."""
        path = next(
            action["add"]["path"] for action in self.read(version, stream) if "add" in action
        )
        return f"{table_prefix(stream)}/{path}"

    def live_of_stock(self) -> str:
        return self.data(max(versions_of(self, STOCK)), STOCK)


def make_lake(runs: int = 4) -> Lake:
    """Let real runs fill a destination: rows come, change, and are rejected."""
    bench = make_shop()
    bench.source.tables["stock"] = FakeTable()
    bench.source.put("stock", *(order(number) for number in range(1, 6)))
    for number in range(runs):
        seconds = (bench.source.clock - START).total_seconds()
        bench.source.put("orders", order(100 + number, seconds), order(200 + number, seconds))
        if number == 1:
            bench.source.put("orders", order(300, seconds, Broken("no text")))
        bench.source.put("stock", order(10 + number, seconds))
        bench.tick()
        report = bench.run(APPEND, STOCK_UNIT)
        assert report.exit_code == 0, report
    return Lake(bench)


def versions_of(lake: Lake, stream: Stream = ORDERS) -> list[int]:
    prefix = f"{table_prefix(stream)}/_delta_log/"
    return [int(key[-25:-5]) for key in lake.keys(prefix)]


def dpp_of(actions: list[Action]) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each["commitInfo"]["dpp"] for each in actions if "commitInfo" in each
    )
    return found


def action_of(actions: list[Action], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each[name] for each in actions if name in each)
    return found


def flip(body: bytes, place: int | None = None) -> bytes:
    """Flip one bit in the middle, or at a place."""
    at = len(body) // 2 if place is None else place
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def claim_of(stream: Stream = ORDERS) -> str:
    return claim_key(stream)


def control_of(stream: Stream = ORDERS) -> str:
    return control_prefix(stream)


def _lines(actions: list[Action]) -> bytes:
    lines = (json.dumps(each, separators=(",", ":"), ensure_ascii=False) for each in actions)
    return ("\n".join(lines) + "\n").encode()
