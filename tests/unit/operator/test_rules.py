"""The policy file: a bad start leaves none, a bad change keeps the last good one, and both are told."""

from pathlib import Path

import pytest
import yaml

from dpp_operator.metrics import Metrics
from dpp_operator.rules import Rules, watch_rules
from dpp_operator.settings import read_settings
from fake_world import build_policy


def write(path: Path, **changes: object) -> None:
    fields = build_policy().model_dump(mode="json", by_alias=True, exclude_none=True)
    path.write_text(yaml.safe_dump({**fields, **changes}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_bad_start_leaves_no_policy_and_names_the_key(path: Path) -> None:
    path.write_text("cluster: x\ntenant: []\n")
    metrics = Metrics()
    rules = Rules(path, metrics)

    assert not rules.look()

    assert rules.current is None
    assert "tenant" in rules.error
    assert value(metrics, "dpp_policy_valid") == 0


def test_a_missing_file_is_a_bad_start_that_heals(path: Path) -> None:
    rules = Rules(path, Metrics())
    rules.look()
    assert str(path) in rules.error

    write(path)

    assert rules.look()
    assert rules.error == ""


def test_a_bad_change_keeps_the_last_good_one(path: Path) -> None:
    metrics = Metrics()
    write(path)
    rules = Rules(path, metrics)
    rules.look()
    good = rules.current

    write(path, startDeadlineSeconds="soon")

    assert not rules.look()
    assert rules.current is good
    assert "startDeadlineSeconds" in rules.error
    assert value(metrics, "dpp_policy_valid") == 0
    assert value(metrics, "dpp_policy_reloads_total", result="refused") == 1


def test_a_change_of_the_file_that_means_the_same_is_no_change(path: Path) -> None:
    write(path)
    rules = Rules(path, Metrics())
    rules.look()

    path.write_text(path.read_text() + "# a remark\n")

    assert not rules.look()


def test_changes_and_refusals_are_told_once(path: Path) -> None:
    write(path)
    rules = Rules(path, Metrics())
    rules.look()
    steps = iter(
        [lambda: write(path, cluster="other"), lambda: write(path, nonsense=1), lambda: None]
    )
    told: list[str] = []

    def wait(seconds: float) -> bool:
        step = next(steps, None)
        if step is not None:
            step()
        return step is None

    watch_rules(rules, wait, 1, lambda: told.append("changed"), lambda said: told.append("refused"))

    assert told == ["changed", "refused"]


def test_settings_come_from_the_environment_and_nothing_else() -> None:
    settings = read_settings(
        {"DPP_HTTP_PORT": "9000", "DPP_NAMESPACES": "a, b", "DPP_SOURCE_X": "y"}
    )

    assert (settings.http_port, settings.namespaces) == (9000, ("a", "b"))
