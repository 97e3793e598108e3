"""Seeded stories of many processes on a store that answers late, wrongly or never: no promise breaks, all ends well.

The publish stage runs as it is, behind its ports, on a virtual clock. A seed that fails says how to replay it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from commit_model.rules import build_mutants, driven_by
from simulation import process
from simulation.many import tell_many
from simulation.source import SimulatedSource
from simulation.story import tell
from simulation.whole import WHOLE_RUNS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SEEDS, BATCH = 2_000, 100
WHOLE_SEEDS, WHOLE_BATCH = 100, 25
SUPPORT = Path(__file__).resolve().parents[1] / "support"


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH), ids=lambda first: f"from {first}")
def test_no_story_breaks_a_promise_and_all_catch_up(first: int):
    figures = tell_many(range(first, first + BATCH))

    print(figures)
    assert figures.broken == []
    assert figures.commits > BATCH


@pytest.mark.parametrize("first", range(0, WHOLE_SEEDS, WHOLE_BATCH), ids=lambda n: f"from {n}")
def test_no_story_of_whole_runs_breaks_a_promise(first: int):
    figures = tell_many(range(first, first + WHOLE_BATCH), WHOLE_RUNS)

    print(figures)
    assert figures.broken == []
    assert figures.commits > WHOLE_BATCH


def test_stories_have_every_end_in_them():
    figures = tell_many(range(120))

    ends = {"committed", "already", "unchanged", "killed"}
    failures = {"failed 26", "failed 27", "failed 29", "failed 75"}
    assert ends | failures <= set(figures.ends)
    assert figures.lasting > 0


@pytest.mark.parametrize("seed", range(8))
def test_the_same_seed_tells_the_same_story(seed: int):
    assert tell(seed).trace_hash == tell(seed).trace_hash


def test_a_story_is_the_same_in_every_process():
    seeds = [3, 4, 5]
    answer = subprocess.run(
        [sys.executable, "-m", "simulation.story", *map(str, seeds)],
        env={**os.environ, "PYTHONPATH": str(SUPPORT), "PYTHONHASHSEED": "99"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert [tell(seed).trace_hash in answer for seed in seeds] == [True] * 3


def test_other_seeds_tell_other_stories():
    assert len({tell(seed).trace_hash for seed in range(10)}) == 10


def test_a_process_that_breaks_tells_its_seed_and_leaves_no_thread(monkeypatch: pytest.MonkeyPatch):
    def breaking(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(process, "admit", breaking)

    with pytest.raises(ZeroDivisionError) as caught:
        tell(1)

    assert "make model SEED=1" in "".join(caught.value.__notes__)


@contextmanager
def _blind_to_the_open() -> Iterator[None]:
    """See no open transaction: the horizon is now."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimulatedSource, "horizon_us", lambda source: source.clockwork.now_us)
        yield


def _patched(name: str):
    return next(each.rules.protocol for each in build_mutants() if each.rules.name == name)


WRONG: dict[str, AbstractContextManager[None]] = {
    name: driven_by(_patched(name))
    for name in (
        "412 = conflict and keep",
        "Replace keeps a stale remove set",
        "RESTORE ignored",
        "overwrite ignored",
        "a rival is built upon",
    )
} | {"the horizon sees no open transaction": _blind_to_the_open()}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_protocol_breaks_a_story(name: str):
    with WRONG[name]:
        broken_at = next((seed for seed in range(300) if tell_many([seed]).broken), None)

    print(f"{name}: broken by seed {broken_at}")
    assert broken_at is not None
