"""Runs the same work here, in the driver, or spread over Spark's tasks: Spark distributes tasks and moves blobs.

Work is a function from a part's blobs to blobs. `Here` has one part, `Spread` one for each task; the results are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from glue_scripts.blobs import Blob

if TYPE_CHECKING:
    from pyspark import RDD, SparkContext

Work = Callable[[Iterable[Blob]], Iterable[Blob]]
"""Pickled for Spark's workers: a function of a module, or a `functools.partial` of one with small arguments."""
Part = Sequence[Blob]


class Blobs(Protocol):
    """Blobs in parts. Nothing is worked on before `collect`."""

    def map(self, work: Work) -> Blobs:
        """Replace the blobs of each part by what the work makes of them."""
        ...

    def by_key(self, parts: int) -> Blobs:
        """Bring all blobs of a key into the same part, in no particular order. A part may have several keys."""
        ...

    def collect(self) -> list[Blob]:
        """Bring all blobs to the driver: only what does not grow with plays."""
        ...


class Here:
    """Blobs of one part, worked on in this process and thread.

    Args:
        parts: the blobs.
    """

    def __init__(self, parts: Iterable[Iterable[Blob]]) -> None:
        self._blobs = (blob for part in parts for blob in part)

    def map(self, work: Work) -> Here:
        """See `Blobs`."""
        return Here([work(self._blobs)])

    def by_key(self, parts: int) -> Here:
        """See `Blobs`."""
        return self

    def collect(self) -> list[Blob]:
        """See `Blobs`."""
        return list(self._blobs)


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
        return Spread(self._blobs.mapPartitions(work))

    def by_key(self, parts: int) -> Spread:
        """See `Blobs`."""
        return Spread(self._blobs.keyBy(_key_of).partitionBy(parts, int).values())

    def collect(self) -> list[Blob]:
        """See `Blobs`."""
        return self._blobs.collect()


def _blobs_of_part(part: Part) -> Iterator[Blob]:
    return iter(part)


def _key_of(blob: Blob) -> int:
    return blob.key
