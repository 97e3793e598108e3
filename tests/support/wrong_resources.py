"""The table of wrong resources as objects and files; one reader for every layer's test.

Used by the contract tests here and by the tests that ask a real API server about the same rows.
"""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).parent.parent / "contract" / "wrong_resources.yaml"


@dataclass(frozen=True, slots=True)
class Row:
    """One wrong resource and what must be said of it. `body` is the file; `content` the object."""

    id: str
    layer: str
    field: str
    says: str
    hides: str
    body: bytes
    content: Any


@cache
def _read() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return loaded


def build_base(name: str) -> Any:
    """Give a fresh copy of one of the right samples that rows change."""
    return copy.deepcopy(_read()["bases"][name])


def list_rows() -> list[Row]:
    """Give every wrong resource."""
    return [_build_row(row, row.get("base", "database")) for row in _read()["rows"]]


def list_policies() -> list[Row]:
    """Give every wrong policy file."""
    return [_build_row({"layer": "policy", **row}, "policy") for row in _read()["policies"]]


def _build_row(row: dict[str, Any], base: str) -> Row:
    content = build_base(base)
    for path in row.get("remove", ()):
        parts = _split(path)
        del _walk(content, parts[:-1])[parts[-1]]
    for path, value in row.get("set", {}).items():
        _put(content, _split(path), copy.deepcopy(value))
    if "repeat" in row:
        many = [{"name": f"d{number}"} for number in range(row["repeat"]["count"])]
        _put(content, _split(row["repeat"]["path"]), many)
    if "make" in row:
        body = _MAKERS[row["make"]](_render(content))
    else:
        body = (row["text"] if "text" in row else _render(content)).encode()
    return Row(
        row["id"], row["layer"], row["field"], row["says"], row.get("hides", ""), body, content
    )


def _render(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _split(path: str) -> list[str | int]:
    parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", path)
    return [int(index) if index else name for index, name in parts]


def _walk(content: Any, parts: list[str | int]) -> Any:
    for part in parts:
        content = content[part]
    return content


def _put(content: Any, parts: list[str | int], value: Any) -> None:
    owner, last = content, parts[-1]
    for part in parts[:-1]:
        owner = owner.setdefault(part, {}) if isinstance(part, str) else owner[part]
    if isinstance(owner, list) and last == len(owner):
        owner.append(value)
    else:
        owner[last] = value


def _swap(old: str, new: str, text: str) -> bytes:
    assert old in text, old
    return text.replace(old, new, 1).encode()


def _make_alias_bomb(text: str) -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 9):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return (text + "\n".join(lines)).encode()


_CUSTOMERS = "name: customers"
_MAKERS: dict[str, Callable[[str], bytes]] = {
    "ten_megabytes": lambda text: text.encode() + b"#" * (10 * 1024 * 1024),
    "alias_bomb": _make_alias_bomb,
    "nested_deep": lambda text: text.encode() + b"x: " + b"[" * 40 + b"]" * 40,
    "latin1": lambda text: text.encode() + "# M\u00fcller".encode("latin-1"),
    "control_character": lambda text: text.encode() + b"# \x07",
    "python_tag": lambda t: _swap("r: acme", 'r: !!python/object/apply:os.system ["true"]', t),
    "field_twice": lambda text: _swap(
        "distributor: acme", "distributor: acme\n  distributor: b", text
    ),
    "bare_on": lambda text: _swap("distributor: acme", "distributor: on", text),
    "bare_no": lambda text: _swap(_CUSTOMERS, "name: no", text),
    "bare_octal": lambda text: _swap(_CUSTOMERS, "name: 08", text),
    "bare_exponent": lambda text: _swap(_CUSTOMERS, "name: 1e3", text),
    "bare_sexagesimal": lambda t: _swap(
        "r: updated_at", "r: updated_at\n      initial: 12:30:00", t
    ),
    "merge_key": lambda text: _swap(_CUSTOMERS, "<<: {name: customers}", text),
    "object_twice": lambda text: (text + "---\n" + text).encode(),
}
