"""Which users are purged: the ledger knows them by salted hashes only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    from glue_scripts.ledger import Tombstones

_PURGED = """
SELECT code FROM ids SEMI JOIN tombstones ON sha256($salt || user_id) = hash
"""


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
        db.register("tombstones", pa.table({"hash": pa.array(sorted(tombstones.hashes), pa.string())}))
        purged[db.execute(_PURGED, {"salt": tombstones.salt}).fetchnumpy()["code"]] = True
        db.unregister("ids")
        db.unregister("tombstones")
    return purged
