"""Spark with Delta, in a process and an environment of its own (`make test-spark`): it reads tables, and writes them.

Called by tests/spark. One Spark serves all of them, since its start takes seconds.
"""

import os
import pickle
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-spark" / "bin" / "python"
STOP_SECONDS = 60


def why_missing() -> str | None:
    """Say why Spark cannot be had here, or None."""
    if not PYTHON.exists():
        return "Spark is not installed; run `make test-spark`"
    if shutil.which("java") is None:
        return "Spark needs Java 17 or newer on the PATH"
    return None


@dataclass(frozen=True, slots=True)
class Spark:
    """A Spark that waits for what to do."""

    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def read(self, table: str | Path) -> list[dict[str, Any]]:
        """Give the rows of a table."""
        rows: list[dict[str, Any]] = self._ask("read", str(table))
        return rows

    def sql(self, statement: str) -> None:
        """Carry out a statement, to its end."""
        self._ask("sql", statement)

    def _ask(self, verb: str, text: str) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            pickle.dump((verb, text), self.process.stdin)
            self.process.stdin.flush()
            problem, answer = pickle.load(self.process.stdout)
        except (EOFError, BrokenPipeError) as error:
            self.log.seek(0)
            said = self.log.read()[-3000:].decode(errors="replace")
            raise RuntimeError(f"Spark has ended: {said}") from error
        if problem:
            raise RuntimeError(f"Spark could not {verb} {text!r}: {problem}")
        return answer


@contextmanager
def open_spark() -> Iterator[Spark]:
    """Start a Spark; it ends with its input, and is killed where it does not."""
    script = Path(__file__).with_name("spark_session.py")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(PYTHON), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,  # where Spark leaves its warehouse and logs
            env={**os.environ, "TZ": "UTC"},
        )
        try:
            yield Spark(process, log)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
