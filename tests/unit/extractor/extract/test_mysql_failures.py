"""The table of MySQL's failures: what each number ends a run with."""

import pymysql
import pytest

from dpp_core.names import Reason
from dpp_extractor.extract.database.mysql.connect import translate
from dpp_extractor.extract.database.mysql.failures import NUMBERS

READ = Reason.SOURCE_READ_FAILED
ROWS = [
    (0, 23, True, None),
    (1040, 23, True, None),
    (1044, 31, False, Reason.SOURCE_OBJECT_DENIED),
    (1045, 22, False, None),
    (1049, 31, False, Reason.SOURCE_OBJECT_MISSING),
    (1053, 23, True, None),
    (1054, 31, False, Reason.SOURCE_OBJECT_MISSING),
    (1064, 70, False, READ),
    (1114, 23, True, None),
    (1129, 23, True, None),
    (1130, 22, False, None),
    (1142, 31, False, Reason.SOURCE_OBJECT_DENIED),
    (1146, 31, False, Reason.SOURCE_OBJECT_MISSING),
    (1153, 31, False, READ),
    (1194, 31, False, READ),
    (1205, 23, True, READ),
    (1213, 23, True, READ),
    (1227, 31, False, Reason.SOURCE_OBJECT_DENIED),
    (1317, 23, True, READ),
    (1356, 31, False, READ),
    (1412, 75, True, READ),
    (1524, 20, False, Reason.SOURCE_UNREACHABLE),
    (1690, 31, False, READ),
    (1792, 31, False, READ),
    (1820, 22, False, None),
    (1927, 23, True, None),
    (1969, 23, True, READ),
    (2013, 23, True, None),
    (2026, 20, False, Reason.SOURCE_UNREACHABLE),
    (3024, 23, True, READ),
    (4151, 22, False, None),
    (9999, 70, False, READ),
]


@pytest.mark.parametrize(("number", "code", "is_temporary", "reason"), ROWS)
def test_every_number_has_its_end(
    number: int, code: int, is_temporary: bool, reason: Reason | None
) -> None:
    error = translate(pymysql.err.OperationalError(number, "words"), "Reading 'orders'")

    assert (error.exit_code, error.is_temporary) == (code, is_temporary)
    assert error.reason is (reason or type(error).default_reason)


def test_every_kind_of_row_of_the_table_is_tried_here() -> None:
    tried = {number for number, *_ in ROWS}

    assert {id(NUMBERS[number]) for number in tried & set(NUMBERS)} == {
        id(failure) for failure in NUMBERS.values()
    }


def test_an_unlisted_number_goes_by_its_sqlstate() -> None:
    error = translate(pymysql.err.OperationalError(4711, "x", sqlstate="08S01"), "Reading 'orders'")

    assert error.exit_code == 23


@pytest.mark.parametrize(
    ("number", "sqlstate"), [(1690, "22003"), (1644, "45000"), (7777, "22001")]
)
def test_words_that_may_quote_a_value_are_left_out(number: int, sqlstate: str) -> None:
    error = translate(
        pymysql.err.OperationalError(number, "Frau Schmidt", sqlstate=sqlstate), "Reading 'orders'"
    )

    assert "Schmidt" not in str(error)
    assert str(number) in str(error)


def test_a_statement_that_sets_things_right_is_told_only_where_a_right_is_missing() -> None:
    denied = pymysql.err.OperationalError(1142, "denied")
    missing = pymysql.err.ProgrammingError(1146, "missing")

    assert translate(denied, "Reading 'orders'", "GRANT it").fix == "GRANT it"
    assert translate(missing, "Reading 'orders'", "GRANT it").fix == ""
