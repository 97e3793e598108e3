"""Stores that cannot hold a log: found by `dpp ping --destination` and by a first run before anything is written."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dpp_core.cli.output import Output
from dpp_extractor.cli.ping import ping
from dpp_extractor.cli.run import run
from scene import POLICY, BucketPlace
from servers.careless_s3 import BAD_STORES, Moto, open_bad_s3, open_moto
from shops import make_extraction, make_sqlite_shop

REFUSED = {
    "ignores conditions": "wrote over a key that was there",
    "lets many racers win": "racing writers the same key",
    "does not know conditions": "does not know conditional writes",
    "refuses conditions": "InvalidArgument",
    "says yes with nothing": "",
    "says yes with a page": "",
    "swallows writes": "wrote over a key that was there",
    "lists without the newest": "right after",
    "lists nothing": "lists nothing right after",
    "lists backwards": "right after",
    "lists from the start": "were asked for",
}
RECORDS = ("shop/shop/_dpp/runs/", "shop/shop/_dpp/plans/")
COMMANDS = {
    "ping": lambda **places: ping(**places, destination=True, output=Output.JSON),
    "first run": lambda **places: run(**places, output=Output.JSON),
}


@pytest.fixture
def good() -> Iterator[Moto]:
    with open_moto() as moto:
        yield moto


@pytest.fixture
def place(good: Moto, tmp_path: Path) -> BucketPlace:
    return BucketPlace(good, good.make_bucket(f"lake-{tmp_path.name[-20:].replace('_', '-')}"))


@pytest.fixture
def files(
    place: BucketPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], dict[str, Path]]:
    """Write a resource and a policy whose destination is reached through an endpoint."""
    for name, value in {**place.environment, "DPP_RETRY_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    shop = make_sqlite_shop(tmp_path)
    extraction = make_extraction(shop, tmp_path, [{"name": "customers", "key": ["id"]}])

    def write(endpoint: str) -> dict[str, Path]:
        policy = tmp_path / "policy.yaml"
        lake = {**place.destination, "endpoint": endpoint}
        policy.write_text(yaml.safe_dump({**POLICY, "destinations": {"lake": lake}}))
        return {"file": extraction.file, "policy": policy}

    return write


def test_every_bad_store_is_tried():
    assert set(REFUSED) == set(BAD_STORES)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("fault", "said"), REFUSED.items(), ids=REFUSED)
def test_a_store_that_cannot_be_trusted_is_refused_before_anything_is_written(
    fault: str,
    said: str,
    command: Callable[..., int],
    place: BucketPlace,
    files: Callable[[str], dict[str, Path]],
    capsys: pytest.CaptureFixture[str],
):
    with open_bad_s3(fault) as bad:
        code = command(**files(bad.endpoint))

    told: Any = json.loads(capsys.readouterr().out)
    message = told["units"][0]["message"] if isinstance(told, dict) else told[0]["detail"]
    assert code == (26 if fault == "refuses conditions" else 29)
    assert said in message
    assert [key for key in place.files() if not key.startswith(("_dpp_probe/", *RECORDS))] == []


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_the_same_store_unspoilt_is_taken(
    command: Callable[..., int],
    good: Moto,
    files: Callable[[str], dict[str, Path]],
    capsys: pytest.CaptureFixture[str],
):
    assert command(**files(good.endpoint)) == 0
