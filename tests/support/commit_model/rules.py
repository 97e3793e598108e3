"""What the model drives: the production step function and the small decisions around it, or a mutant of one of them.

A mutant of the step function is a patch of its source: the text must be there exactly once, so a mutant cannot silently
stop being one when production changes. Nothing of the protocol is written down here a second time.
"""

import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, Final

from dpp_extractor.publish import protocol

FINE: Final = (("head",), ("clock",), ("horizon",), ("snapshot",))
AT_ONCE: Final = (("head", "clock", "horizon", "snapshot"),)
COARSE: Final = (("head",), ("clock", "horizon", "snapshot"))


@dataclass(frozen=True, slots=True)
class Rules:
    """The decisions of one attempt; the defaults are production's.

    `protocol` is the module of the step function. `is_view_first`: the snapshot is opened before the head is read.
    `is_horizon_of_writers`: open transactions that have not written do not hold the horizon. `is_low_the_greatest`:
    the next window begins behind the greatest cursor read, not at `high`. `is_deleting_on_conflict`: an attempt that
    is fenced deletes its files. `is_plain_put`: a PUT writes over what is there, under a lease that lasts less than
    a tick.
    """

    name: str = "production"
    protocol: ModuleType = protocol
    is_view_first: bool = False
    is_horizon_of_writers: bool = False
    is_low_the_greatest: bool = False
    is_deleting_on_conflict: bool = False
    is_plain_put: bool = False


def patch_protocol(name: str, before: str, after: str) -> ModuleType:
    """Build the protocol module anew with one piece of its text replaced; fail when it is not there exactly once."""
    source = inspect.getsource(protocol)
    if source.count(before) != 1:
        raise LookupError(
            f"mutant {name}: {before!r} is {source.count(before)} times in protocol.py"
        )
    spec = importlib.util.spec_from_loader(f"mutant_{name}", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    exec(compile(source.replace(before, after), spec.name, "exec"), module.__dict__)
    return module


@contextmanager
def driven_by(patched: ModuleType) -> Iterator[None]:
    """Let production itself run on a patched step function: its functions, production's types."""
    functions = [
        function
        for function in vars(protocol).values()
        if inspect.isfunction(function) and function.__module__ == protocol.__name__
    ]
    codes = [function.__code__ for function in functions]
    try:
        for function in functions:
            function.__code__ = vars(patched)[function.__name__].__code__
        yield
    finally:
        for function, code in zip(functions, codes, strict=True):
            function.__code__ = code


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong protocol and the scenario whose search must find it out, with what is changed in it."""

    rules: Rules
    scenario: str
    changes: Mapping[str, Any] = field(default_factory=dict)


_PATCHES: Final = {
    "412 = conflict and keep": (
        "return replace(state, phase=Phase.READING), GetVersion(state.version)",
        "return _stop(state, Verdict.FENCED)",
        "append",
    ),
    "Replace keeps a stale remove set": (
        "replace(state, built_on=state.version - 1)",
        "state",
        "replace",
    ),
    "RESTORE ignored": ("seen.operation in _RESTORING", "False", "append"),
    "overwrite ignored": (
        "seen.has_removes and seen.operation not in",
        "seen.operation in",
        "replace",
    ),
    "commit after the deadline": (
        "if now > state.attempt.deadline_at - COMMIT_RESERVE:",
        "if False:",
        "append, days",
    ),
    "AlreadyCommitted without final": (
        "Verdict.ALREADY_COMMITTED if seen.final else Verdict.UNFINISHED",
        "Verdict.ALREADY_COMMITTED",
        "steps",
    ),
    "a rival is built upon": ("return Verdict.FENCED", "return Verdict.NEXT", "append"),
    "a reset in another lane is ignored": (
        '(seen.lane == attempt.lane or seen.kind == "reset")',
        "seen.lane == attempt.lane",
        "lanes",
    ),
    "moved columns are written over": (
        'seen.metadata == "moved" and _writes_columns(attempt)',
        "False",
        "append",
    ),
    "moved columns are written over by a Replace": (
        "attempt.has_metadata or attempt.kind in _REPLACING",
        "attempt.has_metadata",
        "replace",
    ),
}
"""Mutants of the step function: what is replaced, by what, and the scenario whose search must find it."""


def build_mutants() -> tuple[Mutant, ...]:
    """Build every mutant of the design page's rule 8, and a few more."""
    patched = {
        name: Mutant(Rules(name, patch_protocol(name.replace(" ", "_"), before, after)), scenario)
        for name, (before, after, scenario) in _PATCHES.items()
    }
    keeping = patched["412 = conflict and keep"].rules
    deleting = replace(keeping, name="412 = conflict and delete", is_deleting_on_conflict=True)
    return (
        Mutant(deleting, "append"),
        *patched.values(),
        Mutant(
            Rules("plain PUT with a lease", is_plain_put=True),
            "append, days",
            {"actions": (), "last_start_tick": 3},
        ),
        Mutant(Rules("next low = max(cursor)", is_low_the_greatest=True), "source"),
        Mutant(Rules("head read after the snapshot", is_view_first=True), "source, all"),
        Mutant(Rules("horizon of writing transactions only", is_horizon_of_writers=True), "source"),
    )
