"""What is wrong with an object, said for people: field, what was received, what is allowed, what to
do.

Called by `loading` with pydantic's errors and the rules' violations. Values that look like a secret
are never repeated: an unknown field's value is described, not shown. Pure.
"""

import difflib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from dpp_core.documents.reading import Document, Place
from dpp_core.redaction import redact, redact_value
from dpp_core.spec.fields import FORM_ERROR, RULE_ERROR, Violation

LONGEST_RECEIVED_CHARACTERS: Final = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `document` counts from 1; `line` and `received` are empty when they
    cannot be told.
    """

    file: str
    document: int
    line: int | None
    object: str
    field: str
    message: str
    received: str
    fix: str


_SYNONYMS: Final = {
    "tables": "datasets",
    "streams": "datasets",
    "table": "object",
    "primarykey": "key",
    "primarykeys": "key",
    "keys": "key",
    "watermark": "incremental",
    "mode": "write",
    "timezone": "timeZone",
    "tz": "timeZone",
    "paused": "suspend",
    "vaultpath": "path",
    "secretpath": "path",
    "hostname": "host",
    "server": "host",
    "dbname": "database",
    "columnsinclude": "include",
}
_SECRET_NAMES: Final = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "user",
    "username",
    "login",
    "secret",
    "secretkey",
    "token",
    "apikey",
    "api_key",
    "accesskey",
    "privatekey",
    "dsn",
    "connectionstring",
    "connection",
    "uri",
    "url",
    "clientsecret",
]


def name_field(place: Place) -> str:
    """Spell a place as people do: spec.datasets[3].incremental.cursor."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        elif "." in part or not part:
            text += f"[{part!r}]"
        else:
            text += f".{part}" if text else part
    return text


def parse_field(field: str) -> Place:
    """Turn spec.datasets[3].key back into a place (names without dots only)."""
    parts: list[str | int] = []
    for piece in field.replace("[", ".[").split("."):
        if piece:
            parts.append(int(piece[1:-1]) if piece.startswith("[") else piece)
    return tuple(parts)


def describe_received(value: Any, place: Place, *, shown: bool = True) -> str:
    """Describe a value: itself when short and harmless, else only its form."""
    form = _describe_form(value)
    key = next((part for part in reversed(place) if isinstance(part, str)), "")
    if not shown or value is None or isinstance(value, list | dict):
        return form
    text = repr(value) if isinstance(value, str) else str(value).lower()
    if redact(text) != text or redact_value(value, key) != value or _has_user(text):
        return f"{form} (not shown, it looks like a secret)"
    if len(text) > LONGEST_RECEIVED_CHARACTERS:
        return f"{form} beginning with {text[:24]}…"
    return text


def _has_user(text: str) -> bool:
    before, at, _ = text.partition("@")
    return bool(at) and ":" in before


def _describe_form(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return f"a text of {len(value)} characters"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return f"a mapping of {len(value)} fields"
    return "a number"


def find_value(content: Any, place: Place) -> Any:
    """Look up a place in plain content; None when it is not there."""
    for part in place:
        is_there = (
            part in content
            if isinstance(content, Mapping)
            else isinstance(content, list) and isinstance(part, int) and part < len(content)
        )
        if not is_there:
            return None
        content = content[part]
    return content


def build_finding(
    document: Document, owner: str, place: Place, violation: Violation, *, shown: bool = True
) -> Finding:
    """Put a violation into its document: line, value received, path."""
    received = describe_received(find_value(document.content, place), place, shown=shown)
    return Finding(
        file=document.file,
        document=document.index,
        line=document.find_line(place),
        object=owner,
        field=name_field(place) or "(document)",
        message=redact(violation.message),
        received=received,
        fix=redact(violation.fix),
    )


def build_findings(
    error: ValidationError, document: Document, owner: str, model: type[BaseModel]
) -> Iterator[Finding]:
    """Turn pydantic's errors into findings, each broken rule its own."""
    for each in error.errors(include_url=False):
        place = tuple(part for part in each["loc"] if part != "[key]")
        kind, context, value = each["type"], each.get("ctx", {}), each["input"]
        if kind == RULE_ERROR:
            for violation in context["broken"]:
                inside = (*place, *parse_field(violation.field))
                yield build_finding(document, owner, inside, violation)
        elif kind == "extra_forbidden":
            violation = _explain_unknown(model, place)
            yield build_finding(document, owner, place, violation, shown=False)
        elif (
            kind == "too_short" and isinstance(value, list) and len(value) >= context["min_length"]
        ):
            continue  # an echo: the items themselves were refused
        else:
            yield build_finding(
                document, owner, place, _explain(kind, context, value, model, place)
            )


def _explain(
    kind: str, context: Mapping[str, Any], value: Any, model: type[BaseModel], place: Place
) -> Violation:
    name = str(next((part for part in reversed(place) if isinstance(part, str)), "this"))
    says = _find_description(model, place)
    if kind == FORM_ERROR:
        return Violation("", f"{name} {context['says']}", says)
    if kind == "missing":
        return Violation("", f"{name} is required.", f"Add {name}: {says[:1].lower()}{says[1:]}")
    if kind == "literal_error":
        return _explain_literal(name, context["expected"], value)
    return Violation("", f"{name} {_explain_plainly(kind, context, value)}", says)


def _explain_literal(name: str, expected: str, value: Any) -> Violation:
    allowed = [word.strip("' ") for word in expected.replace(" or ", ",").split(",")]
    near = difflib.get_close_matches(str(value).casefold(), [a.casefold() for a in allowed], n=1)
    meant = next((a for a in allowed if near and a.casefold() == near[0]), "")
    fix = f"Did you mean {meant}?" if meant else f"Write {allowed[0]}, for instance."
    return Violation("", f"{name} must be one of {', '.join(allowed)}.", fix)


def _explain_plainly(kind: str, context: Mapping[str, Any], value: Any) -> str:
    if kind == "string_type":
        quoted = "; put it in quotes" if isinstance(value, bool | int | float) else ""
        return f"must be text{quoted}."
    table = {
        "int_type": "must be a whole number without quotes.",
        "int_from_float": "must be a whole number without quotes.",
        "bool_type": "must be true or false without quotes.",
        "tuple_type": "must be a list: [a, b] or lines that begin with '- '.",
        "dict_type": "must be a mapping of names to values.",
        "model_type": "must be a mapping of fields.",
        "model_attributes_type": "must be a mapping of fields.",
        "timezone_aware": "must have a zone, as in 2026-01-31T12:00:00Z.",
        "greater_than_equal": f"must be at least {context.get('ge')}.",
        "less_than_equal": f"must be at most {context.get('le')}.",
        "string_too_long": f"must have at most {context.get('max_length')} characters.",
        "string_too_short": "must not be empty.",
        "too_long": f"must have at most {context.get('max_length')} entries, not "
        f"{context.get('actual_length')}.",
        "too_short": f"must have at least {context.get('min_length')} entry.",
    }
    if kind.startswith("datetime"):
        return "must be an instant such as 2026-01-31T12:00:00Z."
    return table.get(kind, f"is not right ({kind}).")


def _explain_unknown(model: type[BaseModel], place: Place) -> Violation:
    name = str(place[-1])
    plain = name.replace("_", "").replace("-", "").casefold()
    known = _list_known(model, place[:-1])
    if plain in _SECRET_NAMES and not _find_near(name, known):
        return Violation(
            "",
            f"there is no field {name} here, and a secret or account is never written in a file "
            f"like this.",
            "Put it into the secret that credentials.path names.",
        )
    near = _find_near(name, known)
    if near:
        return Violation("", f"there is no field {name} here.", f"Did you mean {near}?")
    paths = _list_paths(model, "")
    elsewhere = [path for path in paths if path.rsplit(".", 1)[-1].casefold() == plain]
    if not elsewhere:
        nearest = _find_near(name, [path.rsplit(".", 1)[-1] for path in paths])
        elsewhere = [path for path in paths if nearest and path.rsplit(".", 1)[-1] == nearest]
    if elsewhere:
        return Violation("", f"there is no field {name} here.", f"Did you mean {elsewhere[0]}?")
    return Violation(
        "", f"there is no field {name} here.", f"Known here: {', '.join(known) or 'none'}."
    )


def _find_near(name: str, known: list[str]) -> str:
    folded = {each.casefold(): each for each in known}
    plain = to_camel(name.replace("-", "_")).casefold()
    synonym = _SYNONYMS.get(plain, "").casefold()
    if synonym in folded:
        return folded[synonym]
    near = difflib.get_close_matches(plain, folded, n=1, cutoff=0.7)
    return folded[near[0]] if near else ""


def _list_known(model: type[BaseModel], place: Place) -> list[str]:
    found = _find_model(model, place)
    if found is None:
        return []
    return [field.alias or name for name, field in found.model_fields.items()]


def _find_model(model: type[BaseModel], place: Place) -> type[BaseModel] | None:
    current: type[BaseModel] | None = model
    for part in place:
        if current is None or isinstance(part, int):
            continue
        field = next((f for n, f in current.model_fields.items() if part in (f.alias, n)), None)
        if field is not None:
            current = _find_inner(field.annotation)
    return current


def _find_inner(annotation: Any) -> type[BaseModel] | None:
    """Find the model inside Optional, tuple or dict."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (tuple, dict, typing.Union, types.UnionType):
        inner = (_find_inner(each) for each in typing.get_args(annotation))
        return next((each for each in inner if each is not None), None)
    return None


def _list_paths(model: type[BaseModel], prefix: str) -> list[str]:
    paths = []
    for name, field in model.model_fields.items():
        path = f"{prefix}.{field.alias or name}".lstrip(".")
        paths.append(path)
        inner = _find_inner(field.annotation)
        if inner is not None:
            many = "[]" if "tuple" in str(field.annotation) else ""
            paths.extend(_list_paths(inner, path + many))
    return paths


def _find_description(model: type[BaseModel], place: Place) -> str:
    """Find what the docs say of a field, or of the field that holds it."""
    names = [part for part in place if isinstance(part, str)]
    while names:
        owner = _find_model(model, tuple(names[:-1]))
        for name, field in owner.model_fields.items() if owner else ():
            if names[-1] in (field.alias, name) and field.description:
                return field.description
        names.pop()
    return ""
