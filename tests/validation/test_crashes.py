"""A job that crashes over a row tells nobody what the row holds: neither its ErrorMessage nor its log."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from glue_scripts import names
from glue_scripts.objects import file_name
from stacks.packaging import build_zip
from tests.local.s3_and_glue import BUCKET, Aws, ended, log_of, running_jobs, serving

ROOT = Path(__file__).parents[2]
USER = "u-4711-amelie"
STAGED = "processing/execution/" + file_name("raw/users/users.csv", "v1")
USERS = f"user_id,user_name,user_age,user_country,created_at\nu1,Ann,{USER},Norway,2024-01-01\n"

GUARDED = "CASE WHEN {text} RLIKE r'{_INTEGER}' THEN CAST({text} AS BIGINT) END"
"""What keeps a text that is no number from a cast: the defect of these tests is that it is gone."""


@dataclass(frozen=True)
class Crash:
    """What a job run left that failed.

    Attributes:
        message: its ErrorMessage, which the e-mail holds.
        log: its log.
    """

    message: str
    log: str


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Crash]:
    """Both jobs' own entries, in a package with the defect, on a file that meets it."""
    work_dir = tmp_path_factory.mktemp("crashes")
    with serving(work_dir) as aws, running_jobs(aws):
        for table, keys in (("ledger", ["pk"]), ("kpis", ["pk", "sk"])):
            _create_table(aws, table, keys)
        aws.write("code/packages.zip", _packages_with_the_defect(work_dir))
        aws.write(STAGED, USERS.encode())
        _write(aws, names.MANIFEST_NAME, names.MANIFEST_FORMAT, {"size": len(USERS), "etag": "e"})
        header = USERS.split("\n")[0].split(",")
        source = {"dataset": "users", "uri": f"s3://{BUCKET}/{STAGED}", "header": header, "is_line_per_row": False}
        _write(aws, names.ACCEPTED_NAME, names.ACCEPTED_FORMAT, source)
        return {script: _crash(aws, script, arguments) for script, arguments in _arguments()}


def _arguments() -> Iterator[tuple[str, dict[str, str]]]:
    folder = f"s3://{BUCKET}/processing/execution/"
    given = {"environment": "test", "data_bucket": BUCKET, "ledger_table": "ledger", "kpis_table": "kpis"}
    given |= {"tolerances": "{}", "error_days": "90", "runbook": "docs/runbook.md", "top_songs": "3", "top_genres": "5"}
    given |= {"dpus": "2", "manifest_uri": folder + names.MANIFEST_NAME, "accepted_uri": folder + names.ACCEPTED_NAME}
    validate = (*names.VALIDATE_BATCH_RUN_ARGUMENTS, *names.VALIDATE_BATCH_JOB_ARGUMENTS)
    yield "validate_batch", {f"--{name}": given[name] for name in validate}
    compute = (*names.COMPUTE_KPIS_RUN_ARGUMENTS, *names.COMPUTE_KPIS_JOB_ARGUMENTS)
    yield "compute_kpis", {f"--{name}": given[name] for name in compute}


def _create_table(aws: Aws, name: str, keys: list[str]) -> None:
    client = boto3.client(
        "dynamodb",
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)],  # type: ignore[typeddict-item]
    )


def _packages_with_the_defect(work_dir: Path) -> bytes:
    for package in ("glue_scripts", "validators"):
        shutil.copytree(ROOT / package, work_dir / "packages" / package)
    rows = work_dir / "packages/validators/rows.py"
    source = rows.read_text("utf-8")
    assert GUARDED in source
    rows.write_text(source.replace(GUARDED, "CAST({text} AS BIGINT)"), "utf-8")
    build_zip([work_dir / "packages/glue_scripts", work_dir / "packages/validators"], work_dir / "packages.zip")
    return (work_dir / "packages.zip").read_bytes()


def _write(aws: Aws, name: str, document_format: str, file: Mapping[str, object]) -> None:
    identity = {"key": "raw/users/users.csv", "version_id": "v1", "last_modified": "2024-06-26T00:00:00Z"}
    document = {"format": document_format, "execution_arn": "arn:execution", "files": [{**identity, **file}]}
    aws.write(f"processing/execution/{name}", json.dumps(document).encode())


def _crash(aws: Aws, script: str, arguments: dict[str, str]) -> Crash:
    aws.write(f"code/{script}.py", (ROOT / f"glue_scripts/{script}.py").read_bytes())
    aws.glue.create_job(
        Name=script,
        Role="role",
        GlueVersion="5.1",
        Command={"Name": "glueetl", "ScriptLocation": f"s3://{BUCKET}/code/{script}.py"},
        DefaultArguments={"--extra-py-files": f"s3://{BUCKET}/code/packages.zip", **arguments},
    )
    run_id = aws.glue.start_job_run(JobName=script)["JobRunId"]
    run = ended(aws, run_id, script)
    assert run["JobRunState"] == "FAILED", log_of(aws, run_id, script)
    return Crash(run["ErrorMessage"], log_of(aws, run_id, script))


SCRIPTS = ("validate_batch", "compute_kpis")


@pytest.mark.parametrize("script", SCRIPTS)
def test_neither_message_nor_log_holds_the_value_that_broke_the_job(crashes: dict[str, Crash], script: str) -> None:
    crash = crashes[script]
    assert USER not in crash.message
    assert [line for line in crash.log.splitlines() if USER in line] == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_message_tells_what_kind_of_error_it_was_and_where(crashes: dict[str, Crash], script: str) -> None:
    message = crashes[script].message
    assert message.startswith("JobFailedError: ")
    assert "SparkNumberFormatException" in message
    assert "CAST_INVALID_INPUT" in message
    assert re.search(r" in (glue_scripts|validators)\.[\w.]+, line \d+$", message)
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_log_holds_the_traceback_down_to_the_place(crashes: dict[str, Crash], script: str) -> None:
    log = crashes[script].log
    assert f'{script}.py", line' in log
    assert "packages.zip/glue_scripts/" in log
    assert log.count(crashes[script].message.removeprefix("JobFailedError: ")) == 2, "ours, and the one of the entry"


def test_the_log_is_not_flooded_by_great_expectations(crashes: dict[str, Crash]) -> None:
    told = [line for line in crashes["validate_batch"].log.splitlines() if " INFO great_expectations." in line]
    assert told, "it sets the level of the logger of its context itself"
    assert [line for line in told if "for ephemeral docs site" not in line] == []
