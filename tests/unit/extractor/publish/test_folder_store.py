"""The folder as a store: what the contract cannot ask, because no bucket has it."""

import errno
import os
import time
from pathlib import Path

import pytest

from dpp_core.errors import (
    DestinationDeniedError,
    DestinationUnavailableError,
    InternalError,
    ResourcesError,
    StreamError,
)
from dpp_core.names import Reason
from dpp_extractor.adapters import folder
from dpp_extractor.adapters.folder import TEMPORARY, open_folder
from dpp_extractor.ports import Put


def leftovers(root: Path) -> list[str]:
    return os.listdir(root / TEMPORARY)


@pytest.mark.parametrize(
    "key",
    [
        "../x",
        "a/../x",
        "/etc/passwd",
        "a//b",
        "a/",
        "",
        ".",
        "a/.",
        "a\x00b",
        "a\\b",
        f"{TEMPORARY}/x",
    ],
)
def test_no_key_leaves_the_folder(key: str, tmp_path: Path):
    store = open_folder(tmp_path / "lake")

    for act in (
        lambda: store.put_if_absent(key, b""),
        lambda: store.get(key),
        lambda: store.head(key),
        lambda: store.open_upload(key, {}),
        lambda: store.delete(key),
    ):
        with pytest.raises(InternalError):
            act()


def test_temporary_files_are_never_listed(tmp_path: Path):
    store = open_folder(tmp_path)
    upload = store.open_upload("a/b", {})
    upload.write(b"x")

    assert len(leftovers(tmp_path)) == 1
    assert list(store.list("")) == []
    upload.abort()
    assert leftovers(tmp_path) == []


def test_an_upload_to_a_name_that_is_taken_is_refused_and_changes_nothing(tmp_path: Path):
    store = open_folder(tmp_path)
    store.put_if_absent("a/b", b"first")
    upload = store.open_upload("a/b", {})
    upload.write(b"second")

    with pytest.raises(StreamError):
        upload.finish()

    assert store.get("a/b") == b"first"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, ResourcesError),
        (errno.EDQUOT, ResourcesError),
        (errno.EMFILE, ResourcesError),
        (errno.EACCES, DestinationDeniedError),
        (errno.EROFS, DestinationDeniedError),
        (errno.EIO, DestinationUnavailableError),
        (errno.ESTALE, DestinationUnavailableError),
    ],
    ids=errno.errorcode.get,
)
def test_a_systems_refusal_is_told_by_its_kind(
    number: int, kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = open_folder(tmp_path)
    upload = store.open_upload("a/c", {})
    upload.write(b"x")

    def fail(_file) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folder, "_sync_file", fail)

    with pytest.raises(kind, match=r"a/b") as caught:
        store.put_if_absent("a/b", b"x")
    assert type(caught.value) is kind
    with pytest.raises(kind):
        upload.finish()
    upload.abort()
    monkeypatch.undo()
    assert list(store.list("")) == []
    assert leftovers(tmp_path) == []


def test_a_file_system_without_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = open_folder(tmp_path)

    def fail(*_paths) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(folder.os, "link", fail)

    with pytest.raises(StreamError) as caught:
        store.put_if_absent("a/b", b"x")
    assert caught.value.reason == Reason.CONDITIONAL_WRITES_IGNORED


def test_a_path_through_a_file_is_refused_by_name(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(DestinationDeniedError, match="file"):
        open_folder(tmp_path / "file" / "lake")


def test_old_temporary_files_are_swept_and_young_ones_kept(tmp_path: Path):
    open_folder(tmp_path)
    old, young = tmp_path / TEMPORARY / "old", tmp_path / TEMPORARY / "young"
    for path in (old, young):
        path.write_bytes(b"x")
    week_ago = time.time() - 7 * 24 * 3600 - 60
    os.utime(old, (week_ago, week_ago))

    open_folder(tmp_path)

    assert leftovers(tmp_path) == ["young"]


def test_opening_twice_changes_nothing(tmp_path: Path):
    open_folder(tmp_path).put_if_absent("a", b"1")

    again = open_folder(tmp_path)

    assert again.get("a") == b"1"
    assert again.put_if_absent("a", b"2") is Put.UNKNOWN
