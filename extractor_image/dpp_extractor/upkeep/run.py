"""A Maintain run: the tables of one extraction get larger files and checkpoints, and a report says what came of it.

Called by `__main__` when a request says so. No source is opened and nothing is deleted: vacuums are a person's, by
`dpp maintain --vacuum --apply`. Started twice it finds nothing left to do. It leaves no record beside the tables: what
it did stands in their log.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from dpp_core import logs
from dpp_core.errors import decide_exit_code
from dpp_core.handover import RunReport, RunRequest, UnitReport
from dpp_core.names import Reason, RunOutcome, UnitOutcome
from dpp_extractor.publish.keys import Stream
from dpp_extractor.upkeep.maintain import Plan, Step, Yard, maintain


def run_upkeep(
    request: RunRequest, yard: Yard, attempt_id: str, code_version: str, check: Callable[[], None]
) -> RunReport:
    """Keep up each dataset of the request; one that fails does not stop the others.

    `check` is called between datasets and raises when the run must end.
    """
    started_at = yard.now()
    plan = Plan(vacuum=False, code_version=code_version)
    units = []
    for unit in request.units:
        check()
        stream = Stream(request.namespace, request.extraction, unit.dataset)
        steps = list(maintain(yard, [stream], plan))
        for step in steps:
            tell = logs.warning if step.code else logs.info
            tell(
                "upkeep_step",
                dataset=unit.dataset,
                step=step.step,
                state=step.state,
                message=step.detail,
            )
        units.append(build_report(unit.dataset, steps))
    return _build_run_report(request, units, attempt_id, (started_at, yard.now()))


def build_report(dataset: str, steps: Sequence[Step]) -> UnitReport:
    """Say how a table's upkeep ended: Committed when its files became fewer, else Unchanged."""
    code = decide_exit_code(step.code for step in steps)
    if code:
        failed = next(step for step in steps if step.code == code)
        return UnitReport(
            dataset=dataset,
            outcome=UnitOutcome.FAILED,
            code=code,
            reason=Reason(failed.facts["reason"]),
            message=f"{failed.step}: {failed.detail}",
        )
    version = next(
        (step.facts["version"] for step in steps if (step.step, step.state) == ("compact", "Done")),
        None,
    )
    outcome = UnitOutcome.UNCHANGED if version is None else UnitOutcome.COMMITTED
    return UnitReport(dataset=dataset, outcome=outcome, version=version)


def _build_run_report(
    request: RunRequest,
    units: Sequence[UnitReport],
    attempt_id: str,
    between: tuple[datetime, datetime],
) -> RunReport:
    bad = sum(unit.code != 0 for unit in units)
    outcome = RunOutcome.FAILED if bad == len(units) else RunOutcome.PARTIAL
    return RunReport(
        run_id=request.run_id,
        attempt_id=attempt_id,
        outcome=outcome if bad else RunOutcome.SUCCEEDED,
        exit_code=decide_exit_code(unit.code for unit in units),
        started_at=between[0],
        ended_at=between[1],
        units=tuple(units),
    )
