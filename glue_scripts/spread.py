"""Runs the same work here, in threads of the driver, or spread over Spark's tasks: Spark moves tasks and blobs.

Work is a function from a part's blobs to blobs. `Here` and `Spread` give equal results. DuckDB, Arrow and numpy do the
work, and let other threads run meanwhile.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from glue_scripts.blobs import Blob
from validators.closed_duckdb import Share

if TYPE_CHECKING:
    from pyspark import RDD, SparkContext

Work = Callable[[Iterable[Blob]], Iterable[Blob]]
"""Pickled for Spark's workers: a function of a module, or a `functools.partial` of one with small arguments."""
Part = Sequence[Blob]

HERE_PLAYS = 2**24
"""The driver works alone on up to this number of plays, about 500 MB of text, for which it has the memory.

With two workers, the fewest that Glue starts, the driver has as many processors as the executor. It waits for no JVM
and moves no blobs between processes.
"""
THREADS = min(os.cpu_count() or 1, 8)
"""How many threads of the driver work at the same time, with TASK_MEMORY_MB each. A G.1X worker has 4 processors."""

TASK_MEMORY_MB = 700
"""DuckDB's, of one task. A G.1X worker has 16 GB for four tasks, of which Spark's heap takes 10."""


def task_share() -> Share:
    """What one task may use; beyond the memory, DuckDB writes to the worker's disk."""
    return Share(memory_mb=TASK_MEMORY_MB, temp_folder=Path(tempfile.gettempdir()) / "duckdb")


class Blobs(Protocol):
    """Blobs in parts. Work is done when they are collected, or exchanged before.

    Blobs that were exchanged can be worked on several times, others once.
    """

    def map(self, work: Work) -> Blobs:
        """Replace the blobs of each part by the work's results."""
        ...

    def by_key(self, parts: int) -> Blobs:
        """Bring all blobs of a key into the same part, in no particular order. A part may have several keys."""
        ...

    def collect(self) -> list[Blob]:
        """Bring all blobs to the driver: only what does not grow with plays."""
        ...


class Here:
    """Blobs in parts. THREADS threads of this process work on them.

    Args:
        parts: the blobs.
        works: the work on each part, in order.
    """

    def __init__(self, parts: Sequence[Part], works: Sequence[Work] = ()) -> None:
        self._parts = parts
        self._works = works

    def map(self, work: Work) -> Here:
        """See `Blobs`."""
        return Here(self._parts, [*self._works, work])

    def by_key(self, parts: int) -> Here:
        """See `Blobs`. What is done before ends here: two works never hold their memory at the same time.

        There are no more parts than threads: each of them opens a connection to DuckDB.
        """
        exchanged: list[list[Blob]] = [[] for _ in range(min(parts, THREADS))]
        for blob in self.collect():
            exchanged[blob.key % len(exchanged)].append(blob)
        return Here(exchanged)

    def collect(self) -> list[Blob]:
        """See `Blobs`."""
        with ThreadPoolExecutor(THREADS) as pool:
            return list(chain.from_iterable(pool.map(self._done, self._parts)))

    def _done(self, part: Part) -> list[Blob]:
        blobs: Iterable[Blob] = part
        for work in self._works:
            blobs = work(blobs)
        return list(blobs)


class Spread:
    """Blobs in Spark's tasks, a part each.

    A task that exchanges blobs holds all that it makes: give it work of a bounded size.

    Args:
        blobs: an RDD.
    """

    def __init__(self, blobs: RDD[Blob]) -> None:
        self._blobs = blobs

    @classmethod
    def of(cls, context: SparkContext, parts: Sequence[Part]) -> Spread:
        """Hand each part to a task. The driver holds these: descriptions of work, and not the data."""
        return cls(context.parallelize(parts, max(len(parts), 1)).flatMap(_blobs_of_part))

    def map(self, work: Work) -> Spread:
        """See `Blobs`."""
        return Spread(self._blobs.mapPartitions(partial(_done_in_task, work)))

    def by_key(self, parts: int) -> Spread:
        """See `Blobs`."""
        return Spread(self._blobs.keyBy(_key_of).partitionBy(parts, int).values())

    def collect(self) -> list[Blob]:
        """See `Blobs`."""
        return self._blobs.collect()


@dataclass(frozen=True)
class Workers:
    """Where work is done.

    Attributes:
        start: starts work on parts: `Here`, or `Spread.of` with a Spark context.
        tasks: over how many tasks work is spread.
    """

    start: Callable[[Sequence[Part]], Blobs]
    tasks: int


HERE = Workers(Here, tasks=THREADS)


def workers_for(plays: int, context: Callable[[], SparkContext]) -> Workers:
    """Decide where work on plays is done.

    Args:
        plays: how many there are.
        context: gives the Spark context; called only where work is spread, so that few plays need no Spark at all.
    """
    if plays <= HERE_PLAYS:
        return HERE
    spark = context()
    return Workers(partial(Spread.of, spark), spark.defaultParallelism)


def _done_in_task(work: Work, blobs: Iterable[Blob]) -> Iterator[Blob]:
    """Do work in a task. An error leaves as TaskFailedError, after a traceback without values in the task's log."""
    try:
        yield from work(blobs)
    except Exception as error:
        # Not before it is needed: a task that does not fail needs neither AWS nor Spark.
        from glue_scripts.failures import TaskFailedError, log_text

        if isinstance(error, TaskFailedError):  # of the work before
            raise
        print(log_text(error), file=sys.stderr, flush=True)
        raise TaskFailedError(error) from None


def _blobs_of_part(part: Part) -> Iterator[Blob]:
    return iter(part)


def _key_of(blob: Blob) -> int:
    return blob.key
