"""A batch that is run again loads nothing twice, and says so; its snapshots take effect before its days are claimed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from glue_scripts.accepted_files import AcceptedFile, AcceptedFiles
from glue_scripts.kpi_batch import KpiBatch, UnknownDayError
from glue_scripts.kpi_items import DayKpis
from glue_scripts.ledger import Batch, Claim, FileStatus, Snapshot, UnknownBatchError, file_key
from glue_scripts.publication import MAX_DAYS_AT_ONCE, Publisher, Snapshots
from glue_scripts.taken_batches import MAX_BYTES, UnreadableBatchError
from tests.unit.conftest import Tables

EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:pipeline:one"
KEYS = ("raw/streams/a.csv", "raw/streams/b.csv")
DAY = "2024-06-25"


@dataclass
class OnePlay:
    """An engine of days with one play each; remembers what it was asked for.

    Attributes:
        unknown: days whose play is of a track that the songs snapshot lacks.
    """

    unknown: frozenset[str] = frozenset()
    claims: list[Claim] = field(default_factory=list)
    snapshots: Snapshots = field(default_factory=dict)

    def compute(self, claims: Sequence[Claim], snapshots: Snapshots, *_: object) -> Mapping[str, DayKpis]:
        self.claims += claims
        self.snapshots = snapshots
        return {
            claim.date: DayKpis(
                {"date": claim.date, "listens": 1, "unknown_track_plays": int(claim.date in self.unknown)}, [], ["t9"]
            )
            for claim in claims
        }


def accepted(key: str) -> AcceptedFile:
    return AcceptedFile(key=key, version_id="v1", dataset=key.split("/")[1], uploaded_at="2024-06-26T00:00:00Z")


def record(tables: Tables, *snapshots: Snapshot) -> None:
    batch = Batch(EXECUTION, "validation-run", [DAY], snapshots, "s3://bucket/accepted.json", size=1)
    tables.ledger.record_batch(batch, waiting_since=None if snapshots else "2024-06-26T00:00:00Z")


@dataclass
class Others:
    """Reads the batches of other executions.

    Attributes:
        files_of: by execution, its files; a batch that is missing here cannot be read.
    """

    files_of: Mapping[str, Sequence[AcceptedFile]] = field(default_factory=dict)

    def files(self, batch: Batch) -> Sequence[AcceptedFile]:
        if batch.execution_arn not in self.files_of:
            raise UnreadableBatchError("NoSuchKey")
        return self.files_of[batch.execution_arn]


def load(
    tables: Tables,
    run: str,
    *keys: str,
    recompute: Sequence[str] = (),
    engine: OnePlay | None = None,
    others: Others | None = None,
) -> list[str]:
    """Runs the KPI job; returns the keys that it says it was the first to load."""
    made_with = {"kpi_code": "0123456789ab", "kpi_settings": {"top_songs": 3, "top_genres": 5}}
    publisher = Publisher(tables.ledger, tables.kpi_table, (engine or OnePlay()).compute, made_with)
    batch = KpiBatch(publisher=publisher, known_tracks=lambda _, asked: asked, batches=others or Others(), run=run)
    files = AcceptedFiles(execution_arn=EXECUTION, files=[accepted(key) for key in keys], recompute=recompute)
    return [file.key for file in batch.load(files).files]


@pytest.fixture(autouse=True)
def judged(tables: Tables) -> None:
    for key in KEYS:
        tables.ledger.receive_file(key, "v1", {"execution": EXECUTION})
        tables.ledger.record_verdict(key, "v1", FileStatus.ACCEPTED, EXECUTION, {})


def test_a_run_tells_the_files_that_it_was_the_first_to_load(tables: Tables) -> None:
    record(tables)
    assert load(tables, "run-1", *KEYS) == list(KEYS)
    assert load(tables, "run-2", *KEYS) == []


def test_a_run_after_one_that_died_in_between_tells_the_other_files_only(tables: Tables) -> None:
    record(tables)
    tables.ledger.advance_file(KEYS[0], "v1", FileStatus.LOADED, {"loaded_by": "run-1"})
    assert load(tables, "run-2", *KEYS) == [KEYS[1]]


def test_a_run_that_died_before_its_files_were_loaded_is_done_again(tables: Tables) -> None:
    """It died after it had claimed the day."""
    record(tables)
    tables.ledger.commit_run(DAY, "validation-run")
    tables.ledger.claim_day(DAY)
    engine = OnePlay()
    assert load(tables, "run-2", *KEYS, engine=engine) == list(KEYS)
    assert engine.claims == [Claim(DAY, 2, frozenset({"validation-run"}))]


def test_the_run_that_the_validation_wrote_is_committed(tables: Tables) -> None:
    record(tables)
    engine = OnePlay()
    load(tables, "run-1", *KEYS, engine=engine)
    assert engine.claims == [Claim(DAY, 1, frozenset({"validation-run"}))]


@pytest.mark.parametrize("status", [FileStatus.LOADED, FileStatus.ARCHIVED])
def test_a_run_whose_files_are_all_loaded_ends_at_once_and_writes_nothing(tables: Tables, status: FileStatus) -> None:
    """Whether the state machine has archived them since, or dies before it does."""
    record(tables)
    load(tables, "run-1", *KEYS)
    for key in KEYS:
        set_status(tables, key, status)
    engine = OnePlay()
    requests = tables.recorded()
    assert load(tables, "run-2", *KEYS, engine=engine) == []
    assert engine.claims == []
    assert {operation for operation, _ in requests} == {"GetItem"}
    day = tables.ledger.day(DAY)
    assert day is not None
    assert (day.claim, day.published) == (1, 1)


def test_a_run_with_a_file_that_is_not_loaded_loads_it(tables: Tables) -> None:
    record(tables)
    set_status(tables, KEYS[0], FileStatus.ARCHIVED)
    engine = OnePlay()
    assert load(tables, "run-1", *KEYS, engine=engine) == [KEYS[1]]
    assert [claim.date for claim in engine.claims] == [DAY]


def test_a_run_that_is_to_recompute_days_never_ends_early(tables: Tables) -> None:
    record(tables)
    load(tables, "run-1", *KEYS)
    tables.ledger.claim_day("2024-06-01")
    for keys in (KEYS, ()):
        engine = OnePlay()
        assert load(tables, "run-2", *keys, recompute=["2024-06-01"], engine=engine) == []
        assert "2024-06-01" in [claim.date for claim in engine.claims]


def set_status(tables: Tables, key: str, status: FileStatus) -> None:
    """As the state machine does it."""
    tables.ledger_table.update_item(
        Key=file_key(key, "v1"),
        UpdateExpression="SET #status = :status",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":status": status},
    )


def test_a_snapshot_of_the_batch_is_current_when_its_days_are_computed(tables: Tables) -> None:
    old, new = (
        Snapshot("songs", f"s3://bucket/{moment}/", "raw/songs/songs.csv", "v1", moment, 1)
        for moment in ("2024-06-01T00:00:00Z", "2024-06-26T00:00:00Z")
    )
    tables.ledger.make_current(old)
    record(tables, new)
    engine = OnePlay()
    load(tables, "run-1", *KEYS, engine=engine)
    assert engine.snapshots["songs"] == new


def test_files_that_the_ledger_has_no_batch_of_are_an_error(tables: Tables) -> None:
    with pytest.raises(UnknownBatchError, match=r"execution:pipeline:one became in the lake.*with the files again"):
        load(tables, "run-1", *KEYS)


def test_days_are_computed_without_a_batch(tables: Tables) -> None:
    tables.ledger.claim_day(DAY)
    engine = OnePlay()
    assert load(tables, "run-1", recompute=[DAY], engine=engine) == []
    assert engine.claims == [Claim(DAY, 2, frozenset())]


def test_a_day_that_nobody_has_claimed_is_not_computed(tables: Tables) -> None:
    with pytest.raises(UnknownDayError, match="No file has ever had plays of 2024-06-25"):
        load(tables, "run-1", recompute=[DAY])


# Batches that wait


def wait(tables: Tables, name: str, *dates: str, size: int = 1, day: int = 1) -> tuple[str, list[AcceptedFile]]:
    """Records the batch of another execution, with a file; returns the execution and the files."""
    file = replace(accepted(f"raw/streams/{name}.csv"), uploaded_at=f"2024-07-{day:02}T00:00:00Z")
    arn = EXECUTION.replace(":one", f":{name}")
    tables.ledger.receive_file(file.key, "v1", {"execution": arn})
    tables.ledger.record_verdict(file.key, "v1", FileStatus.ACCEPTED, arn, {})
    batch = Batch(arn, f"run-of-{name}", list(dates), [], f"s3://bucket/{name}/accepted.json", size)
    tables.ledger.record_batch(batch, waiting_since=file.uploaded_at)
    return arn, [file]


def status(tables: Tables, name: str) -> FileStatus | None:
    return tables.ledger.file_status_and_execution(f"raw/streams/{name}.csv", "v1")[0]


def test_batches_that_wait_are_taken_along_and_each_day_is_computed_once(tables: Tables) -> None:
    record(tables)
    others = Others(dict([wait(tables, "two", DAY), wait(tables, "three", DAY, "2024-06-26")]))
    engine = OnePlay()
    loaded = load(tables, "run-1", *KEYS, engine=engine, others=others)
    assert sorted(loaded) == sorted([*KEYS, "raw/streams/two.csv", "raw/streams/three.csv"])
    assert engine.claims == [
        Claim(DAY, 1, frozenset({"validation-run", "run-of-two", "run-of-three"})),
        Claim("2024-06-26", 1, frozenset({"run-of-three"})),
    ]
    assert (status(tables, "two"), status(tables, "three")) == (FileStatus.LOADED, FileStatus.LOADED)
    assert tables.ledger.waiting_batches(9) == []


def test_a_batch_that_cannot_be_read_is_left_out_and_stops_nothing(tables: Tables) -> None:
    record(tables)
    wait(tables, "two", DAY, day=1)
    others = Others(dict([wait(tables, "three", DAY, day=2)]))
    engine = OnePlay()
    load(tables, "run-1", *KEYS, engine=engine, others=others)
    assert engine.claims == [Claim(DAY, 1, frozenset({"validation-run", "run-of-three"}))]
    assert (status(tables, "two"), status(tables, "three")) == (FileStatus.ACCEPTED, FileStatus.LOADED)


def test_the_run_after_one_that_died_takes_its_own_batch_only(tables: Tables) -> None:
    record(tables)
    others = Others(dict([wait(tables, "two", DAY, day=1)]))
    with pytest.raises(DiedError):
        load(tables, "run-1", *KEYS, engine=Dying(), others=others)
    others = Others(dict([*others.files_of.items(), wait(tables, "three", DAY, day=2)]))
    engine = OnePlay()
    assert load(tables, "run-2", *KEYS, engine=engine, others=others) == list(KEYS)
    assert "run-of-three" not in engine.claims[0].runs
    assert status(tables, "three") is FileStatus.ACCEPTED


def test_no_batch_is_taken_along_twice(tables: Tables) -> None:
    """The first run that took it along may have died of it."""
    record(tables)
    others = Others(dict([wait(tables, "two", DAY)]))
    with pytest.raises(DiedError):
        load(tables, "run-1", *KEYS, engine=Dying(), others=others)
    assert tables.ledger.waiting_batches(9) == []


class DiedError(Exception):
    """The job was killed."""


class Dying(OnePlay):
    """An engine of a job that is killed while it computes."""

    def compute(self, claims: Sequence[Claim], *_: object) -> Mapping[str, DayKpis]:
        raise DiedError


def test_batches_are_taken_along_up_to_a_number_of_bytes(tables: Tables) -> None:
    record(tables)
    others = Others(
        dict(
            [
                wait(tables, "huge", DAY, size=MAX_BYTES, day=1),
                wait(tables, "large", DAY, size=MAX_BYTES - 1, day=2),
                wait(tables, "small", DAY, size=1, day=3),
            ]
        )
    )
    engine = OnePlay()
    load(tables, "run-1", *KEYS, engine=engine, others=others)
    assert engine.claims == [Claim(DAY, 1, frozenset({"validation-run", "run-of-large"}))]
    assert [batch.run for batch in tables.ledger.waiting_batches(9)] == ["run-of-huge", "run-of-small"]


def test_batches_are_taken_along_up_to_the_days_that_are_computed_together(tables: Tables) -> None:
    record(tables)
    days = [f"2024-08-{day:02}" for day in range(1, MAX_DAYS_AT_ONCE + 1)]
    others = Others(dict([wait(tables, "many", *days, day=1), wait(tables, "few", *days[1:], day=2)]))
    load(tables, "run-1", *KEYS, others=others)
    assert (status(tables, "many"), status(tables, "few")) == (FileStatus.ACCEPTED, FileStatus.LOADED)


def test_a_run_that_recomputes_days_takes_no_batch_along(tables: Tables) -> None:
    tables.ledger.claim_day(DAY)
    others = Others(dict([wait(tables, "two", DAY)]))
    load(tables, "run-1", recompute=[DAY], others=others)
    assert status(tables, "two") is FileStatus.ACCEPTED


# A new catalogue


SONGS = "raw/songs/songs.csv"


def hint(tables: Tables, date: str, published: int) -> None:
    """Makes the ledger's hint say something else than SUMMARY does."""
    tables.ledger_table.update_item(
        Key={"pk": "DAYS", "sk": date},
        UpdateExpression="SET #published = :published",
        ExpressionAttributeNames={"#published": "published"},
        ExpressionAttributeValues={":published": published},
    )


def test_a_catalogue_recomputes_days_by_what_is_visible_and_not_by_the_hint(tables: Tables) -> None:
    known, known_badly_hinted, unknown, claimed, claimed_badly_hinted = (f"2024-05-0{day}" for day in range(1, 6))
    publish = OnePlay(unknown=frozenset({unknown}))
    for date in (known, known_badly_hinted, unknown, claimed, claimed_badly_hinted):
        tables.ledger.claim_day(date)
        load(tables, "run-1", recompute=[date], engine=publish)
    hint(tables, known_badly_hinted, 0)
    for date in (claimed, claimed_badly_hinted):
        tables.ledger.claim_day(date)
    hint(tables, claimed_badly_hinted, 3)

    engine = OnePlay()
    load_catalogue(tables, engine)
    assert [claim.date for claim in engine.claims] == [DAY, unknown, claimed, claimed_badly_hinted]


def load_catalogue(tables: Tables, engine: OnePlay) -> None:
    """Loads a batch of a songs file and of plays of DAY."""
    tables.ledger.receive_file(SONGS, "v1", {"execution": EXECUTION})
    tables.ledger.record_verdict(SONGS, "v1", FileStatus.ACCEPTED, EXECUTION, {})
    record(tables, Snapshot("songs", "s3://bucket/new/", SONGS, "v1", "2024-06-26T00:00:00Z", 1))
    load(tables, "run-2", SONGS, *KEYS, engine=engine)


def test_days_that_wait_for_a_catalogue_are_recomputed_after_a_run_that_died_over_them(tables: Tables) -> None:
    """The snapshot is the current one already, and nothing new takes effect."""
    tables.ledger.claim_day("2024-05-01")
    load(tables, "run-1", recompute=["2024-05-01"], engine=OnePlay(unknown=frozenset({"2024-05-01"})))
    tables.ledger.make_current(Snapshot("songs", "s3://bucket/new/", SONGS, "v1", "2024-06-26T00:00:00Z", 1))
    engine = OnePlay()
    load_catalogue(tables, engine)
    assert [claim.date for claim in engine.claims] == [DAY, "2024-05-01"]


def test_a_batch_without_songs_computes_its_own_days_only(tables: Tables) -> None:
    tables.ledger.claim_day("2024-05-01")
    record(tables)
    engine = OnePlay()
    load(tables, "run-1", *KEYS, engine=engine)
    assert [claim.date for claim in engine.claims] == [DAY]
