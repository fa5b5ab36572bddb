"""moto's server in this process, with the parts of the embedded AWS that S3 and Glue need."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from moto.moto_api._internal.models import moto_api_backend

from local_aws import s3_directory
from local_aws.glue_jobs import FINAL_STATES, GlueJobs
from local_aws.moto_server import MotoServer
from local_aws.patching import JsonValue, MotoObject

if TYPE_CHECKING:
    from mypy_boto3_events.client import EventBridgeClient
    from mypy_boto3_glue.client import GlueClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sqs.client import SQSClient

BUCKET = "music"


@dataclass(frozen=True)
class Aws:
    """Clients of the server, and where its buckets and logs are."""

    work_dir: Path
    endpoint_url: str
    s3: S3Client
    glue: GlueClient
    sqs: SQSClient
    events: EventBridgeClient

    def path(self, key: str) -> Path:
        return self.work_dir / "buckets" / BUCKET / key

    def write(self, key: str, content: bytes) -> Path:
        """Writes a file as a job does: past the API."""
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def keys(self, prefix: str = "") -> list[str]:
        return [
            entry["Key"]
            for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
            for entry in page.get("Contents", [])
        ]

    def content(self, key: str, **kwargs: JsonValue) -> bytes:
        return self.s3.get_object(Bucket=BUCKET, Key=key, **kwargs)["Body"].read()


@contextmanager
def serving(work_dir: Path) -> Iterator[Aws]:
    """Serves an empty account whose versioned bucket `music` is live in `work_dir/buckets/music`."""
    moto_api_backend.reset()
    s3_directory.install(work_dir / "buckets")
    server = MotoServer(0, work_dir / "requests.log")
    try:
        aws = connect(work_dir, server.endpoint_url)
        aws.s3.create_bucket(Bucket=BUCKET)
        aws.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield aws
    finally:
        server.close()
        moto_api_backend.reset()
        s3_directory.uninstall()


def connect(work_dir: Path, endpoint_url: str) -> Aws:
    def client(service: MotoObject) -> MotoObject:
        return boto3.client(
            service,
            endpoint_url=endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )

    return Aws(work_dir, endpoint_url, client("s3"), client("glue"), client("sqs"), client("events"))


@contextmanager
def running_jobs(aws: Aws, **kwargs: JsonValue) -> Iterator[GlueJobs]:
    jobs = GlueJobs(aws.work_dir, aws.endpoint_url, **kwargs)
    jobs.install()
    try:
        yield jobs
    finally:
        jobs.close()


def create_job(aws: Aws, script: str, *, name: str = "job", kind: str = "pythonshell", **settings: JsonValue) -> None:
    """A job of that script; without Spark unless `kind` is `glueetl`."""
    key = f"code/{name}.py"
    aws.s3.put_object(Bucket=BUCKET, Key=key, Body=script.encode())
    command = {"Name": kind, "ScriptLocation": f"s3://{BUCKET}/{key}"}
    aws.glue.create_job(Name=name, Role="role", GlueVersion="5.1", **{"Command": command, **settings})


def start(aws: Aws, name: str = "job", **parameters: JsonValue) -> str:
    return aws.glue.start_job_run(JobName=name, **parameters)["JobRunId"]


def run_of(aws: Aws, run_id: str, name: str = "job") -> dict[str, Any]:
    return dict(aws.glue.get_job_run(JobName=name, RunId=run_id)["JobRun"])


def state_of(aws: Aws, run_id: str, name: str = "job") -> str:
    return str(run_of(aws, run_id, name)["JobRunState"])


def ended(aws: Aws, run_id: str, name: str = "job", seconds: float = 400) -> dict[str, Any]:
    """The run once it has ended."""
    until(lambda: state_of(aws, run_id, name) in FINAL_STATES, seconds, f"run {run_id} to end")
    return run_of(aws, run_id, name)


def log_of(aws: Aws, run_id: str, name: str = "job") -> str:
    return (aws.work_dir / "logs" / "glue" / name / f"{run_id}.log").read_text()


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Polls a condition; fails when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.02)
