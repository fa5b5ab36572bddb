"""The rows that the validation job quarantines, of a file that it judges at once or in many ranges."""

from __future__ import annotations

import json
from typing import Final

import pytest

from glue_scripts import names
from tests.workflow.job_calls import ValidationJob, Wire
from tests.workflow.pipeline import Pipeline
from validators.csv_pieces import PIECE_BYTES

BAD: Final = ["u1,t1,noon", ",t1,2024-06-25 10:00:00", "u1,,2024-06-25 10:00:00"]
GOOD: Final = ["u1,t1,2024-06-25 10:00:00"] * 400
BAD_ROWS: Final = [
    (2, ["u1", "t1", "noon"]),
    (403, ["u1", "t1", "noon"]),
    (404, [None, "t1", "2024-06-25 10:00:00"]),
    (405, ["u1", None, "2024-06-25 10:00:00"]),
]


@pytest.mark.usefixtures("no_snapshots")
@pytest.mark.parametrize("piece_bytes", [500, PIECE_BYTES])
def test_every_broken_row_is_quarantined_as_it_stands_in_the_file(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    monkeypatch.setattr("validators.csv_pieces.PIECE_BYTES", piece_bytes)
    pipeline.glue.outcomes[pipeline.validate_job] = ValidationJob(pipeline, Wire()).run
    content = "\n".join(["user_id,track_id,listen_time", BAD[0], *GOOD, *BAD, ""])
    pipeline.run([pipeline.upload("1.csv", content.encode())])
    folder = pipeline.folder.replace("/", "-")
    found = pipeline.objects(f"{names.QUARANTINE_PREFIX}streams/run={folder}")
    ((content_of_file,),) = found.values()
    lines = [json.loads(line) for line in content_of_file.splitlines()]
    assert [(line["row"], line["fields"]) for line in lines] == BAD_ROWS
