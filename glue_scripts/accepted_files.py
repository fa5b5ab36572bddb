"""The accepted files of a batch, and the document by which the validation job hands them to the KPI job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glue_scripts.ledger import Age, Snapshot, age_of
from glue_scripts.names import ACCEPTED_FORMAT
from glue_scripts.objects import Location, Objects, file_name, parse_json, write_json

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@dataclass(frozen=True, kw_only=True)
class AcceptedFile:
    """An accepted file.

    Attributes:
        key: the object key.
        version_id: the object version.
        dataset: users, songs or streams.
        uploaded_at: ISO 8601 in UTC, to the second.
        sequencer: see `Snapshot.sequencer`.
    """

    key: str
    version_id: str
    dataset: str
    uploaded_at: str
    sequencer: str = ""

    @property
    def age(self) -> Age:
        """What decides which of two reference files is newer."""
        return age_of(self.uploaded_at, self.key, self.sequencer, self.version_id)

    @property
    def name(self) -> str:
        """The file's hash: each play in the lake names it."""
        return file_name(self.key, self.version_id)

    def snapshot_name(self, run: str) -> str:
        """The name of the snapshot that a job run makes of this file; no other run makes one of that name."""
        return f"{run}-{self.name[:16]}"

    def snapshot(self, uri: str, rows: int) -> Snapshot:
        """The snapshot made of this file."""
        return Snapshot(
            dataset=self.dataset,
            uri=uri,
            key=self.key,
            version_id=self.version_id,
            last_modified=self.uploaded_at,
            rows=rows,
            sequencer=self.sequencer,
        )


@dataclass(frozen=True, kw_only=True)
class AcceptedFiles:
    """What the KPI job is started with.

    Attributes:
        execution_arn: the execution. Where there are files, the ledger knows what their rows became in the lake.
        files: the accepted files.
        recompute: days to compute as they are, yyyy-mm-dd.
    """

    execution_arn: str
    files: Sequence[AcceptedFile]
    recompute: Sequence[str] = ()

    def write(self, s3: S3Client, location: Location) -> None:
        """Writes the document."""
        write_json(s3, location, self.document())

    def document(self) -> dict[str, Any]:
        """The document, without days to compute."""
        files = [
            {
                "key": file.key,
                "version_id": file.version_id,
                "dataset": file.dataset,
                "last_modified": file.uploaded_at,
                "sequencer": file.sequencer,
            }
            for file in self.files
        ]
        return {"format": ACCEPTED_FORMAT, "execution_arn": self.execution_arn, "files": files}

    @classmethod
    def read(cls, objects: Objects, location: Location) -> AcceptedFiles:
        """Reads the document that `write` or the state machine `recompute` wrote, from the objects of its bucket.

        Raises:
            DocumentError: another version wrote it.
        """
        document = parse_json(objects.read(location.key), location, ACCEPTED_FORMAT)
        files = [
            AcceptedFile(
                key=entry["key"],
                version_id=entry["version_id"],
                dataset=entry["dataset"],
                uploaded_at=entry["last_modified"],
                sequencer=entry["sequencer"],
            )
            for entry in document["files"]
        ]
        return cls(execution_arn=document["execution_arn"], files=files, recompute=tuple(document.get("recompute", ())))
