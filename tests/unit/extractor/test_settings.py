"""Settings: read once from DPP_* variables; every one has a default."""

from pathlib import Path

import pytest

from dpp_core.errors import SpecError
from dpp_extractor.settings import ExtractorSettings, read_settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert read_settings({}) == ExtractorSettings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("log_level", "DEBUG", "DEBUG"),
        ("log_format", "json", "json"),
        ("secrets_dir", "/s", Path("/s")),
        ("request_file", "/r", Path("/r")),
        ("termination_file", "/t", Path("/t")),
        ("ca_file", "/ca.pem", "/ca.pem"),
        ("batch_bytes", "1024", 1024),
        ("retry_attempts", "2", 2),
        ("retry_base_seconds", "0.1", 0.1),
        ("kill_at", "committed:2", "committed:2"),
        ("pause_at", "committed:2", "committed:2"),
        ("destination_timeout_seconds", "0.5", 0.5),
        ("metrics_file", "/m.prom", "/m.prom"),
        ("metrics_gateway", "http://push:9091", "http://push:9091"),
    ],
)
def test_every_setting_has_its_variable(name: str, text: str, value: object) -> None:
    settings = read_settings({f"DPP_{name.upper()}": text})

    assert getattr(settings, name) == value


@pytest.mark.parametrize("name", ExtractorSettings.model_fields)
def test_a_default_may_be_set_as_well_as_left_out(name: str) -> None:
    default = getattr(ExtractorSettings(), name)

    assert getattr(read_settings({f"DPP_{name.upper()}": str(default)}), name) == default


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert read_settings({"DPP_BATCH_BYTES": "", "DPP_LOG_LEVEL": ""}) == ExtractorSettings()


def test_variables_of_credentials_and_strangers_are_left_alone() -> None:
    environment = {"DPP_SOURCE_PASSWORD": "x", "DPP_WHATEVER": "y", "PATH": "/bin"}

    assert read_settings(environment) == ExtractorSettings()


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("DPP_LOG_FORMAT", "xml"),
        ("DPP_BATCH_BYTES", "much"),
        ("DPP_RETRY_ATTEMPTS", "0"),
        ("DPP_RETRY_BASE_SECONDS", "-1"),
    ],
)
def test_a_wrong_value_is_refused_and_its_variable_named(variable: str, text: str) -> None:
    with pytest.raises(SpecError, match=variable) as refused:
        read_settings({variable: text})
    assert refused.value.field == variable
    assert repr(text) in refused.value.message
