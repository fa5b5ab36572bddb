"""The nastiest inputs through the whole pipeline, with good files beside them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from glue_scripts import names
from laptop.pipeline import SUCCEEDED, Uploaded
from tests.cloudwatch import Series, put_series, statistics, watched_by_alarm, watched_by_dashboard
from tests.end_to_end.athena import AthenaTable
from tests.end_to_end.conftest import DEADLINE_SECONDS, Deployed, deploying
from tests.end_to_end.music import FIRST_STREAMS, REFERENCES, SECOND_STREAMS, expected_rows
from tests.end_to_end.test_pipeline import by_key

HEADER = b"user_id,track_id,listen_time\n"
BOMB = gzip.compress(HEADER + FIRST_STREAMS.splitlines(keepends=True)[1] * 2_000_000)
LONG_KEY = "raw/streams/" + "é" * 494
"""1,000 bytes, with a version id too many for a sort key of DynamoDB."""

BAD = {
    "raw/streams/an object of no bytes": (b"", "no_rows"),
    "raw/streams/header only.csv": (HEADER, "no_rows"),
    "raw/streams/100%25 UTF-16+.csv": (FIRST_STREAMS.decode().encode("utf-16"), "not_utf8"),
    "raw/streams/a:b[1].csv": (FIRST_STREAMS.replace(b",", b";"), "missing_column"),
    "raw/streams/_truncated.csv.gz": (gzip.compress(FIRST_STREAMS)[:-9], "unreadable"),
    "raw/streams/bomb.csv": (BOMB, "unreadable"),
    "raw/streams/plays.parquet": (b"PAR1" + bytes(99) + b"PAR1", "unreadable"),
    "raw/streams/one line.csv": (HEADER + b"a" * 3_000_000, "long_row"),
    "raw/streams/many fields.csv": (HEADER + b"a," * 30_000 + b"\n", "malformed_row"),
    "raw/streams/an open quote.csv": (FIRST_STREAMS + b'u1,"t1,2025-03-01 10:00:00\n', "unbalanced_quote"),
    "raw/streams/times only.csv": (HEADER + b"u1,t1,17:43\n" * 9, "bad_listen_time"),
    "raw/playlists/no dataset.csv": (FIRST_STREAMS, "unknown_dataset"),
    LONG_KEY: (b"\x00" * 9, "unreadable"),
}
"""By key: the bytes, and the rule that rejects them."""
GOOD = {"raw/streams/streams (1) +%2F 🎶.csv": FIRST_STREAMS, "raw/streams/_b:c.gz": SECOND_STREAMS}
FOLDER = "raw/streams/"


@dataclass(frozen=True)
class Ended:
    """The batch when it is over.

    Attributes:
        deployed: the stacks that it went through.
        bad: the files to be rejected.
        gone: a file whose version was deleted before it could be read.
    """

    deployed: Deployed
    bad: list[Uploaded]
    gone: Uploaded


@pytest.fixture(scope="module")
def ended(assembly: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """All of these files, and good ones beside them, through the whole pipeline."""
    folder = tmp_path_factory.mktemp("bad-inputs")
    with deploying(assembly, folder / "aws") as deployed:
        pipeline = deployed.pipeline
        bucket = pipeline.outputs["DataBucketName"]

        def put(key: str, content: bytes) -> Uploaded:
            return Uploaded(key, pipeline.s3.put_object(Bucket=bucket, Key=key, Body=content)["VersionId"])

        put(FOLDER, b"")
        files = deployed.upload(folder, REFERENCES)
        files += [put(key, content) for key, content in GOOD.items()]
        bad = [put(key, content) for key, (content, _) in BAD.items()]
        gone = put("raw/streams/gone.csv", FIRST_STREAMS)
        pipeline.s3.delete_object(Bucket=bucket, Key=gone.key, VersionId=gone.version_id)
        replaced = put("raw/streams/header only.csv", FIRST_STREAMS)
        deployed.wait_for([*files, *bad, gone, replaced])
        yield Ended(deployed, bad, gone)


def test_bad_files_end_in_error_and_good_ones_of_the_same_batch_in_the_kpis(ended: Ended) -> None:
    deployed, bad, gone = ended.deployed, ended.bad, ended.gone
    pipeline = deployed.pipeline
    bucket = pipeline.outputs["DataBucketName"]
    answers = pipeline.answers()
    assert [execution["cause"] for execution in answers.executions if execution["status"] != SUCCEEDED] == []
    rejected = {
        (file["key"], file["version_id"]): file
        for execution in answers.executions
        for file in json.loads(execution["output"])["rejected"]
    }
    assert {identity: file["reasons"] for identity, file in rejected.items()} == {
        **{(file.key, file.version_id): [BAD[file.key][1]] for file in bad},
        (gone.key, gone.version_id): ["object_missing"],
    }
    for file in bad:
        error_key = rejected[file.key, file.version_id]["error_key"]
        moved = pipeline.s3.get_object(Bucket=bucket, Key=error_key)["Body"].read()
        report = json.load(pipeline.s3.get_object(Bucket=bucket, Key=f"{error_key}.report.json")["Body"])
        assert moved == BAD[file.key][0]
        assert report["rejected_by"] == [BAD[file.key][1]]
    told = "\n".join(email.message for email in deployed.emails())
    assert all(file.key in told for file in [*bad, gone])
    assert answers.left_in_raw == [FOLDER]
    good = dict(zip(("streams/1", "streams/2"), GOOD.values(), strict=True))
    assert by_key(deployed.kpi_rows()) == by_key(expected_rows({**REFERENCES, **good}))


def test_every_alarm_and_every_graph_watches_a_metric_that_was_put(ended: Ended) -> None:
    cloudwatch, functions = ended.deployed.client("cloudwatch"), ended.deployed.client("lambda")
    payload = functions.invoke(FunctionName="music-kpi-dev-pipeline-health")["Payload"]
    measured = ("OldestUnpublishedFile", "UnpublishedFiles", "UnpublishedDays", "ForgottenFiles")
    assert json.load(payload) == dict.fromkeys(measured, 0)
    alarms = cloudwatch.describe_alarms()["MetricAlarms"]
    dashboard = json.loads(cloudwatch.get_dashboard(DashboardName="music-kpi-dev-pipeline")["DashboardBody"])
    watched = {one for alarm in alarms for one in watched_by_alarm(alarm)} | set(watched_by_dashboard(dashboard))
    ours = {one for one in watched if one.namespace == names.METRIC_NAMESPACE}
    put = put_series(cloudwatch, "dev")
    assert ours - put - {Series(one.namespace, one.name, one.dimensions) for one in put} == set()
    assert {one.name for one in put} == {metric.name for metric in names.METRICS}


def test_every_file_counts_once(ended: Ended) -> None:
    cloudwatch = ended.deployed.client("cloudwatch")

    def put(metric: names.Metric) -> dict[str, float]:
        return statistics(cloudwatch, metric.name, [{"Name": "Environment", "Value": "dev"}], metric.unit)

    good = len(REFERENCES) + len(GOOD) + 1
    assert put(names.FILES_ACCEPTED)["Sum"] == good
    assert put(names.FILES_REJECTED)["Sum"] == len(ended.bad) + 1
    fresh = put(names.FRESHNESS)
    assert fresh["SampleCount"] == good
    assert 0 < fresh["Minimum"] <= fresh["Maximum"] < DEADLINE_SECONDS
    rows = {metric: put(metric)["Sum"] for metric in (names.ROWS_IN, names.ROWS_VALID, names.ROWS_QUARANTINED)}
    assert rows[names.ROWS_IN] == rows[names.ROWS_VALID] + rows[names.ROWS_QUARANTINED]


@pytest.mark.parametrize("table", ["reports", "quarantine", "plays"])
def test_a_table_of_athena_reads_what_the_jobs_have_written(table: str, ended: Ended) -> None:
    pipeline = ended.deployed.pipeline
    glue = ended.deployed.client("glue")
    created = AthenaTable(glue.get_table(DatabaseName="music_kpi_dev_lake", Name=table)["Table"])
    bucket, _, prefix = created.location.removeprefix("s3://").partition("/")
    pages = pipeline.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    keys = [key for key in keys if not key.rpartition("/")[2].startswith(("_", "."))]
    read = [key for key in keys if created.is_projected(f"s3://{bucket}/{key}")]
    assert read
    assert [key for key in keys if key not in read and "/date=unknown/" not in key] == []
    found = {
        path for key in read for path, _ in created.read(pipeline.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    }
    assert found == created.paths(), "a column that no file has is NULL for ever"
