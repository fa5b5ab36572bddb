"""A verdict that was recorded holds, whatever a later run says; only files that the ledger accepts are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from glue_scripts.accepted_files import AcceptedFile
from glue_scripts.batch_record import BatchRecord, Judgement, Recorded, RowsMissingError, Written
from glue_scripts.ledger import Batch, FileStatus, Snapshot, Tombstones, batch_key
from tests.unit.conftest import Tables

OURS, THEIRS = (f"arn:aws:states:us-east-1:123456789012:execution:pipeline:{name}" for name in ("ours", "theirs"))
ACCEPTED, REJECTED = FileStatus.ACCEPTED, FileStatus.REJECTED
DOCUMENT = "s3://bucket/processing/ours/accepted.json"


def file(name: str, day: int = 26) -> AcceptedFile:
    """A file that was uploaded on a day of June."""
    key = f"raw/{name}"
    return AcceptedFile(key=key, version_id="v1", dataset=name.split("/")[0], uploaded_at=f"2024-06-{day:02}T00:00:00Z")


STREAMS = file("streams/a.csv")


@dataclass
class Noting:
    """Writes nothing; remembers the files, in the order of writing."""

    tables: Tables
    written: list[str] = field(default_factory=list)
    statuses: list[FileStatus | None] = field(default_factory=list)

    def write(
        self, references: Sequence[AcceptedFile], streams: Sequence[AcceptedFile], run: str, tombstones: Tombstones
    ) -> Written:
        files = [*references, *streams]
        self.written += [each.key for each in files]
        self.statuses += [self.tables.ledger.file_status_and_execution(each.key, each.version_id)[0] for each in files]
        snapshots = [each.snapshot(f"s3://bucket/{each.snapshot_name(run)}/", 1) for each in references]
        return Written(snapshots=snapshots, dates=["2024-06-25"] if streams else [], size=len(streams))


@dataclass
class Runs:
    """Runs of the validation job, as far as the ledger goes."""

    tables: Tables

    def record(
        self,
        run: str,
        verdicts: dict[AcceptedFile, FileStatus],
        *,
        execution: str = OURS,
        has_rows: bool = True,
        writer: Noting | None = None,
    ) -> Recorded[AcceptedFile]:
        for each in verdicts:
            self.tables.ledger.receive_file(each.key, each.version_id, {"execution": execution})
        judgements = {
            each: Judgement(accepted=each, has_rows=has_rows, status=status, attributes={"said_by": run})
            for each, status in verdicts.items()
        }
        return BatchRecord(
            ledger=self.tables.ledger,
            writer=writer or Noting(self.tables),
            execution_arn=execution,
            run=run,
            document_uri=DOCUMENT,
        ).record(judgements)


@pytest.fixture
def runs(tables: Tables) -> Runs:
    return Runs(tables)


def test_rows_are_written_when_the_verdicts_are_recorded_and_of_accepted_files_only(runs: Runs) -> None:
    writer, bad = Noting(runs.tables), file("streams/bad.csv")
    recorded = runs.record("jr_1", {STREAMS: ACCEPTED, bad: REJECTED}, writer=writer)
    assert (writer.written, writer.statuses) == ([STREAMS.key], [ACCEPTED])
    assert {each: verdict.status for each, verdict in recorded.verdicts.items()} == {STREAMS: ACCEPTED, bad: REJECTED}
    assert list(recorded.accepted) == [STREAMS]
    assert runs.tables.ledger.batch(OURS) == Batch(OURS, "jr_1", ["2024-06-25"], [], DOCUMENT, size=1)


def test_a_batch_of_plays_waits_since_its_first_file_was_uploaded(runs: Runs) -> None:
    later = replace(file("streams/b.csv"), uploaded_at="2030-01-01T00:00:00Z")
    runs.record("jr_1", {later: ACCEPTED, STREAMS: ACCEPTED, file("streams/bad.csv"): REJECTED})
    assert runs.tables.ledger.waiting_batches(9) == [runs.tables.ledger.batch(OURS)]
    item = runs.tables.ledger_table.get_item(Key=batch_key(OURS))["Item"]
    assert item["uploaded_at"] == STREAMS.uploaded_at


@pytest.mark.parametrize("reference", ["songs/songs.csv", "users/users.csv"])
def test_a_batch_with_a_reference_file_does_not_wait_for_others(runs: Runs, reference: str) -> None:
    runs.record("jr_1", {STREAMS: ACCEPTED, file(reference): ACCEPTED})
    assert runs.tables.ledger.has_batch(OURS)
    assert runs.tables.ledger.waiting_batches(9) == []


@pytest.mark.parametrize(("first", "second"), [(ACCEPTED, REJECTED), (REJECTED, ACCEPTED)])
def test_the_verdict_of_the_run_that_died_holds(runs: Runs, first: FileStatus, second: FileStatus) -> None:
    """The first run dies when it has recorded its verdicts."""
    with pytest.raises(DiedError):
        runs.record("jr_1", {STREAMS: first, file("streams/b.csv"): ACCEPTED}, writer=Dying(runs.tables))
    recorded = runs.record("jr_2", {STREAMS: second, file("streams/b.csv"): ACCEPTED})
    assert recorded.verdicts[STREAMS].status is first
    assert not recorded.verdicts[STREAMS].is_new
    assert recorded.verdicts[STREAMS].attributes["said_by"] == "jr_1"
    assert (STREAMS in recorded.accepted) == (first is ACCEPTED)


class DiedError(Exception):
    """The job was killed."""


class Dying(Noting):
    """A writer of a job that is killed."""

    def write(
        self, references: Sequence[AcceptedFile], streams: Sequence[AcceptedFile], run: str, tombstones: Tombstones
    ) -> Written:
        raise DiedError


def test_a_later_run_takes_the_rows_of_the_first_one(runs: Runs) -> None:
    runs.record("jr_1", {STREAMS: ACCEPTED})
    writer = Noting(runs.tables)
    assert list(runs.record("jr_2", {STREAMS: ACCEPTED}, writer=writer).accepted) == [STREAMS]
    assert writer.written == []
    assert runs.tables.ledger.batch(OURS).run == "jr_1"


def test_a_zombie_that_ends_after_its_retry_does_not_change_the_batch(runs: Runs) -> None:
    @dataclass
    class Zombie(Noting):
        def write(
            self, references: Sequence[AcceptedFile], streams: Sequence[AcceptedFile], run: str, tombstones: Tombstones
        ) -> Written:
            runs.record("jr_2", {STREAMS: ACCEPTED})
            return super().write(references, streams, run, tombstones)

    runs.record("jr_1", {STREAMS: ACCEPTED}, writer=Zombie(runs.tables))
    assert runs.tables.ledger.batch(OURS).run == "jr_2"


def test_a_file_that_another_execution_has_accepted_is_joined(runs: Runs) -> None:
    runs.record("jr_1", {STREAMS: ACCEPTED}, execution=THEIRS)
    writer = Noting(runs.tables)
    recorded = runs.record("jr_2", {STREAMS: REJECTED}, writer=writer)
    assert (list(recorded.accepted), writer.written) == ([STREAMS], [STREAMS.key])
    assert recorded.verdicts[STREAMS].execution == THEIRS


def test_a_file_that_another_execution_has_rejected_is_in_no_run(runs: Runs) -> None:
    runs.record("jr_1", {STREAMS: REJECTED}, execution=THEIRS)
    writer = Noting(runs.tables)
    recorded = runs.record("jr_2", {STREAMS: ACCEPTED}, writer=writer)
    assert (list(recorded.accepted), writer.written) == ([], [])
    assert not runs.tables.ledger.has_batch(OURS)


def test_a_file_that_another_execution_has_accepted_and_that_has_no_rows_here_is_left_to_it(runs: Runs) -> None:
    runs.record("jr_1", {STREAMS: ACCEPTED}, execution=THEIRS)
    assert runs.record("jr_2", {STREAMS: REJECTED}, has_rows=False).accepted == {}


def test_an_accepted_file_whose_rows_cannot_be_read_any_more_is_an_error_and_not_lost(runs: Runs) -> None:
    with pytest.raises(DiedError):
        runs.record("jr_1", {STREAMS: ACCEPTED}, writer=Dying(runs.tables))
    with pytest.raises(RowsMissingError, match=r"accepted raw/streams/a\.csv \(version v1\).*cannot be read"):
        runs.record("jr_2", {STREAMS: REJECTED}, has_rows=False)


def test_a_file_whose_rows_are_in_the_batch_needs_no_rows_again(runs: Runs) -> None:
    runs.record("jr_1", {STREAMS: ACCEPTED})
    assert list(runs.record("jr_2", {STREAMS: REJECTED}, has_rows=False).accepted) == [STREAMS]


def test_a_file_that_was_archived_since_stays_accepted_of_its_own_execution_only(runs: Runs) -> None:
    runs.record("jr_1", {STREAMS: ACCEPTED})
    runs.tables.ledger_table.update_item(
        Key={"pk": f"FILE#{STREAMS.key}", "sk": "v1"},
        UpdateExpression="SET #status = :archived",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":archived": "ARCHIVED"},
    )
    assert list(runs.record("jr_2", {STREAMS: ACCEPTED}).accepted) == [STREAMS]
    assert runs.record("jr_3", {STREAMS: ACCEPTED}, execution=THEIRS).accepted == {}


def test_only_the_newest_catalogue_becomes_a_snapshot_unless_the_current_one_is_newer(runs: Runs) -> None:
    writer = Noting(runs.tables)
    runs.record("jr_1", {file("songs/new.csv", 27): ACCEPTED, file("songs/old.csv", 25): ACCEPTED}, writer=writer)
    (snapshot,) = runs.tables.ledger.batch(OURS).snapshots
    assert (writer.written, snapshot.key) == (["raw/songs/new.csv"], "raw/songs/new.csv")
    assert runs.tables.ledger.current_snapshot("songs") is None, "the KPI job makes it current"
    runs.tables.ledger.make_current(Snapshot("songs", "s3://x/", "raw/songs/k", "v1", "2024-06-28T00:00:00Z", 1))
    runs.record("jr_2", {file("songs/late.csv", 26): ACCEPTED}, execution=THEIRS, writer=writer)
    assert writer.written == ["raw/songs/new.csv"]
    assert runs.tables.ledger.batch(THEIRS).snapshots == []
