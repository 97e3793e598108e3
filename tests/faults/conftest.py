"""Scenes for the fault tests: the shop with a folder, with a bucket, or with either."""

from pathlib import Path

import pytest

from scene import BucketPlace, FolderPlace, Scene, make_scene
from servers.postgres import Database, Postgres
from servers.s3 import S3Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: it breaks something on purpose."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)


@pytest.fixture
def scene(tmp_path: Path, postgres: Postgres, database: Database) -> Scene:
    """Give the shop with a folder as destination; nothing was run yet."""
    return make_scene(tmp_path, postgres, database, FolderPlace(tmp_path / "out"))


@pytest.fixture
def bucket_scene(
    tmp_path: Path, postgres: Postgres, database: Database, s3_server: S3Server, bucket: str
) -> Scene:
    """Give the shop with a bucket as destination; nothing was run yet."""
    return make_scene(tmp_path, postgres, database, BucketPlace(s3_server, bucket))
