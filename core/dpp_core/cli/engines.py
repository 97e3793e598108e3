"""`dpp engines`: which databases are read, which only have their SQL, and what a DBA would grant."""

from typing import Final

import typer

from dpp_core.cli.output import Output, OutputOption, print_fields, print_json, print_table
from dpp_core.engines import ENGINES, Level

EXAMPLES = """\b
Examples:
  dpp engines
  dpp engines -o json
"""
LEVELS: Final[dict[Level, str]] = {
    "read": "read and tested on real servers",
    "compile-tested": "its SQL is written and compared as text, but no server was ever asked: refused",
    "planned": "not there yet: refused",
}
LEGEND: Final = """\
HORIZON is where open transactions are seen, so that no late commit is skipped; GRANT lets the
account see those of others. Without either a window stays 300 s behind the source's clock."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("engines", epilog=EXAMPLES)(engines)


def engines(output: OutputOption = Output.TEXT) -> None:
    """List the databases, how far each is taken, and what it takes to read them safely.

    Touches nothing. -o json prints a list of objects: name, product, level, driver, port, horizon,
    grant.
    """
    if output is Output.JSON:
        print_json(ENGINES)
        return
    columns = ("ENGINE", "PRODUCT", "LEVEL", "DRIVER", "PORT", "HORIZON", "GRANT")
    print_table(
        columns,
        [
            (
                row.name,
                row.product,
                row.level,
                row.driver,
                str(row.port or ""),
                row.horizon,
                row.grant,
            )
            for row in ENGINES
        ],
    )
    print()
    present = {row.level for row in ENGINES}
    print_fields({level: text for level, text in LEVELS.items() if level in present})
    print(LEGEND)
