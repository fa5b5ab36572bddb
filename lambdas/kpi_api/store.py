"""Reads of the table `kpis`.

boto3's low-level client, whose answers are decoded here in half of the time that its resource takes for that (measured
on a day of 2,708 rows). Every function tells how many calls of DynamoDB it makes, the client's own retries not counted.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from glue_scripts.names import (
    GENRE_INDEX,
    GENRE_INDEX_PARTITION_KEY,
    GENRE_INDEX_SORT_KEY,
    KPIS_PARTITION_KEY,
    KPIS_SORT_KEY,
    SUMMARY,
)
from lambdas.kpi_api.parameters import FIRST_DAY, LAST_DAY, Span
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
    "claim",
    "computed_at",
)
HOURS = tuple(f"{hour:02}" for hour in range(24))

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
    """Some rows of an answer that may have more."""

    rows: list[Row]
    has_more: bool


@dataclass(frozen=True)
class GenreRows:
    """A genre's rows of one day: the daily one, None where there is none, and those of its hours in their order."""

    daily: Row | None
    hours: list[Row]


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
        """A day's SUMMARY row: 1 GetItem, consistent."""
        with _failures_told():
            answer = self._client.get_item(
                TableName=self._table_name, Key=_key(_day(date), SUMMARY), ConsistentRead=True
            )
        return decoded(answer["Item"]) if "Item" in answer else None

    def genres(self, date: str, *, after: str | None, limit: int) -> Page:
        """A day's genres in the order of their UTF-8 bytes: 1 Query, consistent.

        Args:
            date: of the day.
            after: the genre that the last page ended with.
            limit: how many at most; DynamoDB returns fewer where a page would have more than 1 MB.
        """
        start = {} if after is None else {"ExclusiveStartKey": _key(_day(date), f"GENRE#{after}")}
        return self._query(
            {
                "KeyConditionExpression": f"{KPIS_PARTITION_KEY} = :day AND begins_with({KPIS_SORT_KEY}, :prefix)",
                "ExpressionAttributeValues": {":day": {"S": _day(date)}, ":prefix": {"S": "GENRE#"}},
                "ConsistentRead": True,
                **start,
            },
            ("genre", *MEASURES, "claim"),
            limit,
        )

    def genre(self, date: str, genre: str) -> GenreRows:
        """A genre's day and its hours, consistent: 1 BatchGetItem of 25 keys; up to 3 where DynamoDB leaves some out.

        The hours' keys are known, so that no Query has to read the hours of all other genres.
        """
        keys = [_key(_day(date), sort_key) for sort_key in _sort_keys(genre)]
        names = (KPIS_SORT_KEY, "hour", *MEASURES, "top_songs", "claim")
        rows = {row.pop(KPIS_SORT_KEY): row for row in self._batch(keys, names)}
        return GenreRows(
            daily=rows.pop(f"GENRE#{genre}", None),
            hours=sorted(rows.values(), key=lambda row: str(row["hour"])),
        )

    def days(self, span: Span, *, limit: int) -> Page:
        """The totals of days, newest first: 1 Query of the index, which lags behind the table by a moment."""
        return self._of_index(SUMMARY, span, TOTALS, limit)

    def series(self, genre: str, span: Span, *, limit: int) -> Page:
        """A genre's days, newest first: 1 Query of the index, which lags behind the table by a moment."""
        return self._of_index(f"GENRE#{genre}", span, ("date", *MEASURES), limit)

    def has_genre(self, genre: str) -> bool:
        """Whether a genre has any day: 1 Query of the index for one key."""
        return bool(self._of_index(f"GENRE#{genre}", Span(FIRST_DAY, LAST_DAY), ("date",), 1).rows)

    def _of_index(self, partition: str, span: Span, names: Sequence[str], limit: int) -> Page:
        return self._query(
            {
                "IndexName": GENRE_INDEX,
                "KeyConditionExpression": f"{GENRE_INDEX_PARTITION_KEY} = :of AND #date BETWEEN :first AND :last",
                "ExpressionAttributeNames": {"#date": GENRE_INDEX_SORT_KEY},
                "ExpressionAttributeValues": {
                    ":of": {"S": partition},
                    ":first": {"S": span.first},
                    ":last": {"S": span.last},
                },
                "ScanIndexForward": False,
            },
            names,
            limit,
        )

    def _query(self, query: Mapping[str, Any], names: Sequence[str], limit: int) -> Page:
        expression, placeholders = _projection(names)
        placeholders |= query.get("ExpressionAttributeNames", {})
        with _failures_told():
            answer = self._client.query(
                **{
                    **query,
                    "TableName": self._table_name,
                    "ProjectionExpression": expression,
                    "ExpressionAttributeNames": placeholders,
                    # one more tells whether there is a next page: LastEvaluatedKey may follow the last row
                    "Limit": limit + 1,
                }
            )
        rows = [decoded(item) for item in answer["Items"]]
        return Page(rows[:limit], has_more=len(rows) > limit or "LastEvaluatedKey" in answer)

    def _batch(self, keys: list[Any], names: Sequence[str]) -> list[Row]:
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


def _sort_keys(genre: str) -> Iterator[str]:
    yield f"GENRE#{genre}"
    yield from (f"HOUR#{hour}#GENRE#{genre}" for hour in HOURS)


def _day(date: str) -> str:
    return f"DAY#{date}"


def _key(partition: str, sort_key: str) -> dict[str, Any]:
    return {KPIS_PARTITION_KEY: {"S": partition}, KPIS_SORT_KEY: {"S": sort_key}}


def _projection(names: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Only what is asked for travels; placeholders, because `date` and `hour` are reserved words."""
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
