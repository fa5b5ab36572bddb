"""Runs the validation job as Glue does: a process of its own with its arguments, S3 and DynamoDB by an endpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from mypy_boto3_dynamodb.service_resource import Table

from benchmarks.tables import LEDGER, create_tables
from glue_scripts import names
from glue_scripts.ledger import Ledger, Snapshot, file_of
from glue_scripts.objects import file_name
from stacks.packaging import build_zip
from tests.local.s3_and_glue import BUCKET, Aws, ended, log_of, running_jobs, serving

ROOT = Path(__file__).parents[2]
JOB = "validate-batch"
UPLOADED = "2024-06-26T00:00:00Z"
FOLDER = "processing/execution/"


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A file as the state machine hands it to the job.

    Attributes:
        key: its object key.
        content: its bytes.
        uploaded: when the version was uploaded; None for one that is gone.
        size: what the event said; None for the size of the content.
        in_raw: bytes that the job would find under the key itself; None for none.
        refused: the rule by which the state machine has no copy of it in processing/; None where it has one.
        is_directory: whether the uploader gave it the content type of a folder.
    """

    key: str
    content: bytes
    uploaded: str | None = UPLOADED
    size: int | None = None
    in_raw: bytes | None = None
    refused: str | None = None
    is_directory: bool = False


@dataclass(frozen=True)
class JudgedBatch:
    """What the job has left.

    Attributes:
        verdict: what the state machine reads; `key` and `version_id` stand beside each file's place in the manifest.
        email: what is sent about the rejected files.
        accepted: what the KPI job reads, by key.
        reports: by key.
        ledger: item by key.
        quarantined: by key, the kept rows that break a rule.
        copied_to_error: content by key of what the job itself put into error/.
        log: the job's.
    """

    verdict: dict[str, Any]
    email: dict[str, str]
    accepted: dict[str, dict[str, Any]]
    reports: dict[str, dict[str, Any]]
    ledger: dict[str, dict[str, Any]]
    quarantined: dict[str, list[dict[str, Any]]]
    copied_to_error: dict[str, bytes]
    log: str

    def outcome(self, key: str) -> str:
        """accepted, rejected or skipped."""
        (found,) = [kind for kind in ("accepted", "rejected", "skipped") if key in self._keys(kind)]
        return found

    def _keys(self, kind: str) -> list[str]:
        return [entry["key"] for entry in self.verdict[kind]]


def judge(work_dir: Path, files: Sequence[Staged], *, snapshot_rows: Mapping[str, int] | None = None) -> JudgedBatch:
    """Runs the job once over files.

    Args:
        work_dir: an empty folder.
        files: the batch.
        snapshot_rows: rows of the current snapshot by dataset.
    """
    with serving(work_dir) as aws, running_jobs(aws):
        table, _ = empty_tables(aws)
        for dataset, rows in (snapshot_rows or {}).items():
            Ledger(table).make_current(
                Snapshot(dataset, f"s3://{BUCKET}/reference/{dataset}/old/", "old", "v0", "2024-06-01T00:00:00Z", rows)
            )
        _create_job(aws, work_dir)
        versions = [_stage(aws, file) for file in files]
        _write_manifest(aws, files, versions)
        run_id = aws.glue.start_job_run(
            JobName=JOB, Arguments={"--manifest_uri": f"s3://{BUCKET}/{FOLDER}{names.MANIFEST_NAME}"}
        )["JobRunId"]
        run = ended(aws, run_id, JOB, seconds=500)
        log = log_of(aws, run_id, JOB)
        assert run["JobRunState"] == "SUCCEEDED", log
        return _collect(aws, table, log, [(file.key, version) for file, version in zip(files, versions, strict=True)])


def empty_tables(aws: Aws) -> tuple[Table, Table]:
    """Makes the ledger, and the table of KPIs."""
    dynamodb = boto3.resource(
        "dynamodb",
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    return create_tables(dynamodb)


def _create_job(aws: Aws, work_dir: Path) -> None:
    build_zip([ROOT / "glue_scripts", ROOT / "validators"], work_dir / "packages.zip")
    aws.write("code/packages.zip", (work_dir / "packages.zip").read_bytes())
    aws.write("code/validate_batch.py", (ROOT / "glue_scripts/validate_batch.py").read_bytes())
    arguments = {
        "environment": "test",
        "data_bucket": BUCKET,
        "ledger_table": LEDGER,
        "tolerances": "{}",
        "error_days": "90",
        "runbook": "docs/runbook.md",
        "dpus": "2",
    }
    assert set(arguments) == set(names.VALIDATE_BATCH_JOB_ARGUMENTS)
    aws.glue.create_job(
        Name=JOB,
        Role="role",
        GlueVersion="5.1",
        Command={"Name": "glueetl", "ScriptLocation": f"s3://{BUCKET}/code/validate_batch.py"},
        DefaultArguments={
            "--extra-py-files": f"s3://{BUCKET}/code/packages.zip",
            **{f"--{name}": value for name, value in arguments.items()},
        },
    )


def _stage(aws: Aws, file: Staged) -> str:
    """Puts the file where the job may look for it; returns its version id."""
    version = "v1"
    if file.in_raw is not None:
        version = aws.s3.put_object(Bucket=BUCKET, Key=file.key, Body=file.in_raw)["VersionId"]
    if file.refused is None:
        aws.write(FOLDER + file_name(file.key, version), file.content)
    return version


def _write_manifest(aws: Aws, files: Sequence[Staged], versions: Sequence[str]) -> None:
    entries = [
        {
            "key": file.key,
            "version_id": version,
            "size": len(file.content) if file.size is None else file.size,
            "etag": "etag",
            **({"refused": file.refused} if file.refused else {}),
            **({"last_modified": file.uploaded} if file.uploaded else {}),
            "is_directory": file.is_directory,
        }
        for file, version in zip(files, versions, strict=True)
    ]
    document = {"format": names.MANIFEST_FORMAT, "execution_arn": "arn:aws:states:…:execution", "files": entries}
    aws.write(FOLDER + names.MANIFEST_NAME, json.dumps(document).encode())


def _collect(aws: Aws, table: Table, log: str, files: Sequence[tuple[str, str]]) -> JudgedBatch:
    verdict = json.loads(aws.content(FOLDER + names.VERDICT_NAME))
    for entry in [*verdict["accepted"], *verdict["rejected"], *verdict["skipped"]]:
        entry["key"], entry["version_id"] = files[entry["file"]]
    email = json.loads(aws.content(FOLDER + names.REJECTION_EMAIL_NAME)) if verdict["rejected"] else {}
    accepted = json.loads(aws.content(FOLDER + names.ACCEPTED_NAME))["files"]
    items = {file_of(item): item for item in table.scan()["Items"]}
    entries = [*verdict["accepted"], *verdict["rejected"], *verdict["skipped"]]
    ledger = {entry["key"]: items[entry["key"], entry["version_id"]] for entry in entries}
    reports = {
        key: json.loads(aws.content(str(item["report_key"]))) for key, item in ledger.items() if "report_key" in item
    }
    quarantined = {
        key: [
            json.loads(line)
            for part in aws.keys(report["quarantine"].removeprefix(f"s3://{BUCKET}/"))
            for line in aws.content(part).splitlines()
        ]
        for key, report in reports.items()
        if report["quarantine"]
    }
    in_error = {key: aws.content(key) for key in aws.keys(names.ERROR_PREFIX)}
    by_key = {file["key"]: file for file in accepted}
    return JudgedBatch(verdict, email, by_key, reports, ledger, quarantined, in_error, log)
