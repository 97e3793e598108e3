"""The Dockerfiles say the same as the code, and promise what clusters ask of an image."""

import re
from pathlib import Path

import pytest

from dpp_core.names import PROTOCOL

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("operator", "extractor")


def read(name: str) -> str:
    return (ROOT / f"Dockerfile.{name}").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_an_image_says_which_protocol_it_speaks(name: str) -> None:
    label = re.search(r'dpp\.protocol="(\d+)\.\.(\d+)"', read(name))

    assert label is not None
    low, high = (int(number) for number in label.groups())
    assert low <= PROTOCOL <= high


@pytest.mark.parametrize("name", NAMES)
def test_an_image_runs_as_nobody_by_number(name: str) -> None:
    users = re.findall(r"^USER (.+)$", read(name), re.MULTILINE)

    assert users == ["65532:65532"]


@pytest.mark.parametrize("name", NAMES)
def test_only_locked_packages_are_installed(name: str) -> None:
    installs = re.findall(r"pip .*?install (.+)", read(name))

    assert len(installs) == 3
    for arguments in installs:
        assert "--require-hashes" in arguments or "--no-index" in arguments


@pytest.mark.parametrize("name", NAMES)
def test_the_base_is_public_and_takes_a_digest(name: str) -> None:
    stages = re.findall(r"^FROM (\S+)", read(name), re.MULTILINE)

    assert stages == ["${BASE_IMAGE}${BASE_DIGEST}"] * 2
    assert "ARG BASE_IMAGE=python:3.11-slim" in read(name)
    assert "@sha256:0" not in read(name)
