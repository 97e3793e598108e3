"""The story of `make demo`: an ERP, two runs, and proof that the second brought only the change.

Run by the Makefile in a virtual environment that holds the extractor's locked packages and nothing
else. It writes to `out/` in the repository, and only there.
Everything it shows it also checks: what a table must hold is computed from the ERP, what it does
hold from the table's own Delta log and files, and a difference ends the demo with exit code 1.
It must not use anything of DPP but the `dpp` command, as a user would.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import erp

OUT: Final = Path("out")
ERP: Final = OUT / "erp.sqlite"
ROOT: Final = Path(__file__).resolve().parents[3]
SAMPLE: Final = Path("docs", "examples", "wholesaler", "wholesaler.yaml")
TABLES: Final = OUT / "wholesaler" / "wholesaler"
DPP: Final = Path(sys.executable).with_name("dpp")
KEYS: Final = {
    "orders": ("order_no",),
    "order_lines": ("order_no", "line_no"),
    "customers": ("customer_no",),
    "items": ("item_no",),
}
"""The datasets that bring only the change, with their keys."""
WHOLE: Final = {"prices": "prices", "stock": "Lagerbestand"}
"""The datasets read as a whole each time, with the ERP's own names of their tables."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a dataset should have got and what its Delta log says it got, in rows."""

    dataset: str
    expected: int
    arrived: int
    why: str


class DemoFailedError(Exception):
    """What was shown is not what it should be; the message says where."""


def main() -> int:
    started = time.monotonic()
    os.chdir(ROOT)  # the sample names its database relative to the repository
    try:
        tell()
    except DemoFailedError as error:
        print(f"\nThe demo FAILED: {error}", file=sys.stderr)
        return 1
    print(f"\nDone in {time.monotonic() - started:.0f} seconds. What to do next:")
    print(f"  less {SAMPLE}   # the one file that described all this")
    print("  docs/quickstart.md       # your own database instead of the sample")
    print(
        "  docs/guarantees.md       # what holds when something breaks, and the test that shows it"
    )
    return 0


def tell() -> None:
    """Tell the story from a clean start; a second `make demo` tells the same one."""
    shutil.rmtree(OUT / "wholesaler", ignore_errors=True)
    say(1, "A wholesaler's ERP: SQLite, six tables, NULLs, umlauts, decimals, a few broken cells")
    rows = erp.make(ERP)
    for table, count in rows.items():
        print(f"    {table:<14} {count:>8,} rows")
    print(f"    {'together':<14} {sum(rows.values()):>8,} rows in {ERP}")

    say(2, "Is the resource right? This is what a pull request runs")
    dpp("validate", str(SAMPLE))

    say(3, "First run: everything is new")
    dpp("run", "-f", str(SAMPLE), "--to", str(OUT))
    check(list(first_run(rows)))

    say(4, "What lies there now")
    dpp("show", "-f", str(SAMPLE), "--to", str(OUT))
    show_quarantine()

    say(5, "A day passes in the ERP")
    done = erp.change(ERP, datetime.now(UTC))
    for row in done:
        figures = f"{row.inserted:>5} new {row.updated:>5} changed {row.deleted:>3} gone"
        print(f"    {row.table:<14} {figures}")

    time.sleep(1)  # a window ends at a whole second, because SQLite may stamp no finer

    say(6, "Second run: the same command")
    dpp("run", "-f", str(SAMPLE), "--to", str(OUT))
    check(list(second_run(done)))

    say(7, "The current state: each version read is a row, this view keeps the latest by key")
    dpp("show", "-f", str(SAMPLE), "--to", str(OUT), "--dataset", "customers", "--sql", "duckdb")
    show_customers()
    check(list(current_states()))


def first_run(rows: dict[str, int]) -> Sequence[Line]:
    """Compare each table with the ERP: all rows but those with a cell that does not fit."""
    lines = []
    for dataset in (*KEYS, *WHOLE):
        table = WHOLE.get(dataset, dataset)
        bad = erp.bad_rows(table)
        why = f"{bad} rows with a broken cell are in quarantine" if bad else "all rows"
        lines.append(Line(dataset, rows[table] - bad, arrived(dataset), why))
    return lines


def second_run(done: Sequence[erp.Change]) -> Sequence[Line]:
    """Compare what came with what changed; a table read as a whole comes as a whole."""
    touched = {row.table: row.touched for row in done}
    rows = erp.counts(ERP)
    append = [Line(name, touched[name], arrived(name), "only the change") for name in KEYS]
    replace = [
        Line(name, rows[table], arrived(name), "read as a whole (write: Replace)")
        for name, table in WHOLE.items()
    ]
    return [*append, *replace]


def current_states() -> Sequence[Line]:
    """Compare the current state of each table, counted by key, with the ERP."""
    rows = erp.counts(ERP)
    return [
        Line(name, rows[name] - erp.bad_rows(name), current_state(name).num_rows, "current state")
        for name in KEYS
    ]


def check(lines: Sequence[Line]) -> None:
    """Print expected against arrived. Raises DemoFailedError when any line differs."""
    print(f"\n    {'dataset':<14} {'expected':>9} {'arrived':>9}")
    for line in lines:
        mark = "ok" if line.expected == line.arrived else "DIFFERENT"
        print(
            f"    {line.dataset:<14} {line.expected:>9,} {line.arrived:>9,}  {mark:<3} {line.why}"
        )
    wrong = [line.dataset for line in lines if line.expected != line.arrived]
    if wrong:
        raise DemoFailedError(f"rows expected and rows arrived differ in {', '.join(wrong)}.")


def show_quarantine() -> None:
    """Print the first rejected row of each dataset that has one, with column and rule."""
    print("\n    in quarantine, beside the tables:")
    for dataset in KEYS:
        folder = TABLES / "_dpp" / "datasets" / dataset / "quarantine"
        lines = [line for file in folder.rglob("*.jsonl") for line in file.open(encoding="utf-8")]
        if not lines:
            raise DemoFailedError(f"the quarantine of {dataset} is empty.")
        row = json.loads(lines[0])
        cell = row["values"][row["column"]]
        print(f"      {dataset:<12} {len(lines)} rows, such as {row['column']} = {cell!r}")
        print(f"      {'':<12} {row['detail']}")


def show_customers() -> None:
    """Print both versions of two customers who moved, and the one the view keeps."""
    versions = read_table("customers").sort_by(
        [("customer_no", "ascending"), ("_dpp_read_at", "ascending")]
    )
    counted = versions.group_by("customer_no").aggregate([([], "count_all")])
    moved = counted.filter(pc.greater(counted["count_all"], 1))["customer_no"][:2]
    columns = ["customer_no", "company", "street", "_dpp_read_at"]
    print("\n    every version read:")
    print_rows(versions.filter(pc.is_in(versions["customer_no"], moved)).select(columns))
    now = current_state("customers").sort_by("customer_no")
    print("    current state:")
    print_rows(now.filter(pc.is_in(now["customer_no"], moved)).select(columns))


def print_rows(table: pa.Table) -> None:
    for number, company, street, read_at in zip(*table.to_pydict().values(), strict=True):
        print(f"      {number:<5} {street:<28} {read_at:%H:%M:%S.%f}  {company}")


# --- reading a Delta table with nothing but its log and Parquet ---------------------------------


def log(dataset: str) -> list[list[dict[str, Any]]]:
    """Read the table's Delta log: the actions of each version, oldest first."""
    entries = sorted((TABLES / dataset / "_delta_log").glob("*.json"))
    if not entries:
        raise DemoFailedError(f"there is no Delta table in {TABLES / dataset}.")
    texts = (entry.read_text(encoding="utf-8") for entry in entries)
    return [[json.loads(line) for line in text.splitlines()] for text in texts]


def arrived(dataset: str) -> int:
    """Count the rows that the latest commit added."""
    added = [action["add"] for action in log(dataset)[-1] if "add" in action]
    return sum(json.loads(add["stats"])["numRecords"] for add in added)


def live_files(dataset: str) -> list[Path]:
    """Replay the log: files added and not removed again."""
    live: dict[str, None] = {}
    for actions in log(dataset):
        for action in actions:
            if "add" in action:
                live[action["add"]["path"]] = None
            elif "remove" in action:
                live.pop(action["remove"]["path"], None)
    return [TABLES / dataset / path for path in live]


def read_table(dataset: str) -> pa.Table:
    return pa.concat_tables(
        (pq.read_table(path) for path in live_files(dataset)), promote_options="default"
    )


def current_state(dataset: str) -> pa.Table:
    """Keep the latest row of each key by (_dpp_read_at, _dpp_order), leaving out deleted ones."""
    keys = list(KEYS[dataset])
    order = [("_dpp_read_at", "ascending"), ("_dpp_order", "ascending")]
    rows = read_table(dataset).sort_by(order)
    rows = rows.append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    latest = rows.group_by(keys).aggregate([("row", "max")])["row_max"]
    state = rows.take(latest).drop_columns(["row"])
    return state.filter(pc.not_equal(state["_dpp_op"], "delete"))


# --- small words ----------------------------------------------------------------------------------


def say(number: int, sentence: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}{number}. {sentence}{plain}", flush=True)


def dpp(*arguments: str) -> None:
    """Run `dpp` as a user would. Raises DemoFailedError when it does not succeed."""
    print(f"    $ dpp {' '.join(arguments)}", flush=True)
    quiet = os.environ | {"DPP_LOG_LEVEL": "WARNING"}
    code = subprocess.run([str(DPP), *arguments], env=quiet, check=False).returncode
    if code != 0:
        raise DemoFailedError(f"`dpp {arguments[0]}` ended with exit code {code}.")


if __name__ == "__main__":
    sys.exit(main())
