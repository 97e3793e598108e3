"""The child process in which deltalake works on one table: the only place that imports it.

`python -m dpp_extractor.upkeep.work`, started by `child` alone. The work comes as one JSON document
on standard input, because it holds secrets; the answer is one JSON document on standard output. The
process bounds its own time, and offers itself to the kernel before anybody else is ended for want of
memory; what it may take is watched by `child`.

None of deltalake's commits may be followed by hooks of its own: no checkpoint nobody asked for, and
never a clean-up of the log.
"""

import contextlib
import json
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

ROW_GROUP_ROWS: Final = 65_536
"""As the write stage has it: readers and this process hold one row group."""
FAILED: Final = 3
"""The exit code of a work that deltalake refused or could not finish; the answer says why."""

_ALARM_LATER_SECONDS: Final = 5

Arguments = Mapping[str, Any]


def checkpoint(table: Any, _arguments: Arguments) -> dict[str, Any]:
    """Write a checkpoint of the version that is read now. Twice is the same as once."""
    table.create_checkpoint()
    return {"version": table.version()}


def compact(table: Any, arguments: Arguments) -> dict[str, Any]:
    """Rewrite small files as larger ones in one commit that changes no row.

    When a run committed meanwhile, deltalake builds its commit again on top, or gives up.
    """
    from deltalake import CommitProperties, WriterProperties

    read_version = table.version()
    metrics = table.optimize.compact(
        target_size=arguments["target_bytes"],
        max_concurrent_tasks=1,
        writer_properties=WriterProperties(
            compression="ZSTD", compression_level=3, max_row_group_size=ROW_GROUP_ROWS
        ),
        commit_properties=CommitProperties(
            custom_metadata={"dppUpkeep": arguments["code_version"]}
        ),
        post_commithook_properties=_no_hooks(),
    )
    return {
        "read_version": read_version,
        "files_added": metrics["numFilesAdded"],
        "files_removed": metrics["numFilesRemoved"],
    }


def vacuum(table: Any, arguments: Arguments) -> dict[str, Any]:
    """List, or delete, files that no version within the retention needs. The age is enforced."""
    paths = table.vacuum(
        retention_hours=arguments["retention_hours"],
        dry_run=arguments["dry_run"],
        enforce_retention_duration=True,
        full=True,
        post_commithook_properties=_no_hooks(),
    )
    return {"paths": sorted(paths)}


WORKS: Final[Mapping[str, Callable[[Any, Arguments], dict[str, Any]]]] = {
    "checkpoint": checkpoint,
    "compact": compact,
    "vacuum": vacuum,
}


def main() -> int:
    """Carry out the work on standard input and give the exit code."""
    asked = json.load(sys.stdin)
    _bound(int(asked["seconds"]))
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        table = DeltaTable(asked["uri"], storage_options=asked["options"])
        answer = WORKS[asked["work"]](table, asked["arguments"])
    except (DeltaError, OSError, ValueError, TypeError) as error:
        json.dump({"error": type(error).__name__, "message": str(error)[:2000]}, sys.stdout)
        return FAILED
    json.dump(answer, sys.stdout)
    return 0


def _no_hooks() -> Any:
    from deltalake import PostCommitHookProperties

    return PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


def _bound(seconds: int) -> None:
    """Bound the time, because whoever started this may be gone; leave no core with secrets in it."""
    signal.alarm(seconds + _ALARM_LATER_SECONDS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


if __name__ == "__main__":
    sys.exit(main())
