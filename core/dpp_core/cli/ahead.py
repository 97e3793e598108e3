"""`dpp plan --connect`: what the next run reads, asked of source and destination by the extractor.

Called by `plan`. The asking itself is plugged in by the entry point `dpp.forecast`, because it needs
drivers, and the core loads none.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

from dpp_core.cli.output import print_table
from dpp_core.documents.loading import Outline
from dpp_core.documents.writing import write_entry
from dpp_core.errors import InternalError, SpecError, UsageError
from dpp_core.forecast import (
    PLUG_INS,
    Asked,
    Forecast,
    Forecaster,
    Selected,
    UnitForecast,
)
from dpp_core.handover import RunRequest
from dpp_core.spec.dataset import DatasetSpec
from dpp_core.spec.extraction import MOST_DATASETS, Extraction

Resolve = Callable[[Extraction, Sequence[str]], RunRequest]
"""Resolves an extraction and the datasets that were named (none = all) into a request."""


def look_ahead(
    outline: Outline, resolve: Resolve, asked: Asked, datasets: Sequence[str]
) -> tuple[RunRequest, Forecast]:
    """Resolve the file and ask what the run would read.

    A file that lists no dataset is resolved by its selection: into the list that `dpp discover
    --write` would give it. Raises SpecError when it has neither, and what the asking raises.
    """
    ask = find_forecaster()
    listed = {each.object or each.name: each.name for each in outline.listed}
    asked = replace(asked, listed=listed)
    extraction = outline.extraction
    if not outline.listed:
        extraction = _list_selected(extraction, resolve, asked, ask)
    request = resolve(extraction, datasets)
    return request, ask(request, asked)


def find_forecaster() -> Forecaster:
    """Find the installed package that can ask a source. Raises UsageError when there is none."""
    for entry in entry_points(group=PLUG_INS):
        try:
            found: Forecaster = entry.load()
        except (ImportError, AttributeError) as error:
            raise InternalError(
                f"--connect cannot be loaded from {entry.value}: {error}.",
                fix="Install the package it belongs to again.",
            ) from error
        return found
    raise UsageError(
        "--connect needs the extractor, which is not installed here.",
        field="--connect",
        fix="Install the package dpp-extractor beside dpp-core.",
    )


def _list_selected(
    extraction: Extraction, resolve: Resolve, asked: Asked, ask: Forecaster
) -> Extraction:
    if not asked.forms:
        raise SpecError(
            "The file lists no dataset and has no selection.",
            field="spec.datasets",
            fix="Write them with `dpp discover --write`, or say what is meant with --select '*'.",
        )
    nothing_yet = resolve(extraction, ()).model_copy(update={"units": ()})
    selected = ask(nothing_yet, asked).selected
    entries = [each.entry for each in selected if each.entry is not None]
    if not 1 <= len(entries) <= MOST_DATASETS:
        raise UsageError(
            f"The selection {', '.join(asked.forms)} stands for {len(entries)} readable objects; an extraction has "
            f"1 to {MOST_DATASETS}.",
            field="--select",
            fix="`dpp discover` lists what there is.",
        )
    datasets = tuple(DatasetSpec.model_validate(each) for each in entries)
    spec = extraction.spec.model_copy(update={"datasets": datasets})
    return extraction.model_copy(update={"spec": spec})


def print_forecast(forecast: Forecast, file: Path) -> None:
    """Print a line a dataset, then what to look at, then what the selection stands for."""
    columns = ("DATASET", "OBJECT", "READS", "FROM", "TO", "ROWS (ESTIMATE)")
    print_table(columns, [_row(unit) for unit in forecast.units])
    told = [("all", each.message, each.fix) for each in forecast.cautions]
    for unit in forecast.units:
        told += [(unit.dataset, unit.message, unit.fix)] if unit.message else []
        told += [(unit.dataset, each.message, each.fix) for each in unit.cautions]
    if told:
        print("\nTo look at:")
    for whom, message, fix in told:
        print(f"  {whom}: {message}")
        if fix:
            print(f"      {fix}")
    if forecast.selection:
        _print_selected(forecast, file)


def describe_reading(unit: UnitForecast) -> str:
    """Say in a few words what a run reads of a dataset."""
    if unit.reads == "Refused":
        return f"refused ({unit.code} {unit.reason.value if unit.reason else ''})".replace(
            " )", ")"
        )
    if unit.reads == "Nothing":
        return "nothing new"
    anew = ", anew" if unit.kind == "reset" else ""
    return f"changes by {unit.cursor}{anew}" if unit.reads == "Window" else f"every row{anew}"


def _row(unit: UnitForecast) -> tuple[object, ...]:
    is_window = unit.reads == "Window"
    low = (unit.low or "the beginning") if is_window else unit.low
    high = (unit.high or f"the greatest {unit.cursor}") if is_window else ""
    return (unit.dataset, unit.object, describe_reading(unit), low, high, unit.estimated_rows)


def _print_selected(forecast: Forecast, file: Path) -> None:
    missing = [each for each in forecast.selected if not each.dataset]
    print(f"\nSelection {', '.join(forecast.selection)}: {len(forecast.selected)} objects")
    print_table(
        ("OBJECT", "DATASET", "ENTRY", "NOTE"), [_selected_row(each) for each in forecast.selected]
    )
    if any(each.entry for each in missing):
        print(f"\nNot listed yet; `dpp discover -f {file} --write` adds what has an entry.")


def _selected_row(selected: Selected) -> tuple[object, ...]:
    entry = write_entry(selected.entry) if selected.entry is not None else ""
    return (selected.object, selected.dataset or "not listed", entry, selected.note)
