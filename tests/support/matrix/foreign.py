"""Other writers at our tables, between two runs and in the middle of one: each act ends as the rules say.

A real run is paused at a point, delta-rs does its act to the run's table, and the run goes on. What must come of it is
a table here: a commit that is built on what is there now, or exit 29 and a table that nobody touched, healed by a reset
or not. Afterwards the table is held against the source: Replace is the source; Append keeps what the stranger left, and
has every row that came later.
"""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

import strangers
from matrix.findings import Case, Findings
from matrix.ground import Ended, Ground, Shop, chance, ended, make_shop
from matrix.ledger import Row, read_journal, read_rows
from matrix.logbook import check_log, read_log
from matrix.writers import fill, write
from strangers import Act, Stranger

Mode = Literal["Append", "Replace"]
MODES: Final[dict[Mode, str]] = {"Append": "orders", "Replace": "items"}
MOMENTS: Final = ("between", "heads_read", "parts_done", "commit_sent")
DURING: Final = MOMENTS[1:]
REFUSED_CODE: Final = 29
BLOCKED_CODE: Final = 25
OVERTAKEN_CODE: Final = 75


@dataclass(frozen=True, slots=True)
class Rule:
    """What comes of an act. `reason` empty = built on. `is_healed` = a reset makes the table ours again.

    `blocks_next`: a run that is under way goes on, or ends with 75 when it would write over the columns, and the next
    one asks a person (exit 25).
    """

    act: Act
    reason: str = ""
    is_healed: bool = True
    is_cleaning: bool = False
    blocks_next: bool = False


RULES: Final = {
    "OPTIMIZE": Rule(strangers.compact),
    "OPTIMIZE ZORDER": Rule(strangers.z_order),
    "VACUUM": Rule(strangers.vacuum),
    "DELETE": Rule(strangers.delete),
    "DELETE, OPTIMIZE": Rule(strangers.delete_and_compact),
    "UPDATE": Rule(strangers.update),
    "MERGE": Rule(strangers.merge),
    "append": Rule(strangers.append),
    "checkpoint": Rule(strangers.checkpoint),
    "log clean-up": Rule(strangers.clean_up),
    "log cut off": Rule(strangers.clean_log, is_cleaning=True),
    "new property": Rule(strangers.add_property),
    "new column": Rule(strangers.add_column, blocks_next=True),
    "overwrite": Rule(strangers.overwrite, "StreamForeignChange"),
    "RESTORE": Rule(strangers.restore, "StreamRestored"),
    "our property lost": Rule(strangers.strip_properties, "StreamForeignChange"),
    "append only": Rule(strangers.make_append_only, "StreamForeignChange"),
    "our txn taken": Rule(strangers.take_our_txn, "StreamForeignChange"),
    "constraint": Rule(strangers.add_constraint, "StreamForeignChange", is_healed=False),
    "feature": Rule(strangers.add_feature, "StreamForeignChange", is_healed=False),
    "other table id": Rule(strangers.change_table_id, "StreamForeignChange", is_healed=False),
}


@dataclass(slots=True)
class _Story:
    """A case on its way: rows of the table before and after the act."""

    shop: Shop
    dataset: str
    rule: Rule
    findings: Findings
    runs: int = 0
    before: tuple[Row, ...] = ()
    after: tuple[Row, ...] = ()
    version: int = 0

    def run(self, *codes: int, reason: str = "") -> Ended:
        return self.judge(self.shop.run(), codes, reason)

    def judge(self, done: Ended, codes: tuple[int, ...], reason: str = "") -> Ended:
        self.runs += 1
        if done.code not in codes or (reason and reason not in done.reasons):
            told = [u.get("message", "") for u in done.units.values() if u.get("code")]
            words = f"{done.code} {done.reasons}, not {codes} {reason}: {told or done.log[-400:]}"
            self.findings.unclassified.append(words)
        return done

    def rows(self) -> tuple[Row, ...]:
        return tuple(read_rows(self.shop, self.dataset))

    def last_version(self) -> int:
        return read_log(self.shop, self.dataset)[-1].version


def try_act(ground: Ground, name: str, mode: Mode, moment: str) -> Case:
    """Carry out one act in one mode at one moment."""
    begun_at = time.monotonic()
    rule, dataset = RULES[name], MODES[mode]
    shop = make_shop(ground, "foreign", cursor="rev").only(dataset)
    rng = chance("foreign", name, mode, moment)
    story = _Story(shop, dataset, rule, Findings())
    fill(shop, f"foreign-{name}")
    story.run(0)
    write(shop, rng, count=4)
    story.run(0)
    write(shop, rng, count=4)
    _act(story, moment)
    if story.findings.is_clean:
        _follow(story)
    shop.drop()
    seed = f"{mode}/{moment}/{name}"
    seconds = time.monotonic() - begun_at
    return Case("foreign", f"{name}", seed, story.runs, story.findings, seconds)


def _act(story: _Story, moment: str) -> None:
    """Let the stranger in, and have the run end as its rule says."""
    codes = (REFUSED_CODE,) if story.rule.reason else (0,)
    if story.rule.blocks_next and moment == "between":
        codes = (BLOCKED_CODE,)
    elif story.rule.blocks_next and story.dataset == MODES["Replace"]:
        codes = (OVERTAKEN_CODE,)
    if moment == "between":
        _let_in(story)
        story.run(*codes, reason=story.rule.reason)
        return
    running = story.shop.start(DPP_PAUSE_AT=moment)
    if not running.wait_paused():
        story.findings.unclassified.append(f"not paused at {moment}: {ended(running).log[-400:]}")
        return
    _let_in(story)
    running.resume()
    story.judge(ended(running), codes, story.rule.reason)


def _let_in(story: _Story) -> None:
    story.before = story.rows()
    story.rule.act(_stranger(story.shop, story.dataset))
    story.after, story.version = story.rows(), story.last_version()


def _stranger(shop: Shop, dataset: str) -> Stranger:
    ground, prefix = shop.ground, f"{shop.prefix}{dataset}/"

    def remove(key: str) -> None:
        ground.client.delete_object(Bucket=ground.bucket, Key=prefix + key)

    def put(key: str, body: bytes) -> None:
        ground.client.put_object(Bucket=ground.bucket, Key=prefix + key, Body=body)

    return Stranger(shop.uri(dataset), shop.options, remove, put)


def _follow(story: _Story) -> None:
    """Go on as an operator would: the next run, and a reset where one is needed."""
    write(story.shop, chance(story.shop.name, "after"), count=4)
    if story.rule.reason:
        _check_untouched(story)
        story.run(REFUSED_CODE, reason=story.rule.reason)
        _check_untouched(story)
        _reset(story)
        return
    if not story.rule.blocks_next:
        story.run(0)
        _check_built_on(story)
    else:
        story.run(BLOCKED_CODE)
        _reset(story)
    story.findings.add(check_log(story.shop, story.dataset, is_cleaned=story.rule.is_cleaning))


def _check_untouched(story: _Story) -> None:
    if story.last_version() != story.version or set(story.rows()) != set(story.after):
        story.findings.phantom.append("a refused run changed the table")


def _reset(story: _Story) -> None:
    """Raise the epoch: the source's state is read anew, where the table can be ours again at all."""
    story.shop.epoch = 1
    if not story.rule.is_healed:
        story.run(REFUSED_CODE, reason=story.rule.reason)
        _check_untouched(story)
        return
    story.run(0)
    _check_source(story, story.rows(), set(), is_whole=True)
    write(story.shop, chance(story.shop.name, "after reset"), count=4)
    story.run(0)
    is_whole = story.dataset == "items"
    _check_source(story, story.rows(), set(), is_whole=is_whole)


def _check_built_on(story: _Story) -> None:
    """Replace is the source. Append is what the stranger left, and every version that came later."""
    rows = story.rows()
    if story.dataset == "items":
        _check_source(story, rows, set(), is_whole=True)
        return
    gone = Counter(story.after) - Counter(rows)
    story.findings.lost += [f"{row} was there after the act" for row in gone]
    before, after = Counter(story.before), Counter(story.after)
    touched = {row.id for row in (before - after) + (after - before)}
    new = list((Counter(rows) - after).elements())
    known = {(e.id, e.version): e.content for e in read_journal(story.shop, story.dataset)}
    made_up = [row for row in new if known.get((row.id, row.version)) != row.content]
    story.findings.phantom += [f"{row} was never in the source" for row in made_up]
    came_back = set(before - after) & set(rows)
    story.findings.phantom += [f"{row} came back" for row in came_back]
    counted = Counter((row.id, row.version) for row in rows if row.id not in touched)
    story.findings.duplicate += [
        f"{key} {times} times" for key, times in counted.items() if times > 1
    ]
    _check_source(story, rows, touched - {row.id for row in new}, is_whole=False)


def _check_source(
    story: _Story, rows: tuple[Row, ...], touched: set[int], *, is_whole: bool
) -> None:
    """Hold the current state against the source, but for rows that are the stranger's now."""
    current = {row.id: row for row in sorted(rows, key=lambda row: (row.read_at, row.order))}
    last = {e.id: e for e in read_journal(story.shop, story.dataset) if e.is_last}
    alive = {row_id: e for row_id, e in last.items() if e.op != "delete"}
    for row_id, written in alive.items():
        row = current.get(row_id)
        is_same = row is not None and (row.version, row.content) == (
            written.version,
            written.content,
        )
        if not is_same and row_id not in touched:
            story.findings.lost.append(f"{row_id} is {row}, not {written}")
    if is_whole:
        extra = [row_id for row_id in current if row_id not in alive]
        story.findings.phantom += [f"{row_id} is not in the source" for row_id in extra]
        if len(rows) != len(current):
            story.findings.duplicate.append(f"{len(rows)} rows for {len(current)} keys")
