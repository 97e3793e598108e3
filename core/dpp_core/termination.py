"""A RunReport in the 4,096 bytes of a Job's termination message, and back.

Called by the extractor's `__main__` (writes) and by the operator (reads). Both know the request, so the datasets'
names need not travel when room is short. Pure. The report only ever loses what the run record keeps: first long
messages, then messages and fingerprints, then names, then the deleted rows, then the highs' time of day, then the
highs; only a report that is still too long loses good units, says `truncated`, and keeps the failing ones first.

Form: `dpp1:` + base85(zlib(JSON) + numbers). The units are columns, each left out when it holds
nothing; texts stand in the JSON, numbers are packed behind it into as few bits as their range needs, so that 100 units
with the largest numbers fit. What a newer version adds is ignored on read.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from dpp_core.errors import SpecError
from dpp_core.handover import RunReport
from dpp_core.names import Reason, UnitOutcome

REPORT_LIMIT_BYTES: Final = 4096
HIGH_LIMIT_CHARACTERS: Final = 32
_PREFIX: Final = "dpp1:"
_LONGEST_PLAIN_BYTES: Final = 1_000_000
_TEXTS: Final = ("message", "fingerprint")
_NUMBERS: Final[dict[str, int | None]] = {
    "seq": None,
    "version": None,
    "rows": 0,
    "quarantined": 0,
    "deleted": 0,
    "code": 0,
}
"""Columns of numbers, each with its default."""
_OUTCOMES: Final = tuple(UnitOutcome)
_REASONS: Final = tuple(Reason)
"""Outcomes and reasons travel as their place in these frozen lists, which only ever grow at their end (tested)."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Fields = dict[str, Any]
Numbers = list[int | None]


def build_termination_message(report: RunReport, datasets: Sequence[str] = ()) -> bytes:
    """Fit a report into 4,096 bytes; `datasets` are the request's, in its order.

    100 worst-case units fit (tested). Without `datasets` the names always travel, and fewer units may fit.
    """
    units = [unit.model_dump(mode="json") for unit in report.units]
    for shorten in (_messages(120), _messages(60), _messages(24), _without(*_TEXTS)):
        body = _encode(report, [shorten(unit) for unit in units], ())
        if len(body) <= REPORT_LIMIT_BYTES:
            return body
    known = datasets if {unit["dataset"] for unit in units} <= set(datasets) else ()
    for shorten in (
        _without(*_TEXTS),
        _without(*_TEXTS, "deleted"),
        _without_time,
        _without(*_TEXTS, "deleted", "high"),
    ):
        body = _encode(report, [shorten(unit) for unit in units], known)
        if len(body) <= REPORT_LIMIT_BYTES:
            return body
    return _cut(report, units, known)


def parse_termination_message(body: bytes, datasets: Sequence[str] = ()) -> RunReport:
    """Read what `build_termination_message` wrote; `datasets` are those of the same request.

    Raises SpecError when it is anything else, or when names are needed and these are not they. A reason that this
    version does not know is left out; the exit code still tells.
    """
    text = body.decode("ascii", errors="replace").strip()
    if not text.startswith(_PREFIX):
        raise SpecError("The termination message is not a DPP run report.")
    try:
        head, packed = _decompress(base64.b85decode(text.removeprefix(_PREFIX)))
        fields = json.loads(head)
        fields["units"] = _rows(fields.pop("units"), packed, datasets)
        return RunReport.model_validate(fields)
    except (ValueError, zlib.error, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise SpecError(f"The termination message is damaged: {error}") from error


def _cut(report: RunReport, units: list[Fields], known: Sequence[str]) -> bytes:
    """Keep as many units as fit, failing ones first; the search halves, so it takes a handful of tries."""
    shorten = _without(*_TEXTS, "deleted", "high")
    first = [shorten(unit) for unit in sorted(units, key=lambda unit: unit["code"] == 0)]
    cut = report.model_copy(update={"truncated": True})
    fits, too_many = 0, len(first)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if len(_encode(cut, first[:middle], known)) <= REPORT_LIMIT_BYTES:
            fits = middle
        else:
            too_many = middle
    return _encode(cut, first[:fits], known)


def _messages(characters: int) -> Callable[[Fields], Fields]:
    return lambda unit: {**unit, "message": unit["message"][:characters]}


def _without(*names: str) -> Callable[[Fields], Fields]:
    return lambda unit: {name: value for name, value in unit.items() if name not in names}


def _without_time(unit: Fields) -> Fields:
    return {**_without(*_TEXTS, "deleted")(unit), "high": unit["high"][:10]}


def _encode(report: RunReport, units: list[Fields], known: Sequence[str]) -> bytes:
    fields = report.model_dump(mode="json", exclude={"units"}, exclude_defaults=True)
    columns, numbers = _columns(units, known)
    packed = b""
    for name, column in numbers:
        low, base = _range(column)
        columns["packed"].append([name, low, base])
        packed += _pack(column, low, base)
    fields |= {"protocol": report.protocol, "units": columns}
    head = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    return _PREFIX.encode() + base64.b85encode(zlib.compress(head, 9) + packed)


def _decompress(body: bytes) -> tuple[bytes, bytes]:
    """Split into the JSON and the numbers behind it; refuse what is cut short or a bomb."""
    reader = zlib.decompressobj()
    plain = reader.decompress(body, _LONGEST_PLAIN_BYTES)
    if not reader.eof:
        raise ValueError("it is cut short or longer than any report")
    return plain, reader.unused_data


def _columns(units: list[Fields], known: Sequence[str]) -> tuple[Fields, list[tuple[str, Numbers]]]:
    """Turn units into columns of text, and columns of numbers by name; empty ones are left out."""
    texts: Fields = {"count": len(units), "packed": []}
    names = [unit["dataset"] for unit in units]
    if known:
        texts["of"] = _digest(known)
        if names != list(known):
            texts["place"] = [known.index(name) for name in names]
    else:
        texts["dataset"] = names
    packed_highs = [_pack_high(unit.get("high") or "") for unit in units]
    for name in _TEXTS:
        texts[name] = [unit.get(name, "") for unit in units]
    texts["high"] = [value if isinstance(value, str) else "" for _, value in packed_highs]
    numbers = {name: [unit.get(name, lack) for unit in units] for name, lack in _NUMBERS.items()}
    numbers["outcome"] = [_OUTCOMES.index(unit["outcome"]) for unit in units]
    numbers["reason"] = [
        _REASONS.index(unit["reason"]) if unit["reason"] else None for unit in units
    ]
    numbers["form"] = [form for form, _ in packed_highs]
    numbers["instant"] = [value if isinstance(value, int) else None for _, value in packed_highs]
    return (
        {name: value for name, value in texts.items() if name == "packed" or not _is_blank(value)},
        [(name, column) for name, column in numbers.items() if not _is_default(name, column)],
    )


def _is_blank(value: object) -> bool:
    return isinstance(value, list) and not any(value)


def _is_default(name: str, column: Numbers) -> bool:
    default = None if name in ("reason", "instant") else _NUMBERS.get(name, 0)
    return all(value == default for value in column)


def _rows(texts: Fields, packed: bytes, datasets: Sequence[str]) -> list[Fields]:
    count = int(texts["count"])
    names = _recall(texts, datasets) if "of" in texts else texts.get("dataset", ())
    rows: list[Fields] = [{"dataset": name} for name in names]
    if len(rows) != count:
        raise ValueError(f"it names {len(rows)} of {count} units")
    numbers = dict(_unpack_columns(texts["packed"], packed, count))
    for name in _NUMBERS:
        _fill(rows, name, numbers.get(name))
    for name in _TEXTS:
        _fill(rows, name, texts.get(name))
    blank: Numbers = [0] * count
    _fill(rows, "outcome", [_OUTCOMES[number or 0] for number in numbers.get("outcome", blank)])
    _fill(rows, "reason", [_find_reason(number) for number in numbers.get("reason", ())])
    highs = zip(
        numbers.get("form", blank),
        texts.get("high", [""] * count),
        numbers.get("instant", blank),
        strict=True,
    )
    _fill(rows, "high", [_unpack_high(form or 0, word, number) for form, word, number in highs])
    return rows


def _fill(rows: list[Fields], name: str, column: Sequence[Any] | None) -> None:
    for row, value in zip(rows, column or (), strict=bool(column)):
        if value is not None:
            row[name] = value


def _recall(texts: Fields, datasets: Sequence[str]) -> list[str]:
    if texts["of"] != _digest(datasets):
        raise ValueError("the names did not travel, and the datasets given are not the request's")
    return [datasets[place] for place in texts.get("place", range(len(datasets)))]


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:8]


def _find_reason(number: int | None) -> Reason | None:
    """Find a reason by its place; a newer version's reason lies behind the last one known here."""
    return _REASONS[number] if number is not None and number < len(_REASONS) else None


# --- numbers, packed into one large number whose digits they are --------------------------------


def _range(column: Numbers) -> tuple[int, int]:
    """Find the lowest value and the number of digits: 0 is None, 1 the lowest value."""
    present = [value for value in column if value is not None]
    return min(present), max(present) - min(present) + 2


def _pack(column: Numbers, low: int, base: int) -> bytes:
    number = 0
    for value in reversed(column):
        number = number * base + (0 if value is None else value - low + 1)
    return number.to_bytes(_size_bytes(len(column), base))


def _unpack_columns(
    packed: Sequence[tuple[str, int, int]], body: bytes, count: int
) -> Iterator[tuple[str, Numbers]]:
    start = 0
    for name, low, base in packed:
        size = _size_bytes(count, base)
        number, column = int.from_bytes(body[start : start + size]), []
        for _ in range(count):
            number, digit = divmod(number, base)
            column.append(low + digit - 1 if digit else None)
        yield name, column
        start += size
    if start != len(body):
        raise ValueError(f"it holds {len(body)} bytes of numbers, not {start}")


def _size_bytes(count: int, base: int) -> int:
    if base < 2 or base.bit_length() * count > 8 * REPORT_LIMIT_BYTES * 8:
        raise ValueError(f"numbers of base {base}")
    largest: int = base**count - 1
    return (largest.bit_length() + 7) // 8


# --- highs: a text that is an instant, a day or a number travels as a number ---------------------


def _pack_high(text: str) -> tuple[int, str | int]:
    """Turn a high into (form, number) where that gives the very text back; else it stays (0, text)."""
    cut = text[:HIGH_LIMIT_CHARACTERS]
    for form, read in ((1, _microseconds), (2, _microseconds), (3, _days), (4, int)):
        try:
            number = read(cut)
            if _unpack_high(form, "", number) == cut:
                return form, number
        except (ValueError, OverflowError):
            continue
    return 0, cut


def _unpack_high(form: int, text: str, number: int | None) -> str:
    value = number or 0
    match form:
        case 1:
            return (_EPOCH + value * _MICROSECOND).isoformat(timespec="microseconds")
        case 2:
            naive = _EPOCH.replace(tzinfo=None) + value * _MICROSECOND
            return naive.isoformat(timespec="microseconds")
        case 3:
            return date.fromordinal(value).isoformat()
        case 4:
            return str(value)
    return text


def _microseconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH) // _MICROSECOND


def _days(text: str) -> int:
    return date.fromisoformat(text).toordinal()
