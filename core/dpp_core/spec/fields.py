"""The small words the kinds are written in: closed models, rules that speak, and bounded texts.

Every model of a kind or policy is `Closed`; every rule across fields is a `Rule` that carries both
its Python form and its CEL form, so `dpp validate` and the API server refuse the same set at the
same path. No kind lives here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

RULE_ERROR: Final = "dpp_rule"
FORM_ERROR: Final = "dpp_form"
NOT_YET: Final = "is not supported yet"


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: the field's path below the model that owns the rule, what is wrong, and what
    to do.
    """

    field: str
    message: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule across the fields of one model.

    `holds` gets the model. `cel` is the same rule for the API server, on `self`; empty when CEL
    cannot say it, then the operator refuses the object. `field` must name one field of the model's
    schema, or be empty for the model itself. `only_new` marks a transition rule (it compares with
    `oldSelf`), which has no meaning for a file.
    """

    field: str
    message: str
    fix: str
    holds: Callable[[Any], bool]
    cel: str = ""
    only_new: bool = False


def build_not_yet(
    field: str, what: str, holds: Callable[[Any], bool], cel: str, instead: str
) -> Rule:
    """Make the rule that refuses a field whose work comes later, not accepts and ignores it."""
    return Rule(field, f"{what} {NOT_YET}.", instead, holds, cel)


def build_immutable(field: str) -> Rule:
    """Make the transition rule that keeps a required field as it was made."""
    return Rule(
        field,
        f"{field} is immutable.",
        f"Make a new object for another {field}.",
        lambda _: True,
        f"self.{field} == oldSelf.{field}",
        only_new=True,
    )


class Closed(BaseModel):
    """A frozen model without unknown fields, camelCase outside and snake_case inside, held to its
    RULES.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )
    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _hold_rules(self) -> Self:
        broken = [
            Violation(rule.field, rule.message, rule.fix)
            for rule in self.RULES
            if not rule.holds(self)
        ]
        if broken:
            text = " ".join(f"{violation.message} {violation.fix}" for violation in broken)
            raise PydanticCustomError(RULE_ERROR, "{text}", {"text": text, "broken": broken})
        return self


@dataclass(frozen=True, slots=True)
class Form:
    """The allowed form of a text: a pattern for machines (RE2 and Python agree) and a sentence for
    people.
    """

    pattern: str
    says: str

    def check(self, value: str) -> str:
        if re.fullmatch(self.pattern, value) is None:
            raise PydanticCustomError(FORM_ERROR, "{says}", {"says": self.says})
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: Callable[[Any], CoreSchema]
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: Callable[[CoreSchema], dict[str, Any]]
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": self.pattern, "x-dpp-says": self.says}


ListMap: Final[Mapping[str, Any]] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}
SetList: Final[Mapping[str, Any]] = {"x-kubernetes-list-type": "set"}


_INSTANT: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})"
)


def check_instant(value: object) -> object:
    """Refuse what pydantic reads as an instant and the API server does not: numbers, short forms."""
    if isinstance(value, datetime) or (isinstance(value, str) and _INSTANT.fullmatch(value)):
        return value
    raise PydanticCustomError("datetime_form", "must be an instant with a zone")


Instant = Annotated[AwareDatetime, BeforeValidator(check_instant)]
"""A moment as RFC 3339 writes it, always with a zone."""


def are_distinct(names: Sequence[str]) -> bool:
    """Say whether no two names are equal but for case: such columns make a table unreadable."""
    return len({name.casefold() for name in names}) == len(names)


_LABEL = Form(
    r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    "must be lower-case letters, digits and '-', beginning and ending with a letter or digit.",
)
Label40 = Annotated[str, StringConstraints(min_length=1, max_length=40), _LABEL]
"""A DNS label of at most 40 characters: names that end up in names of Jobs."""

Label63 = Annotated[str, StringConstraints(min_length=1, max_length=63), _LABEL]

ObjectName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    Form(
        r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        "must be lower-case letters, digits, '-' and '.', beginning and ending with a letter or "
        "digit.",
    ),
]

DatasetName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    Form(
        r"^[a-z0-9][a-z0-9_.-]*$",
        "must be lower-case letters, digits, '_', '.' and '-', beginning with a letter or digit "
        "(the source's own spelling belongs in object).",
    ),
]

_PRINTABLE = Form(r"^[^\x00-\x1f\x7f]+$", "must be printable text without control characters.")
Text64 = Annotated[str, StringConstraints(min_length=1, max_length=64), _PRINTABLE]
Text120 = Annotated[str, StringConstraints(min_length=1, max_length=120), _PRINTABLE]
Text256 = Annotated[str, StringConstraints(min_length=1, max_length=256), _PRINTABLE]
Text512 = Annotated[str, StringConstraints(min_length=1, max_length=512), _PRINTABLE]

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=128), _PRINTABLE]
"""A column as the source spells it."""

TargetColumn = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128),
    Form(
        r"^[a-z][a-z0-9_]*$",
        "must be snake_case: lower-case letters, digits and '_', beginning with a letter "
        "(names that begin with _dpp_ are the product's own).",
    ),
]
"""A column as the table spells it."""

VaultPath = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256),
    Form(
        r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$",
        "must be a path such as distributors/acme/erp: parts of letters, digits, '_', '.' and "
        "'-' joined by '/', "
        "without a leading or trailing '/' and without '..'; the secret itself is never written "
        "here.",
    ),
]

Host = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    Form(
        r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$",
        "must be one host name or address, without scheme, user, port, path, comma or spaces.",
    ),
]

ImageReference = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Form(
        r"^[a-z0-9]([a-z0-9._:/-]*[a-z0-9])?(:[A-Za-z0-9_][A-Za-z0-9._-]*)?"
        r"(@sha256:[a-f0-9]{64})?$",
        "must be an image reference, best by digest: name@sha256:<64 hexadecimal digits>.",
    ),
]

Url = Annotated[
    str,
    StringConstraints(max_length=512),
    Form(
        r"^https?://[A-Za-z0-9\[]([A-Za-z0-9._:\[\]-]*[A-Za-z0-9\]])?(/[A-Za-z0-9._~/-]*)?$",
        "must be http(s)://host[:port][/path] without user, password or query.",
    ),
]
"""An address of a server, without a login."""

Seconds = Annotated[int, Field(strict=True, ge=0, le=2_592_000)]
"""A duration of at most 30 days."""

Epoch = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
Count = Annotated[int, Field(strict=True, ge=0, le=9_007_199_254_740_991)]
"""A count within what JSON numbers keep exactly (2^53 - 1)."""

Flag = Annotated[bool, Field(strict=True)]
