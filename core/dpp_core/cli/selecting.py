"""Which objects of a source a command is about: `--select`, or the annotation of the file.

Called by `dpp plan` and by the extractor's `dpp discover`.
"""

from collections.abc import Sequence
from typing import Annotated

import typer

from dpp_core.names import ANNOTATION_SELECT
from dpp_core.spec.extraction import Extraction

SelectOption = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        help="Objects of this form, such as 'sales.*', '!' before what to leave out; may be given "
        "again. Without it, the file's annotation.",
        show_default=False,
    ),
]


def choose_forms(extraction: Extraction, given: Sequence[str] | None) -> tuple[str, ...]:
    """Choose the forms of a selection: those of the command line, or the file's own.

    Forms are divided by commas or lines.
    """
    text = ",".join(given) if given else extraction.metadata.annotations.get(ANNOTATION_SELECT, "")
    parts = (part.strip() for part in text.replace("\n", ",").split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def join_forms(forms: Sequence[str]) -> str:
    """Write forms as the annotation holds them."""
    return ", ".join(forms)
