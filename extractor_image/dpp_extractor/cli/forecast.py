"""Ask source and destination what the next run would read: the extractor's part of `dpp plan`.

Registered by the entry point `dpp.forecast`. Both are only read, and of the source no row.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from dpp_core import logs
from dpp_core.forecast import Asked, Caution, Forecast, Selected
from dpp_core.handover import Destination, RunRequest
from dpp_extractor.cli.source import Opened, open_for_looking

if TYPE_CHECKING:
    from dpp_extractor.batch import FoundObject
    from dpp_extractor.extract.database.selection import Selection
    from dpp_extractor.heads import Heads


def forecast(request: RunRequest, asked: Asked) -> Forecast:
    """Say what a run of this request would read now, and what its selection stands for.

    Raises what ends all of a run: 21, 22, 23, 26 or 30.
    """
    from dpp_extractor.extract.database.cautions import look_at_horizon
    from dpp_extractor.extract.database.selection import Selection
    from dpp_extractor.forecast import Ground, forecast_units

    logs.set_up_logging("WARNING", "")
    selection = Selection(asked.forms)
    with open_for_looking(request, asked.secrets_file) as opened:
        heads = _look_at_heads(request, opened)
        said = opened.source.ping()
        found = _discover(request, asked, selection, opened)
        with opened.source.snapshot() as view:
            ground = Ground(
                heads={unit.dataset: head for unit, head in heads.sound},
                ended={record.dataset: record for record in heads.ended},
                blocks=heads.blocks,
                found=found,
            )
            return Forecast(
                source=said,
                units=forecast_units(request, view, ground),
                cautions=(
                    *look_at_horizon(view.clocks, request.units),
                    *_look_at_forms(selection, found),
                ),
                selection=asked.forms,
                selected=list_selected(found, selection, asked),
            )


def list_selected(
    found: "tuple[FoundObject, ...]", selection: "Selection", asked: Asked
) -> tuple[Selected, ...]:
    """List what a selection stands for, each with the dataset that lists it or that could."""
    from dpp_extractor.extract.database.discovery import choose, propose
    from dpp_extractor.extract.database.selection import find_named

    if not selection.forms:
        return ()
    chosen = choose(found, selection)
    pairs = [(find_named(chosen, name), dataset) for name, dataset in asked.listed.items()]
    listed = {there.object: dataset for there, dataset in pairs if there is not None}
    unlisted = [each for each in chosen if each.object not in listed]
    proposed = {each.found.object: each for each in propose(unlisted, asked.listed.values())}
    return tuple(
        Selected(object=each.object, dataset=listed[each.object])
        if each.object in listed
        else Selected(
            object=each.object,
            entry=proposed[each.object].entry,
            note=proposed[each.object].note,
        )
        for each in chosen
    )


def _discover(
    request: RunRequest, asked: Asked, selection: "Selection", opened: Opened
) -> "tuple[FoundObject, ...]":
    """Ask the catalogue for what is listed and what is selected, and for nothing else."""
    named = {name.casefold() for name in (*asked.listed, *(unit.object for unit in request.units))}

    def is_wanted(name: str, full_name: str) -> bool:
        is_listed = bool({name.casefold(), full_name.casefold()} & named)
        return is_listed or (bool(selection.forms) and selection.is_wanted(name, full_name))

    return opened.source.discover(is_wanted)


def _look_at_forms(selection: "Selection", found: "tuple[FoundObject, ...]") -> tuple[Caution, ...]:
    return tuple(
        Caution(
            about="Selection",
            message=f"No table or view of the source has a name of the form {form!r}.",
            fix="Names are compared with their case; `dpp discover` lists them.",
        )
        for form in selection.list_idle(found)
    )


def _look_at_heads(request: RunRequest, opened: Opened) -> "Heads":
    from dpp_extractor.guard.retry import ONCE, retrying
    from dpp_extractor.heads import Heads, look_at_heads
    from dpp_extractor.wiring import open_store

    if not request.units or _is_missing(request.destination):
        return Heads((), (), ())
    store = open_store(request.destination, opened.read_secret, retrying(ONCE, what="destination"))
    return look_at_heads(request, store)


def _is_missing(destination: Destination) -> bool:
    """Say that there is no folder yet: opening it would make it, and a look makes nothing."""
    return destination.kind == "Folder" and not Path(destination.path).is_dir()
