"""A batch that is run again loads nothing twice, and says so; its snapshots take effect before its days are claimed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from glue_scripts.accepted_files import AcceptedFile, AcceptedFiles
from glue_scripts.kpi_batch import KpiBatch, UnknownDayError
from glue_scripts.kpi_items import DayKpis
from glue_scripts.ledger import Batch, Claim, FileStatus, Snapshot, Tombstones, UnknownBatchError, file_key
from glue_scripts.publication import Publisher, Snapshots
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

    def compute(self, claims: Sequence[Claim], snapshots: Snapshots, tombstones: Tombstones) -> Mapping[str, DayKpis]:
        self.claims += claims
        self.snapshots = snapshots
        return {
            claim.date: DayKpis(
                {"date": claim.date, "listens": 1, "unknown_track_plays": int(claim.date in self.unknown)}, []
            )
            for claim in claims
        }


def accepted(key: str) -> AcceptedFile:
    return AcceptedFile(key=key, version_id="v1", dataset=key.split("/")[1], uploaded_at="2024-06-26T00:00:00Z")


def record(tables: Tables, *snapshots: Snapshot) -> None:
    tables.ledger.record_batch(Batch(EXECUTION, "validation-run", [DAY], snapshots, "s3://bucket/accepted.json"))


def load(
    tables: Tables, run: str, *keys: str, recompute: Sequence[str] = (), engine: OnePlay | None = None
) -> list[str]:
    """Runs the KPI job; returns the keys that it says it was the first to load."""
    made_with = {"kpi_code": "0123456789ab", "kpi_settings": {"top_songs": 3, "top_genres": 5}}
    publisher = Publisher(tables.ledger, tables.kpi_table, (engine or OnePlay()).compute, made_with)
    batch = KpiBatch(publisher=publisher, run=run)
    files = AcceptedFiles(execution_arn=EXECUTION, files=[accepted(key) for key in keys], recompute=recompute)
    return [file.key for file in batch.load(files)]


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
    assert [claim.date for claim in engine.claims] == [unknown, claimed, claimed_badly_hinted, DAY]


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
    assert [claim.date for claim in engine.claims] == ["2024-05-01", DAY]


def test_a_batch_without_songs_computes_its_own_days_only(tables: Tables) -> None:
    tables.ledger.claim_day("2024-05-01")
    record(tables)
    engine = OnePlay()
    load(tables, "run-1", *KEYS, engine=engine)
    assert [claim.date for claim in engine.claims] == [DAY]
