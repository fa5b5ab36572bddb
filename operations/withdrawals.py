"""Takes an accepted streams file back, so that KPIs are what they would be if it had never come; and restores it.

A withdrawal is an item of its own in the ledger. It changes no file status. Each computation that claims a day
afterwards leaves the file's plays out. A play that another file has, too, stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from glue_scripts.file_days import files_prefix
from glue_scripts.ledger import FileStatus, Ledger
from glue_scripts.names import RAW_PREFIX
from glue_scripts.objects import file_name
from operations.days import ComputedDay
from operations.deployment import Deployment
from operations.errors import RefusedError, UnknownThingError
from operations.files import versions_of
from operations.lake import read_file_days
from operations.recompute import recompute
from operations.rewrites import Name
from operations.versions import versions
from validators.schemas import SNAPSHOT_DATASETS, dataset_of

NEVER_COUNTED: Final = (FileStatus.REJECTED, FileStatus.SKIPPED, FileStatus.REPLACED)
"""No play of such a file version counts, and none will."""


def change_withdrawal(
    ledger: Ledger,
    file: Name,
    *,
    is_withdrawn: bool,
    dates_of_file: Callable[[str], Iterable[str]],
    compute: Callable[[list[str]], None],
) -> None:
    """Withdraws or restores a file, and computes its days. It may be interrupted anywhere, and repeated.

    Args:
        ledger: the ledger.
        file: key and version.
        is_withdrawn: whether to withdraw it, or to restore it.
        dates_of_file: the days of which a run has plays of a file, given by its hash.
        compute: claims days and publishes them.
    """
    # It takes effect first and the days are claimed afterwards, like everything that KPIs depend on.
    (ledger.withdraw_file if is_withdrawn else ledger.restore_file)(*file)
    # Only now the days are looked up: a run that is written later is committed and its days are claimed later, too. So
    # is a day that no job has claimed yet.
    dates = set(dates_of_file(file_name(*file))).intersection(ledger.dates())
    compute(sorted(dates))
    ledger.note_withdrawal_computed(*file, is_withdrawn=is_withdrawn)


def change_deployed(
    deployment: Deployment, file: Name, *, is_withdrawn: bool, minutes: float, tell: Callable[[str], None]
) -> list[ComputedDay]:
    """Withdraws or restores a file, and waits until the rows of its days are visible; returns the days."""
    days: list[ComputedDay] = []
    change_withdrawal(
        deployment.ledger,
        file,
        is_withdrawn=is_withdrawn,
        dates_of_file=lambda name: _dates_of_file(deployment, name),
        compute=lambda dates: days.extend(recompute(deployment, dates, minutes=minutes, tell=tell)),
    )
    return days


def find_to_withdraw(deployment: Deployment, key: str, version_id: str | None) -> Name:
    """Finds the version of a streams file that is meant.

    Args:
        deployment: where.
        key: the key that the file was uploaded to, in raw/.
        version_id: the version; None where the key has only one that counts or may count.

    Raises:
        RefusedError: it is not of streams, it was rejected, or several versions could be meant.
        UnknownThingError: there is no such file.
    """
    _check_is_of_streams(key)
    known = versions_of(deployment, key)
    waiting = _waiting_versions(deployment, key, {file.version_id for file in known})
    if version_id is None:
        candidates = [file.version_id for file in known if file.status not in NEVER_COUNTED] + waiting
        if len(candidates) > 1:
            raise RefusedError(_ambiguous(key, candidates))
        if not candidates and known:
            raise RefusedError(f"No version of {key} was accepted: none of its plays count. `files` lists them.")
        if not candidates:
            raise UnknownThingError(_unknown(key))
        return key, candidates[0]
    status = {file.version_id: file.status for file in known}.get(version_id)
    if status is None and version_id not in waiting:
        raise UnknownThingError(_unknown(key, version_id))
    if status in NEVER_COUNTED:
        raise RefusedError(f"{key} (version {version_id}) is {status}: none of its plays count.")
    return key, version_id


def find_to_restore(deployment: Deployment, key: str, version_id: str | None) -> Name:
    """Finds the withdrawn version of a file that is meant; one that was restored before may be named again.

    Raises:
        RefusedError: several versions could be meant.
        UnknownThingError: there is no such withdrawn file.
    """
    found = [each for each in deployment.ledger.withdrawals() if each.key == key]
    named = [each.version_id for each in found if each.version_id == version_id]
    candidates = [each.version_id for each in found if each.is_withdrawn] if version_id is None else named
    if len(candidates) > 1:
        raise RefusedError(_ambiguous(key, candidates))
    if not candidates:
        which = key if version_id is None else f"{key} (version {version_id})"
        raise UnknownThingError(f"{which} is not withdrawn: `files --withdrawn` lists what is.")
    return key, candidates[0]


def _check_is_of_streams(key: str) -> None:
    dataset = dataset_of(key)
    if dataset in SNAPSHOT_DATASETS:
        raise RefusedError(
            f"{key} is a {dataset} file, which replaces the one before it as a whole: upload the right file again, "
            "and the newest one counts."
        )
    if dataset is None:
        raise UnknownThingError(f"{key} is no key of a streams file: give the key in {RAW_PREFIX}streams/.")


def _waiting_versions(deployment: Deployment, key: str, known: set[str]) -> list[str]:
    """The versions in raw/ that no job has seen yet."""
    found = (version for version in versions(deployment, key) if version.key == key and not version.is_marker)
    return [version.version_id for version in found if version.version_id not in known]


def _ambiguous(key: str, version_ids: list[str]) -> str:
    return (
        f"{key} has {len(version_ids)} versions: name one by --version. `files` tells when each was uploaded: "
        f"{', '.join(version_ids[:10])}{'…' if len(version_ids) > 10 else ''}."
    )


def _unknown(key: str, version_id: str | None = None) -> str:
    which = key if version_id is None else f"{key} (version {version_id})"
    return f"Neither the ledger nor {RAW_PREFIX} has {which}: `files` lists the versions of a key."


def _dates_of_file(deployment: Deployment, file: str) -> Iterable[str]:
    """The days of which any run has plays of a file."""
    for version in versions(deployment, files_prefix(file)):
        if version.is_latest and not version.is_marker:
            yield from read_file_days(deployment, version.key).dates
