"""What the jobs have written to the lake, read by the operator's commands."""

from __future__ import annotations

from glue_scripts.file_days import FILE_DAYS_FORMAT, FileDays
from glue_scripts.objects import Location, read_json
from glue_scripts.stored_plays import RUN_FORMAT, RunOfDay, document_key
from operations.deployment import Deployment


def read_run(deployment: Deployment, date: str, run: str) -> RunOfDay:
    """Reads the document of a run of a day.

    Raises:
        DocumentError: another version wrote it.
    """
    location = Location(deployment.bucket, document_key(run, date))
    return RunOfDay.of_document(read_json(deployment.s3, location, RUN_FORMAT))


def read_file_days(deployment: Deployment, key: str) -> FileDays:
    """Reads the days of a file in a run, by the document's key.

    Raises:
        DocumentError: another version wrote it.
    """
    return FileDays.of_document(read_json(deployment.s3, Location(deployment.bucket, key), FILE_DAYS_FORMAT))
