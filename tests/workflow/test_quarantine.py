"""The rows that the validation job quarantines, with real Spark, where the driver may take all broken rows or not."""

from __future__ import annotations

import json
from typing import Final

import pytest
from pyspark.sql import SparkSession

from glue_scripts import names
from tests.workflow.job_calls import ValidationJob, Wire
from tests.workflow.pipeline import Pipeline

GOOD: Final = ["u1,t1,2024-06-25 10:00:00"] * 400
BAD: Final = ["u1,t1,noon", ",t1,2024-06-25 10:00:00", "u1,,2024-06-25 10:00:00"]
BAD_ROWS: Final = [
    (402, ["u1", "t1", "noon"]),
    (403, [None, "t1", "2024-06-25 10:00:00"]),
    (404, ["u1", None, "2024-06-25 10:00:00"]),
]


@pytest.mark.parametrize("max_held", [2, 3])
def test_every_broken_row_is_quarantined(
    pipeline: Pipeline, reading: SparkSession, monkeypatch: pytest.MonkeyPatch, max_held: int
) -> None:
    monkeypatch.setattr("validators.counts.MAX_HELD_ROWS", max_held)
    pipeline.glue.outcomes[pipeline.validate_job] = ValidationJob(pipeline, Wire(), reading).run
    content = "\n".join(["user_id,track_id,listen_time", *GOOD, *BAD, ""])
    pipeline.run([pipeline.upload("1.csv", content.encode())])
    folder = pipeline.folder.replace("/", "-")
    found = pipeline.objects(f"{names.QUARANTINE_PREFIX}streams/run={folder}")
    lines = [json.loads(line) for versions in found.values() for line in versions[0].splitlines()]
    assert [(line["row"], line["fields"]) for line in sorted(lines, key=lambda line: line["row"])] == BAD_ROWS
