"""The nastiest inputs through the whole pipeline, with good files beside them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from laptop.pipeline import SUCCEEDED, Uploaded
from tests.end_to_end.conftest import Deployed
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


def test_bad_files_end_in_error_and_good_ones_of_the_same_batch_in_the_kpis(deployed: Deployed, tmp_path: Path) -> None:
    pipeline = deployed.pipeline
    bucket = pipeline.outputs["DataBucketName"]

    def put(key: str, content: bytes) -> Uploaded:
        return Uploaded(key, pipeline.s3.put_object(Bucket=bucket, Key=key, Body=content)["VersionId"])

    put(FOLDER, b"")
    files = deployed.upload(tmp_path, REFERENCES)
    files += [put(key, content) for key, content in GOOD.items()]
    bad = [put(key, content) for key, (content, _) in BAD.items()]
    gone = put("raw/streams/gone.csv", FIRST_STREAMS)
    pipeline.s3.delete_object(Bucket=bucket, Key=gone.key, VersionId=gone.version_id)
    replaced = put("raw/streams/header only.csv", FIRST_STREAMS)

    deployed.wait_for([*files, *bad, gone, replaced])

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
