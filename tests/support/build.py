"""Install and build what the tests' servers need: PostgreSQL, MariaDB, the S3 server and FerretDB.

`make servers` runs it; `make test` runs that first. It says at once what it is going to do and how
long that takes; what is there already costs nothing. Where something cannot be had it says why,
and the tests that need it are skipped with the same reason; with DPP_REQUIRE_SERVERS=1 that is an
error instead, so a pipeline can never pass by skipping.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from servers.built import RECIPES_BUILT, build
from servers.mariadb import find_mariadbd
from servers.postgres import find_binaries
from servers.process import CACHE, ServerMissingError, sweep


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is missing and how it is brought here."""

    label: str
    seconds: int
    act: Callable[[], object]


def main() -> int:
    """Bring what is missing; give 1 when something could not be had and had to be."""
    for name in sweep():
        print(f"ended {name}, left behind by a run that was killed")
    steps = list_missing()
    if not steps:
        print("servers: all there")
        return 0
    total = sum(step.seconds for step in steps)
    print(f"servers: about {total} s on two cores, once; binaries go to {CACHE}", flush=True)
    for step in steps:
        print(f"  - {step.label} (about {step.seconds} s)", flush=True)
    failed = [step for step in steps if not carry_out(step)]
    return 1 if failed and os.environ.get("DPP_REQUIRE_SERVERS") == "1" else 0


def list_missing() -> list[Step]:
    """Name what has to be installed or built on this machine, in order."""
    steps = []
    if find_binaries() is None:
        steps.append(Step("install PostgreSQL with apt-get", 30, _install_postgres))
    if find_mariadbd() is None:
        # the core package alone: it brings the programs and starts no server of its own
        install = partial(_install, "mariadb-server-core")
        steps.append(Step("install MariaDB with apt-get", 30, install))
    steps.extend(
        Step(f"build {recipe.binary.parent.name}", recipe.cold_seconds, partial(build, recipe))
        for recipe in RECIPES_BUILT
        if not recipe.binary.exists()
    )
    return steps


def carry_out(step: Step) -> bool:
    """Do one step and tell how long it took; give False, with the reason told, when it failed."""
    started_at = time.monotonic()
    try:
        step.act()
    except (ServerMissingError, subprocess.CalledProcessError) as error:
        print(f"  could not {step.label}: {error}", flush=True)
        return False
    print(f"  done: {step.label} ({time.monotonic() - started_at:.0f} s)", flush=True)
    return True


def _install_postgres() -> None:
    _require_apt("postgresql")
    _decline_default_cluster()
    _install("postgresql")


def _require_apt(package: str) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ServerMissingError(f"needs root and apt-get; install the package `{package}`")


def _install(package: str) -> None:
    _require_apt(package)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (
        ["update", "-qq"],
        ["install", "-qq", "-y", "--no-install-recommends", package],
    ):
        ended = subprocess.run(
            ["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if ended.returncode != 0:
            print(ended.stderr[-4000:], file=sys.stderr, flush=True)
            ended.check_returncode()


def _decline_default_cluster() -> None:
    """Keep the package from starting a server of its own; a setting that is there stays."""
    settings = Path("/etc/postgresql-common/createcluster.conf")
    if not settings.exists():
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text("create_main_cluster = false\n")


if __name__ == "__main__":
    sys.exit(main())
