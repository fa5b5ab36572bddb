"""Waiting for AWS, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from operations.errors import NotDoneYetError

POLL_SECONDS: Final = 3.0


def wait_until(is_done: Callable[[], bool], *, minutes: float, otherwise: str) -> None:
    """Asks again and again until it is done.

    Args:
        is_done: what is asked.
        minutes: how long at most.
        otherwise: what to tell the operator if it is not done in time.

    Raises:
        NotDoneYetError: it was not done in time.
    """
    deadline = time.monotonic() + minutes * 60
    while not is_done():
        if time.monotonic() >= deadline:
            raise NotDoneYetError(f"Not done after {minutes:g} minutes: {otherwise}")
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))
