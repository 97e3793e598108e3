"""Checkpoints made by others, and logs cleaned behind them: the head, the files and the next commit are right."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from dpp_core.errors import StreamError
from dpp_core.handover import Unit
from dpp_core.names import LIVE_LANE, Reason
from dpp_extractor.adapters.bucket import BucketSettings, open_bucket
from dpp_extractor.adapters.folder import open_folder
from dpp_extractor.ports import Store
from dpp_extractor.publish.admit import admit
from dpp_extractor.publish.checkpoint import read_live_files, read_state
from dpp_extractor.publish.fold import NO_TABLE, Asked, advance
from dpp_extractor.publish.head import find_head, read_versions
from dpp_extractor.publish.keys import copies_prefix, copy_key, log_key, log_prefix, table_prefix
from dpp_extractor.publish.span import find_whole_span
from stores import serve_moto
from table import IDENTITY, STREAM, TableWriter, number_rows

UNIT = Unit(dataset="orders", object="public.orders")
COMMITS = 12


class Lake:
    """A table of twelve commits in a folder, and the hands of others on it."""

    def __init__(self, root: Path) -> None:
        self.store = open_folder(root)
        self.writer = TableWriter(self.store)
        self.log = root / table_prefix(STREAM) / "_delta_log"
        self.copies = root / copies_prefix(STREAM)
        for number in range(COMMITS):
            self.writer.add(number_rows([number]), watermark=str(number))

    @property
    def table(self) -> DeltaTable:
        return DeltaTable(str(self.log.parent))

    def ids(self) -> list[int]:
        return sorted(self.table.to_pyarrow_table().column("id").to_pylist())

    def checkpoint(self) -> None:
        self.table.create_checkpoint()

    def clean(self, before: int) -> None:
        """Clean the log as a careless stranger does: every version before this one."""
        for version in range(before):
            (self.log / f"{version:020d}.json").unlink(missing_ok=True)

    def name(self, version: int) -> Path:
        return self.log / f"{version:020d}.checkpoint.parquet"

    def split(self, version: int, parts: int = 3) -> list[Path]:
        """Make the checkpoint of a version one of many parts, as the protocol names them."""
        rows = pq.read_table(self.name(version))
        size = -(-rows.num_rows // parts)
        names = [
            self.log / f"{version:020d}.checkpoint.{number + 1:010d}.{parts:010d}.parquet"
            for number in range(parts)
        ]
        for number, name in enumerate(names):
            pq.write_table(rows.slice(number * size, size), name)
        self.name(version).unlink()
        return names


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def reason_of(lake: Lake) -> Reason:
    with pytest.raises(StreamError) as caught:
        admit(lake.writer.head(), UNIT, IDENTITY)
    assert caught.value.exit_code == 29
    return caught.value.reason


def assert_goes_on(lake: Lake, seq: int = COMMITS) -> None:
    """The next append continues the chain, and the next replace leaves only its own row."""
    before = lake.ids()
    appended = lake.writer.add(number_rows([500]))
    assert appended.seq == seq + 1
    assert lake.ids() == sorted([*before, 500])
    lake.writer.add(number_rows([600]), kind="replace")
    assert lake.ids() == [600]
    assert lake.writer.head().trouble is None


def test_a_checkpoint_holds_what_the_log_says(lake: Lake):
    lake.checkpoint()
    whole = advance(NO_TABLE, read_versions(lake.store, STREAM))
    span = find_whole_span(lake.store, STREAM)
    assert span is not None

    (checkpoint,) = span.checkpoints
    state = read_state(lake.store, checkpoint)

    assert state.txns == {"dpp": COMMITS}
    assert whole.metadata is not None
    assert {name: state.metadata[name] for name in whole.metadata} == dict(whole.metadata)
    assert state.protocol == whole.protocol
    files = {file.path: file for file in read_live_files(lake.store, checkpoint)}
    assert files == whole.files


def remove_hint(lake: Lake) -> None:
    (lake.log / "_last_checkpoint").unlink()


def tear_hint(lake: Lake) -> None:
    (lake.log / "_last_checkpoint").write_text('{"version": 1')


def point_beyond(lake: Lake) -> None:
    (lake.log / "_last_checkpoint").write_text('{"version": 900, "size": 3}')


def point_to_a_gone_one(lake: Lake) -> None:
    (lake.log / "_last_checkpoint").write_text('{"version": 5, "size": 3}')


def point_to_an_older_one(lake: Lake) -> None:
    hint = (lake.log / "_last_checkpoint").read_text()
    lake.writer.add(number_rows([100]))
    lake.checkpoint()
    (lake.log / "_last_checkpoint").write_text(hint)


def tear_checkpoint(lake: Lake) -> None:
    lake.name(COMMITS - 1).write_bytes(lake.name(COMMITS - 1).read_bytes()[:500])


def empty_checkpoint(lake: Lake) -> None:
    lake.name(COMMITS - 1).write_bytes(b"")


def split_checkpoint(lake: Lake) -> None:
    lake.split(COMMITS - 1)


def lose_a_part(lake: Lake) -> None:
    lake.split(COMMITS - 1)[1].unlink()


def do_nothing(_: Lake) -> None:
    pass


HARMLESS = {
    "as it is": do_nothing,
    "no hint": remove_hint,
    "torn hint": tear_hint,
    "hint beyond": point_beyond,
    "hint to a gone one": point_to_a_gone_one,
    "hint to an older one": point_to_an_older_one,
    "torn checkpoint": tear_checkpoint,
    "empty checkpoint": empty_checkpoint,
    "many parts": split_checkpoint,
    "a part missing": lose_a_part,
}


@pytest.mark.parametrize("harm", HARMLESS.values(), ids=HARMLESS)
def test_a_checkpoint_or_hint_that_fails_is_passed_over(harm: Callable[[Lake], None], lake: Lake):
    lake.checkpoint()
    harm(lake)
    expected = advance(NO_TABLE, read_versions(lake.store, STREAM))

    head = lake.writer.head()

    assert head == expected
    assert lake.writer.add(number_rows([500]), kind="replace").version == head.version + 1
    assert len(lake.writer.head().files) == 1


CLEANED = {
    "to the checkpoint": (COMMITS - 1, do_nothing),
    "without a hint": (COMMITS - 1, remove_hint),
    "with a torn hint": (COMMITS - 1, tear_hint),
    "with many parts": (COMMITS - 1, split_checkpoint),
    "in part": (4, do_nothing),
}


@pytest.mark.parametrize(("before", "harm"), CLEANED.values(), ids=CLEANED)
def test_a_log_that_was_cleaned_behind_a_checkpoint_goes_on(
    before: int, harm: Callable[[Lake], None], lake: Lake
):
    lake.checkpoint()
    lake.clean(before)
    harm(lake)

    head = lake.writer.head()

    assert head.live is not None
    assert (head.version, head.live.seq, head.live.watermark) == (11, COMMITS, "11")
    assert len(head.files) == COMMITS
    assert_goes_on(lake)


def test_own_commits_are_found_though_the_log_was_cleaned(lake: Lake):
    lake.writer.add(number_rows([50]), run_id="r")
    lake.writer.add(number_rows([51]))
    lake.checkpoint()
    lake.clean(COMMITS + 1)

    assert lake.writer.head("r", known_seq=COMMITS).own.seq == COMMITS + 1
    assert lake.writer.head("r").own.seq == COMMITS + 1


def test_our_last_commit_is_read_from_its_copy_when_the_log_lost_it(lake: Lake):
    lake.table.optimize.compact()
    lake.checkpoint()
    lake.clean(COMMITS)

    head = lake.writer.head()

    assert head.live is not None
    assert (head.version, head.live.seq, head.live.version) == (COMMITS, COMMITS, COMMITS - 1)
    assert len(head.files) == 1
    assert_goes_on(lake)


def test_compaction_checkpoint_and_cleaning_between_all_our_runs_lose_no_row(lake: Lake):
    for number in range(100, 106):
        lake.table.optimize.compact()
        lake.checkpoint()
        lake.clean(lake.table.version())
        lake.writer.add(number_rows([number]))

    assert lake.ids() == [*range(COMMITS), *range(100, 106)]
    assert_goes_on(lake, seq=COMMITS + 6)


def test_a_commit_gone_from_log_and_copies_needs_a_person(lake: Lake):
    lake.table.optimize.compact()
    lake.checkpoint()
    lake.clean(COMMITS)
    (lake.copies / LIVE_LANE / f"{COMMITS:020d}.json").unlink()

    with pytest.raises(StreamError, match=r"Commit 12 .* and so is its copy") as caught:
        lake.writer.head()

    assert caught.value.reason == Reason.STREAM_CHAIN_BROKEN


def test_a_restore_below_a_checkpoint_is_still_seen(lake: Lake):
    lake.table.restore(3)
    lake.checkpoint()

    assert reason_of(lake) == Reason.STREAM_RESTORED


def test_a_restore_that_was_cleaned_away_is_not_passed_over(lake: Lake):
    lake.table.restore(3)
    lake.table.optimize.compact()
    lake.checkpoint()
    lake.clean(lake.table.version())

    with pytest.raises(StreamError, match="cleaned from the log before DPP could see") as caught:
        lake.writer.head()

    assert caught.value.exit_code == 29


def test_a_cleaned_log_whose_checkpoint_is_torn_needs_a_person(lake: Lake):
    lake.table.optimize.compact()
    lake.checkpoint()
    lake.clean(COMMITS)
    lake.name(COMMITS).write_bytes(b"PAR1 torn PAR1")

    with pytest.raises(StreamError, match="no checkpoint can be read"):
        lake.writer.head()


@pytest.mark.parametrize("has_hint", [True, False], ids=["hint", "no hint"])
def test_a_checkpoint_above_the_last_commit_means_that_commits_were_lost(
    has_hint: bool, lake: Lake
):
    lake.checkpoint()
    for version in (10, 11):
        (lake.log / f"{version:020d}.json").unlink()
    if not has_hint:
        remove_hint(lake)

    with pytest.raises(StreamError, match="ends with version 9") as caught:
        lake.writer.head()

    assert caught.value.reason == Reason.STREAM_CHAIN_BROKEN


def test_the_real_clean_up_takes_nothing_that_we_need(lake: Lake):
    lake.checkpoint()
    lake.table.cleanup_metadata()

    assert lake.writer.head().version == COMMITS - 1
    assert_goes_on(lake)


def test_an_older_checkpoint_serves_when_the_newest_is_torn(lake: Lake):
    lake.checkpoint()
    lake.writer.add(number_rows([100]))
    lake.checkpoint()
    lake.clean(COMMITS - 1)
    lake.name(COMMITS).write_bytes(b"")

    head = lake.writer.head()

    assert len(head.files) == COMMITS + 1
    assert lake.writer.commit(head, lake.writer.draft(head, number_rows([7]))).seq == COMMITS + 2


def test_a_checkpoint_with_sidecars_is_not_taken_for_a_classic_one(lake: Lake):
    lake.checkpoint()
    rows = pq.read_table(lake.name(COMMITS - 1))
    place = rows.schema.get_field_index("sidecar")
    sidecar = {"path": "x.parquet", "sizeInBytes": 1, "modificationTime": 0, "tags": None}
    cells = [None] * (rows.num_rows - 1) + [sidecar]
    column = pa.array(cells, rows.schema.field(place).type)
    with_sidecar = rows.set_column(place, rows.schema.field(place), column)
    pq.write_table(with_sidecar, lake.name(COMMITS - 1))

    assert len(lake.writer.head().files) == COMMITS


@pytest.fixture(params=["folder", "moto", "versitygw"])
def place(request: pytest.FixtureRequest, tmp_path: Path):
    """Give a store and the options with which delta-rs reaches it."""
    if request.param == "folder":
        yield open_folder(tmp_path / "lake"), {}
        return
    if request.param == "versitygw":
        server = request.getfixturevalue("s3_server")
        settings = BucketSettings(
            bucket=request.getfixturevalue("bucket"),
            prefix="lake",
            endpoint=server.endpoint,
            region=server.region,
            access_key=server.access_key,
            secret_key=server.secret_key,
        )
        yield open_bucket(settings), _options(settings)
        return
    with serve_moto() as moto:
        settings = moto.settings("lake")
        yield open_bucket(settings), _options(settings)


def _options(settings: BucketSettings) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": settings.endpoint,
        "AWS_ACCESS_KEY_ID": settings.access_key,
        "AWS_SECRET_ACCESS_KEY": settings.secret_key,
        "AWS_REGION": settings.region or "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }


def test_every_store_is_read_from_its_checkpoint_when_the_log_was_cleaned(
    place: tuple[Store, dict[str, str]],
):
    store, options = place
    writer = TableWriter(store)
    for number in range(5):
        writer.add(number_rows([number]))
    uri = f"{store.uri}/{table_prefix(STREAM)}"
    deltalake.write_deltalake(uri, number_rows([9]), mode="append", storage_options=options)
    DeltaTable(uri, storage_options=options).create_checkpoint()
    for version in range(5):
        store.delete(log_key(STREAM, version))

    head = writer.head()
    committed = writer.add(number_rows([10]), kind="replace")

    assert (len(head.files), committed.seq, committed.version) == (6, 6, 6)
    rows = DeltaTable(uri, storage_options=options).to_pyarrow_table()
    assert rows.column("id").to_pylist() == [10]


def test_appends_never_read_the_checkpoint(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    lake.checkpoint()
    read: list[str] = []
    monkeypatch.setattr(lake.store, "get_range", lambda key, *_: read.append(key), raising=False)

    asked = Asked("r", datetime(2026, 1, 1, tzinfo=UTC), files=False, epoch=0)
    assert find_head(lake.store, STREAM, asked).version == COMMITS - 1
    assert read == []


def test_copies_are_the_commits_byte_for_byte(lake: Lake):
    for version in range(COMMITS):
        copy = lake.store.get(copy_key(STREAM, LIVE_LANE, version + 1))
        assert copy == lake.store.get(f"{log_prefix(STREAM)}{version:020d}.json")
        assert json.loads(copy.splitlines()[0])["commitInfo"]["dpp"]["version"] == version
