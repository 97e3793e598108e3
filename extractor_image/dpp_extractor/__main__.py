"""The extractor's process in a Job: read the request, run it, leave the report in the termination message.

`python -m dpp_extractor`. Files and settings come from `settings`; the exit code is the run's, from the frozen table.
Nothing but the request decides what is read.
"""

import os
import sys
from pathlib import Path

from dpp_core import logs, telemetry
from dpp_core.errors import DppError, InternalError, SpecError
from dpp_core.handover import RunReport, RunRequest, parse_request
from dpp_core.redaction import redact
from dpp_core.termination import REPORT_LIMIT_BYTES, build_termination_message
from dpp_extractor.settings import ExtractorSettings, read_settings


def main() -> int:
    """Carry out the request of this Job and give the exit code."""
    settings = ExtractorSettings()
    logs.set_up_logging()
    try:
        settings = read_settings(os.environ)
        logs.set_up_logging(settings.log_level, settings.log_format)
        return _carry_out(_read_request(settings.request_file), settings)
    except DppError as error:
        code, message = error.exit_code, str(error)
    except Exception as error:  # noqa: BLE001 - the last net: an unknown end is our bug, told with its place
        logs.error("crashed", exception=error)
        code, message = InternalError.exit_code, f"{type(error).__name__}: {error}"
    logs.error("not_run", code=code, message=redact(message))
    place = os.environ.get("DPP_TERMINATION_FILE") or settings.termination_file
    _leave_message(Path(place), _cut(redact(message)))
    return code


def _cut(text: str) -> bytes:
    return text.encode()[:REPORT_LIMIT_BYTES].decode(errors="ignore").encode()


def _read_request(path: Path) -> RunRequest:
    try:
        return parse_request(path.read_bytes())
    except OSError as error:
        raise SpecError(
            f"The run request {path} cannot be read: {error.strerror}.",
            fix="The Job mounts it from the pod's annotation; DPP_REQUEST_FILE names another file.",
        ) from error


def _carry_out(request: RunRequest, settings: ExtractorSettings) -> int:
    report = (_keep_up if request.type == "Maintain" else _extract)(request, settings)
    names = [unit.dataset for unit in request.units]
    _leave_message(settings.termination_file, build_termination_message(report, names))
    return report.exit_code


def _extract(request: RunRequest, settings: ExtractorSettings) -> RunReport:
    from dpp_extractor.guard.deadline import open_stop
    from dpp_extractor.run import run
    from dpp_extractor.wiring import Surroundings, open_tools

    with (
        telemetry.continued(request.traceparent),
        open_stop() as stop,
        open_tools(request, Surroundings(os.environ, settings, stop)) as tools,
    ):
        return run(request, tools)


def _keep_up(request: RunRequest, settings: ExtractorSettings) -> RunReport:
    """Look after the tables instead of reading a source."""
    from dpp_core import ids
    from dpp_extractor.guard.deadline import Deadline, open_stop
    from dpp_extractor.upkeep.run import run_upkeep
    from dpp_extractor.wiring import Surroundings, find_code_version, open_yard

    with (
        telemetry.continued(request.traceparent),
        open_stop() as stop,
        open_yard(request, Surroundings(os.environ, settings, stop)) as yard,
    ):
        deadline = Deadline(request.deadline_at, yard.now)

        def check() -> None:
            stop.raise_if_stopped()
            deadline.raise_if_over()

        return run_upkeep(request, yard, ids.new_id(), find_code_version(), check)


def _leave_message(path: Path, body: bytes) -> None:
    try:
        path.write_bytes(body)
    except OSError as error:
        logs.warning("termination_message_not_written", path=str(path), message=error.strerror)


if __name__ == "__main__":
    sys.exit(main())
