"""`dpp ping`: is everything there that a run needs? One line each for secret, source, destination, index.

Registered by the entry point `dpp.commands`. It changes nothing but the probe's own keys, which it removes.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpp_core import ids, logs
from dpp_core.cli.output import Output, OutputOption, print_json, print_table
from dpp_core.cli.plan import FileOption, PolicyOption, SecretsOption, ToOption
from dpp_core.errors import DppError, decide_exit_code
from dpp_core.handover import RunRequest
from dpp_core.redaction import redact
from dpp_extractor.cli.target import resolve_for_looking

if TYPE_CHECKING:
    from dpp_extractor.wiring import Surroundings

EXAMPLES = """\b
Examples:
  dpp ping -f acme.yaml --to ./out
  dpp ping -f acme.yaml --policy policy.yaml --secrets secrets.yaml
  dpp ping -f acme.yaml --to s3://lake/erp --destination    the store alone, with racing writers
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ping", epilog=EXAMPLES)(ping)


def ping(
    file: FileOption,
    policy: PolicyOption = None,
    to: ToOption = None,
    secrets_file: SecretsOption = None,
    destination: Annotated[
        bool,
        typer.Option(
            "--destination", help="Check the destination alone and fully: racing writers, listings."
        ),
    ] = False,
    output: OutputOption = Output.TEXT,
) -> int:
    """Check secret, source, destination and index without extracting. The exit code is the worst one's."""
    from dpp_extractor.guard.deadline import Stop
    from dpp_extractor.settings import read_settings
    from dpp_extractor.wiring import Surroundings

    logs.set_up_logging("WARNING", "json" if output is Output.JSON else "text")
    request = resolve_for_looking(file, policy, to)
    around = Surroundings(os.environ, read_settings(os.environ), Stop(), secrets_file)
    rows = list(_check(request, around, only_destination=destination))
    if output is Output.JSON:
        print_json(rows)
    else:
        print_table(
            ("WHAT", "STATE", "DETAIL"), [(r["what"], r["state"], r["detail"]) for r in rows]
        )
    return decide_exit_code(row["code"] for row in rows if not row["optional"])


def _check(
    request: RunRequest, around: "Surroundings", *, only_destination: bool
) -> Iterator[dict[str, Any]]:
    from dpp_extractor.adapters.secrets import find_delivery, open_secrets
    from dpp_extractor.guard.retry import ONCE, retrying
    from dpp_extractor.publish.probe import RACE_KEYS
    from dpp_extractor.wiring import open_source, open_store, secret_places

    once = retrying(ONCE)
    places = secret_places(request, around)
    with ExitStack() as stack:
        read_secret = stack.enter_context(open_secrets(places, once))

        def check_source() -> str:
            secret = {} if request.source.engine == "sqlite" else read_secret("source")
            with open_source(request, secret, once, around) as source:
                return source.ping()

        def check_destination() -> str:
            return _probe(
                open_store(request.destination, read_secret, once),
                RACE_KEYS if only_destination else 0,
            )

        def check_index() -> str:
            secret = read_secret("index")
            if not secret:
                return "not configured"
            from dpp_extractor.adapters.ferret import open_index

            return stack.enter_context(open_index(secret)).ping()

        if not only_destination:
            if request.source.engine != "sqlite":
                yield _row("secret", lambda: str(find_delivery(places, "source")))
            yield _row("source", check_source)
        yield _row("destination", check_destination)
        if not only_destination:
            yield _row("index", check_index, optional=True)


def _probe(store: Any, race_keys: int) -> str:
    from dpp_extractor.publish.probe import RACE_WRITERS, probe

    found = probe(store, token=ids.new_id(), now=lambda: datetime.now(UTC), race_keys=race_keys)
    raced = f", one winner in {race_keys} races of {RACE_WRITERS} writers" if race_keys else ""
    return (
        f"{store.uri}: conditional writes hold{raced}; clocks {abs(found.skew_seconds):.1f} s apart"
    )


def _row(what: str, check: Callable[[], str], *, optional: bool = False) -> dict[str, Any]:
    try:
        return {"what": what, "state": "ok", "detail": check(), "code": 0, "optional": optional}
    except DppError as error:
        return {
            "what": what,
            "state": error.reason.value,
            "detail": redact(str(error)),
            "code": error.exit_code,
            "optional": optional,
        }
