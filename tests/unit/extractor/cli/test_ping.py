"""`dpp ping`: a row each for secret, source, destination and index; the exit code is the worst one's."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dpp_core.cli.output import Output
from dpp_core.errors import CredentialsRefusedError, TemporaryFailure
from dpp_core.names import Reason
from dpp_extractor.cli.ping import _row, ping

RESOURCE = """
apiVersion: extraction.dpp.dev/v1alpha1
kind: DistributorExtraction
metadata: {name: shop, namespace: acme}
spec:
  distributor: acme
  source: {erp: generic-sql, database: {engine: sqlite, database: erp.db}}
  datasets: [{name: orders, key: [id]}]
  destination: {profile: lake}
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give a folder with a resource and its database, and work in it."""
    (tmp_path / "shop.yaml").write_text(RESOURCE)
    with closing(sqlite3.connect(tmp_path / "erp.db")) as shop:
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _ping(capsys: pytest.CaptureFixture[str], **options: Any) -> tuple[int, list[dict[str, Any]]]:
    code = ping(Path("shop.yaml"), to="out", output=Output.JSON, **options)
    return code, json.loads(capsys.readouterr().out)


def test_a_check_that_succeeds_is_ok_with_its_answer() -> None:
    assert _row("source", lambda: "PostgreSQL 17") == {
        "what": "source",
        "state": "ok",
        "detail": "PostgreSQL 17",
        "code": 0,
        "optional": False,
    }


def test_a_check_that_fails_has_reason_code_and_a_message_without_secrets() -> None:
    def check() -> str:
        raise CredentialsRefusedError(
            "No entry with postgresql://me:hunter2@erp/x.", fix="Ask the owner."
        )

    row = _row("source", check)

    assert (row["state"], row["code"]) == ("CredentialsRefused", 22)
    assert "hunter2" not in row["detail"]
    assert "Ask the owner." in row["detail"]


def test_an_index_that_does_not_answer_is_told_and_is_optional() -> None:
    def check() -> str:
        raise TemporaryFailure("No answer.", reason=Reason.INDEX_BEHIND)

    assert _row("index", check, optional=True)["state"] == "IndexBehind"


def test_a_laptop_with_everything_there_is_all_ok(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, rows = _ping(capsys)

    assert code == 0
    assert [(row["what"], row["state"]) for row in rows] == [
        ("source", "ok"),
        ("destination", "ok"),
        ("index", "ok"),
    ]
    assert "conditional writes hold" in rows[1]["detail"]
    assert rows[2]["detail"] == "not configured"


def test_a_probe_leaves_nothing_behind(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _ping(capsys)

    assert [path for path in (folder / "out").rglob("*") if path.is_file()] == []


def test_a_source_that_is_not_there_gives_its_code_and_the_others_are_still_checked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "erp.db").unlink()

    code, rows = _ping(capsys)

    assert code == 23
    assert [row["state"] for row in rows] == ["SourceUnreachable", "ok", "ok"]


def test_the_destination_alone_is_raced_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "erp.db").unlink()

    code, rows = _ping(capsys, destination=True)

    assert (code, [row["what"] for row in rows]) == (0, ["destination"])
    assert "one winner in 20 races of 8 writers" in rows[0]["detail"]


def test_people_get_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ping(Path("shop.yaml"), to="out") == 0

    assert capsys.readouterr().out.splitlines()[0].split() == ["WHAT", "STATE", "DETAIL"]
