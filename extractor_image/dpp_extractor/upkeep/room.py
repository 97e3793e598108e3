"""How much memory is left beside us in this container.

Called by `child`, which ends its child before the kernel ends the whole container: that would take the run's report
along. Reads the limit that a container's control group has; on a machine without one there is no limit.
"""

import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Final

RESERVE_BYTES: Final = 32 * 1024 * 1024
LIMIT_FILES: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where the second and the first version of control groups tell it."""
_NO_LIMIT_BYTES: Final = 1 << 60


def find_room(limit_bytes: int | None, own_bytes: int) -> int | None:
    """Say how many bytes a child may hold; None without a limit. A reserve is kept for the kernel's own pages."""
    if limit_bytes is None:
        return None
    return max(0, limit_bytes - own_bytes - RESERVE_BYTES)


def read_limit(files: Sequence[Path] = LIMIT_FILES) -> int | None:
    """Read this container's memory limit in bytes; None where there is none, or the system does not tell."""
    for file in files:
        try:
            text = file.read_text(encoding="ascii").strip()
        except OSError:
            continue
        limit = int(text) if text.isdigit() else _NO_LIMIT_BYTES
        return limit if limit < _NO_LIMIT_BYTES else None
    return None


def read_resident(pid: int | str = "self") -> int:
    """Read what a process really holds; 0 where the system does not tell. Limits on addresses will
    not do: hundreds of threads reserve gigabytes and use little of them.
    """
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * resource.getpagesize()
