"""From CSV files to the lake, and from the lake to the rows of table `kpis`, on a folder in place of a bucket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from benchmarks.flat_rows import flat
from benchmarks.folder_objects import FolderObjects
from glue_scripts import count_plays, judging, spread
from glue_scripts.batch_record import Written
from glue_scripts.file_days import FileDays, run_of_file_days
from glue_scripts.kpi_items import DayKpis, Item
from glue_scripts.ledger import NO_TOMBSTONES, Claim, Snapshot, Tombstones, salted_hash
from glue_scripts.sql_engine import SqlEngine
from glue_scripts.stored_plays import RunOfDay, document_key
from tests import oracle
from tests.engine import BUCKET, engine_on, no_spark
from tests.lake import UPLOADED_AT, LakeFile, lake_file, lake_writer, write_lake
from tests.oracle import Play, Song, User, by_key
from validators.schemas import REQUIRED_COLUMNS

if TYPE_CHECKING:
    from pyspark import SparkContext

TUESDAY, WEDNESDAY = "2024-06-25", "2024-06-26"
HEADERS = {dataset: REQUIRED_COLUMNS[dataset] for dataset in ("streams", "songs", "users")}

MORNING = (
    "ann,t1,2024-06-25 08:00:00",
    "bob,t1,2024-06-25 08:00:01",
    "bob,t1,2024-06-25 08:00:01",
    "bob,t9,2024-06-25 23:59:59.9",
    ",t1,2024-06-25 08:00:00",
    "ann,t1,noon",
    "ann,t1",
    "ann,t2,2024-06-26 00:00:00",
)
EVENING = ("cem,t2,2024-06-25T22:00:00+02:00", "ann,t1,2024-06-25 08:00:00")
SONGS = (
    "t1,One,A,x,pop,1000,1,false",
    "t1,One,A,x,rock,1000,1,false",
    "t1,One,A,x,rock,1000,1,false",
    "t2,Two,B,x,jazz,3000,,",
    "t3,Three,B,x,jazz,-1,,",
)
USERS = (
    "ann,Ann,30,Norway,2024-01-01",
    "ann,Ann,30,Norway,2024-01-01",
    "bob,Bob,old,Peru,2024-01-01",
    "cem,Cem,,Chad,",
    "dora,Dora,,Chad,",
)


def purge(*user_ids: str) -> Tombstones:
    return Tombstones("salt", frozenset(salted_hash("salt", user_id) for user_id in user_ids))


def text(dataset: str, lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in (",".join(HEADERS[dataset]), *lines)).encode()


@dataclass(frozen=True)
class Lake:
    """An engine, and the folder that it works on."""

    folder: Path
    engine: SqlEngine
    context: Callable[[], SparkContext]

    @classmethod
    def of(cls, folder: Path, context: Callable[[], SparkContext] = no_spark) -> Lake:
        return cls(folder, engine_on(folder, context=context, top_songs=2, top_genres=2), context)

    def file(self, dataset: str, name: str, lines: Iterable[str]) -> LakeFile:
        """A file that was judged and accepted."""
        return lake_file(FolderObjects(self.folder), dataset, f"{name}.csv", text(dataset, lines))

    def write(self, run: str, *files: LakeFile, tombstones: Tombstones = NO_TOMBSTONES) -> Written:
        return write_lake(FolderObjects(self.folder), files, run, tombstones, self.context)

    def write_streams(self, run: str, *files: Iterable[str], tombstones: Tombstones = NO_TOMBSTONES) -> Written:
        streams = [self.file("streams", f"{run}-{number}", lines) for number, lines in enumerate(files)]
        return self.write(run, *streams, tombstones=tombstones)

    def write_snapshots(self, tombstones: Tombstones = NO_TOMBSTONES) -> dict[str, Snapshot | None]:
        references = [self.file("songs", "songs", SONGS), self.file("users", "users", USERS)]
        written = self.write("references", *references, tombstones=tombstones)
        return {snapshot.dataset: snapshot for snapshot in written.snapshots}

    def compute(
        self,
        runs: Mapping[str, Sequence[str]],
        snapshots: dict[str, Snapshot | None],
        tombstones: Tombstones = NO_TOMBSTONES,
        withdrawn: frozenset[str] = frozenset(),
    ) -> list[Item]:
        """The KPIs of days, given with their runs, in the flat form of the oracle."""
        claims = [Claim(date, 1, frozenset(of_day)) for date, of_day in runs.items()]
        return flat(self.engine.compute(claims, snapshots, tombstones, withdrawn))

    def run_of_day(self, run: str, date: str) -> RunOfDay:
        return RunOfDay.of_document(json.loads((self.folder / document_key(run, date)).read_bytes()))

    def column(self, folder: str, name: str) -> list[str]:
        """The values of a column of all Parquet objects of a folder that have it, each once."""
        tables = [pq.read_table(path, partitioning=None) for path in (self.folder / folder).rglob("*.parquet")]
        return sorted({value for table in tables if name in table.column_names for value in table[name].to_pylist()})

    def written(self) -> dict[str, bytes]:
        """All objects of the lake and of the snapshots."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for prefix in ("curated", "reference")
            for path in (self.folder / prefix).rglob("*")
            if path.is_file()
        }


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.of(tmp_path / "bucket")


NO_SNAPSHOTS: dict[str, Snapshot | None] = {"songs": None, "users": None}


def of_run(run: str, written: Written) -> dict[str, Sequence[str]]:
    """The days that were written, of this run only."""
    return {date: [run] for date in written.dates}


def plays(*files: Iterable[str]) -> list[Play]:
    uploaded = datetime.fromisoformat(UPLOADED_AT)
    return [play for lines in files for play in oracle.parse_streams(text("streams", lines), uploaded)[0]]


def songs() -> list[Song]:
    return oracle.parse_songs(text("songs", SONGS))[0]


def users() -> list[User]:
    return oracle.parse_users(text("users", USERS))[0]


def expected(
    of_plays: Iterable[Play], of_songs: Iterable[Song], of_users: Iterable[User]
) -> dict[tuple[str, str], dict[str, Any]]:
    return by_key(oracle.kpi_items(of_plays, of_songs, of_users, top_songs=2, top_genres=2))


# Writing


def test_files_give_the_rows_of_the_oracle(lake: Lake) -> None:
    written = lake.write_streams("one", MORNING, EVENING)
    size = sum(len(body) for key, body in lake.written().items() if key.startswith("curated/plays/"))
    assert written == Written(snapshots=[], dates=[TUESDAY, WEDNESDAY], size=size)
    rows = lake.compute(of_run("one", written), lake.write_snapshots())
    assert by_key(rows) == expected(plays(MORNING, EVENING), songs(), users())


def test_files_with_quotes_are_read_in_blocks_and_others_in_ranges(lake: Lake) -> None:
    quoted = [f'"{line.replace(",", chr(34) + "," + chr(34))}"' for line in EVENING]
    streams = [lake.file("streams", "quoted", quoted), lake.file("streams", "plain", MORNING)]
    assert [file.source.is_line_per_row for file in streams] == [False, True]
    written = lake.write("one", *streams)
    rows = lake.compute(of_run("one", written), NO_SNAPSHOTS)
    assert by_key(rows) == expected(plays(MORNING, EVENING), [], [])


def test_each_day_of_a_run_has_a_document_that_names_its_objects(lake: Lake) -> None:
    lake.write_streams("one", MORNING, EVENING)
    found = {date: lake.run_of_day("one", date) for date in (TUESDAY, WEDNESDAY)}
    assert [(run.name, run.date) for run in found.values()] == [("one", TUESDAY), ("one", WEDNESDAY)]
    objects = {each.key: each.size for run in found.values() for each in run.objects}
    assert objects == {key: len(body) for key, body in lake.written().items() if key.startswith("curated/plays/")}
    # A play that two files have is a row of each.
    assert {date: sum(each.rows for each in run.objects) for date, run in found.items()} == {TUESDAY: 5, WEDNESDAY: 1}


def test_the_more_bytes_are_to_be_read_the_more_buckets_a_run_has(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "PLAYS_PER_BUCKET", 20)
    many = [f"user-{number},t{number % 3},2024-06-25 08:00:{number % 60:02}" for number in range(200)]
    lake.write_streams("many", many)
    lake.write_streams("few", MORNING)
    assert (lake.run_of_day("many", TUESDAY).buckets, lake.run_of_day("few", TUESDAY).buckets) == (16, 1)
    assert len(lake.run_of_day("many", TUESDAY).objects) == 16
    rows = lake.compute({TUESDAY: ["many", "few"], WEDNESDAY: ["few"]}, lake.write_snapshots())
    assert by_key(rows) == expected(plays(many, MORNING), songs(), users())


def test_a_batch_of_reference_files_only_writes_no_run(lake: Lake) -> None:
    written = lake.write("one", lake.file("songs", "songs", SONGS))
    assert written.dates == []
    assert {key.split("/")[0] for key in lake.written()} == {"reference"}


def test_plays_of_files_that_are_not_accepted_are_not_written(lake: Lake) -> None:
    accepted, rejected = lake.file("streams", "accepted", EVENING), lake.file("streams", "rejected", MORNING)
    writer = lake_writer(FolderObjects(lake.folder), [rejected, accepted])
    written = writer.write([], [accepted.accepted], "one", NO_TOMBSTONES)
    assert by_key(lake.compute(of_run("one", written), NO_SNAPSHOTS)) == expected(plays(EVENING), [], [])
    assert lake.column("curated", "file") == [accepted.accepted.name]


def test_files_without_a_valid_row_write_no_run(lake: Lake) -> None:
    assert lake.write_streams("one", ["ann,t1,noon"], []) == Written(snapshots=[], dates=[], size=0)
    assert lake.written() == {}


def test_a_snapshot_counts_its_valid_rows_with_those_that_are_repeated(lake: Lake) -> None:
    snapshots = lake.write_snapshots()
    rows = {dataset: snapshot.rows for dataset, snapshot in snapshots.items() if snapshot}
    assert rows == {"songs": len(songs()), "users": len(users())} == {"songs": 4, "users": 4}
    of_songs = snapshots["songs"]
    assert of_songs is not None
    name = lake.file("songs", "songs", SONGS).accepted.snapshot_name("references")
    assert of_songs == Snapshot(
        dataset="songs",
        uri=f"s3://{BUCKET}/reference/songs/{name}/",
        key="raw/songs/songs.csv",
        version_id="v1",
        last_modified=UPLOADED_AT,
        rows=4,
    )


def test_two_snapshots_of_a_run_are_in_folders_of_their_own(lake: Lake) -> None:
    snapshots = lake.write("run", *(lake.file("users", name, USERS) for name in ("one", "two"))).snapshots
    assert len({snapshot.uri for snapshot in snapshots}) == 2


# Purged users


def test_purged_users_are_not_written(lake: Lake) -> None:
    lake.write_streams("one", MORNING, EVENING, tombstones=purge("bob"))
    snapshots = lake.write_snapshots(purge("dora", "bob"))
    assert lake.column("curated", "user_id") == ["ann", "cem"]
    assert lake.column("reference", "user_id") == ["ann", "cem"]
    found = snapshots["users"]
    assert found is not None
    assert found.rows == 4, "of the file: the next one is compared with them"


def test_a_day_of_purged_users_only_is_among_the_dates_and_has_an_empty_run(lake: Lake) -> None:
    written = lake.write_streams("one", MORNING, tombstones=purge("ann"))
    assert written.dates == [TUESDAY, WEDNESDAY]
    assert lake.run_of_day("one", WEDNESDAY).objects == []
    rows = lake.compute(of_run("one", written), NO_SNAPSHOTS)
    assert by_key(rows) == expected([play for play in plays(MORNING) if play.user_id != "ann"], [], [])
    assert lake.compute({WEDNESDAY: ["one"]}, NO_SNAPSHOTS) == []


def test_users_who_were_purged_after_their_plays_were_written_do_not_count(lake: Lake) -> None:
    written = lake.write_streams("one", MORNING, EVENING)
    rows = lake.compute(of_run("one", written), lake.write_snapshots(), purge("ann", "cem"))
    stay = [play for play in plays(MORNING, EVENING) if play.user_id not in ("ann", "cem")]
    assert by_key(rows) == expected(stay, songs(), users())


# Withdrawn files


def test_plays_of_a_withdrawn_file_do_not_count_unless_another_file_has_them(lake: Lake) -> None:
    """A play that two files hold stays when one of them is withdrawn."""
    morning, evening = lake.file("streams", "morning", MORNING), lake.file("streams", "evening", EVENING)
    written = lake.write("one", morning, evening)
    snapshots = lake.write_snapshots()

    def without_file(*files: LakeFile) -> dict[tuple[str, str], Item]:
        withdrawn = frozenset(file.accepted.name for file in files)
        return by_key(lake.compute(of_run("one", written), snapshots, withdrawn=withdrawn))

    assert without_file(morning) == expected(plays(EVENING), songs(), users())
    assert without_file(evening) == expected(plays(MORNING), songs(), users())
    assert without_file(morning, evening) == {}
    assert without_file() == expected(plays(MORNING, EVENING), songs(), users())


def test_a_withdrawn_file_is_left_out_of_a_run_with_fewer_buckets_than_another(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plays of the coarser run are divided among buckets before they are counted."""
    few = lake.file("streams", "few", MORNING)
    written = lake.write("few", few)
    monkeypatch.setattr(judging, "PLAYS_PER_BUCKET", 1)
    lake.write("many", lake.file("streams", "many", EVENING))
    runs = {date: ["few", "many"] if date == TUESDAY else ["few"] for date in written.dates}
    rows = lake.compute(runs, lake.write_snapshots(), withdrawn=frozenset({few.accepted.name}))
    assert by_key(rows) == expected(plays(EVENING), songs(), users())


def test_a_run_tells_the_days_of_each_of_its_files(lake: Lake) -> None:
    morning, evening = lake.file("streams", "morning", MORNING), lake.file("streams", "evening", EVENING)
    lake.write("one", morning, evening)
    lake.write("two", evening)
    days = {
        path.relative_to(lake.folder).as_posix(): FileDays.of_document(json.loads(path.read_bytes()))
        for path in (lake.folder / "curated/files").rglob("*.json")
    }
    of_morning, of_evening = morning.accepted.name, evening.accepted.name
    assert {key: (of.file, of.run, of.dates) for key, of in days.items()} == {
        f"curated/files/{of_morning}/one.json": (of_morning, "one", [TUESDAY, WEDNESDAY]),
        f"curated/files/{of_evening}/one.json": (of_evening, "one", [TUESDAY]),
        f"curated/files/{of_evening}/two.json": (of_evening, "two", [TUESDAY]),
    }
    assert all(of.key == key and run_of_file_days(key) == of.run for key, of in days.items())


# Computing


def test_a_day_is_computed_from_exactly_its_runs(lake: Lake) -> None:
    lake.write_streams("one", MORNING)
    lake.write_streams("two", EVENING)
    snapshots = lake.write_snapshots()
    both = lake.compute({TUESDAY: ["one", "two"]}, snapshots)
    of_tuesday = [play for play in plays(MORNING, EVENING) if play.listen_time.date().isoformat() == TUESDAY]
    assert by_key(both) == expected(of_tuesday, songs(), users())
    assert by_key(lake.compute({TUESDAY: ["two"]}, snapshots)) == expected(plays(EVENING), songs(), users())


def test_a_run_that_the_claims_of_two_days_name_gives_each_of_them_its_own_plays(lake: Lake) -> None:
    lake.write_streams("one", MORNING)
    lake.write_streams("two", EVENING)
    rows = lake.compute({TUESDAY: ["one", "two"], WEDNESDAY: ["one"]}, lake.write_snapshots())
    assert by_key(rows) == expected(plays(MORNING, EVENING), songs(), users())


def test_days_without_runs_have_no_rows(lake: Lake) -> None:
    assert lake.compute({TUESDAY: []}, NO_SNAPSHOTS) == []


def test_without_snapshots_every_track_and_every_user_is_unknown(lake: Lake) -> None:
    lake.write_streams("one", MORNING)
    (summary,) = lake.compute({TUESDAY: ["one"]}, NO_SNAPSHOTS)
    assert (summary["listens"], summary["unknown_track_plays"]) == (3, 3)
    assert summary["listens_by_country"] == {"unknown": 3}


def days_of_runs(lake: Lake, runs: dict[str, Sequence[str]], **snapshots: Snapshot | None) -> Mapping[str, DayKpis]:
    claims = [Claim(date, 1, frozenset(of_day)) for date, of_day in runs.items()]
    return lake.engine.compute(claims, {**NO_SNAPSHOTS, **snapshots}, NO_TOMBSTONES, frozenset())


def test_a_day_lists_its_unknown_tracks_each_once(lake: Lake) -> None:
    lines = ["ann,t9,2024-06-25 08:00:00", "bob,t9,2024-06-25 08:00:01", "bob,\u00e9,2024-06-25 09:00:00"]
    lake.write_streams("one", [*MORNING, *lines], EVENING)
    of_day = days_of_runs(lake, {TUESDAY: ["one"], WEDNESDAY: ["one"]}, songs=lake.write_snapshots()["songs"])
    assert {date: day.unknown_tracks for date, day in of_day.items()} == {TUESDAY: ["t9", "\u00e9"], WEDNESDAY: []}


@pytest.mark.parametrize("buckets", [1, 16])
def test_a_day_lists_as_many_unknown_tracks_as_fit_into_an_item(
    lake: Lake, buckets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "PLAYS_PER_BUCKET", 200 if buckets == 1 else 20)
    monkeypatch.setattr(count_plays, "MAX_UNKNOWN_TRACKS", 99)
    for run, tracks in (("fits", 99), ("too-many", 100)):
        lines = [f"user-{number % 7},t{number % tracks},2024-06-25 08:00:{number % 60:02}" for number in range(200)]
        lake.write_streams(run, lines)
    assert lake.run_of_day("fits", TUESDAY).buckets == buckets
    listed = days_of_runs(lake, {TUESDAY: ["fits"]})[TUESDAY].unknown_tracks
    assert listed == sorted(f"t{number}" for number in range(99))
    assert days_of_runs(lake, {TUESDAY: ["too-many"]})[TUESDAY].unknown_tracks is None


def test_unknown_tracks_of_purged_users_are_not_listed(lake: Lake) -> None:
    lake.write_streams("one", ["ann,t8,2024-06-25 08:00:00", "bob,t9,2024-06-25 08:00:01"])
    claims = [Claim(TUESDAY, 1, frozenset({"one"}))]
    days = lake.engine.compute(claims, NO_SNAPSHOTS, purge("ann"), frozenset())
    assert days[TUESDAY].unknown_tracks == ["t9"]


def test_a_songs_snapshot_says_which_tracks_it_knows(lake: Lake) -> None:
    snapshot = lake.write_snapshots()["songs"]
    assert snapshot is not None
    assert sorted(lake.engine.known_tracks(snapshot, ["t1", "nothing", "t2"])) == ["t1", "t2"]
    assert lake.engine.known_tracks(snapshot, []) == []


def test_a_document_that_is_missing_is_an_error_that_says_which_one(lake: Lake) -> None:
    lake.write_streams("one", EVENING)
    with pytest.raises(FileNotFoundError, match=rf"curated/runs/listen_date={WEDNESDAY}/one\.json"):
        lake.compute({TUESDAY: ["one"], WEDNESDAY: ["one"]}, NO_SNAPSHOTS)


# Here and spread


def test_objects_and_rows_are_equal_in_the_driver_and_spread_over_tasks(
    tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "PLAYS_PER_BUCKET", 5)
    asked: list[SparkContext] = []

    def context() -> SparkContext:
        asked.append(spark.sparkContext)
        return spark.sparkContext

    def written_and_computed(lake: Lake) -> tuple[dict[str, bytes], list[Item]]:
        one = lake.write_streams("one", MORNING, EVENING, tombstones=purge("cem"))
        lake.write_streams("two", EVENING)
        snapshots = lake.write_snapshots()
        return lake.written(), lake.compute(of_run("one", one) | {TUESDAY: ["one", "two"]}, snapshots)

    here_objects, here_rows = written_and_computed(Lake.of(tmp_path / "here"))
    monkeypatch.setattr(spread, "HERE_PLAYS", 0)
    spread_objects, spread_rows = written_and_computed(Lake.of(tmp_path / "spread", context))
    assert len(asked) == 5, "to judge two runs and two snapshots, and to compute"
    assert spread_objects == here_objects
    assert by_key(spread_rows) == by_key(here_rows) == expected(plays(MORNING, EVENING), songs(), users())
