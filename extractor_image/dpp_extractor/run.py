"""The loop over a run's datasets: one snapshot for all, each failure kept to itself, one record at the end.

Called by `__main__` in a Job and by `dpp run`. Started twice with the same request it ends with the same commits.
"""

from dpp_core import logs
from dpp_core.errors import DppError
from dpp_core.handover import RunReport, RunRequest, Unit
from dpp_extractor import outcome, trial
from dpp_extractor.heads import read_heads
from dpp_extractor.ports import Tools
from dpp_extractor.publish.fold import Head
from dpp_extractor.reading import extract_units
from dpp_extractor.unit import find_committed


def run(request: RunRequest, tools: Tools) -> RunReport:
    """Carry out a run: every head first, then one snapshot of the source, then unit by unit.

    Never raises for what happens to a unit or to what all units share: the report says it.
    """
    attempt = trial.Trial(request, tools.new_id(), tools.now())
    tools = attempt.watch(tools)
    with logs.bound(run_id=request.run_id, correlation_id=request.correlation_id):
        try:
            heads = read_heads(request, tools)
            attempt.warnings += heads.warnings
            for record in heads.ended:
                attempt.add(record)
            open_heads = [pair for pair in heads.sound if not _is_committed(*pair, attempt, tools)]
            if open_heads:
                extract_units(open_heads, heads.blocks, attempt, tools)
        except DppError as error:
            attempt.end_rest(error)
        except Exception as error:  # noqa: BLE001 - the record is written whatever happened
            attempt.end_rest(outcome.translate("The run", error))
        return trial.finish(attempt, tools)


def _is_committed(unit: Unit, head: Head, attempt: trial.Trial, tools: Tools) -> bool:
    done = find_committed(unit, head, attempt.request, tools)
    if done is not None:
        attempt.add(done)
    return done is not None
