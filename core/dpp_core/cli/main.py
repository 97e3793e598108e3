"""The frame of `dpp`: global options, plug-in commands, and errors turned into the frozen exit
codes.

Commands that need a driver come from installed packages by the entry-point group `dpp.commands`:
each names a function `register(app: typer.Typer) -> None`. A broken plug-in never hides the others.
"""

import contextlib
import difflib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Annotated, Final

import typer

from dpp_core.cli import engines, plan, validate
from dpp_core.cli.output import print_error, say
from dpp_core.errors import DppError, InternalError, StoppedError, UsageError

PLUG_INS: Final = "dpp.commands"
CORE: Final = "dpp-core"
_WrongUsage: Final[type[Exception]] = typer.BadParameter.__bases__[0]
_INTERRUPTED: Final = 130
"""What typer makes of Ctrl-C; our table has one code for every stop by signal."""
_ORDER: Final = ("run", "plan", "validate", "discover", "ping", "show", "log")

EXAMPLES: Final = """\b
Examples:
  dpp validate docs/examples                   check every resource in a folder
  dpp discover -f acme.yaml --write            list what the source holds, into the file
  dpp plan -f acme.yaml --to ./out             show what a run would do
  dpp run -f acme.yaml --to ./out              extract into Delta tables in ./out
  dpp run -f acme.yaml --to s3://lake/erp      the same into a bucket
  dpp show --to ./out                          watermarks, commits, schema

\b
Exit codes: 0 done, 2 wrong use, 20 invalid, 21-31 credentials, source, destination or guard,
70 our bug, 75 try again, 143 stopped. See docs/reference/exit-codes.md.
"""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"dpp {find_version()}")
        raise typer.Exit


def find_version() -> str:
    """Find the version of the installed core; unknown when run from plain files."""
    try:
        return version(CORE)
    except PackageNotFoundError:
        return "unknown"


def _open(
    is_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Bring a distributor's ERP data into Delta tables: check, plan, run, look."""


def build_app(plug_ins: Sequence[EntryPoint] | None = None) -> typer.Typer:
    """Put the command together: our own sub-commands, then those of installed packages."""
    app = typer.Typer(
        name="dpp",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        epilog=EXAMPLES,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    )
    app.callback()(_open)
    plan.register(app)
    validate.register(app)
    engines.register(app)
    found = entry_points(group=PLUG_INS) if plug_ins is None else plug_ins
    for entry in sorted(found, key=lambda entry: (_rank(entry.name), entry.name)):
        _plug_in(app, entry)
    app.registered_commands.sort(key=lambda command: _rank(command.name or ""))
    return app


def _rank(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _plug_in(app: typer.Typer, entry: EntryPoint) -> None:
    try:
        entry.load()(app)
    except (ImportError, AttributeError) as error:
        if os.environ.get("DPP_DEBUG"):
            say(f"dpp: the command {entry.name} of {entry.value} cannot be loaded: {error}")
        _add_missing(app, entry, str(error))


def _add_missing(app: typer.Typer, entry: EntryPoint, problem: str) -> None:
    """Keep a command that cannot be loaded in the list, so that using it says why."""

    def missing() -> None:
        raise InternalError(
            f"The command {entry.name} cannot be loaded from {entry.value}: {problem}.",
            fix="Install the package it belongs to again.",
        )

    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(entry.name, help="(cannot be loaded)", context_settings=settings)(missing)


def run(arguments: Sequence[str], app: typer.Typer | None = None) -> int:
    """Carry out one command line and give its exit code; never raises for what went wrong."""
    as_json = wants_json(arguments)
    try:
        return _call(app or build_app(), arguments)
    except DppError as error:
        print_error(error, as_json=as_json)
        return error.exit_code
    except _WrongUsage as error:
        print_error(_explain_usage(error), as_json=as_json)
        return UsageError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print_error(StoppedError("Stopped. What was committed stays."), as_json=as_json)
        return StoppedError.exit_code
    except BrokenPipeError:
        _let_go_of_output()
        return 0
    except Exception as error:  # noqa: BLE001 - the last net: whatever comes is said, with code 70
        print_error(_explain_bug(error), as_json=as_json)
        return InternalError.exit_code


def _call(app: typer.Typer, arguments: Sequence[str]) -> int:
    try:
        code = app(args=list(arguments), prog_name="dpp", standalone_mode=False)
    except SystemExit as left:  # completion scripts leave by themselves
        code = left.code
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _explain_usage(error: Exception) -> UsageError:
    """Say what was wrong with the command line, and which option or command was meant."""
    message = str(getattr(error, "message", "") or error).strip()
    context = getattr(error, "ctx", None)
    unknown = getattr(error, "option_name", "")
    near: list[str] = list(getattr(error, "possibilities", None) or [])
    if unknown and context is not None:
        known = [name for param in context.command.params for name in param.opts]
        message, near = f"There is no option {unknown}.", _find_near(unknown, known)
    elif message.startswith("No such command") and context is not None:
        name = message.split("'")[1] if "'" in message else ""
        message = f"There is no command {name}."
        near = _find_near(name, context.command.list_commands(context))
    elif message.startswith("Missing"):
        parameter = getattr(error, "param", None)
        message = f"{' / '.join(getattr(parameter, 'opts', []) or ['a parameter'])} is missing."
    path = getattr(context, "command_path", "dpp") or "dpp"
    meant = f"Did you mean {near[0]}? " if near else ""
    return UsageError(message, fix=f"{meant}See `{path} --help`.")


def _find_near(name: str, known: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(name, known, n=1, cutoff=0.5)


def _explain_bug(error: Exception) -> InternalError:
    if os.environ.get("DPP_DEBUG"):
        raise error
    return InternalError(
        f"Unexpected problem: {type(error).__name__}: {error}",
        fix="This is a bug. Run again with DPP_DEBUG=1 for the trace, and report it.",
    )


def _let_go_of_output() -> None:
    """The reader went away (`dpp … | head`): keep the interpreter from complaining at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def wants_json(arguments: Sequence[str]) -> bool:
    """Say whether a command line asks for JSON, also when the rest of it is wrong."""
    joined = " ".join(arguments)
    return any(text in joined for text in ("-o json", "-ojson", "--output json", "--output=json"))


def main() -> None:
    """Entry point of the `dpp` script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
