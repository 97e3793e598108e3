"""One event and its fields a line, ids in every line, and nothing that breaks a line."""

import json
import logging
import subprocess
import sys
import threading
import warnings

import pytest

from dpp_core import logs
from dpp_core.errors import InternalError, SpecError, VaultUnavailableError
from dpp_core.telemetry import continued
from log_capture import captured_logs

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_line_has_instant_level_event_ids_and_fields() -> None:
    with captured_logs() as captured, logs.bound(run_id="r1", correlation_id="c1"):
        with logs.bound(distributor="acme", dataset="orders"):
            logs.info("commit", seq=7, rows=1200)
        logs.warning("slow")

    commit, slow = captured.lines
    assert commit.pop("at").endswith("Z")
    assert commit == {
        "level": "INFO",
        "event": "commit",
        "run_id": "r1",
        "correlation_id": "c1",
        "distributor": "acme",
        "dataset": "orders",
        "seq": 7,
        "rows": 1200,
    }
    assert "dataset" not in slow
    assert slow["level"] == "WARNING"


def test_ids_end_with_their_block_also_after_an_error() -> None:
    with pytest.raises(KeyError), logs.bound(run_id="r1"):
        raise KeyError

    assert dict(logs.bound_ids()) == {}


def test_a_field_cannot_replace_an_id_or_the_event() -> None:
    with captured_logs() as captured, logs.bound(run_id="r1"):
        logs.info("commit", level="x", run_id="other")

    assert captured.lines[0]["run_id"] == "r1"
    assert captured.lines[0]["field_run_id"] == "other"
    assert captured.lines[0]["level"] == "INFO"


def test_inside_a_trace_every_line_has_its_id() -> None:
    with captured_logs() as captured, continued(PARENT):
        logs.info("commit")

    assert captured.lines[0]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert captured.lines[0]["span_id"] == "b7ad6b7169203331"


def test_a_foreseen_error_brings_its_reason_and_code_but_no_stack() -> None:
    with captured_logs() as captured:
        logs.error("failed", exception=VaultUnavailableError("sealed", fix="Unseal it."))

    line = captured.lines[0]
    assert (line["error"], line["message"]) == ("VaultUnavailableError", "sealed Unseal it.")
    assert (line["reason"], line["exit_code"]) == ("VaultUnavailable", 30)
    assert "stack" not in line


def test_the_field_of_a_spec_error_is_in_the_line() -> None:
    with captured_logs() as captured:
        logs.error("failed", exception=SpecError("wrong", field="spec.schedule.cron[0]"))

    assert captured.lines[0]["error_field"] == "spec.schedule.cron[0]"


@pytest.mark.parametrize("error", [ValueError("odd"), InternalError("our bug")])
def test_an_unforeseen_error_brings_its_stack(error: Exception) -> None:
    with captured_logs() as captured:
        try:
            raise error
        except (ValueError, InternalError) as caught:
            logs.error("failed", exception=caught)

    assert "test_logs.py" in captured.lines[0]["stack"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_line_break_in_a_value_does_not_begin_a_new_line(form: logs.Form) -> None:
    with captured_logs(form) as captured:
        logs.info("read\nforged", text="a\r\n2026 INFO forged \x1b[31m\x00")

    assert len(captured.text.splitlines()) == 1
    assert "\x1b" not in captured.text
    assert "\x00" not in captured.text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"bytes", 10**40])
def test_any_value_gives_a_line_of_strict_json(value: object) -> None:
    with captured_logs() as captured:
        logs.info("odd", value=value, nested=[value])

    def refuse(name: str) -> None:
        raise AssertionError(name)

    assert json.loads(captured.text, parse_constant=refuse)["event"] == "odd"


def test_a_long_value_is_cut_and_says_so() -> None:
    with captured_logs() as captured:
        logs.info("long", text="x" * 100_000)

    assert len(captured.text) < 5_000
    assert "more characters" in captured.lines[0]["text"]


def test_the_text_form_is_for_people() -> None:
    with captured_logs("text") as captured, logs.bound(dataset="orders", correlation_id="c1"):
        logs.info("unit committed", rows=1200, table="s3://lake/x y")

    line = captured.text.strip()
    assert line[8:] == ' INFO    unit committed dataset=orders rows=1200 table="s3://lake/x y"'


@pytest.mark.parametrize("name", logs.QUIET_LOGGERS)
def test_chatty_libraries_stay_quiet_even_at_debug(name: str) -> None:
    with captured_logs(level="DEBUG") as captured:
        logging.getLogger(name).info("GET https://erp.example/?token=x")
        logging.getLogger(f"{name}.inner").debug("body")
        logging.getLogger(name).warning("told")

    assert captured.events() == ["told"]


def test_a_line_of_a_library_carries_its_logger_and_our_ids() -> None:
    with captured_logs() as captured, logs.bound(run_id="r1"):
        logging.getLogger("lib").warning("old %s", "thing")

    assert captured.lines[0]["event"] == "old thing"
    assert (captured.lines[0]["logger"], captured.lines[0]["run_id"]) == ("lib", "r1")


def test_below_the_level_nothing_is_written() -> None:
    with captured_logs(level="WARNING") as captured:
        logs.info("quiet")
        logs.warning("loud")

    assert captured.events() == ["loud"]


def test_setting_up_twice_does_not_write_twice() -> None:
    with captured_logs() as captured:
        logs.set_up_logging(form="json", stream=captured.stream)
        logs.info("once")

    assert captured.events() == ["once"]


def test_an_unknown_level_is_refused() -> None:
    with captured_logs() as captured, pytest.raises(ValueError, match="LOUD"):
        logs.set_up_logging(level="loud", stream=captured.stream)


def test_warnings_of_libraries_become_lines() -> None:
    with captured_logs() as captured:
        warnings.warn("old, password=hunter22", DeprecationWarning, stacklevel=1)

    assert "hunter22" not in captured.text
    assert len(captured.lines) == 1


def test_a_line_that_cannot_be_formatted_shows_none_of_its_arguments() -> None:
    with captured_logs() as captured:
        logging.getLogger("lib").warning("%d", "hunter22")

    assert captured.text == "a log line of lib could not be written: TypeError\n"


def test_an_uncaught_error_of_a_thread_becomes_a_redacted_line() -> None:
    def fail() -> None:
        raise ValueError("postgresql://dpp:hunter22@db/erp")

    with captured_logs() as captured:
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()

    assert captured.events() == ["uncaught_in_thread"]
    assert "hunter22" not in captured.text


def test_an_uncaught_error_of_a_process_becomes_a_redacted_line() -> None:
    code = (
        "from dpp_core import logs; logs.set_up_logging(); logs.register_secret('hunter22')\n"
        "raise ValueError('with hunter22')"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    line = json.loads(ended.stderr)
    assert (line["event"], line["error"]) == ("uncaught", "ValueError")
    assert "hunter22" not in ended.stdout + ended.stderr
    assert ended.returncode == 1
