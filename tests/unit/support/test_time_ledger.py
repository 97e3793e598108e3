"""The table of time by folder."""

from typing import Literal

import pytest

from time_ledger import add_up


def _report(
    place: str, when: Literal["setup", "call", "teardown"], seconds: float
) -> pytest.TestReport:
    return pytest.TestReport(place, ("", None, ""), {}, "passed", None, when, duration=seconds)


def test_a_folder_holds_its_tests_once_and_all_their_time():
    reports = [
        _report("tests/unit/core/test_ids.py::test_a", "setup", 1.0),
        _report("tests/unit/core/test_ids.py::test_a", "call", 2.0),
        _report("tests/unit/core/test_ids.py::test_a", "teardown", 0.5),
        _report("tests/faults/test_kill.py::test_b[x::y]", "call", 4.0),
        _report("tests/unit/core/deeper/test_c.py::test_c", "call", 8.0),
    ]

    assert add_up(reports) == {"tests/faults": (1, 4.0), "tests/unit/core": (2, 11.5)}
