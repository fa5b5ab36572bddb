"""Files in a folder in place of a bucket, whose rows are judged and written to the lake."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

from benchmarks.folder_objects import FolderObjects
from glue_scripts.accepted_files import AcceptedFile
from glue_scripts.batch_record import Written
from glue_scripts.judging import Judging, Reading, judge_rows, plays_at_most
from glue_scripts.lake_writer import LakeWriter
from glue_scripts.ledger import NO_TOMBSTONES, Tombstones
from glue_scripts.readable_file import ReadableFile
from glue_scripts.spread import workers_for
from tests.engine import BUCKET, no_spark
from tests.stored import share
from validators.file_checks import check_text, plain_chunks
from validators.schemas import SNAPSHOT_DATASETS

if TYPE_CHECKING:
    from pyspark import SparkContext

UPLOADED_AT = "2024-06-27T00:00:00Z"


@dataclass(frozen=True)
class LakeFile:
    """A file of a test.

    Attributes:
        accepted: as the ledger knows it.
        source: its text, in the folder.
    """

    accepted: AcceptedFile
    source: ReadableFile


def lake_file(
    objects: FolderObjects, dataset: str, name: str, data: bytes, *, uploaded_at: str = UPLOADED_AT
) -> LakeFile:
    """Puts a file into the folder, unpacked."""
    key = f"raw/{dataset}/{name}"
    accepted = AcceptedFile(key=key, version_id="v1", dataset=dataset, uploaded_at=uploaded_at)
    text = check_text(BytesIO(data), dataset)
    staged = f"processing/{accepted.name}"
    objects.write(staged, b"".join(plain_chunks(BytesIO(data))))
    source = ReadableFile(
        name=accepted.name,
        uri=f"s3://{BUCKET}/{staged}",
        header=text.header,
        last_modified=datetime.fromisoformat(uploaded_at),
        size=text.size,
        is_line_per_row=text.is_line_per_row,
    )
    return LakeFile(accepted, source)


def lake_writer(
    objects: FolderObjects, files: Sequence[LakeFile], context: Callable[[], SparkContext] = no_spark
) -> LakeWriter:
    """Judges the rows of files."""
    by_dataset: defaultdict[str, list[ReadableFile]] = defaultdict(list)
    for file in files:
        by_dataset[file.accepted.dataset].append(file.source)
    rows = {}
    for dataset, sources in by_dataset.items():
        reading = Reading.of(sources, dataset, objects, share(objects.folder.parent))
        judging = Judging(reading=reading, quarantine="quality/quarantine/", ids="processing/ids/", known={})
        rows[dataset] = judge_rows(sources, judging, workers_for(plays_at_most(sources), context))
    return LakeWriter(BUCKET, "arn:execution", rows)


def write_lake(
    objects: FolderObjects,
    files: Sequence[LakeFile],
    run: str,
    tombstones: Tombstones = NO_TOMBSTONES,
    context: Callable[[], SparkContext] = no_spark,
) -> Written:
    """Writes the valid rows of files, whatever the verdict on them would be."""
    accepted = [file.accepted for file in files]
    references = [file for file in accepted if file.dataset in SNAPSHOT_DATASETS]
    streams = [file for file in accepted if file.dataset not in SNAPSHOT_DATASETS]
    return lake_writer(objects, files, context).write(references, streams, run, tombstones)
