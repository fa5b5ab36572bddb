"""The driver of `make run`, without an AWS: what to upload, when a run is over, how it is judged, shown and kept."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from laptop.collect import Email, LastRun, read_emails
from laptop.inputs import InputError, find_inputs
from laptop.outcome import problems
from laptop.pipeline import Answers, Execution, Snapshot, Uploaded, is_run_of, plain_numbers
from laptop.show import data_console, email_panels, executions_table, files_table, kpi_tables, rejection_reasons
from laptop.watch import StuckError, is_over, progress_lines, progress_table, watch
from operations.output import lines

NOON = datetime(2024, 6, 25, 12, tzinfo=UTC)
STREAMS = Uploaded("raw/streams/streams1.csv", "v1")
SONGS = Uploaded("raw/songs/songs#1.csv", "v2")

SUMMARY: dict[str, Any] = {
    "pk": "DAY#2024-06-25",
    "sk": "SUMMARY",
    "date": "2024-06-25",
    "listens": 3,
    "unique_listeners": 2,
    "listens_per_listener": 1.5,
    "listening_time_ms": 3_723_000,
    "unknown_track_plays": 0,
    "top_genres": [{"rank": 1, "genre": "pop", "listens": 3}],
    "listens_by_country": {"Chad": 1, "Peru": 2},
}
FIGURES = {
    "date": "2024-06-25",
    "genre": "pop",
    "listens": 3,
    "unique_listeners": 2,
    "listening_time_ms": 3_723_000,
    "avg_listening_time_ms_per_user": 1_861_500,
}
TOP_SONGS = [{"rank": 1, "track_id": "t1", "track_name": None, "artists": None, "listens": 3}]
DAY = [
    {"pk": "DAY#2024-06-25", "sk": "GENRE#pop", **FIGURES, "top_songs": TOP_SONGS},
    {"pk": "DAY#2024-06-25", "sk": "HOUR#17#GENRE#pop", **FIGURES, "hour": "17"},
    SUMMARY,
]


def execution(status: str = "SUCCEEDED", **changes: Any) -> Execution:  # noqa: ANN401
    values: dict[str, Any] = {"state": None, "since": None, "job_run": None, **changes}
    return Execution(arn="arn", name="batch-1", status=status, started=NOON, stopped=None, **values)


def snapshot(*executions: Execution, **changes: Any) -> Snapshot:  # noqa: ANN401
    values: dict[str, Any] = {"notified": (), "queued": 0, "dead_letters": 0, "file_statuses": {}, **changes}
    return Snapshot(executions=executions, **values)


def answers(**changes: Any) -> Answers:  # noqa: ANN401
    good: dict[str, Any] = {
        "executions": [described()],
        "kpi_rows": DAY,
        "file_statuses": {STREAMS.ledger_key: "ARCHIVED"},
        "days": ["2024-06-25"],
        "left_in_raw": [],
    }
    return Answers(**{**good, **changes})


def described(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    output = {"accepted": [{"key": STREAMS.key}], "rejected": [], "skipped": []}
    return {
        "executionArn": "arn",
        "name": "batch-1",
        "status": "SUCCEEDED",
        "startDate": NOON,
        "stopDate": NOON + timedelta(seconds=42),
        "input": "[]",
        "output": json.dumps(output),
        "error": None,
        "cause": None,
        **changes,
    }


def printed(*renderables: Any) -> str:  # noqa: ANN401
    text = io.StringIO()
    data_console(text).print(*renderables)
    return text.getvalue()


class TestInputs:
    """Which files of a folder are uploaded."""

    def test_references_come_before_streams_and_every_file_goes_to_its_dataset(self, tmp_path: Path) -> None:
        for name in ("streams2.csv.gz", "streams1.csv", "songs.csv", "users_2024.csv.gz", "notes.csv", "songs.txt"):
            (tmp_path / name).touch()

        keys = [file.key for file in find_inputs(tmp_path)]

        assert keys == [
            "raw/users/users_2024.csv.gz",
            "raw/songs/songs.csv",
            "raw/streams/streams1.csv",
            "raw/streams/streams2.csv.gz",
        ]

    def test_a_folder_may_lack_users_and_songs(self, tmp_path: Path) -> None:
        (tmp_path / "streams.csv").touch()

        assert [file.dataset for file in find_inputs(tmp_path)] == ["streams"]

    def test_a_missing_folder_is_one_clear_error(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"There is no folder .*nowhere"):
            find_inputs(tmp_path / "nowhere")

    def test_a_folder_without_any_of_the_files_is_one_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "plays.csv").touch()

        with pytest.raises(InputError, match="holds no users"):
            find_inputs(tmp_path)


class TestWhenARunIsOver:
    """The condition that ends the wait."""

    def test_it_is_over_when_every_file_is_finished_and_nothing_is_under_way(self) -> None:
        assert is_over([STREAMS], snapshot(execution(), file_statuses={STREAMS.ledger_key: "ARCHIVED"}))
        assert is_over([STREAMS], snapshot(execution(), file_statuses={STREAMS.ledger_key: "REJECTED"}))

    @pytest.mark.parametrize(
        "unfinished",
        [
            snapshot(),
            snapshot(execution(), file_statuses={STREAMS.ledger_key: "LOADED"}),
            snapshot(execution("RUNNING"), file_statuses={STREAMS.ledger_key: "ARCHIVED"}),
            snapshot(execution(), queued=1, file_statuses={STREAMS.ledger_key: "ARCHIVED"}),
            snapshot(execution(), notified=("RUNNING",), file_statuses={STREAMS.ledger_key: "ARCHIVED"}),
        ],
    )
    def test_it_is_not_over_while_something_is_under_way(self, unfinished: Snapshot) -> None:
        assert not is_over([STREAMS], unfinished)

    def test_a_failure_ends_it_once_the_notifier_has_ended(self) -> None:
        assert not is_over([STREAMS], snapshot(execution("FAILED")))
        assert not is_over([STREAMS], snapshot(execution("FAILED"), notified=("RUNNING",)))
        assert is_over([STREAMS], snapshot(execution("FAILED"), notified=("SUCCEEDED",)))

    def test_a_failure_does_not_end_it_while_another_execution_runs(self) -> None:
        assert not is_over([STREAMS], snapshot(execution("FAILED"), execution("RUNNING"), notified=("SUCCEEDED",)))


class TestWatch:
    """What is shown, and what gives up."""

    def watch(self, *snapshots: Snapshot, deadline_seconds: float = 30) -> str:
        """Watches what happens; the last snapshot lasts for ever."""

        def looks() -> Iterator[Snapshot]:
            yield from snapshots
            while True:
                yield snapshots[-1]

        text = io.StringIO()
        watch(looks().__next__, [STREAMS], data_console(text), deadline_seconds=deadline_seconds, grace_seconds=0.1)
        return text.getvalue()

    def test_a_log_gets_one_line_per_change(self) -> None:
        validating = snapshot(execution("RUNNING", state="Validate", since=NOON, job_run="RUNNING"))
        done = snapshot(execution(), file_statuses={STREAMS.ledger_key: "ARCHIVED"})

        text = self.watch(validating, validating, done)

        assert text.count("batch-1  Validate: Glue job run RUNNING") == 1
        assert text.count("batch-1  SUCCEEDED") == 1
        assert "1 of 1 files finished" in text

    def test_a_file_that_no_execution_takes_up_is_named(self) -> None:
        with pytest.raises(StuckError, match=r"Nothing moves any more:\n  raw/streams/streams1.csv is not known"):
            self.watch(snapshot())

    def test_a_dead_letter_ends_the_wait(self) -> None:
        with pytest.raises(StuckError, match="1 messages are in the dead letter queue"):
            self.watch(snapshot(execution("RUNNING"), dead_letters=1))

    def test_what_runs_at_the_deadline_is_named(self) -> None:
        running = snapshot(execution("RUNNING", state="ComputeKpis", since=NOON, job_run="WAITING"))

        with pytest.raises(StuckError, match="execution batch-1 is in ComputeKpis, Glue job run WAITING"):
            self.watch(running, deadline_seconds=0)

    def test_a_failure_that_nobody_was_told_of_is_not_waited_for_for_ever(self) -> None:
        with pytest.raises(StuckError, match="Nothing moves any more"):
            self.watch(snapshot(execution("FAILED")))

    def test_the_table_tells_how_long_an_execution_is_in_its_state(self) -> None:
        running = snapshot(execution("RUNNING", state="Validate", since=NOON), queued=2)

        text = printed(progress_table([STREAMS], running, NOON + timedelta(seconds=7)))

        assert "12:00:00 (7 s)" in text
        assert "0 of 1 files finished, 2 events in the queue" in text

    def test_an_execution_that_entered_no_state_is_starting(self) -> None:
        assert progress_lines([], snapshot(execution("RUNNING")))[0] == "batch-1  starting"


class TestProblems:
    """The judgement."""

    def found(self, expected: Mapping[str, str] | None = None, **changes: Any) -> list[str]:  # noqa: ANN401
        return list(problems(answers(**changes), [STREAMS], expected or {}))

    def test_a_good_run_has_none(self) -> None:
        assert self.found() == []
        assert self.found({STREAMS.key: "ARCHIVED"}) == []

    def test_a_rejected_file_is_an_outcome_unless_it_should_have_been_accepted(self) -> None:
        rejected = {STREAMS.ledger_key: "REJECTED"}

        assert self.found(file_statuses=rejected) == []
        assert self.found({STREAMS.key: "ARCHIVED"}, file_statuses=rejected) == [
            "raw/streams/streams1.csv is REJECTED and should be ARCHIVED."
        ]

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"executions": []}, "No execution was started."),
            ({"executions": [described(status="FAILED")]}, "Execution batch-1 is FAILED."),
            ({"file_statuses": {}}, f"1 of 1 files were not processed to their end: {STREAMS.key}."),
            (
                {"file_statuses": {STREAMS.ledger_key: "LOADED"}, "left_in_raw": [STREAMS.key]},
                f"1 of 1 files were not processed to their end: {STREAMS.key}.",
            ),
            ({"left_in_raw": [STREAMS.key]}, f"{STREAMS.key} is ARCHIVED and still where it was uploaded."),
            ({"days": ["2024-06-26"]}, "2024-06-26 has accepted plays and no KPIs."),
        ],
    )
    def test_whatever_is_not_as_it_should_be_is_told(self, changes: dict[str, Any], problem: str) -> None:
        assert self.found(**changes) == [problem]


class TestTables:
    """What is shown at the end."""

    def test_a_day_shows_its_figures_its_genres_and_the_hours_of_the_busiest(self) -> None:
        text = printed(*kpi_tables(DAY))

        assert "KPIs of 2024-06-25" in text
        assert "Peru 2, Chad 1" in text
        assert "1:02:03" in text
        assert "1. t1 (3)" in text
        assert "Hours of pop" in text

    def test_a_day_of_unknown_tracks_only_shows_its_figures(self) -> None:
        text = printed(*kpi_tables([{**SUMMARY, "top_genres": [], "listening_time_ms": 0}]))

        assert "KPIs of 2024-06-25" in text
        assert "Hours of" not in text

    def test_a_name_that_looks_like_markup_stands_as_it_is(self) -> None:
        songs = [{**TOP_SONGS[0], "track_name": "[/b] :smile: [red]"}]

        text = printed(*kpi_tables([{**DAY[0], "top_songs": songs}, SUMMARY]))

        assert "[/b] :smile: [red]" in text

    def test_an_execution_tells_what_became_of_its_files_or_why_it_failed(self) -> None:
        text = printed(executions_table([described(), described(status="FAILED", output=None, error="E", cause="Why")]))

        assert "1 accepted" in text
        assert "42" in text
        assert "E Why" in text

    def test_an_execution_that_has_divided_its_batch_tells_into_how_many(self) -> None:
        parts = [{"execution_arn": f"arn-part-{number}", "files": 1} for number in (1, 2, 3)]
        output = {"accepted": [], "rejected": [], "skipped": [], "parts": parts}
        executions = [described(output=json.dumps(output))]

        assert "divided into 3 executions" in printed(executions_table(executions))
        assert rejection_reasons(executions) == {}

    def test_an_execution_without_an_end_has_no_duration(self) -> None:
        assert "RUNNING" in printed(executions_table([described(status="RUNNING", stopDate=None, output=None)]))

    def test_a_rejected_file_tells_why_and_a_key_may_hold_a_hash(self) -> None:
        output = {"accepted": [], "rejected": [{"key": SONGS.key, "reasons": ["No rows [at all]"]}], "skipped": []}
        rejected = answers(
            executions=[described(output=json.dumps(output))], file_statuses={SONGS.ledger_key: "REJECTED"}
        )

        assert rejection_reasons(rejected.executions) == {SONGS.key: ["No rows [at all]"]}
        text = printed(files_table(rejected))
        assert SONGS.key in text
        assert "No rows [at all]" in text

    def test_what_a_producer_chose_does_not_reach_the_terminal_as_an_instruction(self) -> None:
        hostile, shown = "[b]:x:\x1b[2J\x9b\u202e", r"[b]:x:\x1b[2J\x9b\u202e"
        file = Uploaded(f"raw/songs/{hostile}.csv", "v")
        output = {"accepted": [], "rejected": [{"key": file.key, "reasons": [hostile]}], "skipped": []}
        found = answers(executions=[described(output=json.dumps(output))], file_statuses={file.ledger_key: "REJECTED"})
        rows = [{**row, "genre": hostile, "sk": row["sk"].replace("pop", hostile)} for row in DAY[:2]]
        top = [{"rank": 1, "genre": hostile, "listens": 3}]
        summary = {**SUMMARY, "top_genres": top, "listens_by_country": {hostile: 3}}

        text = printed(
            executions_table([described(status="FAILED", output=None, error=hostile, cause=hostile)]),
            files_table(found),
            *email_panels([Email(hostile, hostile)]),
            *kpi_tables([*rows, summary]),
            progress_table([file], snapshot(execution("RUNNING", state=hostile)), NOON),
        )

        assert text.replace("\n", "").isprintable()
        assert text.count(shown) >= 10
        with pytest.raises(StuckError) as stuck:
            raise StuckError("x", [Uploaded("raw/a\nb.csv", "v")], snapshot())
        assert [printed(lines(line)) for line in stuck.value.lines][1] == (
            "  raw/a\\x0ab.csv is not known to the ledger\n"
        )

    def test_a_long_key_is_folded_and_not_cut(self) -> None:
        key = "raw/streams/" + "".join(f"{number:04}" for number in range(200))
        shown = printed(files_table(answers(file_statuses={(key, "v"): "ARCHIVED"})))
        panel = printed(*email_panels([Email("s", f"aws s3 presign {key}")]))

        for text, bar in ((shown, "│"), (panel, "│")):
            cells = [line.split(bar)[1].strip() for line in text.splitlines() if bar in line]
            assert key in "".join(cells).replace("aws s3 presign ", "")

    def test_a_long_email_is_cut(self) -> None:
        text = printed(*email_panels([Email("[dev] A subject", "\n".join(f"line {n}" for n in range(40)))]))

        assert "[dev] A subject" in text
        assert "line 17" in text
        assert "line 18" not in text


class TestLastRun:
    """What is kept."""

    def test_it_holds_numbers_as_numbers_and_copies_of_what_the_aws_kept(self, tmp_path: Path) -> None:
        work_dir = tmp_path / "aws"
        for path in ("emails/0001.txt", "logs/glue/job/jr_1.log", "buckets/data/quality/b/report.json"):
            (work_dir / path).parent.mkdir(parents=True, exist_ok=True)
            (work_dir / path).write_text("text")
        last_run = LastRun(tmp_path / "last_run")
        last_run.begin()

        last_run.keep_answers(answers(kpi_rows=[plain_numbers({"pk": "DAY#1", "avg": Decimal("1.50")})]))
        last_run.keep_files(work_dir, "data")

        assert json.loads((last_run.folder / "kpis.json").read_text()) == [{"pk": "DAY#1", "avg": 1.5}]
        assert json.loads((last_run.folder / "executions.json").read_text())[0]["startDate"] == NOON.isoformat()
        assert (last_run.folder / "emails/0001.txt").exists()
        assert (last_run.folder / "logs/glue/job/jr_1.log").exists()
        assert (last_run.folder / "reports/b/report.json").exists()

    def test_it_holds_nothing_of_an_earlier_run_whose_results_are_kept_beside_it(self, tmp_path: Path) -> None:
        last_run = LastRun(tmp_path / "last_run")
        for number in range(3):
            last_run.begin()
            assert list(last_run.folder.iterdir()) == []
            (last_run.folder / "kpis.json").write_text(f"[{number}]")

        kept = sorted((tmp_path / "previous").rglob("kpis.json"))
        assert [path.read_text() for path in kept] == ["[0]", "[1]"]

    def test_it_is_written_for_an_aws_that_did_not_start(self, tmp_path: Path) -> None:
        last_run = LastRun(tmp_path / "last_run")
        last_run.begin()

        last_run.keep_files(tmp_path / "nothing", None)

        assert list(last_run.folder.iterdir()) == []

    def test_emails_are_read_in_the_order_they_were_sent(self, tmp_path: Path) -> None:
        (tmp_path / "emails").mkdir()
        lines = [{"to": "a@b", "subject": subject, "message": "Hello"} for subject in ("first", "second")]
        (tmp_path / "emails/emails.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")

        assert [email.subject for email in read_emails(tmp_path)] == ["first", "second"]

    def test_no_email_is_no_error(self, tmp_path: Path) -> None:
        assert read_emails(tmp_path) == []


def test_numbers_of_dynamodb_become_plain_numbers() -> None:
    item = {"listens": Decimal(3), "average": Decimal("2.67"), "top": [{"rank": Decimal(1)}], "name": None}

    assert plain_numbers(item) == {"listens": 3, "average": 2.67, "top": [{"rank": 1}], "name": None}
    assert isinstance(plain_numbers(item)["listens"], int)


def test_a_job_run_belongs_to_the_execution_whose_folder_it_was_given() -> None:
    run = {"Arguments": {"--manifest_uri": "s3://bucket/processing/batch-1/manifest.json"}}

    assert is_run_of(run, "batch-1")
    assert not is_run_of(run, "batch-10")
    assert not is_run_of({}, "batch-1")
