"""Both jobs with the real judge, writer and engine and moto's DynamoDB, stopped and killed between named steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.folder_objects import FolderObjects
from glue_scripts import batch_record, kpi_table, publication
from glue_scripts.accepted_files import AcceptedFiles
from glue_scripts.batch_record import BatchRecord, Judgement
from glue_scripts.kpi_batch import KpiBatch
from glue_scripts.kpi_table import KpiTable
from glue_scripts.ledger import FileStatus, Ledger
from glue_scripts.names import is_marker
from glue_scripts.objects import Location, json_line
from glue_scripts.publication import Publisher
from glue_scripts.stored_plays import RunOfDay, document_key
from glue_scripts.taken_batches import StoredBatches
from operations.kpis import entries, read_rows
from tests import oracle
from tests.day_kpis import without
from tests.engine import engine_on
from tests.exactness.actors import Actor, CrashError
from tests.exactness.simulation import MADE_WITH, InTurn, step_of
from tests.lake import UPLOADED_AT, LakeFile, lake_file, lake_writer
from tests.oracle import by_key
from tests.stored import table_from_parquet
from tests.unit.conftest import Tables, dynamodb_endpoint, tables  # noqa: F401 - fixtures

STREAMS_HEADER: Final = ["user_id", "track_id", "listen_time"]
SONGS_HEADER: Final = [
    "track_id", "track_name", "artists", "album_name", "track_genre", "duration_ms", "popularity", "explicit",
]  # fmt: skip
MORNING: Final = "ann,t1,2024-06-25 08:00:00\nbob,t1,2024-06-25 08:00:01\nann,t2,2024-06-26 00:00:00\n"
EVENING: Final = "cem,t2,2024-06-25 20:00:00\nann,t1,2024-06-25 08:00:00\n"
NOT_OF_THE_ORACLE: Final = (
    "version", "claim", "computed_at", "genre_rows", "songs_snapshot", "users_snapshot", "snapshots", *MADE_WITH,
)  # fmt: skip
SONGS: Final = "t1,One,A,x,pop,1000,1,false\nt1,One,A,x,rock,1000,1,false\nt2,Two,B,x,jazz,3000,1,false\n"


@dataclass(frozen=True)
class SteppedTable:
    """A boto3 Table of one job: pauses before each operation."""

    table: Any
    actor: Actor

    @property
    def name(self) -> str:
        return str(self.table.name)

    @property
    def meta(self) -> SteppedTable:
        return self

    @property
    def client(self) -> SteppedTable:
        return self

    def get_item(self, **request: Any) -> Any:  # noqa: ANN401 - as boto3
        return self._call(self.table.get_item, "get_item", request)

    def query(self, **request: Any) -> Any:  # noqa: ANN401 - as boto3
        return self._call(self.table.query, "query", request)

    def update_item(self, **request: Any) -> Any:  # noqa: ANN401 - as boto3
        return self._call(self.table.update_item, "update_item", request)

    def put_item(self, **request: Any) -> Any:  # noqa: ANN401 - as boto3
        return self._call(self.table.put_item, "put_item", request)

    def batch_write_item(self, **request: Any) -> Any:  # noqa: ANN401 - as boto3
        (requests,) = request["RequestItems"].values()
        self.actor.pause(step_of("batch_write_item", requests[0]))
        return self.table.meta.client.batch_write_item(**request)

    def _call(self, call: Any, operation: str, request: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as boto3
        self.actor.pause(step_of(operation, {"Values": request.get("ExpressionAttributeValues", {}), **request}))
        return call(**request)


@dataclass(frozen=True)
class DyingObjects(FolderObjects):
    """Objects of a job that dies before it writes one of a certain key.

    Attributes:
        dies_before: a part of the key.
    """

    dies_before: str

    def write(self, key: str, body: bytes | bytearray | memoryview) -> None:
        if self.dies_before in key:
            raise CrashError
        super().write(key, body)


@dataclass(frozen=True)
class Batch:
    """An execution and its files."""

    execution_arn: str
    files: Sequence[LakeFile]


@dataclass(frozen=True)
class Jobs:
    """Starts jobs over files of a bucket, which is a folder."""

    tables: Tables
    folder: Path

    def batch(self, contents: Mapping[str, str]) -> Batch:
        """Files that the ledger takes for accepted, given as `dataset/name` and lines."""
        objects, files = FolderObjects(self.folder), []
        for name, lines in contents.items():
            header = SONGS_HEADER if name.startswith("songs/") else STREAMS_HEADER
            dataset, _, file_name = name.partition("/")
            files.append(lake_file(objects, dataset, file_name, csv(header, lines)))
            self.tables.ledger.receive_file(f"raw/{name}", "v1", {"execution": "one"})
        return Batch(",".join(contents), files)

    def validate(self, run: str, batch: Batch, objects: FolderObjects | None = None) -> Actor:
        """A validation job, as far as the ledger and the lake go; it waits before its first step."""
        document = Location("bucket", f"processing/{batch.execution_arn}/accepted.json")

        def work(actor: Actor) -> None:
            writer = lake_writer(objects or FolderObjects(self.folder), batch.files)
            judgements = {
                file.accepted: Judgement(
                    accepted=file.accepted, has_rows=True, status=FileStatus.ACCEPTED, attributes={}
                )
                for file in batch.files
            }
            BatchRecord(
                ledger=Ledger(SteppedTable(self.tables.ledger_table, actor)),  # type: ignore[arg-type]
                writer=writer,
                execution_arn=batch.execution_arn,
                run=run,
                document_uri=document.uri,
            ).record(judgements)
            accepted = AcceptedFiles(execution_arn=batch.execution_arn, files=[file.accepted for file in batch.files])
            FolderObjects(self.folder).write(document.key, json_line(accepted.document()))

        return Actor(work)

    def start(self, run: str, batch: Batch, recompute: Sequence[str] = ()) -> Actor:
        """A KPI job that waits before its first step; the files' rows are in the lake."""
        if batch.files:
            finish(self.validate(f"validation-{run}", batch))
        engine = engine_on(self.folder)
        accepted = AcceptedFiles(
            execution_arn=batch.execution_arn, files=[file.accepted for file in batch.files], recompute=recompute
        )

        def work(actor: Actor) -> None:
            books = Ledger(SteppedTable(self.tables.ledger_table, actor))  # type: ignore[arg-type]
            rows = KpiTable(SteppedTable(self.tables.kpis_table, actor))  # type: ignore[arg-type]
            publisher = Publisher(books, rows, engine.compute, MADE_WITH)
            batches = StoredBatches(FolderObjects(self.folder))
            KpiBatch(publisher=publisher, known_tracks=engine.known_tracks, batches=batches, run=run).load(accepted)

        return Actor(work)

    def run(self, run: str, contents: Mapping[str, str]) -> None:
        """Both jobs of a batch from their start to their end."""
        finish(self.start(run, self.batch(contents)))

    def assert_exact(self, *streams: str) -> None:
        """What readers see is what the oracle makes of all lines, and every day is published."""
        plays = oracle.parse_streams(csv(STREAMS_HEADER, "".join(streams)), datetime.fromisoformat(UPLOADED_AT))[0]
        songs = oracle.parse_songs(csv(SONGS_HEADER, SONGS))[0]
        expected = oracle.kpi_items(plays, songs, [], top_songs=3, top_genres=5)
        days = self.tables.ledger.days()
        visible = [read_rows(self.tables.kpis_table, day.date) for day in days]
        actual = [
            without(entry, *NOT_OF_THE_ORACLE)
            for summary, genres in visible
            if not is_marker(summary)
            for entry in entries(summary, genres)
        ]
        assert numbers_alike(actual) == numbers_alike(expected)
        versions = [summary["version"] for summary, _ in visible]
        assert versions == [day.claim for day in days] == [day.published for day in days]


def csv(header: list[str], lines: str) -> bytes:
    return f"{','.join(header)}\n{lines}".encode()


def numbers_alike(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Rows by key; DynamoDB knows one type of number only, and drops the zeros at its end."""
    assert len(by_key(rows)) == len(rows)
    return {(row["pk"], row["sk"]): row for row in rows}


def finish(job: Actor) -> None:
    """Lets a job run to its end."""
    job.advance(10_000)
    assert job.is_finished, f"waits before {job.next_step}"
    assert job.error is None, repr(job.error)


@pytest.fixture
def jobs(
    tables: Tables,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Jobs:
    """Jobs on a bucket that is a folder."""
    for module in (publication, kpi_table, batch_record):
        monkeypatch.setattr(module, "ThreadPoolExecutor", InTurn)
    return Jobs(tables, tmp_path)


def test_two_jobs_of_one_day_at_once(jobs: Jobs) -> None:
    jobs.run("songs", {"songs/songs.csv": SONGS})
    morning = jobs.start("morning", jobs.batch({"streams/morning.csv": MORNING}))
    morning.advance(1000, stop_before="flip")
    evening = jobs.start("evening", jobs.batch({"streams/evening.csv": EVENING}))
    evening.advance(1000, stop_before="flip")
    finish(evening)
    finish(morning)
    jobs.assert_exact(MORNING, EVENING)


def test_jobs_that_each_claim_before_the_one_before_has_published_all_end_and_the_version_grows(jobs: Jobs) -> None:
    jobs.run("songs", {"songs/songs.csv": SONGS})
    lines = [f"user-{number},t1,2024-06-25 08:00:00\n" for number in range(5)]
    running = None
    versions = []
    for number, line in enumerate(lines):
        following = jobs.start(f"job-{number}", jobs.batch({f"streams/{number}.csv": line}))
        following.advance(1000, stop_before="flip")
        if running:
            finish(running)
            versions.append(read_rows(jobs.tables.kpis_table, "2024-06-25")[0]["version"])
        running = following
    assert versions == [1, 2, 3, 4]
    assert running
    finish(running)
    jobs.assert_exact(*lines)


@pytest.mark.parametrize(
    "step", ["change run", "claim", "read runs", "read pointer", "write", "flip", "note", "read rows"]
)
def test_a_kpi_job_that_is_killed_before_a_step_and_run_again(jobs: Jobs, step: str) -> None:
    jobs.run("songs", {"songs/songs.csv": SONGS})
    batch = jobs.batch({"streams/morning.csv": MORNING})
    first = jobs.start("first", batch)
    first.advance(1000, stop_before=step)
    assert first.next_step == step
    first.kill()
    finish(jobs.start("second", batch))
    jobs.assert_exact(MORNING)
    assert runs_of(jobs, "2024-06-25") == {"validation-first"}, "the second validation has taken the first one's run"


@pytest.mark.parametrize(
    "object_name",
    [
        "reference/songs/first-",
        "curated/plays/listen_date=2024-06-26/run=first/",
        "curated/runs/listen_date=2024-06-25/first.json",
        "curated/runs/listen_date=2024-06-26/first.json",
    ],
)
def test_a_validation_that_dies_while_it_writes_objects_and_is_run_again(jobs: Jobs, object_name: str) -> None:
    """Of what the first one wrote, nothing names anything."""
    batch = jobs.batch({"songs/songs.csv": SONGS, "streams/morning.csv": MORNING})
    first = jobs.validate("first", batch, DyingObjects(jobs.folder, object_name))
    first.advance(1000)
    assert isinstance(first.error, CrashError)
    assert not jobs.tables.ledger.has_batch(batch.execution_arn)
    finish(jobs.start("second", batch))
    jobs.assert_exact(MORNING)
    assert runs_of(jobs, "2024-06-25") == {"validation-second"}


def test_a_zombie_of_a_validation_does_not_bring_a_second_run(jobs: Jobs) -> None:
    jobs.run("songs", {"songs/songs.csv": SONGS})
    batch = jobs.batch({"streams/morning.csv": MORNING})
    zombie = jobs.validate("zombie", batch)
    zombie.advance(1000, stop_before="record batch")
    assert zombie.next_step == "record batch"
    finish(jobs.start("retry", batch))
    finish(zombie)
    finish(jobs.start("redrive", batch))
    jobs.assert_exact(MORNING)
    assert runs_of(jobs, "2024-06-25") == {"validation-retry"}


def test_plays_come_before_the_catalogue_and_the_catalogue_job_dies_over_the_day(jobs: Jobs) -> None:
    jobs.run("morning", {"streams/morning.csv": MORNING})
    batch = jobs.batch({"songs/songs.csv": SONGS})
    first = jobs.start("first", batch)
    first.advance(1000, stop_before="claim")
    first.kill()
    finish(jobs.start("second", batch))
    jobs.assert_exact(MORNING)


def test_a_purged_user_is_gone_from_recomputed_days_and_does_not_come_back(jobs: Jobs) -> None:
    jobs.run("first", {"songs/songs.csv": SONGS, "streams/morning.csv": MORNING})
    jobs.tables.ledger.purge_user("ann")
    finish(jobs.start("purge", Batch("purge", []), recompute=jobs.tables.ledger.dates()))
    without_ann = "".join(line for line in MORNING.splitlines(keepends=True) if not line.startswith("ann,"))
    jobs.assert_exact(without_ann)
    jobs.run("again", {"streams/again.csv": MORNING})
    jobs.assert_exact(without_ann)
    again = "validation-again"
    assert runs_of(jobs, "2024-06-26") == {"validation-first", again}, "a day of purged users only is claimed as well"
    stored = {date: run_of_day(jobs, again, date) for date in jobs.tables.ledger.dates()}
    assert {date: sum(each.rows for each in run.objects) for date, run in stored.items()} == {
        "2024-06-25": 1,
        "2024-06-26": 0,
    }
    for run in stored.values():
        for each in run.objects:
            users = table_from_parquet((jobs.folder / each.key).read_bytes())["user_id"].to_pylist()
            assert "ann" not in users


def run_of_day(jobs: Jobs, run: str, date: str) -> RunOfDay:
    return RunOfDay.of_document(json.loads((jobs.folder / document_key(run, date)).read_bytes()))


def runs_of(jobs: Jobs, date: str) -> frozenset[str]:
    return jobs.tables.ledger.runs(date)
