"""`make faults`: break runs in every way the matrices know, on real servers, and print what came of it as one table.

`make faults` tries everything (well under an hour on two cores) and writes docs/reports/faults.md;
`make faults STEP=kill:committed SEED=17` tries one case again, as its printed line says; STEP alone tries one row's
cases. The exit code is 0 only when nothing at all was found.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from matrix.calls import count_calls
from matrix.findings import Case, fold
from matrix.lanes import LANES, carry_out, open_lanes
from matrix.plans import FULL, SHORT, build_tasks, choose
from matrix.report import REPORT, render_report, render_table
from servers.process import sweep


def main(arguments: list[str]) -> int:
    """Try the cases that are asked for; give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", default="", help="a row, such as kill:committed or foreign")
    parser.add_argument("--seed", default="", help="the seed of one case, as it was printed")
    parser.add_argument("--short", action="store_true", help="the share that `make test` tries")
    parser.add_argument("--lanes", type=int, default=LANES, help="how many cases at once")
    asked = parser.parse_args(arguments)
    sweep()
    begun_at = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="dpp-faults-") as folder,
        open_lanes(Path(folder), asked.lanes) as lanes,
    ):
        counted = count_calls(lanes[0].ground, lanes[0].proxy)
        size = SHORT if asked.short else FULL
        tasks = choose(build_tasks(size, counted), asked.step, asked.seed, counted)
        if not tasks:
            print(f"There is no case {asked.step} {asked.seed}.", file=sys.stderr)
            return 2
        cases = carry_out(tasks, lanes, tell)
    rows = fold(cases)
    print(f"\n{render_table(rows)}")
    print(f"\n{len(cases)} cases in {(time.monotonic() - begun_at) / 60:.1f} min")
    is_clean = all(case.findings.is_clean for case in cases)
    if is_clean and not (asked.step or asked.seed or asked.short):
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_text(render_report(rows, counted), encoding="utf-8")
    return 0 if is_clean else 1


def tell(case: Case) -> None:
    print(case.line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
