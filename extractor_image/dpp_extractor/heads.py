"""Claim and head of every unit, read before the source's horizon and snapshot are taken (data-log.md, rule 1).

Called by `run`. A stream that needs a person does not stop the others; a store that does not answer stops all.
Writes only what is put if absent: claims, missing copies, and the probe's own keys.
"""

import json
from dataclasses import dataclass
from typing import Final

from dpp_core import logs
from dpp_core.errors import DppError
from dpp_core.handover import RunRequest, Unit
from dpp_core.names import UnitOutcome
from dpp_core.records import UnitRecord
from dpp_extractor import outcome
from dpp_extractor.ports import Tools
from dpp_extractor.publish.admit import Block, read_blocks
from dpp_extractor.publish.claim import Owner, check_claim, claim
from dpp_extractor.publish.fold import Asked, Head
from dpp_extractor.publish.head import read_head
from dpp_extractor.publish.hooks import Hooks
from dpp_extractor.publish.keys import Stream, runs_prefix
from dpp_extractor.publish.probe import SKEW_LIMIT_SECONDS, probe

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
    """Read all heads. Raises DestinationUnavailableError (26) or StreamError (29) when the store itself is at fault."""
    settled = _read_settled(request, tools)
    sound: list[tuple[Unit, Head]] = []
    ended: list[UnitRecord] = []
    for unit in request.units:
        if unit.dataset in settled:
            ended.append(settled[unit.dataset])
            continue
        try:
            sound.append((unit, _read_one(unit, request, tools)))
        except DppError as error:
            if error.is_shared:
                raise
            ended.append(outcome.build_failed(unit, error))
        except Exception as error:  # noqa: BLE001 - what goes wrong in a unit stays with the unit
            ended.append(outcome.build_failed(unit, outcome.translate(unit.dataset, error)))
    is_new_here = any(head.version < 0 for _, head in sound)
    warnings = _preflight(tools) if is_new_here and request.publish == "Live" else ()
    blocks = (
        read_blocks(tools.store, request.namespace, request.extraction, request.approve)
        if request.approve
        else ()
    )
    return Heads(tuple(sound), tuple(ended), blocks, warnings)


def _read_one(unit: Unit, request: RunRequest, tools: Tools) -> Head:
    stream = Stream(request.namespace, request.extraction, unit.dataset)
    owner = Owner(request.cluster, request.namespace, request.extraction, request.distributor)
    hooks = Hooks(tools.hook, tools.pause)
    is_published = request.publish == "Live"
    if is_published:
        claim(tools.store, stream, owner, hooks=hooks)
    else:
        check_claim(tools.store, stream, owner)
    asked = Asked(request.run_id, request.created_at, unit.known_seq)
    return read_head(tools.store, stream, asked, hooks=hooks, can_write=is_published)


def _preflight(tools: Tools) -> tuple[str, ...]:
    hooks = Hooks(tools.hook, tools.pause)
    found = probe(tools.store, token=tools.new_id(), now=tools.now, hooks=hooks)
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
