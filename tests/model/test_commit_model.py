"""Every bounded world of the commit protocol, gone through: nothing is ever lost, doubled, torn or wrongly told.

The production step function is driven, never a copy. `make model` goes through larger worlds and prints everything.
"""

import pytest

from commit_model.report import Explored, describe_hunt, explore, hunt
from commit_model.rules import Mutant, build_mutants, patch_protocol
from commit_model.scenarios import build_scenarios
from dpp_extractor.publish.protocol import Verdict

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

LEAST_STATES = 180_000
SCENARIOS = [each.name for each in build_scenarios(in_full=False)]
MUTANTS = build_mutants()


@pytest.fixture(scope="module")
def explored() -> Explored:
    """Search every scenario once for all tests of this file."""
    return explore(in_full=False)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_world_breaks_a_promise(explored: Explored, name: str):
    assert explored.searched[name].violation is None, str(explored.searched[name].violation)


def test_the_worlds_are_many(explored: Explored):
    assert explored.states >= LEAST_STATES


def test_every_kind_of_commit_meets_every_stranger_with_every_fault(explored: Explored):
    assert explored.unvisited == []


def test_attempts_end_in_every_way_that_the_protocol_knows(explored: Explored):
    ends = {verdict for _, verdict in explored.ends}

    assert {verdict.value for verdict in Verdict} - {Verdict.NEXT.value} <= ends


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rules.name)
def test_a_wrong_protocol_is_found_out(mutant: Mutant):
    found = hunt(mutant)

    print(describe_hunt(mutant, found))
    print(found.violation)
    assert found.violation is not None, f"{mutant.rules.name} survives"


def test_a_patch_that_no_longer_fits_production_is_told():
    with pytest.raises(LookupError, match="0 times"):
        patch_protocol("gone", "this text is not in the protocol", "")
