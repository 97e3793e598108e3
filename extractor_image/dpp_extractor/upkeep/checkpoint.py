"""Checkpoints, so that readers of a long log need not read all of it.

Called by `maintain` when enough versions lie behind the last one, and by a run for every hundredth
commit. A checkpoint adds nothing to a table that the log does not say; without one all goes on,
only slower. Two at once write the same.
"""

from collections.abc import Mapping
from typing import Any, Final

from dpp_core import logs
from dpp_core.errors import DppError
from dpp_core.redaction import redact
from dpp_extractor.ports import Store
from dpp_extractor.publish.keys import Stream
from dpp_extractor.publish.span import find_span
from dpp_extractor.upkeep.child import Bounds, Work, carry_out, is_deltalake_there
from dpp_extractor.upkeep.place import Place

EVERY_COMMITS: Final = 100
AFTER_RUN_SECONDS: Final = 120.0


def count_behind(store: Store, stream: Stream) -> int:
    """Count the versions after the last checkpoint; 0 without a table."""
    span = find_span(store, stream)
    if span is None:
        return 0
    last = span.checkpoints[-1].version if span.checkpoints else -1
    return span.last - last


def checkpoint(place: Place, bounds: Bounds) -> Mapping[str, Any]:
    """Write a checkpoint of the newest version; raises what `child.carry_out` raises."""
    return carry_out(Work("checkpoint", place), bounds)


def checkpoint_after_run(place: Place, bounds: Bounds) -> bool:
    """Write a checkpoint behind a run that is recorded already; whatever goes wrong only warns."""
    if not is_deltalake_there():
        logs.warning("checkpoint_left_out", message="the package deltalake is not installed")
        return False
    try:
        answer = checkpoint(place, bounds)
    except (DppError, OSError) as error:
        logs.warning("checkpoint_failed", table=place.uri, message=redact(str(error))[:300])
        return False
    logs.info("checkpoint_written", table=place.uri, version=answer["version"])
    return True
