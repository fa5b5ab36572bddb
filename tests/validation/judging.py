"""Files judged in this process by the rules' SQL and Great Expectations: what follows the checks of their bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.folder_objects import FolderObjects
from glue_scripts.judging import Judging, MeasuredFile, Reading, judge_rows
from glue_scripts.readable_file import ReadableFile
from glue_scripts.spread import HERE
from tests.stored import share
from validators.expectations import SuiteResult, judge_measures
from validators.file_checks import check_text, plain_chunks

UPLOADED = datetime(2024, 6, 26, tzinfo=UTC)
QUARANTINE = "quarantine/"


def readable(folder: Path, contents: Mapping[str, bytes], dataset: str = "streams") -> list[ReadableFile]:
    """Files as the job hands them to the tasks that judge: unpacked."""
    files = []
    for name, data in contents.items():
        path = folder / name
        path.write_bytes(b"".join(plain_chunks(io.BytesIO(data))))
        text = check_text(io.BytesIO(data), dataset)
        files.append(
            ReadableFile(
                name=name,
                uri=f"s3://bucket/{name}",
                header=text.header,
                last_modified=UPLOADED,
                size=text.size,
                is_line_per_row=text.is_line_per_row,
            )
        )
    return files


def judging(
    folder: Path,
    files: Sequence[ReadableFile],
    dataset: str = "streams",
    *,
    known: Mapping[str, Sequence[str]] | None = None,
    buckets: int = 1,
) -> Judging:
    """What the tasks know; the files, the quarantine and the ids are in a folder."""
    reading = Reading(FolderObjects(folder), dataset, [file.name for file in files], buckets, share(folder))
    return Judging(reading=reading, quarantine=QUARANTINE, ids="ids/", known=known or {})


def measure(folder: Path, texts: Mapping[str, str], dataset: str = "streams") -> dict[str, MeasuredFile]:
    files = readable(folder, {name: text.encode() for name, text in texts.items()}, dataset)
    return dict(judge_rows(files, judging(folder, files, dataset), HERE).measured)


def judge(
    folder: Path,
    texts: Mapping[str, str],
    dataset: str = "streams",
    *,
    tolerances: Mapping[str, float] | None = None,
    snapshot_rows: int = 0,
) -> SuiteResult:
    return judge_measures(
        {name: file.counts for name, file in measure(folder, texts, dataset).items()},
        dataset,
        tolerances=tolerances or {},
        current_snapshot_rows=snapshot_rows,
        snapshots=(),
    )


def broken(result: SuiteResult, file: str) -> dict[str, int]:
    return {found.rule.id: found.failed for found in result.results[file] if found.failed}


def rejected_by(result: SuiteResult, file: str) -> list[str]:
    return [found.rule.id for found in result.results[file] if not found.success]
