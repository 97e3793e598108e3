"""A process that commits to one table until it has made its share, as runs do beside upkeep.

Called by the tests of upkeep as a program: `python upkeep_writer.py <json>`, with the table's place,
the first id and the number of commits. Each commit adds ten rows; a fenced one is tried on a new head.
"""

import json
import sys
import time
from dataclasses import replace
from typing import Any

from dpp_core.errors import FencedError
from dpp_extractor.adapters.bucket import BucketSettings, open_bucket
from dpp_extractor.adapters.folder import open_folder
from dpp_extractor.ports import Store
from table import IDENTITY, TableWriter, number_rows

APPEND_IDENTITY = replace(IDENTITY, write="Append")
ROWS = 10


def open_place(place: dict[str, Any]) -> Store:
    """Open a folder or a bucket by what a test wrote down."""
    if "folder" in place:
        return open_folder(place["folder"])
    return open_bucket(BucketSettings(**place))


def add_some(writer: TableWriter, first: int, commits: int, name: str = "w") -> None:
    """Commit ten rows a time; ids rise from `first`."""
    for number in range(commits):
        start = first + number * ROWS
        rows = number_rows(list(range(start, start + ROWS)))
        attempt = 0
        while True:
            attempt += 1
            head = writer.head()
            draft = writer.draft(
                head, rows, identity=APPEND_IDENTITY, attempt_id=f"{name}-{number}-{attempt}"
            )
            try:
                writer.commit(head, draft)
                break
            except FencedError:
                time.sleep(0.01)


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    add_some(
        TableWriter(open_place(asked["place"])), asked["first"], asked["commits"], asked["name"]
    )
