"""Say the ends of pages in PostgreSQL's terms.

Called by `snapshot`. A quoted text without a type takes the type of the column that it is compared
with, so that the server's own text of any value is that value again, and an index serves.
"""

from typing import Final

from sqlalchemy import Text, cast, literal_column

from dpp_extractor.batch import SourceColumn
from dpp_extractor.extract.database.pages import Tongue
from dpp_extractor.extract.database.query import Expression


def _as_text(column: SourceColumn, name: Expression) -> Expression:
    return cast(name, Text())


def _literal(column: SourceColumn, text: str) -> Expression:
    # The session has standard_conforming_strings on: nothing but the quote is special.
    return literal_column("'" + text.replace("'", "''") + "'")


TONGUE: Final = Tongue(_as_text, _literal, lambda column: True)
"""What a unique index or a window compares has an order."""
