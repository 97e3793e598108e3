"""A share of `make faults`: kills at every point, faults to requests, lost answers, zombies and other writers.

All cases are carried out at once, on two lanes with servers of their own, before the first test looks at its row. A red
row prints the line that tries its case again.
"""

from collections.abc import Mapping

import pytest

from matrix.calls import WHICH, count_calls
from matrix.findings import Case, fold
from matrix.kills import STEPS
from matrix.lanes import carry_out, open_lanes
from matrix.plans import SHORT, build_tasks
from matrix.report import render_table
from servers.process import ServerMissingError
from servers.s3_proxy import FAULTS

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Case]]:
    """Carry the short form out; give its cases by step."""
    try:
        with open_lanes(tmp_path_factory.mktemp("matrix")) as lanes:
            counted = count_calls(lanes[0].ground, lanes[0].proxy)
            done = carry_out(build_tasks(SHORT, counted), lanes, lambda case: print(case.line))
    except ServerMissingError as error:
        pytest.skip(str(error))
    print(f"\n{render_table(fold(done))}")
    by_step: dict[str, list[Case]] = {}
    for case in done:
        by_step.setdefault(case.step, []).append(case)
    return by_step


def assert_clean(cases: list[Case], at_least: int) -> None:
    wrong = [case.line for case in cases if not case.findings.is_clean]
    assert not wrong, "\n".join(wrong)
    assert len(cases) >= at_least


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_point_while_others_write_nothing_is_lost_made_up_doubled_or_torn(
    cases: Mapping[str, list[Case]], step: str
) -> None:
    assert_clean(cases[f"kill:{step}"], at_least=3)


@pytest.mark.parametrize("which", WHICH)
def test_a_fault_to_any_one_request_costs_nothing(
    cases: Mapping[str, list[Case]], which: str
) -> None:
    assert_clean(cases[f"call:{which}"], at_least=len(FAULTS))


def test_three_lost_answers_in_ten_make_no_false_conflict_and_no_double_commit(
    cases: Mapping[str, list[Case]],
) -> None:
    assert_clean(cases["lost-answers"], at_least=2)
    assert sum(case.runs for case in cases["lost-answers"]) == 200


def test_of_attempts_paused_around_the_commit_one_wins_each_seq(
    cases: Mapping[str, list[Case]],
) -> None:
    assert_clean(cases["zombies"], at_least=2)


def test_what_others_do_to_a_table_ends_as_the_rules_say(
    cases: Mapping[str, list[Case]],
) -> None:
    assert_clean(cases["foreign"], at_least=7)
