"""What the KPI job does with rows, by SQL on DuckDB: from the lake to KPI rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from glue_scripts.counting import Counting, count_days
from glue_scripts.kpi_items import DayKpis, kpis_by_day
from glue_scripts.ledger import Claim, Snapshot, Tombstones
from glue_scripts.objects import Objects
from glue_scripts.publication import Snapshots
from glue_scripts.spread import workers_for
from glue_scripts.stored_plays import PARALLEL_DOCUMENTS, RunOfDay
from glue_scripts.stored_snapshots import folder_of, read_songs, read_users_snapshot
from validators.closed_duckdb import Share

if TYPE_CHECKING:
    from pyspark import SparkContext

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SqlEngine:
    """The engine of `KpiBatch`.

    Attributes:
        objects: the data bucket.
        context: gives the Spark context; called where there are more plays than one process works on.
        top_songs: how many songs a genre's day ranks.
        top_genres: how many genres a day ranks.
        share: what one task may use.
    """

    objects: Objects
    context: Callable[[], SparkContext]
    top_songs: int
    top_genres: int
    share: Share

    def compute(
        self, claims: Sequence[Claim], snapshots: Snapshots, tombstones: Tombstones, withdrawn: frozenset[str]
    ) -> Mapping[str, DayKpis]:
        """The KPIs of the claimed days that have plays, from exactly their runs."""
        with ThreadPoolExecutor(PARALLEL_DOCUMENTS) as pool:
            runs = [(run, claim.date) for claim in claims for run in sorted(claim.runs)]
            documents = pool.map(lambda run_of_day: RunOfDay.read(self.objects, *run_of_day), runs)
            stored = [each for document in documents for each in document.objects]
        songs, users = snapshots["songs"], snapshots["users"]
        counting = Counting(
            self.objects,
            folder_of(songs) if songs else None,
            read_users_snapshot(self.objects, folder_of(users)) if users else None,
            tombstones,
            withdrawn,
            self.share,
            self.top_songs,
        )
        workers = workers_for(sum(each.rows for each in stored), self.context)
        kpis = kpis_by_day(count_days(stored, counting, workers), top_genres=self.top_genres)
        logger.info("computed %d days, %d of them have plays", len(claims), len(kpis))
        return kpis

    def known_tracks(self, songs: Snapshot, track_ids: Collection[str]) -> Collection[str]:
        """Those of some track ids that a songs snapshot has."""
        tracks = read_songs(self.objects, folder_of(songs)).tracks["track_id"]
        known: list[str] = tracks.filter(pc.is_in(tracks, value_set=pa.array(track_ids, pa.string()))).to_pylist()
        return known
