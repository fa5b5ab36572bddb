"""Which users are purged: the ledger knows them by salted hashes only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    from glue_scripts.ledger import Tombstones

_HASH = "sha256($salt || user_id)"
_PURGED = f"SELECT code FROM ids SEMI JOIN tombstones ON {_HASH} = hash"


def is_purged(db: duckdb.DuckDBPyConnection, user_ids: pa.Array, tombstones: Tombstones) -> npt.NDArray[np.bool_]:
    """Tell for each user id whether its user is purged.

    Args:
        db: a connection.
        user_ids: strings without nulls, each once: a hash is computed for each id and not for each play.
        tombstones: read after whatever the ids stand for was claimed.

    Returns:
        As many values as there are ids, in their order.
    """
    purged = np.zeros(len(user_ids), bool)
    if tombstones.hashes:
        codes = pa.array(np.arange(len(user_ids), dtype=np.int32))
        db.register("ids", pa.table({"code": codes, "user_id": user_ids}))
        purged[_execute(db, _PURGED, tombstones).fetchnumpy()["code"]] = True
        db.unregister("ids")
        db.unregister("tombstones")
    return purged


def delete_purged(db: duckdb.DuckDBPyConnection, table: str, tombstones: Tombstones) -> None:
    """Delete the rows of purged users from a table with a user_id."""
    if tombstones.hashes:
        _execute(db, f"DELETE FROM {table} WHERE {_HASH} IN (SELECT hash FROM tombstones)", tombstones)
        db.unregister("tombstones")


def _execute(db: duckdb.DuckDBPyConnection, sql: str, tombstones: Tombstones) -> duckdb.DuckDBPyConnection:
    """Run a query of the table `tombstones`, which stays until its result is read."""
    db.register("tombstones", pa.table({"hash": pa.array(sorted(tombstones.hashes), pa.string())}))
    return db.execute(sql, {"salt": tombstones.salt})
