"""Late commits on real servers: windows lose no row and bring none twice, and would without a horizon."""

import pytest

from late_commits import Story, tell
from late_ledgers import Ledger, MariaLedger, PostgresLedger

SHORT = Story()


@pytest.fixture(params=["postgresql", "mariadb"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """Give an empty ledger on each server."""
    if request.param == "mariadb":
        return MariaLedger.make(
            request.getfixturevalue("mariadb"), request.getfixturevalue("schema")
        )
    return PostgresLedger.make(
        request.getfixturevalue("postgres"), request.getfixturevalue("database")
    )


@pytest.mark.parametrize("cursor", ["at", "rev"], ids=["stamps", "numbers"])
def test_no_late_commit_is_lost_and_none_comes_twice(ledger: Ledger, cursor: str) -> None:
    told = tell(ledger, Story(cursor=cursor))  # type: ignore[arg-type]

    assert (told.lost, told.twice, told.older) == (0, 0, 0), told.line
    assert told.written_rows > SHORT.rows * 0.9
    assert told.late > 5, told.line
    assert told.windows >= 2, told.line


@pytest.mark.parametrize("cursor", ["at", "rev"], ids=["stamps", "numbers"])
def test_the_mutant_that_ignores_the_horizon_loses_rows(ledger: Ledger, cursor: str) -> None:
    told = tell(ledger, Story(cursor=cursor, ignore_horizon=True))  # type: ignore[arg-type]

    assert told.lost > 0, told.line
