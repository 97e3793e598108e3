"""One server process of the tests: start, wait until it answers, stop, and never leave it behind.

Every server module stands on this one. Each running server has a small record on disk with its
pid, its start time and the pid of the test run that owns it; `sweep()` reads these records, so a
run that was killed is cleaned up by the next one, and nothing but our own processes is touched.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CACHE = Path(os.environ.get("DPP_DEV_CACHE", Path.home() / ".cache" / "dpp-dev"))
RECORDS = CACHE / "running"
HOST = "127.0.0.1"


class ServerMissingError(Exception):
    """A server cannot be had on this machine; the message says why and what would help."""


class MachineLacksError(ServerMissingError):
    """This machine has not the rights that a server needs; its tests are skipped with the reason wherever they run."""


class ServerStartError(Exception):
    """A server did not come up; the message carries the end of its log."""


def free_port(host: str = HOST) -> int:
    """Ask the kernel for a port on an address of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port


def accepts(port: int, host: str = HOST) -> bool:
    """Say whether something listens on the port of this machine."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def make_folder(name: str, user: str | None = None) -> Path:
    """Make a private folder for a server's data, owned by the account that runs it."""
    folder = Path(tempfile.mkdtemp(prefix=f"dpp-{name}-"))
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
    return folder


@dataclass(slots=True)
class Server:
    """A server process that can be stopped and started again on the same port and folder.

    `ready` is asked until it is true, and first the port, unless it is 0. `owner_pid` 0 means that
    the server outlives its starter (`make dev-up`). Starting a running server and stopping a
    stopped one do nothing.
    """

    name: str
    command: Sequence[str]
    port: int
    folder: Path
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    kill_signal: signal.Signals = signal.SIGKILL
    owner_pid: int = field(default_factory=os.getpid)
    host: str = HOST
    process: subprocess.Popen[bytes] | None = None

    @property
    def log_path(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, timeout_seconds: float = 60) -> None:
        """Start the process and return when it answers; raise with its log when it does not."""
        if self.is_running:
            return
        home = {"HOME": str(self.folder), "PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC"}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command),
                cwd=self.folder,
                env={**home, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user,
                group=self.user and pwd.getpwnam(self.user).pw_gid,
                extra_groups=[] if self.user else None,
                start_new_session=True,
            )
        _write_record(self)
        self._wait_ready(timeout_seconds)

    def stop(self, timeout_seconds: float = 15) -> None:
        """End the process in order, then by force; the data folder stays for the next start."""
        self._end(self.stop_signal, timeout_seconds)

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self._end(self.kill_signal, 5)

    def pause(self) -> None:
        """Freeze the process: connections are accepted by the kernel and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stop the process and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def _end(self, number: signal.Signals, timeout_seconds: float) -> None:
        if self.process is None:
            return
        pid = self.process.pid
        if self.process.poll() is None:
            self.resume()
            os.kill(pid, number)
        try:
            self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait(5)
        _record_path(pid).unlink(missing_ok=True)
        self.process = None

    def _wait_ready(self, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if not self.is_running:
                break
            if (not self.port or accepts(self.port, self.host)) and self.ready():
                return
            time.sleep(0.05)
        tail = self.log_path.read_text(errors="replace")[-2000:]
        self.kill()
        raise ServerStartError(
            f"{self.name} did not answer on {self.host}:{self.port} in {timeout_seconds:.0f} s: {tail}"
        )


def sweep() -> list[str]:
    """End servers whose owning test run is gone, and delete their folders; return their names.

    Only processes with a record of ours whose start time still matches are ended.
    """
    swept = []
    for path in sorted(RECORDS.glob("*.json")):
        record = _read_record(path)
        if record is None:
            continue
        owner_lives = record["owner_pid"] == 0 or (
            started_at(record["owner_pid"]) == record["owner_started"]
        )
        if not owner_lives:
            end_record(path)
            swept.append(record["name"])
    return swept


def end_record(path: Path) -> None:
    """End the process that a record names, if it is still that process, and forget both."""
    record = _read_record(path)
    if record is None:
        return
    pid = record["pid"]
    if started_at(pid) == record["started"]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, record["stop_signal"])
        deadline = time.monotonic() + 10
        while started_at(pid) == record["started"] and time.monotonic() < deadline:
            time.sleep(0.05)
        if started_at(pid) == record["started"]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(record["folder"], ignore_errors=True)
    path.unlink(missing_ok=True)


def _read_record(path: Path) -> dict[str, Any] | None:
    """Read a record; None when another run's sweep, or its server's end, took it away meanwhile."""
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return record


def _record_path(pid: int) -> Path:
    return RECORDS / f"{pid}.json"


def _write_record(server: Server) -> None:
    assert server.process is not None
    RECORDS.mkdir(parents=True, exist_ok=True)
    pid = server.process.pid
    record = {
        "name": server.name,
        "pid": pid,
        "started": started_at(pid),
        "owner_pid": server.owner_pid,
        "owner_started": started_at(server.owner_pid),
        "folder": str(server.folder),
        "stop_signal": int(server.stop_signal),
    }
    unfinished = RECORDS / f"{pid}.unfinished"
    unfinished.write_text(json.dumps(record))
    unfinished.replace(_record_path(pid))


def started_at(pid: int) -> str | None:
    """Return the kernel's start time of a live process; a zombie counts as gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
