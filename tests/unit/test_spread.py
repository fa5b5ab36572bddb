"""Work gives the same blobs here and spread over Spark's tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import pytest
from pyspark import SparkContext
from pyspark.sql import SparkSession

from glue_scripts.blobs import MAX_BLOB_BYTES, Blob
from glue_scripts.spread import HERE, HERE_PLAYS, Blobs, Here, Spread, workers_for

Start = Callable[[Sequence[Sequence[Blob]]], Blobs]


@pytest.fixture(params=["here", "spread"])
def start(request: pytest.FixtureRequest) -> Start:
    if request.param == "here":
        return Here
    spark: SparkSession = request.getfixturevalue("spark")
    return partial(Spread.of, spark.sparkContext)


def doubled(blobs: Iterable[Blob]) -> Iterator[Blob]:
    return (Blob(2 * blob.key, "doubled", blob.payload * 2) for blob in blobs)


def joined(blobs: Iterable[Blob]) -> Iterator[Blob]:
    return (Blob(key, "joined", payload) for key, payload in joined_by_key(blobs).items())


def joined_by_key(blobs: Iterable[Blob]) -> dict[int, bytes]:
    of_key: defaultdict[int, list[bytes]] = defaultdict(list)
    for blob in blobs:
        of_key[blob.key].append(blob.payload)
    return {key: b"".join(sorted(payloads)) for key, payloads in of_key.items()}


def sizes(blobs: Iterable[Blob]) -> Iterator[Blob]:
    return (Blob(blob.key, "size", str(len(blob.payload)).encode()) for blob in blobs)


def test_work_is_done_on_the_blobs_of_each_part(start: Start) -> None:
    parts = [[Blob(1, "", b"a")], [], [Blob(2, "", b"b"), Blob(1, "", b"c")]]
    assert sorted(start(parts).map(doubled).collect()) == [
        Blob(2, "doubled", b"aa"), Blob(2, "doubled", b"cc"), Blob(4, "doubled", b"bb")
    ]  # fmt: skip


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_all_blobs_of_a_key_come_together(start: Start, parts: int) -> None:
    given = [[Blob(number * part % 7, "", bytes([number])) for number in range(20)] for part in range(4)]
    expected = joined_by_key(blob for part in given for blob in part)
    found = start(given).by_key(parts).map(joined).collect()
    assert sorted(found) == [Blob(key, "joined", payload) for key, payload in sorted(expected.items())]


def test_exchanges_follow_one_another(start: Start) -> None:
    given = [[Blob(number % 3, "", bytes([number]))] for number in range(9)]
    found = start(given).by_key(2).map(joined).map(doubled).by_key(3).map(joined).collect()
    assert sorted((blob.key, len(blob.payload)) for blob in found) == [(0, 6), (2, 6), (4, 6)]


def test_large_blobs_are_exchanged(start: Start) -> None:
    given = [[Blob(key, "", bytes(MAX_BLOB_BYTES)) for key in range(3)] for _ in range(2)]
    found = start(given).by_key(3).map(sizes).collect()
    assert sorted(found) == [Blob(key, "size", str(MAX_BLOB_BYTES).encode()) for key in range(3) for _ in range(2)]


def test_no_part_gives_no_blob(start: Start) -> None:
    assert start([]).map(doubled).by_key(2).map(joined).collect() == []


def test_few_plays_need_no_spark() -> None:
    def no_spark() -> SparkContext:
        raise AssertionError("Spark was started")

    assert workers_for(HERE_PLAYS, no_spark) is HERE


def test_more_plays_are_spread(spark: SparkSession) -> None:
    workers = workers_for(HERE_PLAYS + 1, lambda: spark.sparkContext)
    assert workers.tasks == spark.sparkContext.defaultParallelism
    started = workers.start([[Blob(1, "", b"a")]])
    assert isinstance(started, Spread)
    assert started.collect() == [Blob(1, "", b"a")]


def test_exchanged_blobs_can_be_worked_on_several_times(start: Start) -> None:
    exchanged = start([[Blob(number % 3, "", bytes([number]))] for number in range(9)]).by_key(2)
    first, *others = [sorted(exchanged.map(joined).collect()) for _ in range(3)]
    assert len(first) == 3
    assert others == [first, first]
