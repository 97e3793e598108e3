"""Say which objects of a source a person means by forms such as `sales.*`.

Called by `dpp discover` and `dpp plan --connect`. Pure. A selection is for looking and for writing
lists: a run reads what is listed, and never chooses by itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from dpp_extractor.batch import FoundObject

_WILD: Final = frozenset("*?[")
_NOT: Final = "!"


@dataclass(frozen=True, slots=True)
class Selection:
    """Forms as a shell knows them, spelt as the source spells its names; `!` before one leaves out.

    `*` stands for any characters, dots too. Without a form, or with none but `!` ones, all others
    are meant.
    """

    forms: tuple[str, ...] = ()

    def is_wanted(self, name: str, full_name: str) -> bool:
        """Say whether an object is meant, by its name with or without its schema."""
        names = (name, full_name)
        if any(_fits(form.removeprefix(_NOT), names) for form in self.forms if _leaves_out(form)):
            return False
        wanted = [form for form in self.forms if not _leaves_out(form)]
        return not wanted or any(_fits(form, names) for form in wanted)

    def is_named(self, found: FoundObject) -> bool:
        """Say whether an object is meant by its very name, not by a form that fits many."""
        names = (found.object, found.full_name)
        return any(form in names for form in self.forms if not _WILD & set(form))

    def list_idle(self, found: Sequence[FoundObject]) -> tuple[str, ...]:
        """List the forms that fit nothing; usually a mistake in writing."""
        names = [(each.object, each.full_name) for each in found]
        return tuple(
            form
            for form in self.forms
            if not _leaves_out(form) and not any(_fits(form, each) for each in names)
        )


def find_named(found: Iterable[FoundObject], name: str) -> FoundObject | None:
    """Find the object that a dataset names: spelt alike, or else alike but for case."""
    listed = list(found)
    exact = [each for each in listed if name in (each.object, each.full_name)]
    folded = [
        each
        for each in listed
        if name.casefold() in (each.object.casefold(), each.full_name.casefold())
    ]
    return next(iter([*exact, *folded]), None)


def _leaves_out(form: str) -> bool:
    return form.startswith(_NOT)


def _fits(form: str, names: Iterable[str]) -> bool:
    return any(name == form or fnmatchcase(name, form) for name in names)
