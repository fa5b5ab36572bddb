"""The operator's commands on the embedded AWS, with real jobs."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from laptop.pipeline import Uploaded, scan
from tests.end_to_end.conftest import DEADLINE_SECONDS, REPOSITORY, Deployed
from tests.end_to_end.music import FIRST_STREAMS, REFERENCES, SECOND_STREAMS, expected_rows

USER = "listener-of-no-trace"

Operate = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def operate(deployed: Deployed) -> Operate:
    """Runs a command as an operator does."""
    environment = {**os.environ, **deployed.environment}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "operations", *arguments, "--env", "dev"],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    return run


def plain(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def busiest_listener(*streams: bytes) -> str:
    """The user with most plays, who is in every file."""
    rows = [list(csv.DictReader(io.StringIO(plain(content).decode("utf-8-sig")))) for content in streams]
    everywhere = set.intersection(*({row["user_id"] for row in part} for part in rows))
    counts = Counter(row["user_id"] for part in rows for row in part if row["user_id"] in everywhere)
    return counts.most_common(1)[0][0]


def renamed(user: str, content: bytes) -> bytes:
    """The samples' ids are small numbers, which stand everywhere: a file with a user called USER instead."""
    lines = plain(content).splitlines(keepends=True)
    mark = user.encode() + b","
    return b"".join(USER.encode() + b"," + line.removeprefix(mark) if line.startswith(mark) else line for line in lines)


def without(user: str, content: bytes) -> bytes:
    """A file of the samples, whose rows have a line each, without a user's lines."""
    return b"".join(line for line in plain(content).splitlines(keepends=True) if user.encode() not in line)


def traces(deployed: Deployed, user: str) -> Iterator[str]:
    """Where a user id still stands: object versions, items, e-mails, logs of jobs."""
    pipeline = deployed.pipeline
    bucket = pipeline.outputs["DataBucketName"]
    for page in pipeline.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in page.get("Versions", []):
            key, version_id = version["Key"], version["VersionId"]
            content = pipeline.s3.get_object(Bucket=bucket, Key=key, VersionId=version_id)["Body"].read()
            if content.startswith(b"PAR1"):
                content = str(pq.read_table(io.BytesIO(content)).to_pylist()).encode()
            if user.encode() in plain(content) or user in key:
                yield f"{key} {version_id}"
    for table in (pipeline.kpis_table, pipeline.ledger_table):
        yield from (str(item) for item in scan(table) if user in str(item))
    yield from (email.subject for email in deployed.emails() if user in email.message)
    for path in deployed.work_dir.rglob("*"):
        if path.is_file() and user.encode() in plain(path.read_bytes()):
            yield str(path)


def waiting(deployed: Deployed) -> list[Uploaded]:
    """The versions in raw/."""
    bucket = deployed.pipeline.outputs["DataBucketName"]
    found = deployed.pipeline.s3.list_object_versions(Bucket=bucket, Prefix="raw/").get("Versions", [])
    return [Uploaded(version["Key"], version["VersionId"]) for version in found]


def by_key(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(row["pk"], row["sk"]): row for row in rows}


def test_after_a_purge_no_trace_is_left_and_no_file_brings_the_plays_back(
    deployed: Deployed, operate: Operate, tmp_path: Path
) -> None:
    listener = busiest_listener(FIRST_STREAMS, SECOND_STREAMS)
    user, first, second = USER, renamed(listener, FIRST_STREAMS), renamed(listener, SECOND_STREAMS)
    references = {**REFERENCES, "users/users.csv": renamed(listener, REFERENCES["users/users.csv"])}
    broken = b"user_id,track_id,listen_time\n" + b"".join(
        b"%s,t%d,yesterday\n" % (name, number)
        for number, name in enumerate((user.encode(), b"somebody", user.encode()))
    )
    accepted = {**references, "streams/streams1.csv": first}
    deployed.wait_for(deployed.upload(tmp_path, {**accepted, "streams/broken.csv": broken}))
    assert by_key(deployed.kpi_rows()) == by_key(expected_rows(accepted))
    assert list(traces(deployed, user))

    pipes = deployed.client("pipes")
    pipes.stop_pipe(Name="music-kpi-dev-uploads")
    deployed.upload(tmp_path, {"streams/streams2.csv": second})
    refused = operate("purge-user", user)
    assert (refused.returncode, "--yes" in refused.stderr) == (4, True)

    purged = operate("purge-user", user, "--yes")

    assert purged.returncode == 0, purged.stdout + purged.stderr
    assert user not in purged.stdout + purged.stderr
    assert list(traces(deployed, user)) == []
    left = {name: without(user, content) for name, content in accepted.items()}
    assert by_key(deployed.kpi_rows()) == by_key(expected_rows(left))

    (pending,) = waiting(deployed)
    pipes.start_pipe(Name="music-kpi-dev-uploads")
    again = deployed.upload(tmp_path, {"streams/streams1 again.csv": first})
    deployed.wait_for([*again, pending])
    both = {**left, "streams/streams2.csv": without(user, second)}
    assert by_key(deployed.kpi_rows()) == by_key(expected_rows(both))

    repeated = operate("recompute", "--from", "2000-01-01", "--to", "2099-12-31")
    assert repeated.returncode == 0, repeated.stdout + repeated.stderr
    assert by_key(deployed.kpi_rows()) == by_key(expected_rows(both))
    status = json.loads(operate("status", "--json").stdout)
    assert (status["final_files"]["REJECTED"], status["failed"], status["purges"]) == (1, [], [])
    day = deployed.kpi_rows()[0]["pk"].removeprefix("DAY#")
    assert "published, version" in operate("kpis", "--day", day, "--hours").stdout


def two_hours_later(content: bytes) -> bytes:
    """A streams file whose producer has taken another zone for UTC: some plays fall on another day."""
    rows = list(csv.DictReader(io.StringIO(plain(content).decode("utf-8-sig"))))
    later = io.StringIO()
    writer = csv.DictWriter(later, rows[0].keys())
    writer.writeheader()
    for row in rows:
        moment = datetime.fromisoformat(row["listen_time"]) + timedelta(hours=2)
        writer.writerow({**row, "listen_time": f"{moment:%Y-%m-%d %H:%M:%S}"})
    return later.getvalue().encode()


def test_a_file_with_a_wrong_hour_is_withdrawn_and_the_right_one_counts_alone(
    deployed: Deployed, operate: Operate, tmp_path: Path
) -> None:
    """Without the withdrawal, the right file under the same key would add its plays to the wrong ones."""
    name, other = "streams/streams1.csv", "streams/streams2.csv"
    wrong = two_hours_later(FIRST_STREAMS)

    def are(**streams: bytes) -> bool:
        expected = expected_rows({**REFERENCES, **{f"streams/{file}.csv": body for file, body in streams.items()}})
        return by_key(deployed.kpi_rows()) == by_key(expected)

    def run(*arguments: str) -> str:
        ended = operate(*arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    files = deployed.upload(tmp_path, {**REFERENCES, name: wrong, other: SECOND_STREAMS})
    deployed.wait_for(files)
    assert are(wrong=wrong, other=SECOND_STREAMS)
    (first,) = (file for file in files if file.key == f"raw/{name}")

    assert f"raw/{name} (version {first.version_id}) is withdrawn" in run("withdraw", f"raw/{name}")
    assert are(other=SECOND_STREAMS)

    deployed.wait_for(deployed.upload(tmp_path, {name: FIRST_STREAMS}))
    assert are(right=FIRST_STREAMS, other=SECOND_STREAMS)
    assert f"raw/{name}#{first.version_id} ARCHIVED" in run("status")

    run("restore", f"raw/{name}")
    assert are(right=FIRST_STREAMS, wrong=wrong, other=SECOND_STREAMS)
    run("withdraw", f"raw/{name}", "--version", first.version_id)
    assert are(right=FIRST_STREAMS, other=SECOND_STREAMS)
    assert "runs of dead jobs" in run("collect", "--dry-run")
