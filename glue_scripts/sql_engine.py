"""What the KPI job does with rows, by SQL on DuckDB: from accepted files to the lake, and from the lake to KPI rows."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from glue_scripts.coded import Coded
from glue_scripts.counting import Counting, Storing, count_days, store_plays
from glue_scripts.judging import Reading, plays_at_most, valid_plays, valid_rows
from glue_scripts.kpi_batch import AcceptedFile, Written
from glue_scripts.kpi_items import Item, items_of
from glue_scripts.ledger import Claim, Snapshot, Tombstones
from glue_scripts.names import REFERENCE_PREFIX
from glue_scripts.objects import Location, Objects, json_line
from glue_scripts.publication import Snapshots
from glue_scripts.purged_users import is_purged
from glue_scripts.spread import here_or_spread
from glue_scripts.stored_plays import RunOfDay, StoredPlays, document_key
from glue_scripts.stored_snapshots import folder_of, read_users_snapshot, write_songs, write_users
from validators.closed_duckdb import Share, closed_connection

if TYPE_CHECKING:
    from pyspark import SparkContext

logger = logging.getLogger(__name__)

PARALLEL_DOCUMENTS: Final = 8

_COLUMNS: Final = {
    "songs": ("track_id", "track_name", "artists", "track_genre", "duration_ms"),
    "users": ("user_id", "user_country"),
}


@dataclass(frozen=True, kw_only=True)
class SqlEngine:
    """The engine of `KpiBatch`.

    Attributes:
        objects: the data bucket.
        bucket: its name.
        context: gives the Spark context; called where there are more plays than one process works on.
        parts: over how many tasks work is spread.
        top_songs: how many songs a genre's day ranks.
        top_genres: how many genres a day ranks.
        share: what one task may use.
    """

    objects: Objects
    bucket: str
    context: Callable[[], SparkContext]
    parts: int
    top_songs: int
    top_genres: int
    share: Share

    def write(
        self, references: Sequence[AcceptedFile], streams: Sequence[AcceptedFile], run: str, tombstones: Tombstones
    ) -> Written:
        """Writes each reference file as a snapshot, and all plays as one run for each of their days."""
        snapshots = [self._write_snapshot(file, run, tombstones) for file in references]
        days = self._write_plays(streams, run, tombstones) if streams else []
        plays = sum(stored.rows for day in days for stored in day.objects)
        logger.info("wrote %d days and %d snapshots of run %s: %d plays", len(days), len(snapshots), run, plays)
        return Written(snapshots=snapshots, dates=[day.date for day in days])

    def compute(self, claims: Sequence[Claim], snapshots: Snapshots, tombstones: Tombstones) -> list[Item]:
        """All rows of the claimed days, from exactly their runs."""
        with ThreadPoolExecutor(PARALLEL_DOCUMENTS) as pool:
            runs = [(run, claim.date) for claim in claims for run in sorted(claim.runs)]
            stored = [each for of_run in pool.map(self._stored, runs) for each in of_run]
        songs, users = snapshots["songs"], snapshots["users"]
        counting = Counting(
            self.objects,
            folder_of(songs) if songs else None,
            read_users_snapshot(self.objects, folder_of(users)) if users else None,
            tombstones,
            self.share,
            self.top_songs,
        )
        start = here_or_spread(sum(each.rows for each in stored), self.context)
        items = items_of(count_days(stored, counting, start, self.parts), top_genres=self.top_genres)
        logger.info("computed %d days: %d rows", len(claims), len(items))
        return items

    def _write_plays(self, files: Sequence[AcceptedFile], run: str, tombstones: Tombstones) -> Sequence[RunOfDay]:
        sources = [file.source for file in files]
        reading = Reading.of(sources, "streams", self.objects, self.share)
        plays = valid_plays(sources, reading, here_or_spread(plays_at_most(sources), self.context))
        storing = Storing(self.objects, run, reading.buckets, tombstones, self.share)
        stored = store_plays(plays, storing, min(reading.buckets, self.parts))
        with ThreadPoolExecutor(PARALLEL_DOCUMENTS) as pool:
            list(pool.map(self._write_document, stored.days))
        return stored.days

    def _write_document(self, day: RunOfDay) -> None:
        self.objects.write(day.document_key, json_line(day.document()))

    def _stored(self, run_of_day: tuple[str, str]) -> Sequence[StoredPlays]:
        return RunOfDay.of_document(json.loads(bytes(self.objects.read(document_key(*run_of_day))))).objects

    def _write_snapshot(self, file: AcceptedFile, run: str, tombstones: Tombstones) -> Snapshot:
        folder = f"{REFERENCE_PREFIX}{file.dataset}/{file.snapshot_name(run)}/"
        reading = Reading.of([file.source], file.dataset, self.objects, self.share)
        rows = valid_rows(file.source, reading, _COLUMNS[file.dataset])
        with closed_connection(self.share) as db:
            if file.dataset == "songs":
                write_songs(db, self.objects, folder, rows)
            else:
                users = Coded.of(rows["user_id"])
                rows = rows.filter(pa.array(~is_purged(db, users.values, tombstones)[users.codes]))
                write_users(db, self.objects, folder, rows)
        return file.snapshot(Location(self.bucket, folder).uri, rows.num_rows)
