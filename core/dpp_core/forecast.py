"""What the next run would read, as far as source and destination tell without reading a row.

Made by the extractor, which plugs it in by the entry point `dpp.forecast`; shown by `dpp plan
--connect`. Nothing here decides anything, and nothing of it reaches a run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from dpp_core.handover import RunRequest
from dpp_core.names import Reason

PLUG_INS: Final = "dpp.forecast"
"""Group of entry points; each names a `Forecaster`."""


class _Told(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class Caution(_Told):
    """Something to look at before the run; it does not stop the run. `fix` is what to do, a
    statement for the source's owner where there is one.
    """

    about: Literal["Horizon", "Holder", "Index", "Key", "Nulls", "Days", "Schema", "Selection"]
    message: str
    fix: str = ""


class UnitForecast(_Told):
    """What a run would read of one dataset. `Nothing`: no row can be new. `Refused`: the run would
    end this dataset with `code`.

    `low` None = from the beginning; `high` None with a Window = the greatest value there is then.
    `estimated_rows` is None where there is no estimate.
    """

    dataset: str
    object: str
    reads: Literal["Full", "Window", "Nothing", "Refused"]
    kind: Literal["append", "replace", "reset", ""] = ""
    cursor: str = ""
    low: str | None = None
    high: str | None = None
    estimated_rows: int | None = None
    code: int = 0
    reason: Reason | None = None
    message: str = ""
    fix: str = ""
    cautions: tuple[Caution, ...] = ()


class Selected(_Told):
    """An object that the selection stands for. `dataset` is the one that lists it; where none
    does, `entry` is what could be listed.
    """

    object: str
    dataset: str = ""
    entry: dict[str, Any] | None = None
    note: str = ""


class Forecast(_Told):
    """What a run would read now: `source` is who answered; `cautions` are those of all datasets."""

    source: str
    units: tuple[UnitForecast, ...] = ()
    cautions: tuple[Caution, ...] = ()
    selection: tuple[str, ...] = ()
    selected: tuple[Selected, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked beside the request: the selection's forms, the source objects of all datasets
    that the file lists (by name), and where secrets lie.
    """

    forms: tuple[str, ...] = ()
    listed: Mapping[str, str] = field(default_factory=dict)
    secrets_file: Path | None = None


Forecaster = Callable[[RunRequest, Asked], Forecast]
"""Reads source and destination and writes nothing; raises DppError when they cannot be asked."""
