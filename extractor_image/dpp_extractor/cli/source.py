"""Open a file's source to look at it, for the commands that are no run: one try, and no patience.

Called by `discover` and `forecast`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dpp_core.handover import RunRequest

if TYPE_CHECKING:
    from dpp_extractor.ports import ReadSecret, Source


@dataclass(frozen=True, slots=True)
class Opened:
    """A connected source, and where further secrets come from."""

    source: "Source"
    read_secret: "ReadSecret"


@contextmanager
def open_for_looking(request: RunRequest, secrets_file: Path | None) -> Iterator[Opened]:
    """Connect to a request's source. Raises what connecting raises (21, 22, 23)."""
    from dpp_extractor.adapters.secrets import open_secrets
    from dpp_extractor.guard.deadline import Stop
    from dpp_extractor.guard.retry import ONCE, retrying
    from dpp_extractor.settings import read_settings
    from dpp_extractor.wiring import Surroundings, open_source, secret_places

    around = Surroundings(os.environ, read_settings(os.environ), Stop(), secrets_file)
    once = retrying(ONCE)
    with open_secrets(secret_places(request, around), once) as read_secret:
        secret = {} if request.source.engine == "sqlite" else read_secret("source")
        with open_source(request, secret, once, around) as source:
            yield Opened(source, read_secret)
