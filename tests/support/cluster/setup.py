"""Bring what a cluster consists of: Debian's packages, Kubernetes' binaries, the product's images.

`make cluster-up`, `make e2e` and `make test` run it. It says at once what it will install and build
and how long that takes; what is there already costs nothing. Without root only what the API alone
needs is built; without Go nothing is. The tests that need the rest are skipped and say why.
"""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from build import Step, carry_out
from cluster.binaries import ALL_RECIPES, API_RECIPES, HELM
from cluster.images import IMAGES, build_image
from servers.built import build
from servers.process import CACHE, ServerMissingError

PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "ip": "iproute2",
    "nft": "nftables",
    "buildah": "buildah",
    "fuse-overlayfs": "fuse-overlayfs",
    "debootstrap": "debootstrap",
}


def main(arguments: list[str]) -> int:
    """Bring what is missing (`--no-images`: without images); 1 when that failed and had to be."""
    is_root = os.geteuid() == 0
    if not is_root:
        print("cluster: its node and the images need root, so only the API is built", flush=True)
    steps = list_missing(with_node=is_root, with_images="--no-images" not in arguments)
    if not steps:
        print("cluster: all there")
        return 0
    total = sum(step.seconds for step in steps)
    print(f"cluster: about {total} s on two cores, once; it goes to {CACHE}", flush=True)
    for step in steps:
        print(f"  - {step.label} (about {step.seconds} s)", flush=True)
    failed = [step for step in steps if not carry_out(step)]
    return 1 if failed and os.environ.get("DPP_REQUIRE_SERVERS") == "1" else 0


def list_missing(with_node: bool, with_images: bool) -> list[Step]:
    """Name what has to be installed or built on this machine, in order."""
    steps = []
    packages = [package for command, package in PACKAGES.items() if shutil.which(command) is None]
    recipes = ALL_RECIPES if with_node else (*API_RECIPES, HELM)
    if packages and with_node:
        label = f"install {' '.join(packages)} with apt-get"
        steps.append(Step(label, 30, partial(_install, packages)))
    steps.extend(
        Step(f"build {recipe.binary.parent.name}", recipe.cold_seconds, partial(build, recipe))
        for recipe in recipes
        if not recipe.binary.exists()
    )
    if with_images and with_node:
        steps.extend(
            Step(f"build the image of the {image.name}", 120, partial(build_image, image))
            for image in IMAGES
            if not image.read().archive.exists()
        )
    return steps


def _install(packages: list[str]) -> None:
    if shutil.which("apt-get") is None:
        raise ServerMissingError("needs apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (
        ["update", "-qq"],
        ["install", "-qq", "-y", "--no-install-recommends", *packages],
    ):
        ended = subprocess.run(
            ["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if ended.returncode != 0:
            print(ended.stderr[-4000:], file=sys.stderr, flush=True)
            ended.check_returncode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
