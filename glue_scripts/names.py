"""The vocabulary that the stacks, the state machines and the Glue scripts share.

Standard library only: `stacks` imports this module and nothing else of the runtime.
"""

from __future__ import annotations

from typing import Final

DATASETS: Final = ("users", "songs", "streams")

RAW_PREFIX: Final = "raw/"
PROCESSING_PREFIX: Final = "processing/"
ERROR_PREFIX: Final = "error/"
ARCHIVE_PREFIX: Final = "archive/"
CURATED_PREFIX: Final = "curated/"
REFERENCE_PREFIX: Final = "reference/"
QUALITY_PREFIX: Final = "quality/"

PLAYS_PREFIX: Final = CURATED_PREFIX + "plays/"
"""The lake of accepted plays: `curated/plays/listen_date=<yyyy-mm-dd>/run=<Glue job run id>/*.parquet`."""

MANIFEST_NAME: Final = "manifest.json"
VERDICT_NAME: Final = "verdict.json"
"""What the state machine reads: small, because it travels in the state."""
ACCEPTED_NAME: Final = "accepted.json"
"""What the KPI job reads: the accepted files with their headers, `{"format", "files": [...]}`.

An operator's command may start the job with no files and `"recompute": ["2024-06-25", ...]`: it then computes these
days, each known to the ledger, as they are.
"""

ACCEPTED_FORMAT: Final = "accepted-files/1"
VERDICT_FORMAT: Final = "batch-verdict/1"
MANIFEST_FORMAT: Final = "batch-manifest/1"
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
)
COMPUTE_KPIS_RUN_ARGUMENTS: Final = ("accepted_uri",)
COMPUTE_KPIS_JOB_ARGUMENTS: Final = ("data_bucket", "ledger_table", "kpis_table", "top_songs", "top_genres")

KPIS_PARTITION_KEY: Final = "pk"
KPIS_SORT_KEY: Final = "sk"
GENRE_INDEX: Final = "by_genre"
GENRE_INDEX_PARTITION_KEY: Final = "genre_pk"
GENRE_INDEX_SORT_KEY: Final = "date"

LEDGER_PARTITION_KEY: Final = "pk"
STATUS_INDEX: Final = "by_status"
STATUS_INDEX_PARTITION_KEY: Final = "status"
