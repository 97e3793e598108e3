"""One Spark for all tests here."""

from collections.abc import Iterator

import pytest

from spark import Spark, open_spark, why_missing


@pytest.fixture(scope="session")
def spark() -> Iterator[Spark]:
    reason = why_missing()
    if reason:
        pytest.skip(reason)
    with open_spark() as opened:
        yield opened
