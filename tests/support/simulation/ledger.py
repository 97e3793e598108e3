"""What must be true of everything that is ever written: the log read by other eyes, at the moment of each write.

Called by the simulated store for every object written, and by the story at the end. It parses the log by
itself; nothing of production's reading is used. A broken promise raises `BrokenPromiseError` at once.
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import pyarrow.parquet as pq

from commit_model.foreign import ENDING, HEALED_BY_RESET, Action
from dpp_core.names import LIVE_LANE
from dpp_extractor.publish.keys import copy_key, log_prefix, table_prefix
from simulation.clockwork import START
from simulation.process import STREAM, World
from simulation.source import Row

LOG: Final = log_prefix(STREAM)
TABLE: Final = table_prefix(STREAM) + "/"
MOST_LATE: Final = timedelta(hours=1)
"""How long after its deadline a commit may land that was sent before: a short pause, and a slow network."""

PARQUET: Final = ("key", "stamp_us", "version")
"""Columns of a real data file that make a Row."""

Content = tuple[Any, ...]


class BrokenPromiseError(AssertionError):
    """Something happened that may never happen."""


@dataclass(slots=True)
class Lane:
    seq: int = 0
    sha256: str | None = None
    epoch: int = -1
    watermark: str | None = None
    rows: set[Row] = field(default_factory=set)
    snapshot: int = -1


@dataclass(frozen=True, slots=True)
class Done:
    """A commit of ours in the log."""

    attempt_id: str
    run_id: str
    lane: str
    seq: int
    version: int
    key: str


@dataclass(slots=True)
class Ledger:
    """The table as a careful stranger reads it. `trouble` = the last version that made it not ours, -1 none."""

    world: World
    version: int = -1
    files: dict[str, Content] = field(default_factory=dict)
    ideal: Counter[Any] = field(default_factory=Counter)
    metadata: Mapping[str, Any] | None = None
    lanes: dict[str, Lane] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    view: dict[int, tuple[str, Row]] = field(default_factory=dict)
    trouble: int = -1
    is_healable: bool = True
    heads: dict[str, int] = field(default_factory=dict)
    announced: Action | None = None

    @property
    def live(self) -> Lane:
        return self.lanes.get(LIVE_LANE, Lane())

    def write(self, key: str, body: bytes) -> None:
        """Look at an object in the moment in which it is written."""
        if not key.startswith(LOG):
            return
        self._require(key == f"{LOG}{self.version + 1:020d}.json", f"{key} leaves a gap")
        self.version += 1
        if self.announced is not None:
            self._take_strangers(self.announced, body)
            return
        actions: dict[str, list[Any]] = {}
        for line in body.splitlines():
            for name, action in json.loads(line).items():
                actions.setdefault(name, []).append(action)
        self._take_ours(key, body, actions)

    def row_committed(self, row: Row) -> None:
        """Look at a row in the moment in which the source shows it."""
        watermark = self.live.watermark
        is_passed = watermark is not None and _instant(row) < datetime.fromisoformat(watermark)
        self._require(not is_passed, f"{row} came below the watermark {watermark}: it is lost")

    def own(self, run_id: str, lane: str) -> Done | None:
        return next((d for d in self.done if (d.run_id, d.lane) == (run_id, lane)), None)

    # --- strangers ---

    def _take_strangers(self, action: Action, body: bytes) -> None:
        is_readable = action is not Action.UNREADABLE
        lines = [json.loads(line) for line in body.splitlines()] if is_readable else []
        removed = [line["remove"]["path"] for line in lines if "remove" in line]
        added = [line["add"]["path"] for line in lines if "add" in line]
        before = _content(self.files.values())
        for path in removed:
            self.files.pop(path, None)
        for path in added:
            self.files[path] = self._rows(path)
        if action is not Action.OPTIMIZE:
            self.ideal = _content(self.files.values())
        else:
            self._require(before == _content(self.files.values()), "the test's OPTIMIZE is wrong")
        self.metadata = next(
            (line["metaData"] for line in lines if "metaData" in line), self.metadata
        )
        is_append = action is Action.OVERWRITE and not removed  # an empty table has nothing to lose
        if action in ENDING and not is_append:
            self.trouble = self.version
            self.is_healable &= action in HEALED_BY_RESET

    # --- ours ---

    def _take_ours(self, key: str, body: bytes, actions: dict[str, list[Any]]) -> None:
        ours = actions["commitInfo"][0]["dpp"]
        lane = self.lanes.setdefault(ours["lane"], Lane())
        self._check_chain(ours, lane)
        self._check_stands_on_ours(ours)
        self._check_in_time(ours)
        added = [add["path"] for add in actions.get("add", ())]
        for add in actions.get("add", ()):
            found = self.world.store.objects.get(TABLE + add["path"])
            is_there = found is not None and len(found.body) == add["size"]
            self._require(
                is_there, f"version {self.version} refers to {add['path']}, which is gone"
            )
        rows = [Row(*row) for path in added for row in self._rows(path)]
        self._check_rows(ours, lane, rows)
        is_replacing = ours["kind"] in ("replace", "reset")
        for remove in actions.get("remove", ()):
            self.files.pop(remove["path"], None)
        self.files |= {path: self._rows(path) for path in added}
        self.ideal = (Counter() if is_replacing else self.ideal) + Counter(map(tuple, rows))
        is_right = self.ideal == _content(self.files.values())
        self._require(is_right, f"version {self.version} leaves stale rows or lost some")
        self.metadata = actions.get("metaData", [self.metadata])[0]
        self._go_on(key, body, ours, lane, rows)

    def _check_chain(self, ours: Mapping[str, Any], lane: Lane) -> None:
        follows = (ours["seq"], ours["base_seq"], ours["prev_sha256"], ours["version"])
        expected = (lane.seq + 1, lane.seq, lane.sha256, self.version)
        self._require(follows == expected, f"{follows} does not follow the lane's {expected}")

    def _check_stands_on_ours(self, ours: Mapping[str, Any]) -> None:
        if self.trouble < 0:
            return
        head = self.heads.get(ours["attempt_id"], -1)
        is_healing = ours["kind"] == "reset" and self.is_healable and head >= self.trouble
        self._require(is_healing, f"version {self.version} stands on the trouble of {self.trouble}")
        self.trouble = -1

    def _check_in_time(self, ours: Mapping[str, Any]) -> None:
        ended = next(e for e in self.world.ends if e.attempt_id == ours["attempt_id"])
        is_late = self.world.clockwork.now > ended.request.deadline_at + MOST_LATE
        self._require(not is_late, f"version {self.version} was sent after its deadline")

    def _check_rows(self, ours: Mapping[str, Any], lane: Lane, rows: list[Row]) -> None:
        snapshot = int(ours["source"]["snapshot"])
        self._require(len(set(rows)) == len(rows), "a row is twice in one commit")
        if ours["kind"] == "backfill":
            self._require(not lane.rows & set(rows), "a backfill brought a row twice")
            return
        there = list(self.world.source.as_of(snapshot).values())
        window = ours["window"]
        if window is not None:
            is_first = ours["kind"] == "reset" or lane.epoch < 0
            low = None if is_first else lane.watermark
            self._require(window["low"] == low, f"the window begins at {window['low']}, not {low}")
            there = [row for row in there if _is_within(row, low, window["high"])]
            is_back = lane.watermark is not None and window["high"] < lane.watermark
            self._require(not is_back, f"the watermark goes back to {window['high']}")
        self._require(set(there) == set(rows), f"version {self.version} is not what was read")
        if ours["kind"] == "append":
            self._require(not lane.rows & set(rows), "a row is there twice in lane and epoch")
        self._require(snapshot >= lane.snapshot, "an older view of the source came after a newer")

    def _go_on(
        self, key: str, body: bytes, ours: Mapping[str, Any], lane: Lane, rows: list[Row]
    ) -> None:
        if ours["kind"] in ("replace", "reset"):
            lane.rows, self.view = set(), {}
        lane.seq, lane.epoch = ours["seq"], ours["epoch"]
        lane.sha256 = hashlib.sha256(body).hexdigest()
        lane.rows |= set(rows)
        lane.watermark = ours["watermark"] or lane.watermark
        lane.snapshot = max(lane.snapshot, int(ours["source"]["snapshot"]))
        for row in rows:
            read_at = self.view.get(row.key, ("", row))[0]
            if ours["read_at"] > read_at:
                self.view[row.key] = (ours["read_at"], row)
        names = (ours["attempt_id"], ours["run_id"], ours["lane"])
        self.done.append(Done(*names, ours["seq"], self.version, key))

    # --- at the end ---

    def check_ends(self) -> None:
        """Hold what every process said against the log."""
        by_attempt = {done.attempt_id: done for done in self.done}
        for ended in self.world.ends:
            made = by_attempt.get(ended.attempt_id)
            run_id, lane = ended.request.run_id, ended.request.lane
            if ended.word == "committed":
                is_so = made is not None and made.seq == ended.seq
                self._require(is_so, f"{ended.attempt_id} says committed and is not")
            elif ended.word == "already":
                is_so = self.own(run_id, lane) is not None
                self._require(is_so, f"{ended.attempt_id} says already committed and is not")
            elif ended.word and made is not None:
                is_open = ended.code == 26 or "got no answer" in ended.message
                self._require(is_open, f"{ended.attempt_id} says {ended.message} and is committed")
        self._check_copies()

    def check_caught_up(self) -> None:
        """Hold the table against the source, which nobody writes any more."""
        rows = set(self.world.source.rows.values())
        self._require(rows <= self.live.rows, f"lost: {rows - self.live.rows}")
        seen = {row for _, row in self.view.values()}
        stale = {row for row in seen if self.world.source.rows.get(row.key) != row}
        self._require(not stale, f"the current state is not the source: {stale}")
        for done in self.done:
            key = copy_key(STREAM, done.lane, done.seq)
            self._require(key in self.world.store.objects, f"{key} is missing")

    def _check_copies(self) -> None:
        objects = self.world.store.objects
        for done in self.done:
            copy = objects.get(copy_key(STREAM, done.lane, done.seq))
            is_equal = copy is None or copy.body == objects[done.key].body
            self._require(is_equal, f"the copy of {done} differs")

    def _rows(self, path: str) -> Content:
        found = self.world.store.objects.get(TABLE + path)
        self._require(found is not None, f"{path} is gone")
        assert found is not None
        if found.body.startswith(b"PAR1"):
            columns = pq.read_table(io.BytesIO(found.body), columns=list(PARQUET)).to_pydict()
            return tuple(zip(*(columns[name] for name in PARQUET), strict=True))
        return tuple(map(tuple, json.loads(found.body)))

    def _require(self, is_true: bool, promise: str) -> None:
        if not is_true:
            raise BrokenPromiseError(promise)


def _content(files: Any) -> Counter[Any]:
    return Counter(row for rows in files for row in rows)


def _instant(row: Row) -> datetime:
    return START + timedelta(microseconds=row.stamp_us)


def _is_within(row: Row, low: str | None, high: str) -> bool:
    at = _instant(row)
    return at < datetime.fromisoformat(high) and (low is None or at >= datetime.fromisoformat(low))
