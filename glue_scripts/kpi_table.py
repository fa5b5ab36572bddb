"""The table `kpis`: a day's rows by version, and SUMMARY, which names the version that readers see.

| `pk` | `sk` | the item |
|---|---|---|
| `DAY#<date>` | `V#<version, 10 digits>#GENRE#<genre>` | a genre's day, with its hours; never changed once written |
| `DAY#<date>` | `V#<version, 10 digits>#UNKNOWN_TRACKS` | the played tracks that no song has, if there are any |
| `DAY#<date>` | `SUMMARY` | the day's totals, the version, and all that the numbers are a function of |

A day without plays that once had some has a SUMMARY that is a marker: it names a version and nothing else, and no index
lists it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from glue_scripts.kpi_items import Item
from glue_scripts.ledger import queried
from glue_scripts.names import (
    KPIS_PARTITION_KEY,
    KPIS_SORT_KEY,
    day_key,
    is_marker,
    summary_key,
    unknown_tracks_key,
    version_prefix,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

MADE_OF = ("snapshots", "kpi_code", "kpi_settings")
"""Attributes of SUMMARY: what a day's numbers are a function of, beside its plays."""
MAX_WRITES = 25
"""BatchWriteItem takes no more (Amazon DynamoDB API reference)."""
PARALLEL_READS = 8
MAX_TRIES = 12
MAX_WAIT_SECONDS = 20.0
_THROTTLED = ("ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded")
"""What BatchWriteItem answers where it can take none of the rows."""


class ThrottledError(RuntimeError):
    """DynamoDB left items out until the tries were used up."""


@dataclass(frozen=True)
class VisibleDay:
    """What a day's SUMMARY says of the version that readers see.

    Attributes:
        version: of the rows.
        unknown_plays: plays of tracks that the songs snapshot lacks.
        made_of: the snapshots by their file, the version of the KPI code and the settings; empty where the day has no
            plays.
    """

    version: int
    unknown_plays: int
    made_of: Mapping[str, Any]


class KpiTable:
    """The table `kpis`.

    Args:
        table: the boto3 table resource.
        sleep: waits for so many seconds.
    """

    def __init__(self, table: Table, sleep: Callable[[float], None] = time.sleep) -> None:
        self._table = table
        self._sleep = sleep

    def write(self, rows: Iterable[Item]) -> None:
        """Writes rows of a version that nobody reads yet.

        Raises:
            ThrottledError: throttling did not end in time.
        """
        self._request([{"PutRequest": {"Item": row}} for row in rows])

    def flip(self, summary: Item) -> int | None:
        """Makes a version visible, whose rows are all written, unless a later one is.

        Returns:
            The version that was visible before, 0 where none was; None where a later one is.
        """
        try:
            before = self._table.put_item(
                Item=summary,
                ConditionExpression="attribute_not_exists(version) OR version < :version",
                ExpressionAttributeValues={":version": summary["version"]},
                ReturnValues="ALL_OLD",
            ).get("Attributes", {})
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                # boto3 sends a request again whose answer was lost: it may be this version that is visible.
                key = {name: summary[name] for name in (KPIS_PARTITION_KEY, KPIS_SORT_KEY)}
                return 0 if self._get(key)["version"] == summary["version"] else None
            raise
        return int(str(before.get("version", 0)))

    def collect(self, date: str, oldest: int) -> None:
        """Deletes the rows of versions before the oldest one that a reader may still read.

        It finds rows of dead jobs, too. It may be interrupted and repeated.
        """
        query = {
            "KeyConditionExpression": f"{KPIS_PARTITION_KEY} = :day AND {KPIS_SORT_KEY} BETWEEN :first AND :oldest",
            "ExpressionAttributeValues": {
                ":day": day_key(date),
                ":first": version_prefix(0),
                ":oldest": version_prefix(oldest),
            },
            "ProjectionExpression": f"{KPIS_PARTITION_KEY}, {KPIS_SORT_KEY}",
            "ConsistentRead": True,
        }
        self._request([{"DeleteRequest": {"Key": dict(row)}} for row in queried(self._table, query)])

    def visible(self, dates: Collection[str]) -> dict[str, VisibleDay]:
        """What the SUMMARYs of some days say, consistently read; without the days that were never published."""
        with ThreadPoolExecutor(PARALLEL_READS) as pool:
            summaries = dict(zip(dates, pool.map(lambda date: self._get(summary_key(date)), dates), strict=True))
        return {date: _visible_day(summary) for date, summary in summaries.items() if summary}

    def unknown_tracks(self, versions: Mapping[str, int]) -> dict[str, Sequence[str] | None]:
        """The tracks that versions of some days have plays of and did not know.

        Args:
            versions: by date, a version that has plays of unknown tracks.

        Returns:
            Track ids by date; None where there were too many to list, or the version is not there any more.
        """

        def tracks(of: tuple[str, int]) -> Sequence[str] | None:
            found: Sequence[str] | None = self._get(unknown_tracks_key(*of)).get("track_ids")
            return found

        with ThreadPoolExecutor(PARALLEL_READS) as pool:
            return dict(zip(versions, pool.map(tracks, versions.items()), strict=True))

    def _get(self, key: Mapping[str, str]) -> Mapping[str, Any]:
        return self._table.get_item(Key=key, ConsistentRead=True).get("Item", {})

    def _request(self, requests: Sequence[Any]) -> None:
        """Puts and deletes, in any order; what DynamoDB leaves out is sent again."""
        due, tries = list(requests), 0
        while due:
            asked, due = due[:MAX_WRITES], due[MAX_WRITES:]
            try:
                answer = self._table.meta.client.batch_write_item(RequestItems={self._table.name: asked})
                left: Sequence[Any] = answer["UnprocessedItems"].get(self._table.name, [])
            except ClientError as error:
                if error.response["Error"]["Code"] not in _THROTTLED:
                    raise
                left = asked
            due += left
            tries = tries + 1 if len(left) == len(asked) else 0
            if tries == MAX_TRIES:
                raise ThrottledError(
                    f"DynamoDB has taken no row of the table {self._table.name} in {MAX_TRIES} tries. Nothing is lost: "
                    "redrive the execution when the throttling has ended."
                )
            if left:
                self._sleep(random.uniform(0, min(MAX_WAIT_SECONDS, 0.1 * 2**tries)))


def _visible_day(summary: Mapping[str, Any]) -> VisibleDay:
    return VisibleDay(
        version=int(summary["version"]),
        unknown_plays=int(summary.get("unknown_track_plays", 0)),
        made_of={} if is_marker(summary) else {name: summary[name] for name in MADE_OF},
    )
