"""Files that still wait in raw/: rewritten by a purge so that each is processed once, in the order of upload.

A rewritten file is a new version with an event of its own, by which the pipeline takes it when the pipe runs again.
The version that it replaces is noted in the ledger as REPLACED, with `replaced_by`, so that its own event, a duplicate
of it and a redrive of an execution that lists it are no-ops.

What a repeated purge has to know of an interrupted one is in the ledger (`Rewrites`), where no producer writes.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import IO, Final

from botocore.exceptions import ClientError

from glue_scripts import names
from glue_scripts.ledger import FileStatus, file_key
from glue_scripts.names import RAW_PREFIX
from glue_scripts.objects import target_key
from operations.deployment import Deployment
from operations.rewrites import Age, Name, Rewrites
from operations.versions import Version, delete, versions, write
from validators.schemas import SNAPSHOT_DATASETS, dataset_of

TOKEN: Final = "rewrite-token"
"""User metadata of a rewritten file: it counts only where the ledger holds the same token for the version replaced."""
NOTHING: Final = "nothing"
"""What stands in `replaced_by` where no row was left, or the file went to archive/ at once."""
_NOT_OURS: Final = (400, 403, 404, 405)
"""How S3 refuses to tell the metadata of one object: encrypted by its producer's key, for example, or gone."""


class PendingFiles:
    """The versions under raw/, to be replaced from the oldest on.

    Which snapshot of users or songs is the current one is decided by the time of its upload. A rewritten file keeps the
    age of the one that it replaces: among the snapshots of a dataset, the order of their ages and the order in which
    they lie in raw/ are the same in the end. So once one is rewritten, the younger ones of its dataset are written
    again, each in a later second; and one that is older than the current snapshot, which cannot become current any
    more, goes to archive/ at once.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._rewrites = Rewrites(deployment.ledger_table)
        found = [version for version in versions(deployment, RAW_PREFIX) if not version.is_marker]
        notes = {version.name: self._rewrites.read(version.name) for version in found}
        self._ages = {version.name: notes[version.name][1] or _written(version) for version in found}
        self._noted = {name for name, note in notes.items() if any(note)}
        self._successors: dict[Name, str] = {}
        for version in found:
            if token := notes[version.name][0]:
                self._find_successor(version, token, found)
        self._versions = sorted(found, key=lambda version: (self._ages[version.name], _written(version)))
        self._rewritten: set[str | None] = set()
        self._last_written: dict[str | None, Age] = {}

    def oldest_first(self) -> Iterator[Version]:
        """The versions by their age."""
        return iter(self._versions)

    def finish(self, version: Version) -> bool:
        """Does what is left to do for a version that an interrupted purge has rewritten; False where it has not."""
        successor = self._successors.get(version.name)
        if successor:
            self._remove(version, successor)
        return successor is not None

    def replace(self, version: Version, body: IO[bytes] | None) -> None:
        """Puts a cleaned file in a version's place; None where no row is left: then nothing takes its place."""
        if body is None:
            self._remove(version, NOTHING)
        elif self._is_outdated(version):
            self._set_aside(version, body)
            self._remove(version, NOTHING)
        else:
            self._remove(version, self._put(version, body))

    def keep(self, version: Version, body: IO[bytes]) -> None:
        """Leaves a file that does not hold the person alone, unless an older one of its dataset now lies behind it."""
        dataset = dataset_of(version.key)
        if dataset not in SNAPSHOT_DATASETS:
            return
        last = self._last_written.get(dataset)
        if dataset in self._rewritten or (last and _written(version) < last):
            self._remove(version, self._put(version, body))
        else:
            self._last_written[dataset] = _written(version)

    def forget(self, but: Collection[Name]) -> None:
        """Removes what the ledger notes of rewritten files, when all of them are done.

        The youngest first: after an interruption the files that have an age of their own again are the youngest ones,
        by that age, too.

        Args:
            but: those that could not be worked on.
        """
        for name in sorted(self._noted - set(but), key=lambda name: self._ages[name], reverse=True):
            self._rewrites.forget(name)

    def _put(self, version: Version, body: IO[bytes]) -> str:
        dataset = dataset_of(version.key)
        if dataset in SNAPSHOT_DATASETS:
            _wait_for_next_second()
        self._noted.add(version.name)
        token = self._rewrites.begin(version.name)
        successor = write(self._deployment, version.key, body, metadata={TOKEN: token})
        self._rewritten.add(dataset)
        self._withdraw_with(version, successor)
        self._note_age(version, successor)
        return successor

    def _withdraw_with(self, version: Version, successor: str) -> None:
        """Withdraws the file that takes the place of a withdrawn one. The pipe is paused: no job has seen it yet."""
        withdrawal = self._deployment.ledger.withdrawal(version.key, version.version_id)
        if withdrawal and withdrawal.is_withdrawn:
            self._deployment.ledger.withdraw_file(version.key, successor)

    def _note_age(self, version: Version, successor: str) -> None:
        name = (version.key, successor)
        self._noted.add(name)
        self._ages[name] = self._ages[version.name]
        self._rewrites.note_age(name, self._ages[name])

    def _set_aside(self, version: Version, body: IO[bytes]) -> None:
        write(self._deployment, target_key(names.ARCHIVE_PREFIX, version.key, version.version_id), body)

    def _remove(self, version: Version, successor: str) -> None:
        self._deployment.ledger_table.update_item(
            Key=file_key(version.key, version.version_id),
            UpdateExpression="SET #status = if_not_exists(#status, :replaced), replaced_by = :successor, "
            "uploaded_at = if_not_exists(uploaded_at, :uploaded), "
            "dataset = if_not_exists(dataset, :dataset), #execution = if_not_exists(#execution, :purge)",
            ExpressionAttributeNames={"#status": "status", "#execution": "execution"},
            ExpressionAttributeValues={
                ":purge": "purge-user",
                ":replaced": FileStatus.REPLACED,
                ":successor": successor,
                ":uploaded": _written(version)[0],
                ":dataset": dataset_of(version.key) or names.NO_DATASET,
            },
        )
        delete(self._deployment, version)
        # Interrupted before this, a purge leaves an item of a version that is gone, which nobody reads again.
        if version.name in self._noted:
            self._rewrites.forget(version.name)
            self._noted.remove(version.name)

    def _is_outdated(self, version: Version) -> bool:
        dataset = dataset_of(version.key)
        current = self._deployment.ledger.current_snapshot(dataset) if dataset in SNAPSHOT_DATASETS else None
        # No event is looked at here: of two uploads in the same second, the version decides.
        return current is not None and self._ages[version.name] < (
            current.last_modified,
            current.key,
            current.version_id,
        )

    def _find_successor(self, version: Version, token: str, found: Sequence[Version]) -> None:
        """Notes what an interrupted purge has written in a version's place; a repeated call can have written two."""
        of_key = [other for other in found if other.key == version.key and other.name != version.name]
        for other in sorted(of_key, key=_written):
            if self._token_of(other) == token:
                self._successors[version.name] = other.version_id
                self._withdraw_with(version, other.version_id)
                self._note_age(version, other.version_id)

    def _token_of(self, version: Version) -> str | None:
        try:
            found = self._deployment.s3.head_object(
                Bucket=self._deployment.bucket, Key=version.key, VersionId=version.version_id
            )
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in _NOT_OURS:
                return None
            raise
        return found["Metadata"].get(TOKEN)


def _written(version: Version) -> Age:
    return version.last_modified.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), version.key, version.version_id


def _wait_for_next_second() -> None:
    """LastModified has whole seconds; the clocks of S3 and of this machine may differ, their seconds last as long."""
    second = datetime.now(UTC).replace(microsecond=0)
    while datetime.now(UTC).replace(microsecond=0) == second:
        time.sleep(0.05)
