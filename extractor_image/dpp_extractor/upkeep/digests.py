"""Digests of the files that compaction wrote: its writer leaves none in the log, so they lie beside it.

Called by `compact` (writes) and `verify` (reads). One small document a compaction under
`_dpp/datasets/<dataset>/digests/<version>.json`, put once and never deleted. Without it a compacted
file can only be checked for its form.
"""

import json
from collections.abc import Iterable

from dpp_core.errors import DestinationUnavailableError
from dpp_extractor.ports import Put, Store
from dpp_extractor.publish.keys import Stream, control_prefix, table_prefix
from dpp_extractor.upkeep.contents import compute_checksum

_LIKE = "sha256:" + "0" * 64


def put_digests(store: Store, stream: Stream, version: int, paths: Iterable[str]) -> None:
    """Read the files once and put their digests. Twice does nothing the second time.

    Raises DestinationUnavailableError (26) when the store does not take them.
    """
    key = f"{control_prefix(stream)}/digests/{version:020d}.json"
    prefix = table_prefix(stream)
    digests = {path: compute_checksum(store, f"{prefix}/{path}", _LIKE) for path in sorted(paths)}
    body = json.dumps(digests, separators=(",", ":"), sort_keys=True).encode()
    if store.put_if_absent(key, body) is not Put.CREATED and store.get(key) is None:
        raise DestinationUnavailableError(
            f"{store.uri}/{key} could not be written; the compaction itself is sound.",
            fix="Without it `dpp verify --deep` can only check the form of these files.",
        )


def read_digests(store: Store, stream: Stream) -> dict[str, str]:
    """Read all digests by path; a document that cannot be read counts as not there."""
    found: dict[str, str] = {}
    for entry in store.list(f"{control_prefix(stream)}/digests/"):
        try:
            said = json.loads(store.get(entry.key) or b"{}")
            found |= {str(path): str(value) for path, value in said.items()}
        except (ValueError, AttributeError):
            continue
    return found
