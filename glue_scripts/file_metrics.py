"""What is measured of files: how they were judged, and how soon they were in the KPIs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from glue_scripts import names
from glue_scripts.accepted_files import AcceptedFile
from glue_scripts.metrics import Metrics
from validators.reports import JudgedFile
from validators.results import RowCounts, RuleResult
from validators.rules import Severity


def measure_verdicts(metrics: Metrics, files: Iterable[JudgedFile]) -> None:
    """Counts files and rows, and measures each row rule.

    Args:
        metrics: collects.
        files: each of them judged for the first time, so that a batch that is run again counts once.
    """
    for file in files:
        metrics.measure(names.FILES_ACCEPTED, 0 if file.reasons else 1)
        metrics.measure(names.FILES_REJECTED, 1 if file.reasons else 0)
        for rule_id in file.reasons:
            metrics.measure(names.FILES_REJECTED_BY_RULE, 1, of=rule_id)
        if file.counts and file.counts.rows:
            _measure_rows(metrics, file.counts, is_rejected=bool(file.reasons))
            for result in file.results:
                _measure_rule(metrics, result, file.counts.rows)


def measure_freshness(metrics: Metrics, files: Iterable[AcceptedFile], now: datetime) -> None:
    """Measures how long files took from their upload until they are in the KPIs.

    Args:
        metrics: collects.
        files: each of them loaded for the first time, so that a batch that is run again counts once.
        now: when rows that hold them are visible.
    """
    for file in files:
        metrics.measure(names.FRESHNESS, (now - datetime.fromisoformat(file.uploaded_at)).total_seconds())


def _measure_rows(metrics: Metrics, counts: RowCounts, *, is_rejected: bool) -> None:
    metrics.measure(names.ROWS_IN, counts.rows)
    metrics.measure(names.ROWS_VALID, counts.valid)
    metrics.measure(names.ROWS_QUARANTINED, counts.quarantined)
    metrics.measure(names.ROWS_REJECTED, counts.rows if is_rejected else counts.quarantined)


def _measure_rule(metrics: Metrics, result: RuleResult, rows: int) -> None:
    """A file rule has no share of rows: how often one rejects is in FILES_REJECTED_BY_RULE."""
    if result.rule.severity is not Severity.REJECT_FILE:
        metrics.measure(names.RULE_VALID_PERCENT, 100 * (1 - result.failed / rows), of=result.rule.id)
