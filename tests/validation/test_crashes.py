"""A job that crashes over a row tells nobody what the row holds: neither its ErrorMessage nor its log."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.tables import KPIS, LEDGER
from glue_scripts import names
from glue_scripts.objects import file_name
from stacks.packaging import build_zip
from tests.local.s3_and_glue import BUCKET, Aws, ended, log_of, running_jobs, serving
from tests.validation.validation_job import empty_tables

ROOT = Path(__file__).parents[2]
USER = "u-4711-amelie"
FOLDER = "processing/execution/"
USERS = "user_id,user_name,user_age,user_country,created_at\nu1,Ann,30,Norway,2024-01-01\n"
SONGS = (
    "track_id,track_name,artists,album_name,track_genre,duration_ms,popularity,explicit\n"
    f"t1,One,A,X,pop,{USER},1,false\n"
)

STREAMS = f"user_id,track_id,listen_time\n{USER},t1,2024-06-25 10:00:00\n"

Change = tuple[str, str, str]
"""A file of the packages, what stands there, and what a crash has in its place."""

SQL_CAST: Change = (
    "validators/columns.py",
    r"""CASE WHEN regexp_full_match(to_id(text), '[+-]?\d{1,18}(\.0*)?')
             THEN try_cast(split_part(to_id(text), '.', 1) AS BIGINT) END""",
    "cast(to_id(text) AS BIGINT)",
)
"""What keeps a text that is no number from a cast: the defect of these tests is that it is gone."""
COUNTING_CAST: Change = (
    "glue_scripts/kpi_sql.py",
    "FROM listeners LEFT JOIN users USING (user_id))",
    "FROM listeners LEFT JOIN users USING (user_id) WHERE cast(user_id AS BIGINT) > 0)",
)
"""Of the KPI job, which reads stored rows only."""
SPREAD: Change = ("glue_scripts/spread.py", "HERE_PLAYS = 2**24", "HERE_PLAYS = -1")
"""Without it, few rows are judged in the driver and not in tasks."""
LOGGING: Change = ("glue_scripts/session.py", "                _keep_rows_out_of_the_log(session)\n", "")
"""On AWS an executor is a process of its own, whose loggers the driver cannot switch off."""


@dataclass(frozen=True)
class Crash:
    """What a job run left that failed.

    Attributes:
        message: its ErrorMessage, which the e-mail holds.
        log: its log.
    """

    message: str
    log: str


@dataclass(frozen=True)
class Case:
    """How a job crashes.

    Attributes:
        script: the job.
        changes: of the packages.
        told: what the message tells of the error.
        place: the innermost place in our code that it tells.
    """

    script: str
    changes: tuple[Change, ...]
    told: tuple[str, ...]
    place: str


CASES = {
    "validate_batch, in the driver": Case(
        "validate_batch", (SQL_CAST,), ("ConversionException",), "validators.judge.judge"
    ),
    "validate_batch, in a task": Case(
        "validate_batch",
        (SQL_CAST, SPREAD, LOGGING),
        ("TaskFailedError: ConversionException",),
        "validators.judge.judge",
    ),
    "compute_kpis, in the driver": Case(
        "compute_kpis", (COUNTING_CAST,), ("ConversionException",), "glue_scripts.count_plays._select"
    ),
    "compute_kpis, in a task": Case(
        "compute_kpis",
        (COUNTING_CAST, SPREAD, LOGGING),
        ("TaskFailedError: ConversionException",),
        "glue_scripts.count_plays._select",
    ),
}


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Crash]:
    """The jobs' own entries, in packages with a defect, on a file that meets it; the one before it does not."""
    with serving(tmp_path_factory.mktemp("crashes")) as aws, running_jobs(aws):
        empty_tables(aws)
        # What the KPI job counts is written by the validation job as it is.
        _write(aws, names.MANIFEST_NAME, {"format": names.MANIFEST_FORMAT, "files": [_stage(aws, "streams", STREAMS)]})
        validation = Case("validate_batch", (), (), "")
        state, crash = _run(aws, "validation", validation, tmp_path_factory.mktemp("packages"))
        assert state == "SUCCEEDED", crash.log
        users, songs = _stage(aws, "users", USERS), _stage(aws, "songs", SONGS)
        _write(aws, names.MANIFEST_NAME, {"format": names.MANIFEST_FORMAT, "files": [users, songs]})
        return {
            name: _crash(aws, f"job-{number}", case, tmp_path_factory.mktemp("packages"))
            for number, (name, case) in enumerate(CASES.items())
        }


def _arguments(script: str) -> dict[str, str]:
    folder = f"s3://{BUCKET}/{FOLDER}"
    given = {"environment": "test", "data_bucket": BUCKET, "ledger_table": LEDGER, "kpis_table": KPIS}
    given |= {"tolerances": "{}", "error_days": "90", "runbook": "docs/runbook.md", "top_songs": "3", "top_genres": "5"}
    given |= {"dpus": "2", "kpi_code": "0123456789ab"}
    given |= {"manifest_uri": folder + names.MANIFEST_NAME, "accepted_uri": folder + names.ACCEPTED_NAME}
    declared = {
        "validate_batch": (*names.VALIDATE_BATCH_RUN_ARGUMENTS, *names.VALIDATE_BATCH_JOB_ARGUMENTS),
        "compute_kpis": (*names.COMPUTE_KPIS_RUN_ARGUMENTS, *names.COMPUTE_KPIS_JOB_ARGUMENTS),
    }
    return {f"--{name}": given[name] for name in declared[script]}


def _packages_with(changes: Sequence[Change], folder: Path) -> bytes:
    for package in ("glue_scripts", "validators"):
        shutil.copytree(ROOT / package, folder / package)
    for name, present, replaced in changes:
        source = (folder / name).read_text("utf-8")
        assert present in source
        (folder / name).write_text(source.replace(present, replaced), "utf-8")
    build_zip([folder / "glue_scripts", folder / "validators"], folder / "packages.zip")
    return (folder / "packages.zip").read_bytes()


def _stage(aws: Aws, dataset: str, text: str) -> dict[str, object]:
    """Put a file where the job looks for it; return its entry in the manifest."""
    key = f"raw/{dataset}/{dataset}.csv"
    staged = FOLDER + file_name(key, "v1")
    aws.write(staged, text.encode())
    of_version = {"key": key, "version_id": "v1", "etag": "e", "last_modified": "2024-06-26T00:00:00Z"}
    return {**of_version, "size": len(text)}


def _write(aws: Aws, name: str, document: Mapping[str, object]) -> None:
    aws.write(FOLDER + name, json.dumps({"execution_arn": "arn:execution", **document}).encode())


def _crash(aws: Aws, job: str, case: Case, folder: Path) -> Crash:
    state, crash = _run(aws, job, case, folder)
    assert state == "FAILED", crash.log
    return crash


def _run(aws: Aws, job: str, case: Case, folder: Path) -> tuple[str, Crash]:
    aws.write(f"code/{case.script}.py", (ROOT / f"glue_scripts/{case.script}.py").read_bytes())
    aws.write(f"code/{job}.zip", _packages_with(case.changes, folder))
    aws.glue.create_job(
        Name=job,
        Role="role",
        GlueVersion="5.1",
        Command={"Name": "glueetl", "ScriptLocation": f"s3://{BUCKET}/code/{case.script}.py"},
        DefaultArguments={"--extra-py-files": f"s3://{BUCKET}/code/{job}.zip", **_arguments(case.script)},
    )
    run_id = aws.glue.start_job_run(JobName=job)["JobRunId"]
    run = ended(aws, run_id, job)
    return run["JobRunState"], Crash(run.get("ErrorMessage", ""), log_of(aws, run_id, job))


@pytest.mark.parametrize("name", CASES)
def test_neither_message_nor_log_holds_the_value_that_broke_the_job(crashes: dict[str, Crash], name: str) -> None:
    crash = crashes[name]
    assert USER not in crash.message
    assert [line for line in crash.log.splitlines() if USER in line] == []


@pytest.mark.parametrize("name", CASES)
def test_the_message_tells_what_kind_of_error_it_was_and_where(crashes: dict[str, Crash], name: str) -> None:
    message = crashes[name].message
    assert message.startswith("JobFailedError: ")
    assert all(part in message for part in CASES[name].told)
    assert f" in {CASES[name].place}" in message
    assert re.search(r" in (glue_scripts|validators)\.[\w.]+, line \d+$", message)
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("name", CASES)
def test_the_log_holds_the_traceback_down_to_the_place(crashes: dict[str, Crash], name: str) -> None:
    log = crashes[name].log
    assert f'{CASES[name].script}.py", line' in log
    assert ".zip/glue_scripts/" in log
    assert log.count(crashes[name].message.removeprefix("JobFailedError: ")) == 2, "ours, and the one of the entry"


def test_the_log_holds_the_traceback_of_the_task_down_to_the_place(crashes: dict[str, Crash]) -> None:
    log = crashes["validate_batch, in a task"].log
    assert 'validators/judge.py", line' in log
    assert "\nConversionException in validators.judge.judge, line " in log


def test_the_log_is_not_flooded_by_great_expectations(crashes: dict[str, Crash]) -> None:
    log = crashes["validate_batch, in the driver"].log
    told = [line for line in log.splitlines() if " INFO great_expectations." in line]
    assert told, "it sets the level of the logger of its context itself"
    assert [line for line in told if "for ephemeral docs site" not in line] == []
