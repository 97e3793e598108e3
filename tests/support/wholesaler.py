"""The demo's ERP, for tests: loads its generator from the docs and says what of it must arrive.

Called by tests of the demo and of equality. The generator is an example, not a package, so it is
loaded from its folder.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from equality import Row, sqlite_rows

FOLDER: Final = Path(__file__).parents[2] / "docs" / "examples" / "wholesaler"
STOCK_NAMES: Final = {
    "Artikel Nr": "artikel_nr",
    "Lagerort": "lagerort",
    "Bestand (Stück)": "bestand_stueck",
    "Mindestbestand": "mindestbestand",
    "Regal-Größe m²": "regal_groesse_m2",
    "Gesperrt?": "gesperrt",
    "Letzte Zählung": "letzte_zaehlung",
    "GeändertAm": "geaendert_am",
}


@dataclass(frozen=True, slots=True)
class Described:
    """A dataset of the sample: the ERP's table, its key in the ERP's names, and renamed columns."""

    table: str
    key: tuple[str, ...]
    names: Mapping[str, str]
    is_whole: bool = False


DATASETS: Final[Mapping[str, Described]] = {
    "orders": Described("orders", ("order_no",), {}),
    "order_lines": Described("order_lines", ("order_no", "line_no"), {}),
    "customers": Described("customers", ("customer_no",), {}),
    "items": Described("items", ("item_no",), {}),
    "prices": Described("prices", ("item_no", "price_list"), {}, is_whole=True),
    "stock": Described("Lagerbestand", ("Artikel Nr", "Lagerort"), STOCK_NAMES, is_whole=True),
}


def load_erp() -> ModuleType:
    """Load the generator; twice is harmless."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return import_module("erp")


def good_rows(path: Path, table: str) -> list[Row]:
    """Read the rows of a table that fit their declared types: those that must arrive."""
    bad = [str(rowid) for _, _, rowids in load_erp().BAD_CELLS.get(table, ()) for rowid in rowids]
    return sqlite_rows(path, table, f"rowid NOT IN ({', '.join(bad)})" if bad else "1 = 1")
