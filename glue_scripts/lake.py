"""The lake: accepted plays as runs, and reference snapshots. Parquet in the data bucket, never listed, never changed.

A run is what one job run accepted for one day. It counts once the ledger's day names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StringType, StructField, StructType, TimestampType

from glue_scripts.ledger import Claim, Snapshot, Tombstones
from glue_scripts.names import PLAYS_PREFIX, REFERENCE_PREFIX
from glue_scripts.session import kept, session_threads
from glue_scripts.tombstones import without_purged

PLAYS_SCHEMA = StructType(
    [
        StructField("user_id", StringType()),
        StructField("track_id", StringType()),
        StructField("listen_time", TimestampType()),
    ]
)
SONGS_SCHEMA = StructType(
    [
        StructField("track_id", StringType()),
        StructField("track_name", StringType()),
        StructField("artists", StringType()),
        StructField("track_genre", StringType()),
        StructField("duration_ms", LongType()),
    ]
)
USERS_SCHEMA = StructType([StructField("user_id", StringType()), StructField("user_country", StringType())])
SNAPSHOT_SCHEMAS = {"songs": SONGS_SCHEMA, "users": USERS_SCHEMA}

PARALLEL_WRITES = 4
PLAYS_PER_FILE = 1_000_000
"""About 15 MB of Parquet. What was read in hundreds of parts would otherwise be that many small files a day."""


class Lake:
    """The prefixes `curated/` and `reference/` of the data bucket.

    Args:
        spark: a session in UTC.
        bucket: the data bucket's name.
    """

    def __init__(self, spark: SparkSession, bucket: str) -> None:
        self._spark = spark
        self._bucket = bucket

    def write_runs(self, plays: DataFrame, run: str, tombstones: Tombstones) -> list[str]:
        """Writes plays as one run for each of their days, without purged users.

        Each day goes to a place of its own, so that no two runs share a `_temporary` folder. A day that has plays of
        purged users only gets an empty run: an earlier job run of the same files may have claimed it, before the purge,
        and died over it.

        Args:
            plays: PLAYS_SCHEMA, valid rows.
            run: the job run's id.
            tombstones: the purged users.

        Returns:
            The dates, yyyy-mm-dd, ascending.
        """
        # Sorted, because Spark passes over cached batches whose least and greatest date exclude the one asked for: each
        # day then costs its own plays and not all of them.
        by_date = plays.select(*PLAYS_SCHEMA.names, F.to_date("listen_time").alias("date")).sortWithinPartitions("date")
        with kept(by_date) as dated:
            plays_of = {row["date"].isoformat(): row["count"] for row in dated.groupBy("date").count().collect()}

            def write(date: str) -> None:
                of_date = dated.where(F.col("date") == F.lit(date).cast("date")).select(*PLAYS_SCHEMA.names)
                files = -(-plays_of[date] // PLAYS_PER_FILE)
                without_purged(of_date, tombstones).coalesce(files).write.parquet(self._run_uri(date, run))

            with session_threads(self._spark, PARALLEL_WRITES) as pool:
                list(pool.map(write, plays_of))
        return sorted(plays_of)

    def read_runs(self, claims: Iterable[Claim]) -> DataFrame:
        """The plays of exactly the claims' runs: PLAYS_SCHEMA, a play may stand in several runs."""
        uris = [self._run_uri(claim.date, run) for claim in claims for run in sorted(claim.runs)]
        return self._read(PLAYS_SCHEMA, uris)

    def write_snapshot(self, rows: DataFrame, dataset: str, name: str) -> str:
        """Writes the valid rows of a reference file as an immutable snapshot.

        Args:
            rows: valid rows of the dataset.
            dataset: users or songs.
            name: a name that no other job run uses.

        Returns:
            The snapshot's URI.
        """
        uri = f"s3://{self._bucket}/{REFERENCE_PREFIX}{dataset}/{name}/"
        rows.select(*SNAPSHOT_SCHEMAS[dataset].names).distinct().write.parquet(uri)
        return uri

    def read_snapshot(self, dataset: str, snapshot: Snapshot | None) -> DataFrame:
        """The rows of a snapshot; none where there is no snapshot."""
        return self._read(SNAPSHOT_SCHEMAS[dataset], [snapshot.uri] if snapshot else [])

    def _read(self, schema: StructType, uris: Sequence[str]) -> DataFrame:
        if not uris:
            return self._spark.createDataFrame([], schema)
        return self._spark.read.schema(schema).parquet(*uris)

    def _run_uri(self, date: str, run: str) -> str:
        return f"s3://{self._bucket}/{PLAYS_PREFIX}listen_date={date}/run={run}/"
