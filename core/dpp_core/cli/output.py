"""How every command of `dpp` prints: tables, JSON, errors. The extractor's commands use it too.

Results go to standard output, everything about getting there to standard error, so that output can
be piped. Nothing printed here holds a secret: errors and findings pass redaction.
"""

import dataclasses
import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from dpp_core.errors import DppError
from dpp_core.redaction import redact


class Output(StrEnum):
    """Forms of output that every command knows."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[
    Output,
    typer.Option("--output", "-o", help="text for people, json for programs.", show_default=True),
]
"""Annotate a command's parameter with this: `output: OutputOption = Output.TEXT`."""


def print_json(value: Any) -> None:
    """Print a value as JSON: models by alias, instants in RFC 3339, one document."""
    print(json.dumps(to_plain(value), indent=2, ensure_ascii=False))


def to_plain(value: Any) -> Any:
    """Turn models, dataclasses, enums and instants into what JSON knows."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return to_plain(fields)
    if isinstance(value, Mapping):
        return {str(name): to_plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings, columns as wide as their widest cell, numbers to the right."""
    body = [[_cell(value) for value in row] for row in rows]
    originals = [list(columns), *body]
    widths = [max(_width(row[place]) for row in originals) for place in range(len(columns))]
    right = [
        bool(body) and all(_is_number(row[place]) for row in body) for place in range(len(columns))
    ]
    for row in originals:
        cells = [_pad(text, widths[n], right=right[n]) for n, text in enumerate(row)]
        print("  ".join(cells).rstrip())


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one a line, values under each other."""
    widest = max((_width(name) for name in fields), default=0)
    for name, value in fields.items():
        print(f"{_pad(name + ':', widest + 1)}  {_cell(value)}".rstrip())


def say(text: str) -> None:
    """Tell a person how it goes, on standard error."""
    print(redact(text), file=sys.stderr)


def print_error(error: DppError, *, as_json: bool = False) -> None:
    """Print one error on standard error: a sentence and what to do, or one JSON document."""
    message, fix = redact(error.message), redact(error.fix)
    if as_json:
        body = {
            "code": error.exit_code,
            "reason": error.reason.value,
            "field": error.field,
            "message": message,
            "fix": fix,
        }
        print(json.dumps({"error": body}, ensure_ascii=False), file=sys.stderr)
        return
    print(f"dpp: {message}", file=sys.stderr)
    if fix:
        print(f"     {fix}", file=sys.stderr)


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Path | Enum):
        return str(value.value if isinstance(value, Enum) else value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return " ".join(str(value).split())


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(",", "").replace(".", "", 1).lstrip("-").isdigit()


def _width(text: str) -> int:
    """Count the places a text takes on a terminal: wide characters two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _pad(text: str, width: int, *, right: bool = False) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space
