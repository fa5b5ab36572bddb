"""Runs all the code that puts metrics, on files as the jobs judge and load them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from glue_scripts import names
from glue_scripts.accepted_files import AcceptedFile
from glue_scripts.file_metrics import measure_freshness, measure_verdicts
from glue_scripts.metrics import Metrics, metered, metrics_client
from validators.reports import JudgedFile
from validators.results import RowCounts, RuleResult
from validators.rules import RULES_BY_ID

UPLOADED = datetime(2024, 6, 26, 12, tzinfo=UTC)


def judged_file(failed: dict[str, int], *, rows: int, quarantined: int, rejected_by: Iterable[str] = ()) -> JudgedFile:
    """A file whose rows were judged.

    Args:
        failed: by rule id, how many rows break it.
        rows: rows of the file.
        quarantined: rows that break a row rule.
        rejected_by: the rules that reject it.
    """
    results = [
        RuleResult(rule=RULES_BY_ID[rule_id], failed=count, success=rule_id not in rejected_by)
        for rule_id, count in failed.items()
    ]
    return JudgedFile(
        key="raw/streams/a.csv",
        version_id="v1",
        dataset="streams",
        size=1,
        etag="e",
        last_modified=f"{UPLOADED:%Y-%m-%dT%H:%M:%SZ}",
        counts=RowCounts(rows=rows, valid=rows - quarantined, quarantined=quarantined),
        results=results,
    )


CLEAN = judged_file({"bad_listen_time": 0, "unknown_track": 25, "no_rows": 0}, rows=100, quarantined=0)
PARTLY_BROKEN = judged_file({"bad_listen_time": 1, "unknown_track": 0, "no_rows": 0}, rows=200, quarantined=1)
REJECTED = judged_file(
    {"bad_listen_time": 50, "unknown_track": 0, "no_rows": 0},
    rows=100,
    quarantined=50,
    rejected_by=["bad_listen_time"],
)
UNREADABLE = JudgedFile(
    key="raw/streams/b.csv",
    version_id="v1",
    dataset="streams",
    size=1,
    etag="e",
    last_modified=None,
    problem=("unreadable", "NUL bytes"),
)


def accepted_file(uploaded: datetime) -> AcceptedFile:
    """A file that was loaded."""
    return AcceptedFile(key="raw/streams/a.csv", version_id="v1", dataset="streams", uploaded_at=uploaded.isoformat())


def emit_as_the_jobs(environment: str) -> None:
    """What both jobs put for a batch of a clean, a partly broken and two rejected files."""
    metrics = Metrics(metrics_client(), environment)
    with metered(metrics, job=names.VALIDATE_BATCH, dpus=2):
        measure_verdicts(metrics, [CLEAN, PARTLY_BROKEN, REJECTED, UNREADABLE])
    with metered(metrics, job=names.COMPUTE_KPIS, dpus=2):
        loaded = [accepted_file(UPLOADED), accepted_file(UPLOADED - timedelta(minutes=5))]
        measure_freshness(metrics, loaded, UPLOADED + timedelta(minutes=5))
