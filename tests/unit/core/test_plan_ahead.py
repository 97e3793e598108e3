"""`dpp plan --connect`: the extractor is asked by an entry point, and its answer is shown whole."""

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from dpp_core.cli import ahead
from dpp_core.cli.main import run
from dpp_core.forecast import Asked, Caution, Forecast, Selected, UnitForecast
from dpp_core.handover import RunRequest
from dpp_core.names import Reason

Capture = pytest.CaptureFixture[str]
OUTLINE = """\
apiVersion: extraction.dpp.dev/v1alpha1
kind: DistributorExtraction
metadata:
  name: shop
  annotations: {extraction.dpp.dev/select: "sales.*, !sales.tmp"}
spec:
  distributor: shop
  source: {erp: generic-sql, database: {engine: sqlite, database: erp.db}}
  destination: {profile: local}
"""
LISTED = OUTLINE + "  datasets:\n    - {name: orders, object: sales.orders}\n"
ENTRY = {"name": "sales_lines", "object": "sales.lines", "key": ["id"]}


class Oracle:
    """Answers as told, and takes down what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[RunRequest, Asked]] = []
        self.answer = Forecast(source="SQLite, horizon exact")

    def __call__(self, request: RunRequest, asked: Asked) -> Forecast:
        self.asked.append((request, asked))
        return self.answer


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Oracle:
    """Plug an oracle in as the only installed package that can ask a source."""
    there = Oracle()
    module = ModuleType("oracle_of_a_test")
    module.forecast = there  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, module.__name__, module)
    entry = EntryPoint("database", f"{module.__name__}:forecast", ahead.PLUG_INS)
    monkeypatch.setattr(ahead, "entry_points", lambda group: [entry])
    return there


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def _write(text: str) -> str:
        file = tmp_path / "shop.yaml"
        file.write_text(text)
        return str(file)

    return _write


def test_bounds_rows_cautions_and_statements_are_shown(
    oracle: Oracle, write: Callable[[str], str], capsys: Capture
) -> None:
    oracle.answer = Forecast(
        source="PostgreSQL 15.8, no horizon",
        units=(
            UnitForecast(
                dataset="orders",
                object="sales.orders",
                reads="Window",
                kind="append",
                cursor="updated_at",
                high="2026-01-02T00:00:00",
                estimated_rows=1234,
                cautions=(Caution(about="Index", message="No index.", fix="Ask for one."),),
            ),
        ),
        cautions=(Caution(about="Horizon", message="No horizon.", fix="GRANT x TO y;"),),
    )

    assert run(["plan", "-f", write(LISTED), "--connect"]) == 0

    shown = capsys.readouterr().out
    line = next(each for each in shown.splitlines() if each.startswith("orders "))
    assert line.split() == [
        *("orders", "sales.orders", "changes", "by", "updated_at"),
        *("the", "beginning", "2026-01-02T00:00:00", "1,234"),
    ]
    assert "answered:     PostgreSQL 15.8, no horizon" in shown
    assert "  all: No horizon.\n      GRANT x TO y;\n" in shown
    assert "  orders: No index.\n      Ask for one.\n" in shown


def test_what_would_stop_a_dataset_is_the_exit_code(
    oracle: Oracle, write: Callable[[str], str], capsys: Capture
) -> None:
    refused = UnitForecast(
        dataset="orders",
        object="orders",
        reads="Refused",
        code=31,
        reason=Reason.SOURCE_OBJECT_DENIED,
        message="The user has no right to read it.",
        fix="Run as its owner: GRANT SELECT ON TABLE orders TO reader;",
    )
    oracle.answer = Forecast(source="s", units=(refused,))

    assert run(["plan", "-f", write(LISTED), "--connect"]) == 31

    shown = capsys.readouterr().out
    assert "refused (31 SourceObjectDenied)" in shown
    assert "GRANT SELECT ON TABLE orders TO reader;" in shown


def test_the_selection_of_the_file_is_asked_for_and_shown_as_a_list(
    oracle: Oracle, write: Callable[[str], str], capsys: Capture
) -> None:
    oracle.answer = Forecast(
        source="s",
        selection=("sales.*", "!sales.tmp"),
        selected=(
            Selected(object="sales.orders", dataset="orders"),
            Selected(object="sales.lines", entry=ENTRY),
        ),
    )

    assert run(["plan", "-f", write(LISTED), "--connect"]) == 0

    (_, asked) = oracle.asked[0]
    assert asked.forms == ("sales.*", "!sales.tmp")
    assert asked.listed == {"sales.orders": "orders"}
    shown = capsys.readouterr().out
    assert "Selection sales.*, !sales.tmp: 2 objects" in shown
    assert "{name: sales_lines, object: sales.lines, key: [id]}" in shown
    assert "--write` adds" in shown


def test_the_command_line_selects_instead_of_the_file(
    oracle: Oracle, write: Callable[[str], str]
) -> None:
    run(["plan", "-f", write(LISTED), "--connect", "--select", "a.*,b", "--select", "!a.x"])

    assert oracle.asked[0][1].forms == ("a.*", "b", "!a.x")


def test_a_file_without_datasets_is_resolved_by_its_selection(
    oracle: Oracle, write: Callable[[str], str], capsys: Capture
) -> None:
    oracle.answer = Forecast(
        source="s", selected=(Selected(object="sales.lines", entry=ENTRY), Selected(object="x"))
    )

    assert run(["plan", "-f", write(OUTLINE), "--connect", "-o", "json"]) == 0

    (first, _), (second, _) = oracle.asked
    assert first.units == ()
    assert [(unit.dataset, unit.object, unit.key) for unit in second.units] == [
        ("sales_lines", "sales.lines", ("id",))
    ]
    shown = json.loads(capsys.readouterr().out)
    assert [unit["dataset"] for unit in shown["request"]["units"]] == ["sales_lines"]


@pytest.mark.parametrize(
    ("text", "options", "code", "says"),
    [
        (OUTLINE.replace("select", "other"), ["--connect"], 20, "--select '*'"),
        (OUTLINE, ["--connect"], 2, "0 readable objects"),
        (LISTED, ["--select", "x"], 2, "Add --connect"),
        (LISTED, ["--secrets", "x"], 2, "Add --connect"),
        (OUTLINE, [], 20, "datasets"),
    ],
    ids=["no selection", "selects nothing", "select alone", "secrets alone", "not connected"],
)
def test_what_cannot_be_planned_says_what_to_do(
    oracle: Oracle,
    write: Callable[[str], str],
    capsys: Capture,
    text: str,
    options: list[str],
    code: int,
    says: str,
) -> None:
    assert run(["plan", "-f", write(text), *options]) == code
    assert says in capsys.readouterr().err


def test_without_the_extractor_it_says_what_to_install(
    write: Callable[[str], str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "entry_points", lambda group: [])

    assert run(["plan", "-f", write(LISTED), "--connect"]) == 2
    assert "dpp-extractor" in capsys.readouterr().err


def test_an_extractor_that_cannot_be_loaded_is_named(
    write: Callable[[str], str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = EntryPoint("database", "no_such_module:forecast", ahead.PLUG_INS)
    monkeypatch.setattr(ahead, "entry_points", lambda group: [broken])

    assert run(["plan", "-f", write(LISTED), "--connect"]) == 70
    assert "no_such_module" in capsys.readouterr().err
