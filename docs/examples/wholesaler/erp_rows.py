"""The rows of the sample ERP: what its customers, items, prices, stock and orders look like.

Called by `erp.py` alone. Every cell comes from the `chance` handed in, so that a seed fixes the
whole database. Nothing here may touch a file or a clock.
"""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

Row = tuple[Any, ...]

CUSTOMERS: Final = 8_000
ITEMS: Final = 6_000
ORDERS: Final = 42_000
PRICE_LISTS: Final = ("A", "B", "C", "Aktion")
WAREHOUSES: Final = ("Köln", "Łódź")
FIRST_DAY: Final = date(2023, 1, 2)
DAYS: Final = 910

_FIRMS: Final = [
    "Müller Hochbau",
    "Groß & Söhne",
    "Baustoffe Weiß",
    "Żuraw Budowa",
    "Δομική Θεσσαλονίκης",
    "Stavby Dvořák",
    "Yapı Çağdaş",
    "Будівельник Київ",
    "山田建材",
    "Ængland Byg",
    "Peña Construcción",
    "O'Brien Roofing",
    "Châteauneuf Matériaux",
    "Õhtu Ehitus",
    '"Fix" Trockenbau, Inh. Ö. Kaya',
    "Søndergaard Tømrer",
]
_FORMS: Final = [
    "GmbH",
    "KG",
    "e.K.",
    "Sp. z o.o.",
    "Α.Ε.",
    "s.r.o.",
    "A.Ş.",
    "ТОВ",
    "株式会社",
    "ApS",
    "S.L.",
    "Ltd.",
]
_STREETS: Final = [
    "Hauptstraße",
    "Industriering",
    "ul. Długa",
    "Οδός Ερμού",
    "Nádražní",
    "вул. Лісова",
]
_CITIES: Final = (
    ("Köln", "DE", "50667", 50.9375, 6.9603),
    ("Łódź", "PL", "90-001", 51.7592, 19.456),
    ("Θεσσαλονίκη", "GR", "546 22", 40.6401, 22.9444),
    ("Plzeň", "CZ", "301 00", 49.7384, 13.3736),
    ("İzmir", "TR", "35210", 38.4237, 27.1428),
    ("Львів", "UA", "79000", 49.8397, 24.0297),
    ("Århus", "DK", "8000", 56.1629, 10.2039),
    ("Leipzig", "DE", "04103", 51.3397, 12.3731),
)
_GOODS: Final = [
    "Zementsäcke",
    "Dämmplatte",
    "Gipskarton",
    "Dachziegel",
    "Rohr ⌀ 110",
    "Schraube M8×40",
    "Fliesenkleber",
    "Bauholz",
    "Pflasterstein",
    "Estrich",
    "Lüftungsgitter",
    "Silikon",
    "Kabelkanal",
    "Türzarge",
    "Bewehrungsstahl",
]
_UNITS: Final = ("Stk", "m", "m²", "m³", "kg", "Sack", "Pal", None)
_STATES: Final = ("open", "picked", "shipped", "invoiced", "cancelled")
_CHANNELS: Final = ("phone", "web", "edi", "Theke", None)


def customer(chance: random.Random, no: int, updated_at: str) -> Row:
    city, country, postcode, latitude, longitude = chance.choice(_CITIES)
    return (
        no,
        f"{chance.choice(_FIRMS)} {chance.choice(_FORMS)}",
        f"{chance.choice(_STREETS)} {chance.randint(1, 240)}",
        postcode,
        city,
        country,
        maybe(chance, f"einkauf{no}@kunde.example", 0.8),
        maybe(chance, f"+49 221 {chance.randint(100_000, 999_999)}", 0.6),
        maybe(chance, chance.randrange(0, 25_000_000, 5_000) / 100, 0.9),
        maybe(chance, chance.randint(0, 3_000) / 100, 0.5),
        chance.random() < 0.93,
        latitude + chance.randint(-9_999, 9_999) / 100_000,
        longitude + chance.randint(-9_999, 9_999) / 100_000,
        (FIRST_DAY - timedelta(days=chance.randint(0, 9_000))).isoformat(),
        maybe(chance, 'zahlt bar;\n"Tor 3", 🚚 nur bis 7,5 t', 0.05),
        updated_at,
    )


def item(chance: random.Random, no: int, updated_at: str) -> Row:
    launched_on = FIRST_DAY - timedelta(days=chance.randint(0, 4_000))
    discontinued_on = launched_on + timedelta(days=chance.randint(100, 5_000))
    return (
        item_no(no),
        f"{chance.choice(_GOODS)} {chance.randint(1, 400)}",
        chance.choice(_UNITS),
        maybe(chance, chance.randint(1, 2_500_000) / 1_000, 0.85),
        maybe(chance, chance.randint(5, 12_000), 0.7),
        maybe(chance, chance.random() < 0.04, 0.97),
        maybe(chance, f"40{chance.randrange(10**11):011d}", 0.9),
        maybe(chance, b"\x89PNG\x00" + chance.randbytes(24), 0.3),
        launched_on.isoformat(),
        maybe(chance, discontinued_on.isoformat(), 0.1),
        updated_at,
    )


def prices(chance: random.Random) -> Iterator[Row]:
    for no in range(1, ITEMS + 1):
        base = chance.randint(500, 9_000_000)
        for place, price_list in enumerate(PRICE_LISTS):
            price = (base - place * base // 20) / 10_000
            yield item_no(no), price_list, price, "EUR", any_day(chance).isoformat(), stamp(chance)


def stock(chance: random.Random) -> Iterator[Row]:
    for no in range(1, ITEMS + 1):
        for warehouse in WAREHOUSES:
            yield (
                item_no(no),
                warehouse,
                chance.randint(-5_000, 9_000_000) / 1_000,
                maybe(chance, chance.randint(0, 500), 0.8),
                maybe(chance, chance.randint(1, 4_000) / 100, 0.5),
                chance.random() < 0.02,
                maybe(chance, any_day(chance).isoformat(), 0.75),
                stamp(chance),
            )


def order(chance: random.Random, no: int, at: datetime | None) -> tuple[Row, list[Row]]:
    """Give one order and its lines; without `at` in the past, where some were changed late."""
    ordered_on = at.date() if at else FIRST_DAY + timedelta(days=(no * DAYS) // (ORDERS + 1))
    created_at = updated_at = text(at) if at else stamp_on(chance, ordered_on)
    if at is None and chance.random() < 0.03:
        updated_at = max(created_at, stamp(chance))
    lines = [order_line(chance, no, line, updated_at) for line in range(1, chance.randint(2, 6))]
    row = (
        no,
        chance.randint(1, CUSTOMERS),
        ordered_on.isoformat(),
        maybe(chance, (ordered_on + timedelta(days=chance.randint(1, 30))).isoformat(), 0.8),
        "open" if at else chance.choice(_STATES),
        chance.choice(_CHANNELS),
        maybe(chance, f"BV „Am Rhein“ / {chance.randint(1, 99)}", 0.4),
        maybe(chance, chance.random() < 0.1, 0.9),
        sum(round(line[6] * 100) for line in lines) / 100,
        created_at,
        updated_at,
    )
    return row, lines


def order_line(chance: random.Random, order_no: int, line_no: int, updated_at: str) -> Row:
    quantity = chance.randint(1, 400_000)
    price = chance.randint(500, 2_000_000)
    return (
        order_no,
        line_no,
        item_no(chance.randint(1, ITEMS)),
        quantity / 1_000,
        price / 10_000,
        maybe(chance, chance.randint(0, 2_500) / 100, 0.3),
        quantity * price // 100_000 / 100,
        maybe(chance, updated_at, 0.7),
        updated_at,
    )


def item_no(no: int) -> str:
    return f"BS-{no:06d}"


def maybe(chance: random.Random, value: Any, likely: float) -> Any:
    """Give the value, or NULL as often as real people leave a field empty."""
    return value if chance.random() < likely else None


def any_day(chance: random.Random) -> date:
    return FIRST_DAY + timedelta(days=chance.randint(0, DAYS - 1))


def stamp(chance: random.Random) -> str:
    return stamp_on(chance, any_day(chance))


def stamp_on(chance: random.Random, day: date) -> str:
    hour, minute, second = chance.randint(6, 19), chance.randint(0, 59), chance.randint(0, 59)
    return f"{day} {hour:02d}:{minute:02d}:{second:02d}.{chance.randint(0, 999_999):06d}"


def text(at: datetime) -> str:
    """Write an instant the way this ERP does: UTC, no zone, microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
