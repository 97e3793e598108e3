"""One table says which databases are read; command, kinds, policy and ports all follow it."""

import contextlib
import json
from typing import get_args

import pytest

from dpp_core import engines
from dpp_core.cli.main import run
from dpp_core.engines import DEFAULT_PORTS, ENGINES, ENGINES_READY, Engine
from dpp_core.laptop import laptop_policy
from dpp_core.policy import SourcesPolicy
from dpp_core.spec.source import DatabaseSourceSpec


def test_every_engine_a_resource_may_name_has_one_row() -> None:
    assert [row.name for row in ENGINES] == list(get_args(Engine))


def is_accepted(name: Engine) -> bool:
    place = {"database": "erp"} if name == "sqlite" else {"host": "h", "database": "erp"}
    with contextlib.suppress(ValueError):
        return DatabaseSourceSpec.model_validate({"engine": name, **place}).engine == name
    return False


def test_the_kinds_accept_exactly_what_is_read() -> None:
    accepted = [row.name for row in ENGINES if is_accepted(row.name)]

    assert accepted == [row.name for row in ENGINES if row.level == "read"] == list(ENGINES_READY)


def test_another_engine_is_refused_with_those_that_are_read() -> None:
    with pytest.raises(ValueError, match="is not supported yet") as refused:
        DatabaseSourceSpec(engine="oracle", host="h", database="erp")

    assert engines.say_ready("or") in str(refused.value)


def test_the_api_server_is_told_the_same_engines() -> None:
    rule = next(rule for rule in DatabaseSourceSpec.RULES if rule.field == "engine")

    assert rule.cel == f"self.engine in {list(ENGINES_READY)}"
    assert all(name in rule.message and name in rule.fix for name in ENGINES_READY)


def test_the_laptop_allows_what_is_read_and_a_policy_may_list_every_engine() -> None:
    assert laptop_policy("./out").sources.engines == ENGINES_READY
    assert SourcesPolicy(engines=get_args(Engine)).engines == get_args(Engine)


@pytest.mark.parametrize("row", ENGINES, ids=lambda row: row.name)
def test_a_row_says_what_reading_it_takes(row: engines.EngineRow) -> None:
    assert row.product and row.driver
    assert bool(row.horizon) == bool(row.grant)
    assert DEFAULT_PORTS.get(row.name) == row.port


def test_the_command_prints_a_row_for_each_engine(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engines"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        *("ENGINE", "PRODUCT", "LEVEL", "DRIVER", "PORT", "HORIZON", "GRANT")
    ]
    assert [line.split()[0] for line in lines[1:] if line][: len(ENGINES)] == list(get_args(Engine))
    assert any(line.startswith("oracle") and "compile-tested" in line for line in lines)


def test_programs_get_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engines", "-o", "json"]) == 0

    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["level"]) for row in rows] == [(r.name, r.level) for r in ENGINES]
    assert rows[-1]["port"] is None


@pytest.mark.parametrize(
    ("ready", "said"),
    [(("a",), "a"), (("a", "b"), "a and b"), (("a", "b", "c"), "a, b and c")],
    ids=["one", "two", "three"],
)
def test_a_sentence_names_them_all(
    ready: tuple[Engine, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "ENGINES_READY", ready)

    assert engines.say_ready() == said
