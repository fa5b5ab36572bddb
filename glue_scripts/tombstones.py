"""Leaves purged users out of data frames."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from glue_scripts.ledger import Tombstones


def without_purged(frame: DataFrame, tombstones: Tombstones) -> DataFrame:
    """The rows whose user has no tombstone.

    Args:
        frame: any columns, among them user_id string.
        tombstones: read after whatever the rows stand for was claimed.

    Returns:
        The same columns.
    """
    if not tombstones.hashes:
        return frame
    purged = frame.sparkSession.createDataFrame(
        [(user_hash,) for user_hash in sorted(tombstones.hashes)], "hash string"
    )
    user_hash = F.sha2(F.concat(F.lit(tombstones.salt), "user_id"), 256)
    return frame.join(F.broadcast(purged), user_hash == purged["hash"], "left_anti")
