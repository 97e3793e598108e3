"""Named points of the publish path, where tests kill the process, and how to wait between tries.

Called by `commit`, `claim`, `head`, `probe` and `upload`; wiring hands in the real waiting, tests
hand in kills and no waiting at all. The names of the points are listed here because tests count on
them. Nothing may decide anything by a hook.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

POINTS: Final = (
    "preflight",
    "claimed",
    "heads_read",
    "multipart_half",
    "part_uploaded",
    "commit_sent",
    "commit_unread",
    "step_committed",
    "committed",
    "copied",
)
"""`multipart_half`: the first piece of a large file lies in the store, and the file is not there yet.
`commit_sent`: before the PUT leaves. `commit_unread`: the PUT was answered, nobody looked yet.
"""

_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 30.0


def do_nothing(_point: str) -> None:
    """Pass a point without doing anything."""


def wait_seconds(tries: int) -> float:
    """Say how long to wait: 0.5 s after the first try, doubling, never over 30 s."""
    return float(min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** min(tries, 10)))


def wait_longer(tries: int) -> None:
    """Wait between two tries, and nothing ends the wait; a run waits through its stop instead."""
    threading.Event().wait(wait_seconds(tries))


def wait_never(_tries: int) -> None:
    """Go on at once; for tests."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """`at` is called at each named point; `pause` between two tries, with the number of tries so
    far (from 0).
    """

    at: Callable[[str], None] = do_nothing
    pause: Callable[[int], None] = wait_longer


NO_HOOKS: Final = Hooks()
