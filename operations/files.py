"""What became of files: by key, by status, or those that were withdrawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from glue_scripts.ledger import FileStatus, Withdrawal, file_of
from operations.deployment import Deployment

MOST_LISTED: Final = 1_000
"""Files of a status that are listed, those that were uploaded last."""
UNKNOWN: Final = "unknown"
"""The upload time of a version that was gone before a job could read it."""


@dataclass(frozen=True, kw_only=True)
class KnownFile:
    """A file that the ledger knows.

    Attributes:
        key: the object key.
        version_id: the object version.
        status: how far it has come; None where it waits in raw/ and was withdrawn before a job has seen it.
        uploaded_at: ISO 8601 in UTC, to the second.
        execution: ARN of the execution that judged it, or last began with it; empty where there is none.
        is_withdrawn: whether its plays are left out.
        withdrawal: what was last done to that, in words; empty where it was never withdrawn.
    """

    key: str
    version_id: str
    status: FileStatus | None
    uploaded_at: str
    execution: str
    is_withdrawn: bool
    withdrawal: str


def versions_of(deployment: Deployment, key: str) -> list[KnownFile]:
    """Every version of a key that the ledger knows, consistently read, those that were uploaded first first."""
    withdrawn = _withdrawals(deployment)
    found = [_known_file(item, withdrawn) for item in deployment.ledger.file_versions(key)]
    return sorted(found, key=lambda file: (file.uploaded_at, file.version_id))


def with_status(deployment: Deployment, status: FileStatus) -> list[KnownFile]:
    """The files of a status that were uploaded last, MOST_LISTED at most, from an index that lags a little."""
    withdrawn = _withdrawals(deployment)
    items = islice(deployment.ledger.files_with_status(status), MOST_LISTED)
    return [_known_file(item, withdrawn) for item in items]


def withdrawn_files(deployment: Deployment) -> list[KnownFile]:
    """The files that are withdrawn, and those whose restoration is not visible yet, by key and version."""
    due = [each for each in deployment.ledger.withdrawals() if each.is_withdrawn or not each.is_computed]
    return [_of_withdrawal(deployment, each) for each in sorted(due, key=lambda each: (each.key, each.changed_at))]


def _of_withdrawal(deployment: Deployment, withdrawal: Withdrawal) -> KnownFile:
    item = deployment.ledger.file_item(withdrawal.key, withdrawal.version_id)
    if item:
        return _known_file(item, _by_name([withdrawal]))
    return KnownFile(
        key=withdrawal.key,
        version_id=withdrawal.version_id,
        status=None,
        uploaded_at=UNKNOWN,
        execution="",
        is_withdrawn=withdrawal.is_withdrawn,
        withdrawal=_in_words(withdrawal),
    )


def _in_words(withdrawal: Withdrawal) -> str:
    """What was done to a file, when, and whether its days show it."""
    done = "withdrawn" if withdrawal.is_withdrawn else "restored"
    visible = "" if withdrawal.is_computed else ", its days not computed yet: repeat the command"
    return f"{done} {withdrawal.changed_at}{visible}"


def _withdrawals(deployment: Deployment) -> Mapping[tuple[str, str], Withdrawal]:
    return _by_name(deployment.ledger.withdrawals())


def _by_name(withdrawals: Iterable[Withdrawal]) -> Mapping[tuple[str, str], Withdrawal]:
    return {(each.key, each.version_id): each for each in withdrawals}


def _known_file(item: Mapping[str, Any], withdrawals: Mapping[tuple[str, str], Withdrawal]) -> KnownFile:
    key, version_id = file_of(item)
    withdrawal = withdrawals.get((key, version_id))
    return KnownFile(
        key=key,
        version_id=version_id,
        status=FileStatus(item["status"]),
        uploaded_at=str(item.get("uploaded_at", UNKNOWN)),
        execution=str(item["execution"]),
        is_withdrawn=withdrawal is not None and withdrawal.is_withdrawn,
        withdrawal=_in_words(withdrawal) if withdrawal else "",
    )
