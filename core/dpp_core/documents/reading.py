"""YAML as people write it in files, read strictly and within limits; nothing here knows a kind.

Called by `loading`. What two YAML readers would understand differently (yes, 08, 1e3) is not
guessed: it is kept as text and reported as a trap. Limits on size, nodes and depth hold before
anything is built, aliases counted as often as they are used.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

LIMIT_BYTES: Final = 1024 * 1024
LIMIT_NODES: Final = 100_000
LIMIT_DEPTH: Final = 32

Place = tuple[str | int, ...]

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TRAPS: Final = (
    (re.compile(r"y|n|yes|no|on|off", re.IGNORECASE), "true or false"),
    (re.compile(r"[-+]?0[0-9_]+"), "an octal number"),
    (re.compile(r"[-+]?0[xXoObB][0-9a-fA-F_]+"), "a hexadecimal, octal or binary number"),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"), "a number to base 60"),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+"), "a number"),
    (re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)"), "a number"),
    (re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE), "a number"),
)


class UnreadableFileError(Exception):
    """A file or document that cannot be read at all; says where and what to do."""

    def __init__(self, message: str, fix: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.line = line


@dataclass(frozen=True, slots=True)
class Trap:
    """Something in a document that readers of YAML would understand differently."""

    place: Place
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its plain content, the line of every place, and what was doubtful.

    `index` counts from 1 within the file.
    """

    file: str
    index: int
    content: Any
    lines: dict[Place, int] = field(default_factory=dict)
    traps: tuple[Trap, ...] = ()

    def find_line(self, place: Place) -> int | None:
        """Find the line of a place, or of the nearest place above it that is in the file."""
        for length in range(len(place), -1, -1):
            line = self.lines.get(place[:length])
            if line is not None:
                return line
        return None


def read_text(path: Path) -> str:
    """Read a file as UTF-8 text of at most 1 MiB. Raises UnreadableFileError."""
    try:
        with path.open("rb") as stream:
            body = stream.read(LIMIT_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UnreadableFileError(
            f"the file cannot be read: {reason}.", "Check the path and its permissions."
        ) from error
    if len(body) > LIMIT_BYTES:
        raise UnreadableFileError(
            f"the file is larger than {LIMIT_BYTES} bytes; nothing of it was read.",
            "Split it: one extraction a file.",
        )
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise UnreadableFileError(
            f"the file is not UTF-8: byte 0x{body[error.start]:02x} at offset {error.start}.",
            "Save it as UTF-8.",
            line,
        ) from error
    found = _CONTROL.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise UnreadableFileError(
            f"the file holds the control character U+{ord(found[0]):04X}.", "Remove it.", line
        )
    return text


def read_documents(text: str, file: str) -> list[Document]:
    """Read every YAML document of a text; empty ones are left out. Raises UnreadableFileError."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return list(_Reader(yaml.parse(text, Loader=loader), file).read())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(filter(None, (error.context, error.problem)))
        raise UnreadableFileError(
            f"this is not valid YAML: {problem}.",
            "Check indentation, colons and quotes around this line.",
            mark.line + 1 if mark else None,
        ) from error
    except yaml.YAMLError as error:
        raise UnreadableFileError(f"this is not valid YAML: {error}.", "Check the file.") from error


class _Reader:
    """Turns YAML events into plain values; lives for one text."""

    def __init__(self, events: Iterator[Any], file: str) -> None:
        self._events = events
        self._file = file
        self._start()

    def _start(self) -> None:
        self._lines: dict[Place, int] = {}
        self._traps: list[Trap] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0

    def read(self) -> Iterator[Document]:
        index = 0
        for event in self._events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            index += 1
            self._start()
            content = self._node(next(self._events), ())
            if content is not None:
                yield Document(self._file, index, content, self._lines, tuple(self._traps))

    def _node(self, event: Any, place: Place) -> Any:
        line = event.start_mark.line + 1
        self._count(1, line)
        if len(place) > LIMIT_DEPTH:
            raise UnreadableFileError(
                f"the document is nested deeper than {LIMIT_DEPTH} levels.", "Flatten it.", line
            )
        self._lines.setdefault(place, line)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, line)
        before = self._nodes
        if getattr(event, "tag", None) not in (None, "!", "tag:yaml.org,2002:str"):
            self._traps.append(
                Trap(place, f"the tag {event.tag} is not read here.", "Write the plain value.")
            )
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, place)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(place)
        else:
            value = self._mapping(place)
        if event.anchor:
            self._anchors[event.anchor] = (value, self._nodes - before + 1)
        return value

    def _count(self, nodes: int, line: int) -> None:
        self._nodes += nodes
        if self._nodes > LIMIT_NODES:
            raise UnreadableFileError(
                f"the document has more than {LIMIT_NODES} values once its aliases are filled in.",
                "Write it without aliases, or split it.",
                line,
            )

    def _alias(self, event: Any, line: int) -> Any:
        if event.anchor not in self._anchors:
            raise UnreadableFileError(
                f"the alias *{event.anchor} refers to nothing before it, or to itself.",
                "Write the value out.",
                line,
            )
        value, nodes = self._anchors[event.anchor]
        self._count(nodes, line)
        return value

    def _scalar(self, event: Any, place: Place) -> Any:
        text: str = event.value
        if not event.implicit[0] or event.style not in (None, ""):
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        if _DECIMAL.fullmatch(text):
            return float(text)
        for pattern, other in _TRAPS:
            if pattern.fullmatch(text):
                message = (
                    f"{text} without quotes is text to some readers of YAML and {other} to others."
                )
                fix = f'Write "{text}" if it is text, or a plain number, true or false.'
                self._traps.append(Trap(place, message, fix))
                break
        return text

    def _sequence(self, place: Place) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*place, len(items))))
        return items

    def _mapping(self, place: Place) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            name = self._name(event, place)
            inside = (*place, name)
            if name in fields:
                self._traps.append(
                    Trap(
                        inside,
                        f"{name} is written twice (again in line {event.start_mark.line + 1}).",
                        "Keep one of them.",
                    )
                )
            self._lines.setdefault(inside, event.start_mark.line + 1)
            fields[name] = self._node(next(self._events), inside)
        return fields

    def _name(self, event: Any, place: Place) -> str:
        line = event.start_mark.line + 1
        if not isinstance(event, yaml.ScalarEvent):
            raise UnreadableFileError(
                "a field's name must be text, not a list or mapping.",
                "Check for a missing quote or a stray '?' or '{'.",
                line,
            )
        traps = len(self._traps)
        name = self._scalar(event, (*place, event.value))
        if not isinstance(name, str):
            self._traps.append(
                Trap(
                    (*place, event.value),
                    f"the field name {event.value or '(empty)'} without quotes is not text.",
                    f'Write "{event.value}" if it is meant.',
                )
            )
        if event.value == "<<" and len(self._traps) == traps:
            self._traps.append(
                Trap((*place, "<<"), "merge keys (<<) are not read here.", "Write the fields out.")
            )
        return str(event.value)
