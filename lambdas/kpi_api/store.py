"""Reads of the table `kpis`, whose layout `glue_scripts/kpi_table.py` describes.

boto3's low-level client, whose answers are decoded here in half of the time that its resource takes for that (measured
on a day of 2,708 rows). Every function tells how many calls of DynamoDB it makes, the client's own retries not counted.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from glue_scripts.names import (
    DATE_INDEX,
    DATE_INDEX_PARTITION_KEY,
    DATE_INDEX_SORT_KEY,
    KPIS_PARTITION_KEY,
    KPIS_SORT_KEY,
    SUMMARY,
    day_key,
    genre_sort_key,
    is_marker,
)
from lambdas.kpi_api.parameters import Span
from lambdas.kpi_api.problems import BusyError, InternalError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import KeysAndAttributesTypeDef

logger = logging.getLogger(__name__)

Row = dict[str, Any]
"""A row by attribute: numbers as int, or as Decimal where they have a fraction."""

MEASURES = (
    "listens",
    "unique_listeners",
    "listening_time_ms",
    "avg_listening_time_ms_per_user",
    "avg_listening_time_ms_per_play",
)
TOTALS = (
    "date",
    "listens",
    "unique_listeners",
    "listens_per_listener",
    "listening_time_ms",
    "unknown_track_plays",
    "version",
    "computed_at",
)

MAX_QUERIES = 4
"""For one page. A Query ends after 1 MB of rows, hours and songs included."""
MAX_KEYS = 100
"""BatchGetItem takes no more (Amazon DynamoDB API reference)."""
MAX_BATCH_TRIES = 3
_TRY_AGAIN_SECONDS = 0.05

# Everything else is our own fault: a missing table or permission, or a request that DynamoDB does not understand.
_TEMPORARY = {
    "InternalServerError",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ThrottlingException",
}


@dataclass(frozen=True)
class Page:
    """Some rows of a list that may have more.

    Attributes:
        rows: in the order of the list.
        next_after: the day or genre that the next page begins after; None where there is no more.
    """

    rows: list[Row]
    next_after: str | None


class Store:
    """The table `kpis`.

    Every function raises BusyError where DynamoDB throttles or does not answer, and InternalError where it refuses.

    Args:
        client: boto3's low-level client.
        table_name: of the table.
    """

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def summary(self, date: str) -> Row | None:
        """A day's SUMMARY, None where the day has no plays: 1 GetItem, consistent."""
        summary = self._item(_key(date, SUMMARY))
        return None if summary is None or is_marker(summary) else summary

    def genre(self, date: str, version: int, genre: str) -> Row | None:
        """A genre's row of a version of a day, None where there is none: 1 GetItem, consistent."""
        return self._item(_key(date, genre_sort_key(version, genre)))

    def genres(self, date: str, version: int, *, after: str | None, limit: int) -> Page:
        """Genres of a version of a day in the order of their UTF-8 bytes, without hours and songs.

        Consistent, 1 Query for each MB of rows. A Query is no snapshot: rows that are deleted meanwhile may be missing.

        Args:
            date: of the day.
            version: of the rows.
            after: the genre that the last page ended with.
            limit: how many at most; fewer where MAX_QUERIES end before that many.
        """
        start = {} if after is None else {"ExclusiveStartKey": _key(date, genre_sort_key(version, after))}
        return self._query(
            {
                "KeyConditionExpression": f"{KPIS_PARTITION_KEY} = :day AND begins_with({KPIS_SORT_KEY}, :prefix)",
                "ExpressionAttributeValues": {
                    ":day": {"S": day_key(date)},
                    ":prefix": {"S": genre_sort_key(version, "")},
                },
                "ConsistentRead": True,
                **start,
            },
            ("genre", *MEASURES),
            limit,
        )

    def days(self, span: Span, *, limit: int) -> Page:
        """The totals of days, newest first: 1 Query for each MB of the index, which lags behind the table."""
        return self._of_index(span, TOTALS, limit)

    def listed_versions(self, span: Span, *, limit: int) -> Page:
        """Date and version of days, newest first: 1 Query for each MB of the index, which lags behind the table."""
        return self._of_index(span, ("date", "version"), limit)

    def visible_versions(self, dates: Iterable[str]) -> dict[str, int]:
        """The versions that the SUMMARYs of some days name, without days that have no plays.

        Consistent: 1 BatchGetItem for 100 days; up to 3 where DynamoDB leaves some out.
        """
        rows = self._batch([_key(date, SUMMARY) for date in dates], ("date", "version"))
        return {row["date"]: row["version"] for row in rows if "date" in row}

    def genre_days(self, genre: str, versions: Mapping[str, int]) -> dict[str, Row]:
        """A genre's rows without hours and songs, by date, where there are any.

        Consistent: 1 BatchGetItem for 100 days; up to 3 where DynamoDB leaves some out.

        Args:
            genre: of the rows.
            versions: the version wanted of each day, by date.
        """
        keys = [_key(date, genre_sort_key(version, genre)) for date, version in versions.items()]
        return {row["date"]: row for row in self._batch(keys, ("date", *MEASURES))}

    def _item(self, key: Mapping[str, Any]) -> Row | None:
        with _failures_told():
            answer = self._client.get_item(TableName=self._table_name, Key=key, ConsistentRead=True)
        return decoded(answer["Item"]) if "Item" in answer else None

    def _of_index(self, span: Span, names: Sequence[str], limit: int) -> Page:
        return self._query(
            {
                "IndexName": DATE_INDEX,
                "KeyConditionExpression": f"{DATE_INDEX_PARTITION_KEY} = :all AND #date BETWEEN :first AND :last",
                "ExpressionAttributeNames": {"#date": DATE_INDEX_SORT_KEY},
                "ExpressionAttributeValues": {
                    ":all": {"S": SUMMARY},
                    ":first": {"S": span.first},
                    ":last": {"S": span.last},
                },
                "ScanIndexForward": False,
            },
            names,
            limit,
        )

    def _query(self, query: Mapping[str, Any], names: Sequence[str], limit: int) -> Page:
        """A page, which ends with a value of the first of the names."""
        expression, placeholders = _projection(names)
        request = {
            **query,
            "TableName": self._table_name,
            "ProjectionExpression": expression,
            "ExpressionAttributeNames": placeholders | query.get("ExpressionAttributeNames", {}),
        }
        rows: list[Row] = []
        for _ in range(MAX_QUERIES):
            # One more tells whether there is a next page: LastEvaluatedKey may follow the last row.
            with _failures_told():
                answer = self._client.query(**{**request, "Limit": limit + 1 - len(rows)})
            rows += [decoded(item) for item in answer["Items"]]
            if len(rows) > limit or "LastEvaluatedKey" not in answer:
                break
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        has_more = len(rows) > limit or "LastEvaluatedKey" in answer
        return Page(rows[:limit], rows[:limit][-1][names[0]] if has_more else None)

    def _batch(self, keys: Sequence[Any], names: Sequence[str]) -> list[Row]:
        parts = (keys[start : start + MAX_KEYS] for start in range(0, len(keys), MAX_KEYS))
        return [row for part in parts for row in self._part(part, names)]

    def _part(self, keys: Sequence[Any], names: Sequence[str]) -> list[Row]:
        expression, placeholders = _projection(names)
        request: KeysAndAttributesTypeDef = {
            "Keys": keys,
            "ProjectionExpression": expression,
            "ExpressionAttributeNames": placeholders,
            "ConsistentRead": True,
        }
        rows: list[Row] = []
        for number in range(MAX_BATCH_TRIES):
            if number:
                time.sleep(random.uniform(0, _TRY_AGAIN_SECONDS * 2**number))
            with _failures_told():
                answer = self._client.batch_get_item(RequestItems={self._table_name: request})
            rows += [decoded(item) for item in answer["Responses"].get(self._table_name, [])]
            left = answer["UnprocessedKeys"].get(self._table_name)
            if left is None:
                return rows
            request = {**request, "Keys": left["Keys"]}
        raise BusyError


def decoded(item: Mapping[str, Any]) -> Row:
    """An item of the low-level API as a row."""
    return {name: _value(attribute) for name, attribute in item.items()}


def _value(attribute: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a value of a row
    ((kind, value),) = attribute.items()
    match kind:
        case "N":
            return Decimal(value) if "." in value else int(value)
        case "L":
            return [_value(part) for part in value]
        case "M":
            return decoded(value)
        case "NULL":
            return None
        case _:
            return value


def _key(date: str, sort_key: str) -> dict[str, Any]:
    return {KPIS_PARTITION_KEY: {"S": day_key(date)}, KPIS_SORT_KEY: {"S": sort_key}}


def _projection(names: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Only what is asked for travels; placeholders, because `date` is a reserved word."""
    placeholders = {f"#n{number}": name for number, name in enumerate(names)}
    return ", ".join(placeholders), placeholders


@contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in _TEMPORARY:
            logger.warning("DynamoDB is busy: %s", error)
            raise BusyError from error
        logger.exception("DynamoDB refuses")
        raise InternalError from error
    except (ConnectionError, HTTPClientError) as error:  # no connection, or no answer in time
        logger.warning("DynamoDB does not answer: %s", error)
        raise BusyError from error
    except BotoCoreError as error:
        logger.exception("DynamoDB was not asked")
        raise InternalError from error
