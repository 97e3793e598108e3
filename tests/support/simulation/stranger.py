"""Others who write to the table: compactions, appends, deletes, a vacuum by age, and what ends a stream.

Called by the story, as events of the clockwork: a stranger's commit happens in an instant.
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from commit_model.foreign import ENDING, Action, build_foreign
from simulation.clockwork import DAY, HOUR, MINUTE, SECOND
from simulation.ledger import LOG, TABLE, Ledger
from simulation.process import World

RETENTION: Final = timedelta(days=7)
HARMLESS: Final = tuple(action for action in Action if action not in ENDING)
_ENDING: Final = tuple(sorted(ENDING))


@dataclass(slots=True)
class Stranger:
    """`ending_share` of the actions make the table not ours any more."""

    world: World
    ledger: Ledger
    ending_share: float
    harmless: tuple[Action, ...] = HARMLESS
    is_quiet: bool = False
    files: int = 0

    def stir(self) -> None:
        """Come a few times: in the next seconds, minutes or days."""
        clockwork = self.world.clockwork
        for _ in range(clockwork.dice.choice((0, 0, 1, 2, 3))):
            within_us = clockwork.dice.choice((4 * SECOND, 4 * SECOND, MINUTE, HOUR, 9 * DAY))
            clockwork.at(clockwork.dice.randrange(within_us), self.act)

    def act(self) -> None:
        """Do something to the table, if there is one."""
        clockwork = self.world.clockwork
        if self.is_quiet or self.ledger.version < 0:
            return
        if clockwork.chance(0.1):
            self._vacuum()
        is_ending = self.ledger.trouble < 0 and clockwork.chance(self.ending_share)
        self._commit(clockwork.dice.choice(_ENDING if is_ending else self.harmless))

    def _commit(self, action: Action) -> None:
        if action is Action.VACUUM:
            self._vacuum()
        self.files += 1
        rows: list[tuple[object, ...]] = [("foreign", self.files)]
        if action is Action.OPTIMIZE:
            rows = [row for content in self.ledger.files.values() for row in content]
        added = f"part-by-others-{self.files}.parquet"
        content = json.dumps(rows).encode()
        self.world.store.put_raw(TABLE + added, content)
        body = build_foreign(
            action,
            live=sorted(self.ledger.files),
            added=added,
            metadata=self.ledger.metadata,
            size_bytes=len(content),
        )
        self.world.clockwork.note(f"a stranger commits {action}")
        self.ledger.announced = action
        self.world.store.put_raw(f"{LOG}{self.ledger.version + 1:020d}.json", body)
        self.ledger.announced = None

    def _vacuum(self) -> None:
        """Delete what no version needs and is older than the retention."""
        store, before = self.world.store, self.world.clockwork.now - RETENTION
        for key in sorted(store.objects):
            is_file = key.startswith(TABLE) and not key.startswith(LOG)
            is_needed = key.removeprefix(TABLE) in self.ledger.files
            if is_file and not is_needed and store.objects[key].modified_at < before:
                self.world.clockwork.note(f"a vacuum deletes {key}")
                del store.objects[key]
