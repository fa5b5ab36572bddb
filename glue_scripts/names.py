"""The vocabulary that the stacks, the state machines and the Glue scripts share.

Standard library only: `stacks` imports this module and nothing else of the runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

DATASETS: Final = ("users", "songs", "streams")
NO_DATASET: Final = "none"
"""In place of a dataset, where a key names none."""
HTTPS_ONLY: Final[Mapping[str, str]] = {"Strict-Transport-Security": "max-age=31536000"}
"""The header by which browsers ask the KPI API by HTTPS only, for a year. The function and API Gateway send it."""

FIRST_DATE: Final = "2000-01-01"
"""No accepted play is older: rule early_listen_time."""

RAW_PREFIX: Final = "raw/"
PROCESSING_PREFIX: Final = "processing/"
ERROR_PREFIX: Final = "error/"
ARCHIVE_PREFIX: Final = "archive/"
CURATED_PREFIX: Final = "curated/"
REFERENCE_PREFIX: Final = "reference/"
"""The snapshots: `reference/<dataset>/<Glue job run id>-<hash of the file>/`, Parquet and the document of users."""
QUALITY_PREFIX: Final = "quality/"

RECOMPUTE_PREFIX: Final = PROCESSING_PREFIX + "recompute/"
"""The days of each recomputation: `processing/recompute/<execution of the state machine recompute>/accepted.json`."""
PLAYS_PREFIX: Final = CURATED_PREFIX + "plays/"
"""The lake of accepted plays, an object for each day and bucket of users:

`curated/plays/listen_date=<yyyy-mm-dd>/run=<Glue job run id>/part-<bucket>-of-<buckets>.parquet`.
"""

RUNS_PREFIX: Final = CURATED_PREFIX + "runs/"
"""What a run stored of a day: `curated/runs/listen_date=<yyyy-mm-dd>/<Glue job run id>.json`. It tells the objects."""

FILES_PREFIX: Final = CURATED_PREFIX + "files/"
"""The days of a file in a run: `curated/files/<hash of the file>/<Glue job run id>.json`."""

REPORTS_PREFIX: Final = QUALITY_PREFIX + "reports/"
"""A report for each file: `quality/reports/dataset=<dataset>/date=<yyyy-mm-dd of upload>/<name>-<execution>.json`."""
QUARANTINE_PREFIX: Final = QUALITY_PREFIX + "quarantine/"
"""Rows that break a rule: `quality/quarantine/<dataset>/run=<Glue job run id>/file=<name>/*.json`."""

MANIFEST_NAME: Final = "manifest.json"
VERDICT_NAME: Final = "verdict.json"
"""What the state machine reads. It travels in the state, so that it names files by their place in the manifest."""
REJECTION_EMAIL_NAME: Final = "rejection_email.json"
"""`{"subject", "message"}` about the rejected files, written where there are any: read right before it is sent."""
ACCEPTED_NAME: Final = "accepted.json"
"""What the KPI job reads: the accepted files, `{"format", "execution_arn", "files": [...]}`.

The state machine `recompute` starts the job with no files and `"recompute": ["2024-06-25", ...]`: it then computes
these days, each known to the ledger, as they are.
"""

ACCEPTED_FORMAT: Final = "accepted-files/3"
VERDICT_FORMAT: Final = "batch-verdict/2"
MANIFEST_FORMAT: Final = "batch-manifest/2"
REPORT_FORMAT: Final = "file-report/1"

# Arguments of the Glue jobs. The state machine gives the first of each; the stack gives the others as defaults.
VALIDATE_BATCH_RUN_ARGUMENTS: Final = ("manifest_uri",)
VALIDATE_BATCH_JOB_ARGUMENTS: Final = (
    "environment",
    "data_bucket",
    "ledger_table",
    "tolerances",
    "error_days",
    "runbook",
    "dpus",
)
COMPUTE_KPIS_RUN_ARGUMENTS: Final = ("accepted_uri",)
COMPUTE_KPIS_JOB_ARGUMENTS: Final = (
    "environment",
    "data_bucket",
    "ledger_table",
    "kpis_table",
    "kpi_code",
    "top_songs",
    "top_genres",
    "dpus",
)

KPIS_PARTITION_KEY: Final = "pk"
KPIS_SORT_KEY: Final = "sk"
SUMMARY: Final = "SUMMARY"
"""Sort key of a day's totals, which name the version of its rows. SUMMARY is the partition key in the index, too."""
DATE_INDEX: Final = "by_date"
DATE_INDEX_PARTITION_KEY: Final = "index_pk"
DATE_INDEX_SORT_KEY: Final = "date"
"""The index lists the days that have plays: only their SUMMARY rows have both attributes."""


def day_key(date: str) -> str:
    """The partition key of a day in table `kpis`."""
    return f"DAY#{date}"


def summary_key(date: str) -> dict[str, str]:
    """The key of a day's SUMMARY."""
    return {KPIS_PARTITION_KEY: day_key(date), KPIS_SORT_KEY: SUMMARY}


def version_prefix(version: int) -> str:
    """What the sort keys of a version's rows begin with; they sort as their versions do."""
    return f"V#{version:010}#"


def genre_sort_key(version: int, genre: str) -> str:
    """The sort key of a genre's row; genres sort by their UTF-8 bytes."""
    return f"{version_prefix(version)}GENRE#{genre}"


def unknown_tracks_key(date: str, version: int) -> dict[str, str]:
    """The key of the row of a version that lists the tracks which the songs snapshot lacked."""
    return {KPIS_PARTITION_KEY: day_key(date), KPIS_SORT_KEY: f"{version_prefix(version)}UNKNOWN_TRACKS"}


def is_marker(summary: Mapping[str, object]) -> bool:
    """Whether a SUMMARY is that of a day without plays, or no SUMMARY at all."""
    return "listens" not in summary


LEDGER_PARTITION_KEY: Final = "pk"
LEDGER_SORT_KEY: Final = "sk"
STATUS_INDEX: Final = "by_status"
STATUS_INDEX_PARTITION_KEY: Final = "status"
STATUS_INDEX_SORT_KEY: Final = "uploaded_at"
"""The index lists files, and batches that wait for the KPI job: only their items have both attributes."""

VALIDATE_BATCH: Final = "validate-batch"
COMPUTE_KPIS: Final = "compute-kpis"
"""What the jobs are called in the dimension `Job`; their physical names hold the environment, too."""

METRIC_NAMESPACE: Final = "MusicKpi"
ENVIRONMENT_DIMENSION: Final = "Environment"
RULE_DIMENSION: Final = "Rule"
JOB_DIMENSION: Final = "Job"


@dataclass(frozen=True)
class Metric:
    """A metric of ours: what the jobs put, what alarms watch and what the dashboard shows.

    Attributes:
        name: its name in METRIC_NAMESPACE.
        unit: a unit as CloudWatch spells it.
        dimension: the dimension beside the environment; None where there is none. Never a file, a key or an id: every
            value of a dimension is a metric that is paid for.
    """

    name: str
    unit: str
    dimension: str | None = None

    def dimensions(self, environment: str, value: str | None = None) -> dict[str, str]:
        """All dimensions of one series of the metric.

        Args:
            environment: dev, staging or prod.
            value: the value of the metric's own dimension, if it has one.

        Raises:
            ValueError: the metric has a dimension and no value is given, or the other way round.
        """
        if (value is None) != (self.dimension is None):
            raise ValueError(f"{self.name} has the dimension {self.dimension}; its value cannot be {value}.")
        own = {} if self.dimension is None or value is None else {self.dimension: value}
        return {ENVIRONMENT_DIMENSION: environment, **own}


FILES_ACCEPTED: Final = Metric("FilesAccepted", "Count")
FILES_REJECTED: Final = Metric("FilesRejected", "Count")
FILES_REJECTED_BY_RULE: Final = Metric("FilesRejectedByRule", "Count", RULE_DIMENSION)
"""A file that several rules reject counts for each of them."""
ROWS_IN: Final = Metric("RowsIn", "Count")
ROWS_VALID: Final = Metric("RowsValid", "Count")
"""Rows that break no rule, those of rejected files too."""
ROWS_QUARANTINED: Final = Metric("RowsQuarantined", "Count")
ROWS_REJECTED: Final = Metric("RowsRejected", "Count")
"""Rows that do not reach the KPIs: all rows of rejected files, and the quarantined ones of accepted files."""
RULE_VALID_PERCENT: Final = Metric("RuleValidPercent", "Percent", RULE_DIMENSION)
"""Of one file, the per cent of rows that a row rule or a warning finds nothing in."""
FRESHNESS: Final = Metric("Freshness", "Seconds")
"""Of one file: from its upload until rows that hold it are visible."""
DPU_SECONDS: Final = Metric("DpuSeconds", "Count", JOB_DIMENSION)
"""Of one job run, from the start of the script; Glue bills its own start, too."""
OLDEST_UNPUBLISHED: Final = Metric("OldestUnpublishedFile", "Seconds")
"""Age since its upload of the oldest file that a batch has begun with and that is not in the KPIs; 0 without one."""
UNPUBLISHED_FILES: Final = Metric("UnpublishedFiles", "Count")
FORGOTTEN_FILES: Final = Metric("ForgottenFiles", "Count")
"""Files in raw/ for over an hour that the ledger does not know; at least so many, where raw/ holds very many."""
UNPUBLISHED_DAYS: Final = Metric("UnpublishedDays", "Count")
"""Days that a job has claimed and not published."""

METRICS: Final = (
    FILES_ACCEPTED,
    FILES_REJECTED,
    FILES_REJECTED_BY_RULE,
    ROWS_IN,
    ROWS_VALID,
    ROWS_QUARANTINED,
    ROWS_REJECTED,
    RULE_VALID_PERCENT,
    FRESHNESS,
    DPU_SECONDS,
    OLDEST_UNPUBLISHED,
    UNPUBLISHED_FILES,
    FORGOTTEN_FILES,
    UNPUBLISHED_DAYS,
)
