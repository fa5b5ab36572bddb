"""Work in portions of a bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def packed(items: Iterable[T], size: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """Join neighbouring items as long as they have at most `most` together; a larger one stays alone.

    Args:
        items: any number of them; read one by one.
        size: of an item.
        most: the size of a portion, in the same unit.
    """
    portion: list[T] = []
    total = 0
    for item in items:
        added = size(item)
        if portion and total + added > most:
            yield portion
            portion, total = [], 0
        portion.append(item)
        total += added
    if portion:
        yield portion
