"""What Spark reads and writes by `s3://`, which here goes to a directory and not through the S3 API.

Spark tells it in its own log, of which the lines about files go to a file of the run. Each access counts as the
requests that Hadoop's S3A file system makes for it on AWS, and must be allowed to the job's role. A folder is asked for
as an object first, which misses and therefore needs ListBucket without a prefix. A write counts as what both committers
ask for: Hadoop's writes below `_temporary/`, copies each file to its place and deletes the first one; S3A's magic one,
which Glue 5.1 uses, writes below `__magic/` and lists the uploads that are not completed. What it asks for after a task
has failed, to list the parts of an upload and to abort it, is not counted.
https://hadoop.apache.org/docs/r3.3.4/hadoop-aws/tools/hadoop-aws/assumed_roles.html
https://hadoop.apache.org/docs/r3.3.4/hadoop-aws/tools/hadoop-aws/committers.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from local_aws.iam import enforcement
from local_aws.iam.authorizations import list_bucket, list_uploads, object_request, prefix_request
from local_aws.iam.policies import Request, Role

_LOGGERS: Final = {
    "data": "org.apache.spark.sql.execution.datasources.FileScanRDD",
    "rdd": "org.apache.spark.rdd.HadoopRDD",
    "saved": "org.apache.hadoop.mapreduce.lib.output.FileOutputCommitter",
}

_READ_ENCODED: Final = re.compile(r"Reading File path: (s3a?://.+), range: \d+-\d+, partition values: ")
_READ: Final = re.compile(r"Input split: (s3a?://.+):\d+\+\d+$")
_SAVED: Final = re.compile(r"Saved output of task '[^']+' to (s3a?://.+?)/_temporary/")
_TEMPORARY: Final = "_temporary/0/part"
_MAGIC: Final = "__magic/part"


def logging_properties(log: Path) -> str:
    """Return the lines of log4j2.properties that let Spark tell of files in a file of its own.

    Args:
        log: The file.
    """
    lines = [
        "appender.accesses.type = File",
        "appender.accesses.name = accesses",
        f"appender.accesses.fileName = {log}",
        "appender.accesses.layout.type = PatternLayout",
        "appender.accesses.layout.pattern = %m%n",
    ]
    for name, logger in _LOGGERS.items():
        lines += [
            f"logger.{name}.name = {logger}",
            f"logger.{name}.level = info",
            f"logger.{name}.additivity = false",
            f"logger.{name}.appenderRef.accesses.ref = accesses",
            f"logger.{name}.appenderRef.stderr.ref = stderr",
            f"logger.{name}.appenderRef.stderr.level = warn",
        ]
    return "\n".join(lines) + "\n"


def requests_of(line: str) -> Iterator[Request]:
    """Yield the requests to S3 that S3A makes where Spark logs a line; none for a line about something else."""
    if found := _READ_ENCODED.search(line):
        yield from _requests_of_read(unquote(found[1]))
    elif found := _READ.search(line):
        yield from _requests_of_read(found[1])
    elif found := _SAVED.search(line):
        yield from _requests_of_write(found[1])


def _requests_of_read(uri: str) -> Iterator[Request]:
    bucket, key = _bucket_and_key(uri)
    yield from _requests_of_look(bucket, key.rpartition("/")[0])
    yield object_request("s3:GetObject", bucket, key)


def _requests_of_write(folder_uri: str) -> Iterator[Request]:
    bucket, folder = _bucket_and_key(folder_uri)
    yield from _requests_of_look(bucket, folder)
    temporary = f"{folder}/{_TEMPORARY}"
    yield object_request("s3:PutObject", bucket, temporary)
    yield object_request("s3:GetObject", bucket, temporary)
    yield object_request("s3:PutObject", bucket, f"{folder}/part")
    yield object_request("s3:DeleteObject", bucket, temporary)
    yield list_uploads(bucket)
    yield object_request("s3:PutObject", bucket, f"{folder}/{_MAGIC}")
    yield object_request("s3:GetObject", bucket, f"{folder}/{_MAGIC}")
    yield object_request("s3:DeleteObject", bucket, f"{folder}/{_MAGIC}")


def _requests_of_look(bucket: str, folder: str) -> Iterator[Request]:
    yield list_bucket(bucket)
    yield prefix_request(bucket, f"{folder}/")


def _bucket_and_key(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri, allow_fragments=False)
    return parts.netloc, uri.removeprefix(f"{parts.scheme}://{parts.netloc}/")


class SparkAccesses:
    """Follows the log of one run.

    Args:
        log: The file that `logging_properties` named; it need not exist yet.
        role: The job's role.
    """

    def __init__(self, log: Path, role: Role) -> None:
        self._log = log
        self._role = role
        self._read_bytes = 0

    def check(self) -> None:
        """Check what was accessed since the last call.

        Raises:
            AccessDeniedError: The role may not do that.
        """
        for line in self._new_lines():
            for request in requests_of(line):
                enforcement.require_of_role(self._role, request)

    def _new_lines(self) -> list[str]:
        if not self._log.exists():
            return []
        with self._log.open("rb") as log:
            log.seek(self._read_bytes)
            whole, newline, _ = log.read().rpartition(b"\n")
        self._read_bytes += len(whole) + len(newline)
        return whole.decode("utf-8", "replace").splitlines()
