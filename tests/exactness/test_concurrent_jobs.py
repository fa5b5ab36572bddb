"""KPI jobs with real Spark and moto's DynamoDB, stopped and killed between named steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
from pyspark.sql import SparkSession

from glue_scripts import publication
from glue_scripts.kpi_batch import KpiBatch
from glue_scripts.kpi_table import KpiTable
from glue_scripts.lake import Lake
from glue_scripts.ledger import FileStatus, Ledger
from glue_scripts.publication import Publisher
from glue_scripts.spark_engine import SparkEngine
from tests import oracle
from tests.exactness.actors import Actor
from tests.exactness.simulation import BOOKKEEPING, InTurn, step_of
from tests.frames import by_key
from tests.mounts import mounted
from tests.unit.conftest import Tables, dynamodb_endpoint, tables  # noqa: F401 - fixtures

BUCKET: Final = "exactness"
UPLOADED_AT: Final = "2024-06-27T00:00:00Z"
STREAMS_HEADER: Final = ["user_id", "track_id", "listen_time"]
SONGS_HEADER: Final = [
    "track_id", "track_name", "artists", "album_name", "track_genre", "duration_ms", "popularity", "explicit",
]  # fmt: skip
MORNING: Final = "ann,t1,2024-06-25 08:00:00\nbob,t1,2024-06-25 08:00:01\nann,t2,2024-06-26 00:00:00\n"
EVENING: Final = "cem,t2,2024-06-25 20:00:00\nann,t1,2024-06-25 08:00:00\n"
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

    def transact_write_items(self, **request: Any) -> Any:  # noqa: ANN401 - as boto3
        return self._call(self.table.meta.client.transact_write_items, "transact_write_items", request)

    def _call(self, call: Any, operation: str, request: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as boto3
        key = str(request.get("Key", {}).get("pk", ""))
        self.actor.pause(step_of(operation, key, str(request.get("UpdateExpression", ""))))
        return call(**request)


@dataclass(frozen=True)
class Jobs:
    """Starts KPI jobs over files of a folder."""

    spark: SparkSession
    tables: Tables
    folder: Path

    def document(self, contents: Mapping[str, str], recompute: list[str] | None = None) -> dict[str, Any]:
        """`accepted.json` of files, given as `dataset/name` and lines; the ledger takes them for accepted."""
        files = []
        for name, lines in contents.items():
            header = SONGS_HEADER if name.startswith("songs/") else STREAMS_HEADER
            path = self.folder / "uploads" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{','.join(header)}\n{lines}", encoding="utf-8")
            key = f"raw/{name}"
            self.tables.ledger.receive_file(key, "v1", {"execution": "one"})
            self.tables.ledger.advance_file(key, "v1", FileStatus.ACCEPTED, {})
            files.append(
                {
                    "key": key,
                    "version_id": "v1",
                    "dataset": name.partition("/")[0],
                    "last_modified": UPLOADED_AT,
                    "uri": path.as_uri(),
                    "header": header,
                    "is_line_per_row": False,
                }
            )
        return {"files": files, **({"recompute": recompute} if recompute else {})}

    def start(self, run: str, document: Mapping[str, Any]) -> Actor:
        """A job that waits before its first step."""

        def work(actor: Actor) -> None:
            books = Ledger(SteppedTable(self.tables.ledger_table, actor))  # type: ignore[arg-type]
            rows = KpiTable(SteppedTable(self.tables.kpis_table, actor), "ledger")  # type: ignore[arg-type]
            engine = SparkEngine(spark=self.spark, lake=Lake(self.spark, BUCKET), top_songs=3, top_genres=5)
            publisher = Publisher(books, rows, engine.compute, sleep=lambda seconds: actor.pause("wait"))
            KpiBatch(engine=engine, ledger=books, publisher=publisher, run=run).load(document)

        return Actor(work)

    def run(self, run: str, document: Mapping[str, Any]) -> None:
        """A job from its start to its end."""
        finish(self.start(run, document))

    def assert_exact(self, *streams: str) -> None:
        """The rows are what the oracle makes of all lines, and every day is published."""
        plays = oracle.parse_streams(csv(STREAMS_HEADER, "".join(streams)), datetime.fromisoformat(UPLOADED_AT))[0]
        songs = oracle.parse_songs(csv(SONGS_HEADER, SONGS))[0]
        expected = oracle.kpi_items(plays, songs, [], top_songs=3, top_genres=5)
        varying = BOOKKEEPING | {"songs_snapshot", "users_snapshot"}
        rows = self.tables.kpis_table.scan()["Items"]
        actual = [{name: value for name, value in row.items() if name not in varying} for row in rows]
        assert numbers_alike(actual) == numbers_alike(expected)
        days = [self.tables.ledger.day(date) for date in self.tables.ledger.dates()]
        assert all(day and day.is_published for day in days)


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
    spark: SparkSession,
    tables: Tables,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Jobs]:
    """Jobs on a bucket that is a folder; a superseded one looks three times for the later one's rows."""
    monkeypatch.setattr(publication, "MAX_POLLS", 3)
    monkeypatch.setattr(publication, "ThreadPoolExecutor", InTurn)
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    with mounted(spark, BUCKET, bucket):
        yield Jobs(spark, tables, tmp_path)


def test_two_jobs_of_one_day_at_once(jobs: Jobs) -> None:
    jobs.run("songs", jobs.document({"songs/songs.csv": SONGS}))
    morning = jobs.start("morning", jobs.document({"streams/morning.csv": MORNING}))
    morning.advance(1000, stop_before="write")
    evening = jobs.start("evening", jobs.document({"streams/evening.csv": EVENING}))
    evening.advance(1000, stop_before="write")
    finish_after_waiting(morning, evening)
    jobs.assert_exact(MORNING, EVENING)


def finish_after_waiting(first: Actor, second: Actor) -> None:
    """The first is superseded: it waits, and ends when the second has published."""
    first.advance(1000, stop_before="wait")
    assert first.next_step == "wait"
    finish(second)
    finish(first)


@pytest.mark.parametrize("step", ["claim", "read pointer", "write", "publish"])
def test_a_job_that_is_killed_before_a_step_and_run_again(jobs: Jobs, step: str) -> None:
    jobs.run("songs", jobs.document({"songs/songs.csv": SONGS}))
    document = jobs.document({"streams/morning.csv": MORNING})
    first = jobs.start("first", document)
    first.advance(1000, stop_before=step)
    assert first.next_step == step
    first.kill()
    jobs.run("second", document)
    jobs.assert_exact(MORNING)


def test_plays_come_before_the_catalogue_and_the_catalogue_job_dies_over_the_day(jobs: Jobs) -> None:
    jobs.run("morning", jobs.document({"streams/morning.csv": MORNING}))
    document = jobs.document({"songs/songs.csv": SONGS})
    first = jobs.start("first", document)
    first.advance(1000, stop_before="claim")
    first.kill()
    jobs.run("second", document)
    jobs.assert_exact(MORNING)


def test_a_purged_user_is_gone_from_recomputed_days_and_does_not_come_back(jobs: Jobs) -> None:
    document = jobs.document({"songs/songs.csv": SONGS, "streams/morning.csv": MORNING})
    jobs.run("first", document)
    jobs.tables.ledger.purge_user("ann")
    jobs.run("purge", jobs.document({}, recompute=jobs.tables.ledger.dates()))
    without_ann = "".join(line for line in MORNING.splitlines(keepends=True) if not line.startswith("ann,"))
    jobs.assert_exact(without_ann)
    jobs.run("again", document)
    jobs.assert_exact(without_ann)
    day = jobs.tables.ledger.day("2024-06-26")
    assert day is not None
    assert day.runs == {"first", "again"}, "a day with plays of purged users only is claimed again all the same"
    for date in jobs.tables.ledger.dates():
        folder = jobs.folder / "bucket" / "curated" / "plays" / f"listen_date={date}" / "run=again"
        assert jobs.spark.read.parquet(f"file://{folder}").where("user_id = 'ann'").count() == 0
