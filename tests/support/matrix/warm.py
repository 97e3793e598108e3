"""The real `dpp` command in a real process that starts in milliseconds, for matrices of thousands of runs.

One process imports the extractor and its drivers once and then only forks: each run is a child with its own pid, its
own environment and its own files for what it says, which carries out the command line as the installed script does. So
it can be killed, paused and waited for like any process. The parent never runs anything itself and has one thread; a
child owes nothing to another. Run as a script this file is that parent; `open_warm` starts it.
"""

import contextlib
import functools
import gc
import json
import os
import queue
import random
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

PRELOADED = (
    "boto3",
    "dpp_core.cli.main",
    "dpp_extractor.adapters.bucket",
    "dpp_extractor.adapters.ferret",
    "dpp_extractor.adapters.folder",
    "dpp_extractor.cli.progress",
    "dpp_extractor.extract.database.postgresql.snapshot",
    "dpp_extractor.guard.deadline",
    "dpp_extractor.run",
    "dpp_extractor.wiring",
    "tenacity",
)
LONGEST_SECONDS = 120.0


@dataclass(slots=True)
class Running:
    """One run; `code` is the exit code when it ended, negative for a signal."""

    warm: "Warm"
    pid: int
    stdout: Path
    stderr: Path
    code: int | None = None
    events: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue)

    def wait(self, timeout_seconds: float = LONGEST_SECONDS) -> int:
        """Wait for its end, whatever it was paused for before. Kills it when it takes too long."""
        while self.code is None:
            self._take(timeout_seconds)
        return self.code

    def wait_paused(self, timeout_seconds: float = LONGEST_SECONDS) -> bool:
        """Wait until it pauses or ends; say whether it paused."""
        while self.code is None:
            if self._take(timeout_seconds) == "paused":
                return True
        return False

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Send a signal; nothing to one that has ended."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _take(self, timeout_seconds: float) -> str:
        try:
            event = self.events.get(timeout=timeout_seconds)
        except queue.Empty:
            self.signal(signal.SIGKILL)
            raise TimeoutError(
                f"pid {self.pid} took more than {timeout_seconds} s: {self.stderr.read_text()[-2000:]}"
            ) from None
        if event["state"] == "ended":
            self.code = event["code"]
        return str(event["state"])


@dataclass(slots=True)
class Warm:
    """The parent of all runs. Several threads may start and wait at once."""

    process: "subprocess.Popen[str]"
    folder: Path
    lock: threading.Lock = field(default_factory=threading.Lock)
    known: dict[int, Running] = field(default_factory=dict)
    born: "queue.Queue[int]" = field(default_factory=queue.Queue)
    count: int = 0

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Running:
        """Start `dpp` with these arguments and nothing in its environment but what is given."""
        with self.lock:
            self.count += 1
            stem = self.folder / f"run-{self.count:06d}"
            order = {
                "arguments": list(arguments),
                "environment": dict(environment),
                "stdout": f"{stem}.out",
                "stderr": f"{stem}.err",
            }
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            pid = self.born.get(timeout=30)
            return self.known[pid]

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            if event["state"] == "started":
                files = Path(event["stdout"]), Path(event["stderr"])
                self.known[event["pid"]] = Running(self, event["pid"], *files)
                self.born.put(event["pid"])
            else:
                self.known[event["pid"]].events.put(event)


@contextlib.contextmanager
def open_warm(folder: Path) -> Iterator[Warm]:
    """Start the parent; at the end it kills the children that are left and goes. What they said lies in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__)), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"HOME": str(folder), "TZ": "UTC", **_kept("PATH", "PYTHONPATH")},
        start_new_session=True,
    )
    warm = Warm(process, folder)
    threading.Thread(target=warm._listen, daemon=True).start()
    try:
        yield warm
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=30)


def _kept(*names: str) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}


# --- the parent ----------------------------------------------------------------------------------


def main(folder: Path) -> None:
    """Take orders line by line until there are no more; tell of every start, pause and end."""
    os.chdir(folder)
    _preload()
    wake_up, asleep = os.pipe()
    os.set_blocking(asleep, False)
    os.set_blocking(wake_up, False)
    signal.set_wakeup_fd(asleep)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: set[int] = set()
    waiting = selectors.DefaultSelector()
    waiting.register(wake_up, selectors.EVENT_READ)
    waiting.register(sys.stdin.fileno(), selectors.EVENT_READ)
    held = b""
    while True:
        for key, _ in waiting.select():
            if key.fd == wake_up:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_up, 4096)
                _tell_changes(children)
                continue
            chunk = os.read(sys.stdin.fileno(), 1 << 20)
            if not chunk:
                for pid in children:
                    os.kill(pid, signal.SIGKILL)
                return
            *lines, held = (held + chunk).split(b"\n")
            for line in lines:
                _fork(json.loads(line), children)


def _preload() -> None:
    import importlib

    for name in PRELOADED:
        importlib.import_module(name)
    from dpp_core.cli.main import build_app
    from dpp_extractor.adapters.bucket import BucketSettings, open_bucket

    _keep_models()
    build_app()
    open_bucket(
        BucketSettings("nowhere", endpoint="http://127.0.0.1:9", access_key="a", secret_key="b")
    )
    gc.collect()
    gc.freeze()


def _keep_models() -> None:
    """Keep the S3 driver's model files once read: it parses megabytes of JSON anew for each client."""
    from botocore.loaders import JSONFileLoader, Loader

    load = functools.cache(partial(JSONFileLoader.load_file, JSONFileLoader()))
    names = functools.cache(partial(Loader.list_available_services, Loader()))
    JSONFileLoader.load_file = lambda _self, path: load(path)
    Loader.list_available_services = lambda _self, type_name: names(type_name)


def _tell(**event: Any) -> None:
    print(json.dumps(event), flush=True)


def _tell_changes(children: set[int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return
        if os.WIFSTOPPED(status):
            _tell(state="paused", pid=pid)
        else:
            children.discard(pid)
            _tell(state="ended", pid=pid, code=os.waitstatus_to_exitcode(status))


def _fork(order: dict[str, Any], children: set[int]) -> None:
    pid = os.fork()
    if pid == 0:
        _become(order)
    children.add(pid)
    _tell(state="started", pid=pid, stdout=order["stdout"], stderr=order["stderr"])


def _become(order: dict[str, Any]) -> None:
    """Be the command: nothing of the parent's pipes, signals, environment and chance is left."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(nothing, 0)
        os.dup2(os.open(order["stdout"], flags, 0o600), 1)
        os.dup2(os.open(order["stderr"], flags, 0o600), 2)
        os.environ.clear()
        os.environ.update(order["environment"])
        random.seed()
        from dpp_core.cli.main import run

        code = run(order["arguments"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
