"""Claim and head of every unit, read before the source's horizon and snapshot are taken (data-log.md, rule 1).

Called by `run`. A stream that needs a person does not stop the others; a store that does not answer stops all.
Everything is read before anything is written, and a store that holds nothing of the extraction is probed before it gets
its first claim. Writes only what is put if absent: claims, missing copies, and the probe's own keys.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from dpp_core import logs
from dpp_core.errors import DppError
from dpp_core.handover import RunRequest, Unit
from dpp_core.names import UnitOutcome
from dpp_core.records import UnitRecord
from dpp_extractor import outcome
from dpp_extractor.ports import Store, Tools
from dpp_extractor.publish.admit import Block, read_blocks
from dpp_extractor.publish.claim import Owner, check_claim, claim
from dpp_extractor.publish.fold import Asked, Head
from dpp_extractor.publish.head import find_head, heal_copies
from dpp_extractor.publish.hooks import Hooks
from dpp_extractor.publish.keys import Stream, runs_prefix
from dpp_extractor.publish.probe import RACE_KEYS, SKEW_LIMIT_SECONDS, probe

T = TypeVar("T")

_SETTLED_CODES: Final = (20, 24, 25, 29, 31)
"""Ends that another try of the same run cannot change."""


@dataclass(frozen=True, slots=True)
class Heads:
    """Units to go on with, each with its head; `ended` those that have ended already; what approvals refer to."""

    sound: tuple[tuple[Unit, Head], ...]
    ended: tuple[UnitRecord, ...]
    blocks: tuple[Block, ...]
    warnings: tuple[str, ...] = ()


def read_heads(request: RunRequest, tools: Tools) -> Heads:
    """Look at all heads, then write what must be there before the source is read.

    Raises DestinationUnavailableError (26) or StreamError (29) when the store itself is at fault; then nothing was
    written but the probe's keys. Called twice it does nothing more.
    """
    ended: list[UnitRecord] = []
    settled = _read_settled(request, tools)
    looked: list[tuple[Unit, _Looked]] = []
    for unit in request.units:
        if unit.dataset in settled:
            ended.append(settled[unit.dataset])
            continue
        found = _alone(unit, ended, partial(_look, unit, request, tools.store))
        if found is not None:
            looked.append((unit, found))
    is_published = request.publish == "Live"
    is_new_here = bool(looked) and all(found.head.version < 0 for _, found in looked)
    warnings = _preflight(tools) if is_new_here and is_published else ()
    sound: list[tuple[Unit, Head]] = []
    for unit, found in looked:
        work = partial(_settle_in, unit, found, request, tools)
        head = _alone(unit, ended, work) if is_published else found.head
        if head is not None:
            sound.append((unit, head))
    return Heads(tuple(sound), tuple(ended), _read_approved(request, tools.store), warnings)


def look_at_heads(request: RunRequest, store: Store) -> Heads:
    """Read the heads as a run would, and write nothing: for a look at what a run would do."""
    ended: list[UnitRecord] = []
    sound: list[tuple[Unit, Head]] = []
    for unit in request.units:
        found = _alone(unit, ended, partial(_look, unit, request, store))
        if found is not None:
            sound.append((unit, found.head))
    return Heads(tuple(sound), tuple(ended), _read_approved(request, store))


def _read_approved(request: RunRequest, store: Store) -> tuple[Block, ...]:
    if not request.approve:
        return ()
    return read_blocks(store, request.namespace, request.extraction, request.approve)


@dataclass(frozen=True, slots=True)
class _Looked:
    head: Head
    is_claimed: bool


def _alone(unit: Unit, ended: list[UnitRecord], work: Callable[[], T]) -> T | None:
    """Work for one unit; what goes wrong ends this unit alone, unless its cause is shared by all."""
    try:
        return work()
    except DppError as error:
        if error.is_shared:
            raise
        ended.append(outcome.build_failed(unit, error))
    except Exception as error:  # noqa: BLE001 - what goes wrong in a unit stays with the unit
        ended.append(outcome.build_failed(unit, outcome.translate(unit.dataset, error)))
    return None


def _look(unit: Unit, request: RunRequest, store: Store) -> _Looked:
    stream = Stream(request.namespace, request.extraction, unit.dataset)
    is_claimed = check_claim(store, stream, _owner(request))
    asked = Asked(
        request.run_id,
        request.created_at,
        unit.known_seq,
        files=unit.write == "Replace" or unit.compares_keys,
        epoch=unit.epoch,
    )
    return _Looked(find_head(store, stream, asked), is_claimed)


def _settle_in(unit: Unit, found: _Looked, request: RunRequest, tools: Tools) -> Head:
    """Claim the stream and put missing copies. A stranger's table is not claimed: `admit` refuses it untouched."""
    stream = Stream(request.namespace, request.extraction, unit.dataset)
    hooks = Hooks(tools.hook, tools.pause)
    is_strangers = found.head.version >= 0 and not found.head.lanes
    if found.is_claimed:
        hooks.at("claimed")
    elif not is_strangers:
        claim(tools.store, stream, _owner(request), hooks=hooks)
    head = heal_copies(tools.store, stream, found.head, hooks)
    hooks.at("heads_read")
    return head


def _owner(request: RunRequest) -> Owner:
    return Owner(request.cluster, request.namespace, request.extraction, request.distributor)


def _preflight(tools: Tools) -> tuple[str, ...]:
    hooks = Hooks(tools.hook, tools.pause)
    found = probe(
        tools.store, token=tools.new_id(), now=tools.now, race_keys=RACE_KEYS, hooks=hooks
    )
    if not found.is_clock_off:
        return ()
    return (
        f"This machine's clock and the store's are {abs(found.skew_seconds):.0f} s apart; more than "
        f"{SKEW_LIMIT_SECONDS} s is a mistake in one of them. The store's counts.",
    )


def _read_settled(request: RunRequest, tools: Tools) -> dict[str, UnitRecord]:
    """Units that an earlier try of this run recorded as ended for good: reading them again would change nothing."""
    prefix = runs_prefix(request.namespace, request.extraction, request.run_id)
    settled: dict[str, UnitRecord] = {}
    for entry in tools.store.list(prefix):
        for record in _read_units(entry.key, tools.store.get(entry.key)):
            is_over = record.outcome in (UnitOutcome.BLOCKED, UnitOutcome.FAILED)
            if is_over and record.code in _SETTLED_CODES:
                settled[record.dataset] = record
    return settled


def _read_units(key: str, body: bytes | None) -> tuple[UnitRecord, ...]:
    """Read the units of an earlier try; a record that says nothing to this version only costs a read."""
    try:
        return tuple(map(UnitRecord.model_validate, json.loads(body or b"{}").get("units", ())))
    except (ValueError, TypeError, AttributeError) as error:
        logs.warning("record_not_understood", key=key, message=str(error)[:200])
        return ()
