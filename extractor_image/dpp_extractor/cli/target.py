"""What a looking command looks at: the streams of a file's extraction, or of a whole destination.

Called by show, log, ping, verify, maintain and index. Opening a destination writes nothing to it.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dpp_core.cli.plan import choose_policy
from dpp_core.documents.loading import load_extraction
from dpp_core.errors import UsageError
from dpp_core.handover import Destination, RunRequest
from dpp_core.plan import build_destination, new_run, resolve

if TYPE_CHECKING:
    from dpp_extractor.ports import ReadSecret, Store
    from dpp_extractor.publish.claim import Owner
    from dpp_extractor.publish.keys import Stream

_CLAIM: Final = re.compile(r"([^/]+)/([^/]+)/_dpp/datasets/([^/]+)/claim\.json")

OptionalFileOption = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        help="File with the DistributorExtraction; without it, all of --to.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Target:
    """An opened destination, the streams that were asked for, and where secrets come from.

    `owner` is the extraction of the file; None when all of a destination is meant.
    """

    store: "Store"
    streams: "tuple[Stream, ...]"
    destination: Destination
    read_secret: "ReadSecret"
    owner: "Owner | None" = None


def resolve_for_looking(file: Path, policy: Path | None, to: str | None) -> RunRequest:
    """Resolve a file as a run would, to learn where its tables lie."""
    rules = choose_policy(policy, to)
    extraction = load_extraction(file)
    return resolve(extraction, rules, new_run(extraction, rules, datetime.now(UTC), "look"))


@contextmanager
def open_target(
    file: Path | None,
    policy: Path | None,
    to: str | None,
    datasets: Sequence[str],
    secrets_file: Path | None,
) -> Iterator[Target]:
    """Open the destination. Raises UsageError for a dataset that is not there."""
    from dpp_extractor.adapters.secrets import SecretPlaces, open_secrets
    from dpp_extractor.guard.deadline import Stop
    from dpp_extractor.guard.retry import RetryPolicy, retrying
    from dpp_extractor.publish.keys import Stream
    from dpp_extractor.settings import read_settings
    from dpp_extractor.wiring import Surroundings, open_store, secret_places

    request = resolve_for_looking(file, policy, to) if file else None
    destination = request.destination if request else _destination_of(policy, to)
    around = Surroundings(os.environ, read_settings(os.environ), Stop(), secrets_file)
    places = (
        secret_places(request, around)
        if request
        else SecretPlaces(environment=os.environ, file=secrets_file)
    )
    with open_secrets(places) as read_secret:
        _refuse_missing_folder(destination)
        store = open_store(destination, read_secret, retrying(RetryPolicy(), what="destination"))
        if request is None:
            streams = tuple(_find_streams(store))
        else:
            streams = tuple(
                Stream(request.namespace, request.extraction, unit.dataset)
                for unit in request.units
            )
        owner = _build_owner(request) if request else None
        yield Target(store, _choose(streams, datasets), destination, read_secret, owner)


def _build_owner(request: RunRequest) -> "Owner":
    from dpp_extractor.publish.claim import Owner

    return Owner(request.cluster, request.namespace, request.extraction, request.distributor)


def _destination_of(policy: Path | None, to: str | None) -> Destination:
    rules = choose_policy(policy, to)
    if len(rules.destinations) != 1:
        raise UsageError(
            f"The policy has {len(rules.destinations)} destinations.",
            field="--to",
            fix="Name one with --to, or an extraction with -f.",
        )
    return build_destination(next(iter(rules.destinations.values())))


def _refuse_missing_folder(destination: Destination) -> None:
    if destination.kind == "Folder" and not Path(destination.path).is_dir():
        raise UsageError(
            f"There is no folder {destination.path}.",
            field="--to",
            fix="Give the --to of the run, or start the first run.",
        )


def _find_streams(store: "Store") -> "Iterator[Stream]":
    from dpp_extractor.publish.keys import Stream

    for entry in store.list(""):
        match = _CLAIM.fullmatch(entry.key)
        if match:
            yield Stream(*match.groups())


def _choose(streams: "tuple[Stream, ...]", datasets: Sequence[str]) -> "tuple[Stream, ...]":
    known = {stream.dataset for stream in streams}
    unknown = [name for name in datasets if name not in known]
    if unknown:
        raise UsageError(
            f"There is no dataset {unknown[0]!r}.",
            field="--dataset",
            fix=f"Known: {', '.join(sorted(known)) or 'none'}.",
        )
    return tuple(stream for stream in streams if not datasets or stream.dataset in datasets)
