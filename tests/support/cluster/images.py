"""Build the product's images from its own Dockerfiles, without Docker: `make images`.

The Dockerfiles name a public Python image as their base; where no image registry can be reached,
a base of the same system is made from Debian's packages and given as BASE_IMAGE. Archives go to the
cache, named by what went into them: unchanged sources are never built twice. Needs root.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from servers.process import CACHE, MachineLacksError, ServerMissingError

REPOSITORY = Path(__file__).resolve().parents[3]
SUITE = "bookworm"
BASE_IMAGE = f"localhost/dpp-base:{SUITE}"
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
STORAGE = CACHE / "buildah"
COMMANDS = ("buildah", "debootstrap")


@dataclass(frozen=True, slots=True)
class Image:
    """One image of the product, and the folders of which its sources consist."""

    name: str
    sources: tuple[str, ...]

    @property
    def dockerfile(self) -> str:
        return f"Dockerfile.{self.name}"

    def read(self) -> "Build":
        """Name what goes into the image now, files that git would ignore aside."""
        inputs = hashlib.sha256(f"{SUITE} {BASE_PACKAGES}".encode())
        for path in self._list_inputs():
            inputs.update(str(path.relative_to(REPOSITORY)).encode() + path.read_bytes())
        return Build(self, inputs.hexdigest()[:12])

    def _list_inputs(self) -> Iterator[Path]:
        yield REPOSITORY / self.dockerfile
        yield REPOSITORY / "requirements" / "build.txt"
        yield REPOSITORY / "requirements" / f"{self.name}.txt"
        for folder in self.sources:
            for path in sorted((REPOSITORY / folder).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    yield path


@dataclass(frozen=True, slots=True)
class Build:
    """An image of sources as they were at one moment."""

    image: Image
    digest: str

    @property
    def reference(self) -> str:
        return f"localhost/dpp-{self.image.name}:{self.digest}"

    @property
    def archive(self) -> Path:
        return CACHE / "images" / f"{self.image.name}-{self.digest}.tar"


OPERATOR = Image("operator", ("core", "operator"))
EXTRACTOR = Image("extractor", ("core", "extractor_image"))
IMAGES = (OPERATOR, EXTRACTOR)


def main() -> int:
    """Build what is not there and tell the sizes."""
    try:
        for image in IMAGES:
            started_at = time.monotonic()
            built = build_image(image)
            size_mb = built.archive.stat().st_size / 1_000_000
            print(f"{built.reference}  {size_mb:.0f} MB  ({time.monotonic() - started_at:.0f} s)")
            print(f"  {built.archive}", flush=True)
    except ServerMissingError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


def build_image(image: Image) -> Build:
    """Give the image's archive, built first when it is not there; called twice it builds once."""
    build = image.read()
    if build.archive.exists():
        return build
    _check_machine()
    build.archive.parent.mkdir(parents=True, exist_ok=True)
    with (build.archive.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not build.archive.exists():
            _build_base()
            _build(build)
            _save(build)
    return build


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise MachineLacksError("building images needs root; elsewhere `docker build` makes them")
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        raise ServerMissingError(
            f"building images needs Debian's packages buildah and debootstrap; missing: {missing}"
        )


def _build_base() -> None:
    """Make the base image from Debian's packages, once."""
    if _buildah("images", "--quiet", BASE_IMAGE, check=False).strip():
        return
    print("making the base image from Debian's packages (once, about 90 s) ...", flush=True)
    folder = CACHE / f"debootstrap-{SUITE}"
    shutil.rmtree(folder, ignore_errors=True)
    _run(
        ["debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", SUITE, str(folder)],
        timeout_seconds=900,
    )
    for leftover in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    container = _buildah("from", "scratch").strip()
    _buildah("add", "--quiet", container, str(folder), "/")
    _buildah("commit", "--quiet", "--rm", container, BASE_IMAGE)
    shutil.rmtree(folder, ignore_errors=True)


def _build(build: Build) -> None:
    print(f"building {build.reference} (a minute or two when its locks changed) ...", flush=True)
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.strip()
    own_authorities = (
        [
            *("--volume", f"{CERTIFICATES.parent}:{CERTIFICATES.parent}:ro"),
            *("--build-arg", f"PIP_CERT={CERTIFICATES}"),
        ]
        if CERTIFICATES.exists()
        else []
    )
    _buildah(
        *("build", "--quiet", "--layers", "--pull-never", "--file", build.image.dockerfile),
        *("--build-arg", f"BASE_IMAGE={BASE_IMAGE}"),
        *("--build-arg", f"REVISION={revision or 'unknown'}", *own_authorities),
        *("--tag", build.reference, "."),
    )


def _save(build: Build) -> None:
    """Leave the archive in the cache, and no older one of the same image."""
    unfinished = build.archive.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    _buildah("push", "--quiet", build.reference, f"docker-archive:{unfinished}:{build.reference}")
    for old in build.archive.parent.glob(f"{build.image.name}-*.tar"):
        old.unlink()
    unfinished.rename(build.archive)


def _buildah(*arguments: str, check: bool = True) -> str:
    storage = ["--root", str(STORAGE / "root"), "--runroot", str(STORAGE / "run")]
    command = ["buildah", *storage, "--storage-driver", "overlay", *arguments]
    return _run(command, check=check)


def _run(command: list[str], check: bool = True, timeout_seconds: float = 1800) -> str:
    ended = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": "/var/tmp"},
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    if check and ended.returncode != 0:
        print((ended.stdout + ended.stderr)[-4000:], file=sys.stderr, flush=True)
        ended.check_returncode()
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
